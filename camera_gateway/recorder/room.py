"""Whether there is room for more: a thread of the disk looks, the loop asks what it saw and never waits for a disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from camera_gateway.recorder.ports import SinkFault
from storage.errors import StorageFull
from storage.model import GapReason

EXHAUSTED = "disk_exhausted"
"""Code of a StorageFull that also ends what is being written: half of the reserve is gone."""


class RoomGuard(Protocol):
    """Says whether a new file may begin."""

    def check(self) -> None:
        """Raises StorageFull when less than the reserve is free (code EXHAUSTED: less than half of it)."""
        ...


@dataclass(frozen=True, slots=True)
class FreeSpaceGuard:
    """Refuses new files when the volume has less than `reserve_bytes` left, and open ones when less than half."""

    folder: Path
    reserve_bytes: int

    def check(self) -> None:
        """Raises StorageFull with what is free and what is needed."""
        free = free_bytes(self.folder)
        if free < self.reserve_bytes:
            code = EXHAUSTED if free < self.reserve_bytes // 2 else "disk_full"
            raise StorageFull(code, f"{free} bytes free, {self.reserve_bytes} are kept in reserve", free_bytes=free)


def free_bytes(folder: Path) -> int:
    """Bytes that we may still write on the volume of `folder`."""
    volume = os.statvfs(folder)
    return volume.f_bavail * volume.f_frsize


class Room:
    """What a guard said last."""

    def __init__(self, guard: RoomGuard) -> None:
        self._guard = guard
        self._new: SinkFault | None = None
        self._open: SinkFault | None = None

    def measure(self) -> None:
        """Ask the guard; may take as long as the disk does."""
        new = still_open = None
        try:
            self._guard.check()
        except StorageFull as error:
            new = SinkFault(GapReason.DISK_FULL, error.message)
            still_open = new if error.code == EXHAUSTED else None
        except OSError as error:
            new = SinkFault(GapReason.DISK_SLOW, error.strerror or "the volume does not answer")
        self._new, self._open = new, still_open

    def check_new(self) -> None:
        """Raises SinkFault when no new file may begin."""
        if self._new is not None:
            raise SinkFault(self._new.reason, self._new.evidence)

    def check_open(self) -> None:
        """Raises SinkFault when even open files may not grow."""
        if self._open is not None:
            raise SinkFault(self._open.reason, self._open.evidence)
