"""Somebody sets the machine's clock while it records: an hour forward, and an hour back again."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from storage.archive import queries, tables
from storage.archive.objects import DiskStore
from storage.archive.verify import Level, verify
from storage.clock import US
from storage.model import GapReason, RunEnd, Span
from tests.camera_gateway.faults.rig import Rig, running
from tests.peers.clock_step import SteppedClock

pytestmark = pytest.mark.net

HOUR_S = 3600


def test_an_hour_forward_and_back(tmp_path: Path, small_media: Path) -> None:
    clock = SteppedClock(tmp_path)
    with running(tmp_path, small_media, 2, workers=1, clock=clock, environment=clock.environment()) as rig:
        rig.until_committed(0)
        for count, step_s in enumerate((HOUR_S, -HOUR_S), 2):
            clock.step(step_s)
            rig.hall.wait(partial(_all_have_runs, rig, count))
        rig.stop()
        report = verify(rig.hall.catalog, {"disk": DiskStore(rig.hall.root / "objects")}, Level.HASH)
        assert report.findings == []
        rig.read_new()
        journal = rig.source.journal()
        for camera, stream_id in enumerate(rig.streams, 1):
            first, third, second = sorted(rig.hall.rows(tables.run, stream_id=stream_id), key=lambda row: row.t0_us)
            assert [row.end for row in (first, second, third)] == [RunEnd.CLOCK_STEP, RunEnd.CLOCK_STEP, RunEnd.STOPPED]
            for row, wanted_s in ((first, HOUR_S), (second, -HOUR_S)):
                assert row.detail.startswith("the wall clock jumped by ")
                assert abs(float(row.detail.split()[-2]) - wanted_s) < 1
            assert second.t0_us - first.t1_us > (HOUR_S - 1) * US
            assert first.t1_us <= third.t0_us < second.t0_us

            segments = rig.hall.segments(stream_id)
            assert all(row.t0_us < row.t1_us for row in segments)
            assert all(early.t1_us <= late.t0_us for early, late in pairwise(segments))
            gaps = rig.gaps(stream_id)
            assert all(row.t1_us is None or row.t0_us <= row.t1_us for row in gaps)
            assert [row.reason for row in gaps].count(GapReason.CLOCK_STEP) == 2
            with rig.hall.catalog.read() as conn:
                span = Span(third.t0_us, third.t1_us)
                found = queries.camera_coverage(conn, stream_id, span, clock.now_us())
            assert {each.state for each in found} == {"recorded"}  # the hour that was not is no gap over what is there

            # a step costs the pictures up to the next key frame at most, and none twice
            kept = rig.found[stream_id]
            assert (kept.strange, kept.doubled()) == (0, 0)
            sent = journal.frames(camera, 0, journal.time_us(camera, max(part.stop for part in kept.ranges) - 1))
            missing = kept.missing(sent)
            assert len(missing) <= 2 * 25


def _all_have_runs(rig: Rig, count: int) -> bool:
    """Whether each stream has segments of so many runs."""
    return all(len({row.run_id for row in rig.hall.segments(stream_id)}) >= count for stream_id in rig.streams)
