"""The calls through which the spool touches the disk: a port, so that tests can fill it or tear a write."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """Appends and syncs. Every method raises OSError as the system does."""

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of `data` at the file's position; on an error a part of it may have been written."""
        ...

    def sync(self, descriptor: int) -> None:
        """Wait until the file's bytes and size are on the disk."""
        ...

    def free_bytes(self, folder: Path) -> int:
        """Bytes that may still be written on the file system of `folder`."""
        ...


class RealDisk:
    """The machine's disk."""

    def write(self, descriptor: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def sync(self, descriptor: int) -> None:
        # fdatasync also syncs the size of a file that has grown; Windows and macOS have only fsync.
        getattr(os, "fdatasync", os.fsync)(descriptor)

    def free_bytes(self, folder: Path) -> int:
        return shutil.disk_usage(folder).free
