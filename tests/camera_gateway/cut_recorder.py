"""Records looped cameras in real time as a worker does, until it is killed; says on standard output what it took.

    python -m tests.camera_gateway.cut_recorder DATA CATALOG_URL SYNC_INTERVAL_S STREAM...

Lines: `fed STREAM ARRIVAL_US` for each picture, `row SEGMENT` for each committed one, `late SECONDS` when this machine
kept it waiting for longer than ever before.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from camera_gateway.recorder.disk import DiskSettings, DiskWriter
from camera_gateway.recorder.segmenter import Segmenter
from camera_gateway.recorder.timing import Timekeeper
from camera_gateway.recovery import Found, Recovery
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest
from storage.archive.objects import DiskStore
from storage.archive.staging import DiskPlacement
from storage.clock import Clock, SystemClock
from storage.model import CameraSegment
from tests.camera_gateway.media import units
from tests.fakes.gateway import FakeGuard

_FRAME_S = 0.04


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class SayingIngest(Ingest):
    """Says which rows it has committed."""

    def commit_segment(self, segment: CameraSegment, location: str) -> bool:
        made = super().commit_segment(segment, location)
        _say("row", segment.id)
        return made


class LoopedCamera:
    """One stream that repeats a clip."""

    def __init__(self, stream_id: UUID, disk: DiskWriter, clock: Clock, segment_s: float) -> None:
        self._id = stream_id
        self._clock = clock
        self._segmenter = Segmenter(stream_id, disk.channel(stream_id), clock, segment_s)
        self._keeper = Timekeeper()
        self._clip = units("h264")
        self._length = self._clip[-1].dts + 3600

    def send(self, number: int) -> None:
        round_, at = divmod(number, len(self._clip))
        unit, shift = self._clip[at], round_ * self._length
        now_us, now_s = self._clock.now_us(), self._clock.monotonic()
        sent = replace(unit, dts=unit.dts + shift, pts=unit.pts + shift, arrival_us=now_us, arrival_s=now_s)
        self._keeper.take(sent)
        self._segmenter.take(sent, self._keeper.line)
        _say("fed", self._id, now_us)


def main(data: Path, url: str, interval_s: float, streams: list[UUID]) -> None:
    clock = SystemClock()
    catalog = Catalog.open(url, clock)
    ingest = SayingIngest(catalog, clock, "gateway")
    placement = DiskPlacement(DiskStore(data / "objects"))
    recovery = Recovery(data / "staging", placement, ingest, catalog)
    found = recovery.find(streams)
    disk = DiskWriter(DiskSettings(data / "staging", interval_s), placement, ingest, FakeGuard(), clock)
    disk.hold_rows()
    disk.start()
    threading.Thread(target=_recover, args=(recovery, found, disk), daemon=True).start()
    # The first one makes rows; the files of the others are open when it happens.
    lengths = (2.0, *[600.0] * len(streams))
    cameras = [LoopedCamera(stream, disk, clock, length) for stream, length in zip(streams, lengths, strict=False)]
    begun_s, latest_s = clock.monotonic(), 0.0
    for number in range(1 << 30):
        clock.sleep(max(begun_s + number * _FRAME_S - clock.monotonic(), 0.0))
        late_s = max(clock.monotonic() - begun_s - number * _FRAME_S, disk.health().last_sync_s)
        if late_s > latest_s + 0.05:
            latest_s = late_s
            _say("late", late_s)
        for camera in cameras:
            camera.send(number)


def _recover(recovery: Recovery, found: list[Found], disk: DiskWriter) -> None:
    recovery.run(found)
    disk.allow_rows()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), [UUID(name) for name in sys.argv[4:]])
