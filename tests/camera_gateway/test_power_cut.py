"""Kills, and power cuts: then only what was synced survives (tests/peers/power_cut.py says how that is made)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

from camera_gateway.recovery import Recovery
from storage.archive import queries, tables
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest
from storage.archive.objects import DiskStore
from storage.archive.staging import DiskPlacement
from storage.archive.verify import Level, verify
from storage.clock import US
from storage.model import RunEnd, Span
from tests.camera_gateway.hall import REPOSITORY, Hall
from tests.peers.power_cut import ShimmedDisk

pytestmark = pytest.mark.peer

INTERVAL_S = 1.0


@dataclass
class Witness:
    """What the recorder said until it was killed."""

    fed: dict[UUID, int] = field(default_factory=dict)  # when the last picture came
    pictures: Counter[UUID] = field(default_factory=Counter)
    rows: set[UUID] = field(default_factory=set)
    late_s: float = 0.0

    def take(self, line: bytes) -> None:
        kind, *said = line.decode().split()
        if kind == "fed":
            self.fed[UUID(said[0])] = int(said[1])
            self.pictures[UUID(said[0])] += 1
        elif kind == "row":
            self.rows.add(UUID(said[0]))
        elif kind == "late":
            self.late_s = float(said[0])


class Site:
    """A hall whose recorder is run over a disk that forgets."""

    def __init__(self, folder: Path) -> None:
        self.hall = Hall(folder / "hall")
        self.streams = [self.hall.add_camera(f"rtsp://127.0.0.1/{number}") for number in range(3)]
        self.store = DiskStore(self.hall.root / "objects")
        self.folder = folder
        self.cuts = 0

    def record_and_cut(self, seconds: float, *, power: bool = True) -> Witness:
        """Record for so long; then the power fails, or else the process is killed."""
        self.hall.catalog.close()  # the shim must see all that is written from here on
        self.cuts += 1
        disk = ShimmedDisk(self.hall.root, self.folder / f"work{self.cuts}")
        command = [sys.executable, "-m", "tests.camera_gateway.cut_recorder", str(self.hall.root), self.hall.url]
        process = subprocess.Popen(
            [*command, str(INTERVAL_S), *map(str, self.streams)],
            cwd=REPOSITORY,
            env=os.environ | disk.environment(),
            stdout=subprocess.PIPE,
        )
        witness = Witness()
        assert process.stdout is not None
        with process.stdout as said:
            witness.take(said.readline())  # it has begun
            end = threading.Timer(seconds, process.send_signal, [signal.SIGKILL])
            end.start()
            for line in said:
                if line.endswith(b"\n"):
                    witness.take(line)
            end.join()
        assert process.wait() == -signal.SIGKILL
        if power:
            disk.cut()
        self.hall.catalog = Catalog.open(self.hall.url, self.hall.clock)
        return witness

    def recover(self) -> None:
        placement = DiskPlacement(self.store)
        ingest = Ingest(self.hall.catalog, self.hall.clock, "gateway")
        recovery = Recovery(self.hall.root / "staging", placement, ingest, self.hall.catalog)
        done = recovery.run(recovery.find(self.streams))
        assert (done.left, done.quarantined) == (0, 0)

    def require_sound(self) -> None:
        """Rows against objects against the log; every instant has a reason; nothing lies about."""
        report = verify(self.hall.catalog, {"disk": self.store}, Level.HASH)
        assert report.findings == []
        assert set(self.store.ids()) == {row.id for row in self.hall.rows(tables.segment)}
        assert [path for path in (self.hall.root / "staging").rglob("*") if path.is_file()] == []
        for stream in self.streams:
            runs = self.hall.rows(tables.run, stream_id=stream)
            assert {run.end for run in runs} == {RunEnd.CRASH}
            span = Span(min(run.t0_us for run in runs), self.hall.clock.now_us())
            with self.hall.catalog.read() as conn:
                found = queries.camera_coverage(conn, stream, span, span.t1_us)
            assert {each.state for each in found} == {"recorded", "crash"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.hall.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_costs_less_than_a_second_of_pictures(site: Site, seed: int) -> None:
    witness = site.record_and_cut(random.Random(seed).uniform(1.0, 5.0), power=False)
    site.recover()
    site.require_sound()
    for stream in site.streams:
        kept = sum(row.frames for row in site.hall.segments(stream))
        assert witness.pictures[stream] - kept <= 25 * (1 + witness.late_s)


@pytest.mark.parametrize("seed", range(3))
def test_a_power_cut_costs_one_sync_interval_and_a_second(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    witness = site.record_and_cut(chance.uniform(2.0, 7.0))
    assert witness.rows <= {row.id for row in site.hall.rows(tables.segment)}, "a committed row is gone"
    site.recover()
    site.require_sound()
    allowed_us = round((INTERVAL_S + 1 + witness.late_s) * US)
    for stream in site.streams:
        kept_us = max(row.t1_us for row in site.hall.segments(stream))
        assert witness.fed[stream] - kept_us < allowed_us


def test_power_cuts_one_after_the_other_also_while_recovering(site: Site) -> None:
    rows: set[UUID] = set()
    for seconds in (3.0, 1.2, 0.4, 4.0):
        rows |= site.record_and_cut(seconds).rows
    assert rows
    assert rows <= {row.id for row in site.hall.rows(tables.segment)}
    site.recover()
    site.require_sound()
