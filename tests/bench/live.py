"""How old are the pictures on the wall? A camera paints its clock, encodes and sends; the page reads it when shown."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.bench import viewers
from tests.bench.report import Row, percentile
from tests.e2e import pixels
from tests.e2e.conftest import CHROMIUM, FLAGS
from tests.e2e.hall import CLOCK, RunningHall, eventually
from tests.e2e.pages import choose_size, open_wall

SETTLE_S = 8.0
MEASURE_S = 20.0


@contextmanager
def watched_hall(cameras: int) -> Iterator[tuple[RunningHall, Page]]:
    """A virtual hall and a browser at its wall."""
    with tempfile.TemporaryDirectory(prefix="sunhall-bench-") as folder, sync_playwright() as playwright:
        hall = RunningHall(Path(folder), demo=True, cameras=cameras)
        hall.start()
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = chromium.new_page(viewport={"width": 1920, "height": 1080}, ignore_https_errors=True)
            page.add_init_script(pixels.INSTALL)
            yield hall, page
        finally:
            chromium.close()
            hall.stop()


def ages_of(page: Page, tiles: int) -> list[float]:
    """Ages in milliseconds of the frames shown by a wall of `tiles` that has settled."""
    choose_size(page, tiles)
    eventually(lambda: len([seen for seen in pixels.strips_of_videos(page) if seen is not None]) >= tiles)
    CLOCK.sleep(SETTLE_S)
    ages = [age for video in pixels.latencies(page, MEASURE_S) for age in video]
    return [age for age in ages if age < 1e9]  # the looped camera's strip counts from its loop's start: no age


def measure() -> list[Row]:
    """What viewers cost the gateway: live.relay_us_per_frame and live.viewer_streams_per_core."""
    return viewers.measure()


def rows(sizes: Sequence[int] = (1, 4, 9)) -> list[Row]:
    """live.p50_ms@N and live.p95_ms@N, and what viewers cost."""
    found: list[Row] = measure()
    with watched_hall(cameras=9) as (hall, page):
        open_wall(page, hall, 1)
        for size in sizes:
            ages = ages_of(page, size)
            note = f"{len(ages)} frames, painted by the camera to shown by Chromium"
            found.append(Row(f"live.p50_ms@{size}", percentile(ages, 50), "ms", note=note))
            found.append(Row(f"live.p95_ms@{size}", percentile(ages, 95), "ms", note=note))
        found.append(_register(hall))
    return found


def _register(hall: RunningHall) -> Row:
    """How long somebody who types a camera's address waits for its picture."""
    with hall.client("dating") as client:
        devices = client.get("/api/devices")["devices"]
        credentials = {"username": "admin", "password": hall.camera_password}
        waits: list[float] = []
        for device in devices:
            began = CLOCK.monotonic()
            answer = client.post(
                "/api/devices/probe", {"address": device["address"], "port": device["port"], **credentials}
            )
            if answer["picture"]:
                waits.append((CLOCK.monotonic() - began) * 1000)
    return Row(
        "camera.register_picture_ms",
        percentile(waits, 50),
        "ms",
        note=f"median of {len(waits)} cameras, probe to picture",
    )
