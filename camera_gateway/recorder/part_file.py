"""A file that is being recorded: its bytes, their hash, and what is known of their way to the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from camera_gateway.recorder.ports import FragmentNote, SegmentStart, SinkFault
from storage.model import CameraSegment, GapReason

_FULL = (errno.ENOSPC, errno.EDQUOT)


def reason_of(error: OSError) -> GapReason:
    """Why recording ends when the disk says that."""
    return GapReason.DISK_FULL if error.errno in _FULL else GapReason.DISK_SLOW


@dataclass(slots=True, eq=False)
class PartFile:
    """Written by the writer's thread; `lock` is between who syncs and who closes, and never taken to write."""

    start: SegmentStart
    path: Path
    on_fault: Callable[[SinkFault], None]  # the loop hears of what the disk refused
    descriptor: int = -1
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    size: int = 0
    index: list[tuple[int, int]] = field(default_factory=list)  # decode time and offset of each key frame's fragment
    note: FragmentNote | None = None
    broken: bool = False  # the disk refused: `size` is where the last whole fragment ends
    complete: bool = False  # nothing will be written any more
    lock: threading.Lock = field(default_factory=threading.Lock)
    doubtful: bool = False  # a sync failed: what the kernel says of this file is no proof any more
    synced: int = 0  # so many bytes are durable
    named: bool = False  # its name is durable

    # --- writer ------------------------------------------------------------------------------------------------------
    def create(self) -> None:
        """Make the file. Raises OSError."""
        self.path.parent.mkdir(exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self.descriptor = os.open(self.path, flags, 0o600)

    def append(self, data: bytes) -> None:
        """Write all of `data`. Raises OSError; what was written then is cut off by `cut`."""
        written = os.write(self.descriptor, data)
        if written < len(data):
            self._write_rest(memoryview(data)[written:])
        self.digest.update(data)
        self.size += len(data)

    def _write_rest(self, view: memoryview) -> None:
        while view:
            view = view[os.write(self.descriptor, view) :]

    def cut(self) -> None:
        """Drop what stands behind the last whole fragment. Raises OSError."""
        os.ftruncate(self.descriptor, self.size)

    def last_group(self, limit: int) -> bytes:
        """The fragments from the last key frame on; nothing when they are more than `limit` or cannot be had."""
        if self.broken or self.complete or not self.index:
            return b""
        start = self.index[-1][1]
        size = self.size - start
        data = os.pread(self.descriptor, size, start) if size <= limit else b""
        return data if len(data) == size else b""

    # --- who syncs and who places ------------------------------------------------------------------------------------
    def close(self) -> None:
        """Give the descriptor back; harmless when repeated. The caller holds `lock`."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor < 0:
            return
        try:
            os.close(descriptor)
        except OSError:  # a late write error; the descriptor is gone all the same
            self.doubtful = True

    def facts(self, note: FragmentNote, t1_us: int) -> CameraSegment:
        """The row of this file, whose last fragment has `note`."""
        start = self.start
        return CameraSegment(
            id=start.segment_id,
            stream_id=start.stream_id,
            run_id=start.run_id,
            t0_us=start.t0_us,
            t1_us=max(t1_us, start.t0_us + 1),
            media_duration=note.media_duration,
            timescale=start.timescale,
            codec=start.codec,
            width=start.width,
            height=start.height,
            frames=note.frames,
            size_bytes=self.size,
            sha256=self.digest.digest(),
        )
