"""Processes that hang without dying, and a catalog that somebody keeps locked: recording goes on where it can."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.archive import tables
from storage.archive.catalog import BUSY_TIMEOUT_MS
from storage.clock import US
from tests.camera_gateway.faults.rig import freeze, running

pytestmark = pytest.mark.net

LOCKED_S = BUSY_TIMEOUT_MS / 1000 + 5
"""Longer than anybody waits for it: each call fails at least once."""


def test_a_worker_and_the_api_that_hang_are_killed_and_the_others_go_on(tmp_path: Path, small_media: Path) -> None:
    with running(tmp_path, small_media, 4, workers=2, segment_s=3.0) as rig:
        rig.hall.wait(rig.hall.answers)
        rig.until_committed(rig.hall.clock.now_us())  # long enough for first beats: a start may take a minute
        hung = rig.hall.wait(lambda: rig.worker(0)), rig.hall.wait(rig.api)
        for pid in hung:
            freeze(pid)
        rig.hall.wait(lambda: rig.worker(0) not in (0, *hung) and rig.api() not in (0, *hung))
        rig.until_committed(rig.hall.clock.now_us())
        rig.hall.wait(rig.hall.answers)
        rig.stop()
        account = rig.account()
        said = [line for line in rig.hall.log().splitlines() if "child_hangs" in line]
        assert sorted(name for name in ("api", "worker-0", "worker-1") for line in said if f'"{name}"' in line) == [
            *("api", "worker-0")
        ]
        for stream_id in rig.streams[0::2]:
            assert rig.ends(stream_id) == ["crash", "stopped"]
            assert rig.reasons(stream_id) == ["crash", "maintenance"]
        for stream_id in rig.streams[1::2]:
            assert rig.ends(stream_id) == ["stopped"]
            assert account.lost(stream_id) == []


def test_a_locked_catalog_costs_no_picture(tmp_path: Path, small_media: Path) -> None:
    with running(tmp_path, small_media, 4, workers=2, segment_s=2.0) as rig:
        rig.until_committed(0)
        with rig.hall.catalog.write():  # BEGIN IMMEDIATE: nobody else may write
            locked_us = rig.hall.clock.now_us()
            rig.hall.clock.sleep(LOCKED_S)
            unlocked_us = rig.hall.clock.now_us()
            before = {stream_id: len(rig.hall.segments(stream_id)) for stream_id in rig.streams}
            rig.until_recorded()
        assert "commit_waits" in rig.hall.log()
        rig.until_committed(unlocked_us)
        rig.stop()
        account = rig.account()
        for stream_id in rig.streams:
            came = rig.hall.segments(stream_id)[before[stream_id] :]
            assert sum(locked_us < row.t0_us < unlocked_us - 2 * US for row in came) >= 3
            assert account.lost(stream_id) == []
            assert rig.ends(stream_id) == ["stopped"]
            assert rig.reasons(stream_id) == ["maintenance"]
        assert rig.hall.rows(tables.alarm, closed_us=None) == []
