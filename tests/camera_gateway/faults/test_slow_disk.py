"""A disk that stands still under the whole gateway: told early, and only who fills its ring pays."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.virtual_camera import load
from storage.archive import tables
from storage.clock import US
from storage.model import AlarmKind, DerivedState, GapReason, RunEnd
from tests.bench.live_source import running as sending
from tests.camera_gateway.faults.rig import Rig, standing
from tests.peers.gst_rtsp import make_h264
from tests.peers.power_cut import ShimmedDisk

pytestmark = pytest.mark.net


def test_only_the_camera_whose_ring_is_full_pays(tmp_path: Path) -> None:
    small, large = make_h264(tmp_path, seconds=20, size="96x64"), tmp_path / "large.mp4"
    load.make_file(large, seconds=4, kbit_s=3400)
    (tmp_path / "loud").mkdir()
    with (
        sending(large, 1, tmp_path / "loud") as loud_source,
        standing(tmp_path, small, 2, workers=1, segment_s=3.0, recording="ring_mb = 1") as rig,
    ):
        staging = rig.hall.root / "staging"
        staging.mkdir()
        disk = ShimmedDisk(rig.hall.root, tmp_path / "work")
        rig.hall.environment = disk.environment(staging)
        loud = rig.hall.add_camera(loud_source.urls[0])
        everyone = [*rig.streams, loud]
        rig.start()
        rig.until_committed(0, everyone)
        disk.set(hold=1)
        try:
            held_us = rig.hall.clock.now_us()
            rig.hall.wait(lambda: _state(rig, loud) == GapReason.DISK_SLOW.value)
            (alarm,) = rig.hall.rows(tables.alarm, kind=AlarmKind.DISK_SLOW.value)
            (state,) = rig.hall.rows(tables.stream_state, stream_id=loud)
            assert alarm.opened_us < state.recording_since_us  # said before anything was lost
            assert {_state(rig, stream_id) for stream_id in rig.streams} == {DerivedState.RECORDED.value}
            kept = {row.id for row in rig.hall.rows(tables.segment)}
        finally:
            disk.set(hold=0)
        rig.until_committed(rig.hall.clock.now_us(), everyone)
        rig.stop()
        account = rig.account()
        assert kept <= {row.id for row in rig.hall.rows(tables.segment)}
        for stream_id in rig.streams:
            assert rig.ends(stream_id) == [RunEnd.STOPPED]
            assert account.lost(stream_id) == []
        *slow, last = rig.ends(loud)
        assert (set(slow), last) == ({RunEnd.DISK_SLOW}, RunEnd.STOPPED)
        assert set(rig.reasons(loud)) == {GapReason.DISK_SLOW, GapReason.MAINTENANCE}
        assert all(row.detail for row in rig.gaps(loud))
        assert min(row.t0_us for row in rig.gaps(loud)) > held_us - US  # what waited when it stood still was kept


def _state(rig: Rig, stream_id: object) -> str:
    """What the catalog says about a stream's recording now."""
    rows = rig.hall.rows(tables.stream_state, stream_id=stream_id)
    return str(rows[0].recording) if rows else ""
