"""A complete part file on its way to its place: the mark that outlives a crash, and what is set aside."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Protocol
from uuid import UUID

from storage.errors import ObjectMissing

log = logging.getLogger(__name__)

QUARANTINE = "quarantine"


class Placement(Protocol):
    """`storage.archive.staging.Placement`: gives a complete part file its final name, durably."""

    def place(self, segment_id: UUID, part: Path) -> str: ...


def placed_mark(part: Path) -> Path:
    """The name beside the part file that stays until the row is committed."""
    return part.with_suffix(".placed")


def place_with_mark(placement: Placement, segment_id: UUID, part: Path) -> str:
    """Place a complete part file and keep a second name of it until its row exists.

    A crash between placing and committing leaves the mark, so the next start finds the orphan without a search. A try
    that failed after the rename is taken up again from the mark.

    Raises:
        ObjectMissing: `recording_missing`: neither name is there.
        OSError: the disk refused; both names are there, or the mark alone.
    """
    mark = placed_mark(part)
    if part.exists():
        if not mark.exists():
            os.link(part, mark)
    elif mark.exists():
        os.link(mark, part)
    else:
        raise ObjectMissing("recording_missing", f"{part.name} was taken from the staging folder")
    return placement.place(segment_id, part)


def set_aside(staging: Path, path: Path) -> None:
    """Move a part file, with its mark, to where a person looks at it; nothing is deleted."""
    folder = staging / QUARANTINE
    folder.mkdir(exist_ok=True)
    for name in (path.with_suffix(".part"), path.with_suffix(".placed")):
        if name.exists():
            os.replace(name, folder / name.name)


def gives_back(path: Path, sha256: bytes) -> bool:
    """Whether the disk, not the page cache, has these bytes. A file that was renamed already is read by its mark."""
    found = path if path.exists() else placed_mark(path)
    try:
        with found.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return hashlib.file_digest(file, "sha256").digest() == sha256
    except OSError as error:
        log.error("recording_unreadable", extra={"fields": {"file": path.name, "error": error.strerror}})
        return False
