"""Object stores: media by id, written once, never shared. The port, the disk and the memory; S3 is in `s3.py`.

The order that every user of a store keeps (docs/storage.md): the object is complete and synced here before its row
exists, and its row is gone and its garbage mark set before `delete`.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from uuid import UUID

from storage.errors import Conflict, InvalidInput, ObjectMissing, StorageFull, Unavailable
from storage.files import publish, remove, sync_folder, sync_published

log = logging.getLogger(__name__)

CHUNK = 256 * 1024
"""Bytes per piece when an object is read."""

_DRAFT_AGE_S = 86_400.0


class ObjectStore(Protocol):
    """Where objects live. All methods are blocking and safe to call from several threads.

    Every method may raise Unavailable (`object_store_away`): nothing was changed that the caller relies on, try again.
    """

    @property
    def location(self) -> str:
        """What rows say: `disk`, `s3`, `memory`."""
        ...

    def put_file(self, object_id: UUID, path: Path) -> None:
        """Store a copy of the file under the id; on return it is durable. `path` stays.

        An id is written once: the same bytes again are harmless.

        Raises:
            Conflict: `object_exists`: the id holds other bytes; they are left alone.
            StorageFull: no room.
        """
        ...

    def put_bytes(self, object_id: UUID, data: bytes) -> None:
        """The same for bytes in memory (a screen segment: a few MB)."""
        ...

    def read(self, object_id: UUID, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes [start, start + length) in pieces; None: to the end. Absence and range are checked at once.

        Raises:
            ObjectMissing: there is no such object.
            InvalidInput: `range_invalid`: `start` or `length` is negative or `start` lies beyond the end.
        """
        ...

    def size(self, object_id: UUID) -> int:
        """Bytes of the object. Raises ObjectMissing."""
        ...

    def delete(self, object_id: UUID) -> None:
        """Remove the object; one that is gone already is no error. Only retention calls this."""
        ...

    def ids(self) -> Iterator[UUID]:
        """All objects' ids, in no order, without holding them in memory."""
        ...

    def check(self) -> None:
        """Prove that the store can be written and read now; raises Unavailable or ConfigurationError otherwise."""
        ...


class DiskStore:
    """Objects as files: `<root>/<last two hex digits>/<32 hex digits>`, at most 256 folders.

    The *last* digits are random in a UUIDv7; the first are the time and would put a month into one folder.
    """

    location = "disk"

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self._drafts = root / "drafts"
        self._drafts.mkdir(exist_ok=True)
        self._folders: set[Path] = set()  # whose own names this process has synced

    def path(self, object_id: UUID) -> Path:
        """Where the object's file is or would be."""
        name = object_id.hex
        return self.root / name[-2:] / name

    def put_file(self, object_id: UUID, path: Path) -> None:
        final = self._final(object_id)
        if final.exists():
            _require_same(object_id, file_sha256(final), file_sha256(path))
            sync_published(final)
            return
        with _full_disk(), _draft(self._drafts) as draft:
            shutil.copyfile(path, draft)
            publish(draft, final)

    def put_bytes(self, object_id: UUID, data: bytes) -> None:
        final = self._final(object_id)
        if final.exists():
            _require_same(object_id, file_sha256(final), hashlib.sha256(data).digest())
            sync_published(final)
            return
        with _full_disk(), _draft(self._drafts) as draft:
            draft.write_bytes(data)
            publish(draft, final)

    def move_in(self, object_id: UUID, path: Path) -> None:
        """Make the finished file `path` (same file system) the object: sync, rename, sync both folders. No copy.

        Raises:
            Conflict: `object_exists`.
        """
        final = self._final(object_id)
        if final.exists():
            _require_same(object_id, file_sha256(final), file_sha256(path))
            sync_published(final)
            remove(path)
            return
        publish(path, final)

    def read(self, object_id: UUID, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        return read_pieces(self.path(object_id), object_id, self.location, start, length)

    def size(self, object_id: UUID) -> int:
        try:
            return self.path(object_id).stat().st_size
        except FileNotFoundError as error:
            raise missing(object_id, self.location) from error

    def delete(self, object_id: UUID) -> None:
        remove(self.path(object_id))

    def ids(self) -> Iterator[UUID]:
        for folder in sorted(self.root.iterdir()):
            if folder.is_dir() and len(folder.name) == 2:
                for entry in os.scandir(folder):
                    with suppress(ValueError):
                        yield UUID(hex=entry.name)

    def check(self) -> None:
        try:
            with _draft(self._drafts) as draft:
                draft.write_bytes(b"sunhall")
                if draft.read_bytes() != b"sunhall":
                    raise Unavailable("object_store_away", f"{self.root} does not give back what was written")
        except OSError as error:
            raise Unavailable("object_store_away", f"cannot write below {self.root}: {error.strerror}") from error

    def remove_old_drafts(self) -> int:
        """Remove what killed processes left half written; returns how many. Never raises, touches no object.

        Only drafts older than a day, by the volume's own clock: another process may be writing one now.
        """
        try:
            with _draft(self._drafts) as newest:
                latest_s = newest.stat().st_mtime - _DRAFT_AGE_S
            old = [path for path in self._drafts.iterdir() if path.is_file() and path.stat().st_mtime < latest_s]
            for path in old:
                path.unlink()
        except OSError as error:
            log.warning("drafts_left", extra={"fields": {"error": error.strerror}})
            return 0
        return len(old)

    def _final(self, object_id: UUID) -> Path:
        final = self.path(object_id)
        if final.parent not in self._folders:  # one that exists may have been made by a try that died before its sync
            final.parent.mkdir(exist_ok=True)
            sync_folder(self.root)
            self._folders.add(final.parent)
        return final


class MemoryStore:
    """Objects in memory, for tests and for trying things out. `away = True` makes every call fail as a lost peer."""

    def __init__(self, location: str = "memory") -> None:
        self.location = location
        self.objects: dict[UUID, bytes] = {}
        self.away = False
        self._lock = threading.Lock()

    def put_file(self, object_id: UUID, path: Path) -> None:
        self.put_bytes(object_id, path.read_bytes())

    def put_bytes(self, object_id: UUID, data: bytes) -> None:
        self._reach()
        with self._lock:
            kept = self.objects.setdefault(object_id, data)
        _require_same(object_id, kept, data)

    def read(self, object_id: UUID, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        data = self._get(object_id)
        check_range(start, length, len(data))
        end = len(data) if length is None else min(len(data), start + length)
        return (data[at : min(at + CHUNK, end)] for at in range(start, end, CHUNK))

    def size(self, object_id: UUID) -> int:
        return len(self._get(object_id))

    def delete(self, object_id: UUID) -> None:
        self._reach()
        with self._lock:
            self.objects.pop(object_id, None)

    def ids(self) -> Iterator[UUID]:
        self._reach()
        return iter(list(self.objects))

    def check(self) -> None:
        self._reach()

    def _get(self, object_id: UUID) -> bytes:
        self._reach()
        try:
            return self.objects[object_id]
        except KeyError as error:
            raise missing(object_id, self.location) from error

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("object_store_away", "the object store is away")


def check_range(start: int, length: int | None, size: int) -> None:
    """Raises InvalidInput (`range_invalid`) for a range that no byte of an object of `size` bytes can answer."""
    if start < 0 or (length is not None and length < 0) or start > size:
        raise InvalidInput("range_invalid", "the range lies outside the object", size=size)


def missing(object_id: UUID, location: str) -> ObjectMissing:
    """The error for an object that is not where its row says."""
    return ObjectMissing("object_missing", f"object {object_id} is not in {location}", object=str(object_id))


def file_sha256(path: Path) -> bytes:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def sha256_of(pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """SHA-256 and count of streamed bytes."""
    digest, count = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        count += len(piece)
    return digest.digest(), count


def read_pieces(path: Path, object_id: UUID, location: str, start: int, length: int | None) -> Iterator[bytes]:
    """The range of a file in pieces, its range checked and its absence translated (see `ObjectStore.read`)."""
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise missing(object_id, location) from error
    check_range(start, length, size)
    return _file_pieces(path, object_id, location, start, length)


def _file_pieces(path: Path, object_id: UUID, location: str, start: int, length: int | None) -> Iterator[bytes]:
    try:
        opened = path.open("rb")
    except FileNotFoundError as error:  # removed between the range check and the first piece
        raise missing(object_id, location) from error
    with opened as file:
        file.seek(start)
        left = length
        while left is None or left > 0:
            piece = file.read(CHUNK if left is None else min(CHUNK, left))
            if not piece:
                return
            left = None if left is None else left - len(piece)
            yield piece


def _require_same(object_id: UUID, kept: bytes, offered: bytes) -> None:
    if kept != offered:
        raise Conflict("object_exists", f"object {object_id} exists with other bytes", object=str(object_id))


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """A name for a file being written; what is left of it at the end is removed."""
    handle, name = tempfile.mkstemp(dir=folder)
    os.close(handle)
    path = Path(name)
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


@contextmanager
def _full_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("disk_full", "no room left on the archive's disk") from error
        raise
