"""The gateway against our fan-out: every picture that a camera numbered is in the files, as ffprobe reads them."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from storage.model import RunEnd
from tests.camera_gateway.faults.rig import MAINTENANCE, Rig, running
from tests.camera_gateway.media import packets, run
from tests.peers.gst_rtsp import make_h264

pytestmark = pytest.mark.net

CAMERAS = 12


def test_every_numbered_picture_is_in_a_file_that_ffprobe_reads(tmp_path: Path) -> None:
    media = make_h264(tmp_path, seconds=20)
    with running(tmp_path, media, CAMERAS, workers=2, segment_s=2.0) as rig:
        rig.hall.wait(lambda: all(len(rig.hall.segments(stream_id)) >= 3 for stream_id in rig.streams), 60)
        rig.stop()
        account = rig.account()
        for stream_id in rig.streams:
            assert account.lost(stream_id) == []
            assert rig.ends(stream_id) == [RunEnd.STOPPED]
            assert set(rig.reasons(stream_id)) <= {MAINTENANCE}
            _require_good_files(rig, stream_id)


def _require_good_files(rig: Rig, stream_id: UUID) -> None:
    """Each file begins with a key frame at 0, its times only rise, and its pictures fill the time of its row."""
    rows = rig.hall.segments(stream_id)
    assert len(rows) >= 3
    for row in rows:
        found = packets(rig.hall.object_path(row.id))
        times = [int(packet["dts"]) for packet in found]
        assert len(found) == row.frames
        assert times[0] == 0
        assert times == sorted(set(times))
        assert "K" in found[0]["flags"]
        assert times[-1] + int(found[-1]["duration"]) == row.media_duration
    run("ffmpeg", "-v", "error", "-xerror", "-i", str(rig.hall.object_path(rows[0].id)), "-f", "null", "-")
