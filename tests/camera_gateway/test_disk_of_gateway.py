"""The whole gateway over a disk that forgets, stands still or is full (tests/peers/power_cut.py)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from storage.archive import queries, tables
from storage.archive.catalog import Catalog
from storage.archive.objects import DiskStore
from storage.archive.verify import Level, verify
from storage.clock import US
from storage.model import AlarmKind, RunEnd, Span
from tests.camera_gateway.hall import Hall, kill_tree
from tests.peers.gst_rtsp import GstServer, make_h264
from tests.peers.power_cut import ShimmedDisk

pytestmark = pytest.mark.peer

SYNC_S = 1.0
SLACK_S = 3.0
"""How late a loaded machine may be; tests/camera_gateway/test_power_cut.py measures the bound itself."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GstServer]:
    media = make_h264(tmp_path_factory.mktemp("media"))
    with GstServer({f"/{number}": {"media": str(media), "kind": "h264"} for number in range(3)}) as made:
        yield made


class Site:
    """A hall with three cameras, whose gateway runs over the shimmed disk."""

    def __init__(self, folder: Path, server: GstServer, *, reserve_mb: int = 64) -> None:
        self.hall = Hall(folder / "hall", reserve_mb=reserve_mb, sync_interval_s=SYNC_S)
        (self.hall.root / "staging").mkdir()
        uris = [f"rtsp://127.0.0.1:{server.port}/{number}" for number in range(3)]
        self.streams = [self.hall.add_camera(uri) for uri in uris]
        self.hall.catalog.close()  # the shim must see all that is written from here on
        self.disk = ShimmedDisk(self.hall.root, folder / "work")

    def start(self, monkeypatch: pytest.MonkeyPatch) -> subprocess.Popen[bytes]:
        """The gateway and all its children, with faults only where recordings are."""
        with monkeypatch.context() as shimmed:
            for name, value in self.disk.environment(self.hall.root / "staging").items():
                shimmed.setenv(name, value)
            return self.hall.start_gateway()

    def open_catalog(self) -> None:
        self.hall.catalog = Catalog.open(self.hall.url, self.hall.clock)

    def objects(self) -> int:
        return sum(1 for _ in (self.hall.root / "objects").glob("??/*"))

    def alarms(self, kind: AlarmKind) -> list[bool]:
        """Whether each alarm of that kind is open."""
        return [row.closed_us is None for row in self.hall.rows(tables.alarm, kind=kind.value)]

    def require_sound(self, ends: set[str]) -> None:
        report = verify(self.hall.catalog, {"disk": DiskStore(self.hall.root / "objects")}, Level.HASH)
        assert report.findings == []
        for stream in self.streams:
            runs = self.hall.rows(tables.run, stream_id=stream)
            assert {run.end for run in runs} == ends
            span = Span(min(run.t0_us for run in runs), max(run.t1_us for run in runs))
            with self.hall.catalog.read() as conn:
                found = queries.camera_coverage(conn, stream, span, self.hall.clock.now_us())
            assert {each.state for each in found} <= {"recorded"} | ends


def drain(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    assert process.wait(60) == 0


def test_a_power_cut_of_everything(tmp_path: Path, server: GstServer, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, server)
    process = site.start(monkeypatch)
    site.hall.wait(lambda: site.objects() >= 6, 90)
    site.hall.clock.sleep(1.7)
    kill_tree(process)
    cut_us = site.hall.clock.now_us()
    lost = site.disk.cut()
    assert lost.truncated, "everything was synced: nothing was tested"
    site.open_catalog()
    before = {row.id for row in site.hall.rows(tables.segment)}
    assert before
    with site.hall.gateway():
        site.hall.wait(lambda: all(_newest(site.hall, stream) > cut_us for stream in site.streams), 90)
    site.require_sound({RunEnd.CRASH, RunEnd.STOPPED})
    assert before <= {row.id for row in site.hall.rows(tables.segment)}
    for stream in site.streams:
        kept_us = max(row.t1_us for row in site.hall.segments(stream) if row.t0_us < cut_us)
        assert cut_us - kept_us < (SYNC_S + 1 + SLACK_S) * US
    assert [path for path in (site.hall.root / "staging").rglob("*") if path.is_file()] == []


def _newest(hall: Hall, stream: UUID) -> int:
    return max((row.t0_us for row in hall.segments(stream)), default=0)


def test_a_disk_that_stands_still_for_a_while_is_an_alarm_and_costs_nothing(
    tmp_path: Path, server: GstServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, server)
    process = site.start(monkeypatch)
    try:
        site.hall.wait(lambda: site.objects() >= 3, 90)
        site.open_catalog()
        site.disk.set(hold=1)
        site.hall.wait(lambda: site.alarms(AlarmKind.DISK_SLOW) == [True])
        site.disk.set(hold=0)
        stood_us = site.hall.clock.now_us()
        site.hall.wait(lambda: all(_newest(site.hall, stream) > stood_us for stream in site.streams), 90)
    finally:
        site.disk.set(hold=0)
        drain(process)
    site.require_sound({RunEnd.STOPPED})
    assert [len(site.hall.rows(tables.run, stream_id=stream)) for stream in site.streams] == [1, 1, 1]


def test_a_disk_that_fills_up_in_mid_file_is_a_gap_and_an_alarm_until_there_is_room(
    tmp_path: Path, server: GstServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, server, reserve_mb=0)
    process = site.start(monkeypatch)
    try:
        site.hall.wait(lambda: site.objects() >= 3, 90)
        site.open_catalog()
        site.disk.set(room=200_000)
        site.hall.wait(lambda: site.alarms(AlarmKind.DISK_FULL) == [True])
        kept = site.objects()
        site.disk.set(room=-1)
        site.hall.wait(lambda: site.alarms(AlarmKind.DISK_FULL) == [False], 90)
        site.hall.wait(lambda: site.objects() >= kept + 6, 90)
    finally:
        drain(process)
    site.require_sound({RunEnd.DISK_FULL, RunEnd.STOPPED})
    assert [path for path in (site.hall.root / "staging").rglob("*") if path.is_file()] == []
