"""Spool files: one append-only file per segment, each record sealed and checked.

    file   = "SHSPOOL1" | segment id (16) | crc32 | record*
    record = length u32 | sequence u32 | kind u8 | 0 (3) | box (length) | crc32 u32

Big-endian. A box is AES-256-GCM (`storage.identity.boxes`) with segment id, sequence and kind as associated data, so a
record cannot move within a file or between files. CRC-32 (zlib's, not CRC-32C: the standard library has it in C) over
head and box tells a torn tail from a whole record without the key. A record is durable when `append` returns.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from uuid import UUID

from storage.errors import ConfigurationError, ObjectDamaged, StorageError, StorageFull
from storage.files import sync_folder
from storage.identity.boxes import SecretBox
from storage.spool.disk import Disk

SUFFIX = ".spool"
MAX_RECORD_BYTES = 8 * 1024 * 1024
_MAGIC = b"SHSPOOL1"
_FILE = struct.Struct(">8s16sI")
_HEAD = struct.Struct(">IIB3x")
_CRC = struct.Struct(">I")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class RecordKind(IntEnum):
    """What a record holds."""

    META = 1  # JSON: what the segment is about
    DATA = 2  # the next bytes of the segment
    END = 3  # JSON: how the segment was closed


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record found in a file; its box is not opened yet."""

    kind: int
    sequence: int
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file's framing says: its whole records, and where the first byte that belongs to none is."""

    segment_id: UUID
    records: tuple[Record, ...]
    valid_bytes: int
    file_bytes: int
    damaged: bool = False
    """More follows the first record that is not whole: it was damaged, not torn, as each was synced before the next."""

    @property
    def whole(self) -> bool:
        return self.valid_bytes == self.file_bytes

    @property
    def closed(self) -> bool:
        return bool(self.records) and self.records[-1].kind == RecordKind.END


class SegmentFile:
    """One spool file, open for appending."""

    def __init__(self, path: Path, segment_id: UUID, box: SecretBox, disk: Disk, descriptor: int, size: int) -> None:
        self.path = path
        self.segment_id = segment_id
        self.size = size
        self._box = box
        self._disk = disk
        self._descriptor = descriptor
        self._sequence = 0

    @classmethod
    def create(cls, folder: Path, segment_id: UUID, box: SecretBox, disk: Disk) -> SegmentFile:
        """Start a file named after the segment.

        Raises:
            StorageFull, StorageError: the disk refused; no file is left.
        """
        path = folder / f"{segment_id}{SUFFIX}"
        head = _MAGIC + segment_id.bytes
        head += _CRC.pack(zlib.crc32(head))
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        except OSError as error:
            raise disk_error(error, "start a spool file") from error
        try:
            disk.write(descriptor, head)
            sync_folder(folder)
        except OSError as error:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
            raise disk_error(error, "start a spool file") from error
        return cls(path, segment_id, box, disk, descriptor, len(head))

    @classmethod
    def reopen(cls, path: Path, scan: Scan, box: SecretBox, disk: Disk) -> SegmentFile:
        """Continue a file after its last whole record; what follows that is cut off.

        Raises:
            StorageFull, StorageError: the disk refused.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
            os.ftruncate(descriptor, scan.valid_bytes)
            os.lseek(descriptor, scan.valid_bytes, os.SEEK_SET)
        except OSError as error:
            raise disk_error(error, "reopen a spool file") from error
        file = cls(path, scan.segment_id, box, disk, descriptor, scan.valid_bytes)
        file._sequence = len(scan.records)
        return file

    def append(self, kind: RecordKind, plain: bytes) -> None:
        """Write one record and wait until it is on the disk.

        Raises:
            StorageFull, StorageError: the disk refused; the file is as before, as far as the disk allows.
        """
        box = self._box.seal(plain, _associated(self.segment_id, self._sequence, kind))
        head = _HEAD.pack(len(box), self._sequence, kind)
        record = head + box + _CRC.pack(zlib.crc32(box, zlib.crc32(head)))
        try:
            self._disk.write(self._descriptor, record)
            self._disk.sync(self._descriptor)
        except OSError as error:
            self._undo()
            raise disk_error(error, "append to the spool") from error
        self._sequence += 1
        self.size += len(record)

    def close(self) -> None:
        os.close(self._descriptor)

    def _undo(self) -> None:
        with contextlib.suppress(OSError):  # a torn record is cut at the next start as well
            os.ftruncate(self._descriptor, self.size)
            os.lseek(self._descriptor, self.size, os.SEEK_SET)


def scan_file(path: Path) -> Scan:
    """Check a file's framing without its key.

    Raises:
        ObjectDamaged: not even its head can be read.
        StorageError: the disk does not give it.
    """
    data = _read(path)
    if len(data) < _FILE.size or not data.startswith(_MAGIC):
        raise ObjectDamaged("spool_file_damaged", f"{path.name} is no spool file")
    _, raw_id, crc = _FILE.unpack_from(data)
    if crc != zlib.crc32(data[: _FILE.size - 4]):
        raise ObjectDamaged("spool_file_damaged", f"the head of {path.name} is damaged")
    records = tuple(_records(data))
    valid = records[-1].end if records else _FILE.size
    return Scan(UUID(bytes=raw_id), records, valid, len(data), _goes_on(data, valid))


def read_records(path: Path, box: SecretBox) -> list[tuple[RecordKind, bytes]]:
    """The plain content of every whole record.

    Raises:
        ObjectDamaged: the file has another head, or a record does not open with this key.
        StorageError: the disk does not give it.
    """
    scan = scan_file(path)
    data = _read(path)
    found = []
    for record in scan.records:
        sealed = data[record.offset + _HEAD.size : record.end - _CRC.size]
        try:
            plain = box.open(sealed, _associated(scan.segment_id, record.sequence, record.kind))
            found.append((RecordKind(record.kind), plain))
        except (ConfigurationError, ValueError) as error:
            raise ObjectDamaged("spool_record_damaged", f"{path.name}: record {record.sequence}: {error}") from error
    return found


def disk_error(error: OSError, doing: str) -> StorageError:
    """A disk's refusal in our words: StorageFull when there is no room, else StorageError."""
    if error.errno in _FULL:
        return StorageFull("spool_disk_full", f"no room to {doing}: free space on the spool's disk")
    return StorageError("spool_disk_failed", f"the disk refused to {doing}: {error.strerror}")


def _records(data: bytes) -> Iterator[Record]:
    offset, expected = _FILE.size, 0
    while offset + _HEAD.size + _CRC.size <= len(data):
        length, sequence, kind = _HEAD.unpack_from(data, offset)
        end = offset + _HEAD.size + length + _CRC.size
        if length > MAX_RECORD_BYTES or sequence != expected or end > len(data):
            return
        if _CRC.unpack_from(data, end - _CRC.size)[0] != zlib.crc32(memoryview(data)[offset : end - _CRC.size]):
            return
        yield Record(kind, sequence, offset, end)
        offset, expected = end, expected + 1


def _goes_on(data: bytes, offset: int) -> bool:
    """Whether the record at `offset` says that it ends before the file does."""
    if len(data) - offset < _HEAD.size:
        return False
    return bool(offset + _HEAD.size + _HEAD.unpack_from(data, offset)[0] + _CRC.size < len(data))


def _associated(segment_id: UUID, sequence: int, kind: int) -> bytes:
    return b"sunhall-spool-1" + segment_id.bytes + struct.pack(">IB", sequence, kind)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError("spool_file_unreadable", f"cannot read {path.name}: {error.strerror}") from error
