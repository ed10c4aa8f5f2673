"""H.265 in a browser that cannot show it: a transcoded picture, marked as such, live and from the archive."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import av
import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import update

from deploy.virtual_camera import strip
from storage.archive.catalog import Catalog
from storage.archive.tables import stream
from storage.clock import US
from tests.e2e.hall import CLOCK, RunningHall, eventually
from tests.e2e.pages import log_in, state_purpose
from tests.e2e.pixels import strips_of_videos

SUPERVISOR = "jiankan"
H265_CAMERA = 3
"""The number that the H.265 camera of the virtual hall paints."""


@contextmanager
def without_substream(hall: RunningHall) -> Iterator[dict[str, Any]]:
    """The H.265 camera, its H.264 substream hidden as if it had none."""
    with hall.client(SUPERVISOR) as client:
        cameras = client.get("/api/cameras")["cameras"]
    camera: dict[str, Any] = next(one for one in cameras if any(each["codec"] == "h265" for each in one["streams"]))
    sub = next(each["id"] for each in camera["streams"] if each["role"] == "sub")
    catalog = Catalog.open(f"sqlite:///{hall.folder.root / 'catalog.sqlite'}", CLOCK)

    def call_it(codec: str) -> None:
        with catalog.write() as conn:
            conn.execute(update(stream).where(stream.c.id == UUID(sub)).values(codec=codec))

    call_it("h265")
    try:
        yield camera
    finally:
        call_it("h264")
        catalog.close()


def moving(page: Page) -> bool:
    """Whether the H.265 camera's pictures move on the page."""
    counters = []
    for _ in range(2):
        counters.append([seen.counter for seen in strips_of_videos(page) if seen and seen.camera == H265_CAMERA])
        CLOCK.sleep(0.5)
    return bool(counters[0]) and bool(counters[1]) and counters[0] != counters[1]


def transcoders(hall: RunningHall) -> int:
    """How many transcoders the gateway runs."""
    page = httpx.get(f"http://127.0.0.1:{hall.ports.gateway}/metrics", trust_env=False).text
    line = next(line for line in page.splitlines() if line.startswith("sunhall_gateway_transcodes "))
    return int(line.split()[1])


def test_a_camera_with_nothing_but_h265_shows_a_picture_that_is_marked(hall: RunningHall, page: Page) -> None:
    with without_substream(hall) as camera:
        log_in(page, hall, SUPERVISOR, f"/cameras/{camera['id']}")
        page.locator('[data-action="preview"]').click()
        state_purpose(page)
        eventually(lambda: moving(page))
        expect(page.locator('[data-badge="derived"]')).to_have_text("转码查看")
        assert page.evaluate("() => document.querySelector('video').videoWidth") == 640
        assert transcoders(hall) == 1
        page.locator(".preview-card header button.ghost").click()
        eventually(lambda: transcoders(hall) == 0 or None)


def test_recorded_h265_has_a_viewing_copy_with_the_same_pictures(hall: RunningHall) -> None:
    with without_substream(hall) as camera, hall.client(SUPERVISOR, purpose="patrol") as client:
        main = next(each["id"] for each in camera["streams"] if each["role"] == "main")
        now_us = CLOCK.now_us()
        span = {"from_us": now_us - 3600 * US, "to_us": now_us + 3600 * US}
        path = f"/api/media/streams/{main}/segments"
        segment = eventually(lambda: next(iter(client.get(path, **span)["segments"]), None))
        original = client.content(f"/api/media/segments/{segment['id']}").content
        copy = client.content(f"/api/media/segments/{segment['id']}/converted")
    assert copy.headers["x-sunhall-derived"] == "h264"
    seen, made = counters(original, "hevc"), counters(copy.content, "h264")
    assert len(made) > 20
    assert made == seen, "the same pictures at the same times"


def counters(media: bytes, codec: str) -> list[tuple[int, int | None]]:
    """Time in milliseconds and painted counter of every picture of a file."""
    with av.open(io.BytesIO(media), format="mp4", mode="r") as container:
        video = container.streams.video[0]
        assert video.codec_context.name == codec
        found = []
        for frame in container.decode(video):
            seen = strip.read(np.asarray(frame.to_ndarray(format="gray"), np.uint8))
            found.append((round((frame.time or 0) * 1000), seen.counter if seen else None))
        return found


pytestmark = pytest.mark.timeout(300)
