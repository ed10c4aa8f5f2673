"""A camera over UDP whose network loses, doubles and reorders: what is recorded is whole, the rest is counted."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from storage.archive import tables
from storage.archive.objects import DiskStore
from storage.archive.verify import Level, verify
from tests.bench.live_source import LiveSource
from tests.camera_gateway.faults.rig import Rig, standing
from tests.peers.gst_rtsp import make_h264
from tests.peers.udp_relay import UdpRelay, Weather

pytestmark = pytest.mark.net

MISSING = re.compile(r"reference picture|Missing reference|[Ff]rame num gap|mmco: unref")
"""What ffmpeg may say of a stream in which whole pictures are missing."""


@pytest.fixture
def relays() -> Iterator[list[UdpRelay]]:
    made: list[UdpRelay] = []
    yield made
    for relay in made:
        relay.stop()


def test_thirty_percent_lost_and_others_doubled_and_reordered(tmp_path: Path, relays: list[UdpRelay]) -> None:
    # pictures of a few packets, a key frame every fifth: of those with ten packets three in a hundred would arrive
    media = make_h264(tmp_path, seconds=20, size="96x64", gop=5)

    def through_relay(source: LiveSource) -> list[str]:
        relays.append(UdpRelay(urlsplit(source.urls[0]).port or 0, seed=30))
        return [f"rtsp://127.0.0.1:{relays[0].port}/cam001"]

    with standing(tmp_path, media, 1, through_relay, workers=1, segment_s=2.0) as rig:
        (stream_id,), (relay,) = rig.streams, relays
        rig.hall.change(tables.stream, stream_id, transport="udp")
        rig.start()
        rig.until_committed(0)
        relay.weather = Weather(lost=0.3, doubled=0.05, swapped=0.05)
        rig.hall.wait(lambda: relay.done.lost > 200, 60)
        relay.weather = Weather()
        calm = relay.done.packets
        rig.hall.wait(lambda: relay.done.packets > calm + 60)
        rig.until_committed(rig.hall.clock.now_us())

        done = relay.done
        assert min(done.lost, done.doubled, done.swapped) > 15
        rig.hall.wait(lambda: _near(_counted(rig, stream_id), [done.lost, done.swapped, done.doubled]))
        rig.stop()
        assert rig.ends(stream_id) == ["stopped"]  # one session: loss is no reason to leave

        rig.read_new()
        kept = rig.found[stream_id]
        numbers = [frame for part in kept.ranges for frame in part]
        assert numbers == sorted(set(numbers))
        sent = {frame: how for frame, how in done.pictures.items() if numbers[0] <= frame <= numbers[-1]}
        whole = {frame for frame, how in sent.items() if "x" not in how}
        assert set(numbers) <= whole  # nothing damaged is kept as if it were whole
        assert len(numbers) >= len(whole) * 0.9
        # Whose first packets alone were lost: they held our mark, and parameters that are known; the picture is whole.
        # Some of them lie before the first numbered picture or after the last, and the kernel may drop a mark too.
        unmarked = [how for how in done.pictures.values() if re.fullmatch(r"x+\.+", how)]
        assert kept.strange <= len(unmarked) * 1.1 + 3
        assert sum("x" in how for how in sent.values()) > 50

        report = verify(rig.hall.catalog, {"disk": DiskStore(rig.hall.root / "objects")}, Level.HASH)
        assert report.findings == []
        for row in rig.hall.segments(stream_id):
            require_decodable(rig.hall.object_path(row.id), row.frames)


def _counted(rig: Rig, stream_id: UUID) -> list[float]:
    """What the gateway's metrics say of the stream."""
    return [rig.metric(f"packets_{name}_total", stream_id) for name in ("lost", "reordered", "duplicated")]


def _near(counted: list[float], done: list[int]) -> bool:
    """Equal but for what a busy machine adds: datagrams that the kernel drops, a pause between two swapped ones."""
    return all(abs(one - other) <= max(3.0, other * 0.05) for one, other in zip(counted, done, strict=True))


def require_decodable(path: Path, frames: int) -> None:
    """ffmpeg decodes every sample, and its times only rise."""
    told = subprocess.run(
        [
            *("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=dts", "-of", "csv=p=0"),
            str(path),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    times = [int(line.strip(",")) for line in told.stdout.split()]
    assert len(times) == frames
    assert times == sorted(set(times))
    decoded = subprocess.run(
        [*("ffmpeg", "-v", "error", "-i", str(path), "-f", "null", "-")], capture_output=True, text=True, timeout=60
    )
    assert decoded.returncode == 0
    beyond = [line for line in decoded.stderr.splitlines() if not MISSING.search(line)]
    assert (told.stderr, beyond) == ("", [])
