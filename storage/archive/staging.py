"""Where a finished recording goes before its row exists, and how a staged one reaches S3.

Order, kept by every `Placement` and its caller: part file complete → fsync → final name → folder fsync → only then
`Ingest.commit_segment` (row and leaf in one transaction). A crash in between leaves an orphan, never a row without
its object.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import UUID

from storage.archive.objects import DiskStore, missing, read_pieces
from storage.errors import ObjectMissing
from storage.files import publish, remove

STAGING = "staging:"


def staging_location(gateway_id: UUID) -> str:
    """What a row says while its object waits in a gateway's staging folder."""
    return f"{STAGING}{gateway_id}"


def gateway_of(location: str) -> UUID | None:
    """The gateway that stages an object; None when `location` is an object store."""
    return UUID(location.removeprefix(STAGING)) if location.startswith(STAGING) else None


class Placement(Protocol):
    """Port of the recorder: makes a finished part file durable under its segment's id."""

    def place(self, segment_id: UUID, part: Path) -> str:
        """Sync `part`, give it its final name, sync the folders; returns the location for the row.

        After it returned `part` is gone and the caller commits the row. Raises OSError when the disk refuses: the
        part file is still there.
        """
        ...


class DiskPlacement:
    """The hall keeps its objects on this machine's disk: the part file becomes the object by one rename."""

    def __init__(self, store: DiskStore) -> None:
        self._store = store

    def place(self, segment_id: UUID, part: Path) -> str:
        self._store.move_in(segment_id, part)
        return self._store.location


class StagingFolder:
    """`Placement` for a hall on S3: committed segments wait here for the uploader. Also the `StagedReader` at home."""

    def __init__(self, root: Path, gateway_id: UUID) -> None:
        self.root = root
        self.location = staging_location(gateway_id)
        root.mkdir(parents=True, exist_ok=True)

    def path(self, segment_id: UUID) -> Path:
        """Where the staged file is or would be."""
        return self.root / f"{segment_id.hex}.staged"

    def place(self, segment_id: UUID, part: Path) -> str:
        publish(part, self.path(segment_id))
        return self.location

    def read_staged(self, gateway_id: UUID, object_id: UUID, start: int, length: int | None) -> Iterator[bytes]:
        if staging_location(gateway_id) != self.location:
            raise ObjectMissing(
                "object_missing", f"gateway {gateway_id} stages it, not this one", object=str(object_id)
            )
        return self.read(object_id, start, length)

    def read(self, segment_id: UUID, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The staged bytes [start, start + length). Raises ObjectMissing, InvalidInput (`range_invalid`)."""
        return read_pieces(self.path(segment_id), segment_id, self.location, start, length)

    def size(self, segment_id: UUID) -> int:
        """Bytes of a staged file. Raises ObjectMissing."""
        try:
            return self.path(segment_id).stat().st_size
        except FileNotFoundError as error:
            raise missing(segment_id, self.location) from error

    def remove(self, segment_id: UUID) -> None:
        """Remove a staged file; one that is gone is no error. Only after its row points elsewhere."""
        remove(self.path(segment_id))

    def ids(self) -> Iterator[UUID]:
        """Ids of all staged files."""
        for path in self.root.glob("*.staged"):
            with suppress(ValueError):
                yield UUID(hex=path.stem)

    def waiting(self) -> tuple[int, float | None]:
        """How many files wait here, and since when the oldest does (Unix seconds, by its last write)."""
        count, oldest = 0, None
        for path in self.root.glob("*.staged"):
            with suppress(FileNotFoundError):
                written = path.stat().st_mtime
                count, oldest = count + 1, written if oldest is None else min(oldest, written)
        return count, oldest

    def total_bytes(self) -> int:
        """Bytes waiting here."""
        total = 0
        for path in self.root.glob("*.staged"):
            with suppress(FileNotFoundError):  # the uploader removed it meanwhile
                total += path.stat().st_size
        return total
