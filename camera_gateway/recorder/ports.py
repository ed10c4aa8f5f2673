"""What the recorder needs of others: a sink for bytes, an archive for facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from storage.errors import SunhallError
from storage.model import CameraSegment, GapReason, RunEnd


class SinkFault(SunhallError):
    """The disk side cannot take more of this recording; `reason` is why the run ends."""

    def __init__(self, reason: GapReason, evidence: str) -> None:
        super().__init__(reason.value, evidence)
        self.reason = reason
        self.evidence = evidence


@dataclass(frozen=True, slots=True)
class SegmentStart:
    """A segment that begins: everything its row will need that does not change."""

    segment_id: UUID
    stream_id: UUID
    run_id: UUID
    t0_us: int
    codec: str
    width: int
    height: int
    timescale: int
    head: bytes  # ftyp, identity and moov


# Not frozen: hundreds a second are made. Nobody changes one.
@dataclass(slots=True)
class FragmentNote:
    """What is true of a file once this fragment is in it."""

    decode_time: int  # of the fragment's first frame
    starts_with_key: bool
    frames: int  # in the file so far
    media_duration: int  # of the file so far
    t1_us: int


class SegmentSink(Protocol):
    """Takes the bytes of one stream's segments in order. Calls return at once; the disk works behind them."""

    def begin(self, start: SegmentStart) -> None:
        """A new file. Raises SinkFault when there is no room, or the ring still holds too much."""
        ...

    def write(self, parts: list[bytes], size: int, note: FragmentNote) -> None:
        """A whole fragment: its pieces in order, `size` bytes together. The sink keeps the list.

        Raises SinkFault when the ring is full or the disk failed since.
        """
        ...

    def read_back(self, limit: int, deliver: Callable[[bytes], None]) -> None:
        """In order with the writes, and in the disk's thread: `deliver` gets the open file's fragments from its last
        key frame on; no bytes when they are more than `limit`, or the disk does not have them. Never raises.
        """
        ...

    def finish(self, t1_us: int) -> None:
        """The file is complete and its time ends at `t1_us`; never raises."""
        ...

    def open_run(self, stream_id: UUID, run_id: UUID, t0_us: int) -> None:
        """In order with the files: the run begins."""
        ...

    def close_run(self, run_id: UUID, t1_us: int, end: RunEnd, detail: str) -> None:
        """In order with the files: the run has ended."""
        ...


class RecordArchive(Protocol):
    """The part of `storage.archive.ingest.Ingest` that recording uses."""

    def open_run(self, stream_id: UUID, t0_us: int, run_id: UUID | None = None) -> UUID: ...

    def commit_segment(self, segment: CameraSegment, location: str) -> bool: ...

    def close_run(self, run_id: UUID, t1_us: int, end: RunEnd, detail: str = "") -> bool: ...

    def open_gap(self, stream_id: UUID, t_us: int, reason: GapReason, detail: str = "") -> UUID: ...
