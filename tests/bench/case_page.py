"""How long does an auditor wait? A month of rows behind a real console, each case opened for the first time.

`python -m tests.bench.case_page` prints its rows alone; `rows()` is part of `first_light`."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np

from deploy.counter_pc.desktop import Desktop, Task
from deploy.demo.client import HallClient
from screen_capture.encode import SegmentEncoder
from storage.archive.migrate import migrate
from storage.archive.objects import DiskStore
from storage.clock import US, SystemClock
from tests.bench.case_rows import PICTURES, Month, SeededCase, Size, fit_object
from tests.bench.report import Row, percentile, write
from tests.e2e.hall import eventually, free_ports

CLOCK = SystemClock()
CASES = 500
FIRST_PICTURES = 40
SEGMENT_BYTES = 15_000_000
"""A minute at 2 Mbit/s."""
PREFIXES = ("滁", "滁政务", "滁政务2026第0", "滁政务2026第000", "滁政务2026第02")
PASSWORD = "a long password for the bench"


class BenchHall:
    """A console over a seeded catalog, and a person who is logged in."""

    def __init__(self, root: Path, size: Size) -> None:
        self.root = root
        self.size = size
        self.catalog_path = root / "catalog.sqlite"
        self.port = free_ports(1)
        self.cases: list[SeededCase] = []

    @contextmanager
    def running(self) -> Iterator[HallClient]:
        """Set the hall up, stop, seed the month, start again, log in."""
        (self.root / "objects").mkdir()
        config = self.root / "console.toml"
        config.write_text(
            f'data = "{self.root}"\nlog_level = "warning"\n[listen]\nhost = "127.0.0.1"\nport = {self.port}\n'
            "[retention]\ninterval_s = 0\n"
        )
        migrate(f"sqlite:///{self.catalog_path}")
        with self._console(config), self.client() as client:
            code = eventually(self._code)
            client.post("/api/setup", self._answers(code))
            client.login("auditor", PASSWORD)
        self._seed()
        with self._console(config), self.client() as client:
            client.login("auditor", PASSWORD)
            client.state_purpose("audit", "滁审〔2026〕3号")
            yield client

    def client(self) -> HallClient:
        """A new browser."""
        return HallClient(f"https://127.0.0.1:{self.port}", self.root / "tls" / "ca.pem")

    def _seed(self) -> None:
        conn = sqlite3.connect(self.catalog_path)
        windows = {number: UUID(bytes=key) for number, key in conn.execute("SELECT number, id FROM service_window")}
        gateway = UUID(int=1)
        conn.execute(
            "INSERT INTO node (id, kind, name, public_key, url, created_us) VALUES (?,'gateway','',?,'',0)",
            (gateway.bytes, bytes(32)),
        )
        conn.commit()
        conn.close()
        self.cases = Month(self.catalog_path, self.size, windows, gateway).fill()

    @contextmanager
    def _console(self, config: Path) -> Iterator[None]:
        command = [sys.executable, "-m", "console.main", "run", "--config", str(config)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            eventually((self.root / "tls" / "ca.pem").exists)
            eventually(self._answers_health)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)

    def _answers_health(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.get("/health")["ok"])
        except (httpx.TransportError, OSError):
            return False

    def _code(self) -> str:
        path = self.root / "setup-code"
        return path.read_text().strip() if path.exists() else ""

    def _answers(self, code: str) -> dict[str, Any]:
        person = {"display_name": "调阅员", "password": PASSWORD}
        return {
            "code": code,
            "administrator": person | {"login": "admin"},
            "hall": {"name": "大厅", "timezone": "Asia/Shanghai"},
            "periods": [{"weekday": day, "from_minute": 540, "to_minute": 1020} for day in range(1, 8)],
            "windows": {"first": 1, "last": self.size.cameras, "name_pattern": "{n}号窗口"},
            "time_source": "system",
            "storage": {"quota_gb": 0, "video_days": 3650, "screen_days": 3650},
            "notice": {"staff": "notice", "visitors": "notice"},
            "accounts": [person | {"login": "auditor", "roles": ["auditor"]}],
        }


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds and result."""
    start = CLOCK.monotonic()
    result = work()
    return (CLOCK.monotonic() - start) * 1000, result


def open_case(client: HallClient, case: SeededCase) -> tuple[float, float, dict[str, Any]]:
    """(search ms, timeline ms, timeline) of a case that nobody opened before; its lanes are checked."""
    search_ms, found = timed(lambda: client.get("/api/cases", q=case.number))
    shown = client.get(f"/api/cases/{found['cases'][0]['id']}")
    timeline_ms, timeline = timed(lambda: client.get(f"/api/visits/{shown['visits'][0]['id']}/timeline"))
    assert timeline["case"]["number"] == case.number
    assert timeline["t0_us"] == case.t0_us
    minutes = (case.t1_us - case.t0_us) // (60 * US)
    assert all(len(camera["streams"][0]["segments"]) >= minutes - 1 for camera in timeline["cameras"])
    assert len(timeline["screens"][0]["pictures"]) >= (minutes - 1) * PICTURES
    return search_ms, timeline_ms, timeline


def screen_group(t0_us: int) -> bytes:
    """A minute of a counter PC's screen, as its agent would send it."""
    desktop = Desktop(1)
    task = Task("滁政务〔2026〕第000123号", "企业设立登记", "A012", "1001 王芳", t0_us)

    def frame(t_us: int) -> Any:
        pixels = np.asarray(desktop.picture(task, t_us).convert("RGB")).astype(np.uint32)
        return np.ascontiguousarray(pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2])

    step_us = 60 * US // PICTURES
    encoder = SegmentEncoder(frame(t0_us), t0_us)
    data = encoder.begin()
    for number in range(1, PICTURES):
        data += encoder.add(frame(t0_us + number * step_us), t0_us + number * step_us) or b""
    return data + encoder.end(t0_us + 60 * US)


def first_picture(client: HallClient, hall: BenchHall, case: SeededCase, group: bytes) -> float:
    """Milliseconds from the number typed to the first camera segment and the first screen picture in hand."""
    start = CLOCK.monotonic()
    _, _, timeline = open_case(client, case)
    spent_ms = (CLOCK.monotonic() - start) * 1000
    segment = timeline["cameras"][0]["streams"][0]["segments"][0]
    screen = timeline["screens"][0]
    place_objects(hall, UUID(segment["id"]), screen["monitor_id"], screen["pictures"][0], group)
    fetch_ms, sizes = timed(
        lambda: (
            len(client.content(f"/api/media/segments/{segment['id']}").content),
            len(client.content(f"/api/media/screens/{screen['monitor_id']}/at", t_us=screen["pictures"][0]).content),
        )
    )
    assert sizes[0] == SEGMENT_BYTES
    assert sizes[1] > 1000
    return spent_ms + fetch_ms


def place_objects(hall: BenchHall, segment_id: UUID, monitor_id: str, t_us: int, group: bytes) -> None:
    """Put real objects behind the two rows that will be asked for (not timed)."""
    store = DiskStore(hall.root / "objects")
    data = random.Random(segment_id.int).randbytes(SEGMENT_BYTES)
    store.put_bytes(segment_id, data)
    fit_object(hall.catalog_path, "segment", segment_id.bytes, data)
    conn = sqlite3.connect(hall.catalog_path)
    query = "SELECT id FROM screen_segment WHERE monitor_id = ? AND t0_us <= ? ORDER BY t0_us DESC LIMIT 1"
    key = conn.execute(query, (UUID(monitor_id).bytes, t_us)).fetchone()[0]
    conn.close()
    store.put_bytes(UUID(bytes=key), group)
    fit_object(hall.catalog_path, "screen_segment", key, group)


def rows(size: Size | None = None, cases: int = CASES, first_pictures: int = FIRST_PICTURES) -> list[Row]:
    """case.search_p95_ms, case.search_prefix_ms, case.timeline_p50_ms and _p95_ms, case.first_picture_ms (p95)."""
    size = size or Size()
    with tempfile.TemporaryDirectory(prefix="sunhall-bench-") as folder:
        hall = BenchHall(Path(folder), size)
        with hall.running() as client:
            chosen = random.Random(3).sample(hall.cases, cases + first_pictures)
            searches, timelines = measured(client, chosen[:cases])
            prefixes = [timed(partial(client.get, "/api/cases", q=number))[0] for number in PREFIXES]
            group = screen_group(hall.cases[0].t0_us)
            pictures = [first_picture(client, hall, case, group) for case in chosen[cases:]]
            megabytes = hall.catalog_path.stat().st_size / 1e6
    note = f"{cases} of {len(hall.cases)} cases, {size.days} d x {size.cameras} cameras, {megabytes:.0f} MB, HTTPS"
    return [
        Row("case.search_p95_ms", percentile(searches, 95), "ms", note=note),
        Row("case.search_prefix_ms", max(prefixes), "ms", note="slowest of " + " ".join(PREFIXES)),
        Row("case.timeline_p50_ms", percentile(timelines, 50), "ms", note=note),
        Row("case.timeline_p95_ms", percentile(timelines, 95), "ms", note=note),
        Row(
            "case.first_picture_ms",
            percentile(pictures, 95),
            "ms",
            note=f"p95 of {len(pictures)}: number typed to first segment and screen picture received",
        ),
    ]


def measured(client: HallClient, cases: Sequence[SeededCase]) -> tuple[list[float], list[float]]:
    """Milliseconds of each search and each timeline."""
    opened = [open_case(client, case) for case in cases]
    return [search for search, _, _ in opened], [timeline for _, timeline, _ in opened]


if __name__ == "__main__":
    write("case_page", rows())
