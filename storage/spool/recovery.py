"""What a start does with whatever it finds: it cuts torn tails, sets damaged files aside, and never refuses to start.

1. A damaged index is set aside and a new one rebuilt from the files (the unreported ledger is lost: silence).
2. A file whose index row says `acknowledged` is removed: the kill came between the two.
3. A file with an end record and no damage is due for upload, whether the index knew it or not.
4. A file without an end record loses its torn tail and is finished from its whole pictures; what lies behind a record
   that was damaged, not torn, is kept in quarantine, its loss on record.
5. A file that cannot be read, or was whole once and is damaged now, goes to quarantine, its loss on record.
6. A row without a file is a loss on record.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path
from uuid import UUID

from storage.clock import US, Clock
from storage.errors import ObjectDamaged, StorageError
from storage.files import remove
from storage.identity.boxes import SecretBox
from storage.spool.disk import Disk, RealDisk
from storage.spool.index import FILE_NAME, IndexDamaged, SpoolIndex
from storage.spool.ledger import Ledger
from storage.spool.outbox import QUARANTINE, Finisher, Limits, Outbox, SegmentMeta, Stored, parse_meta
from storage.spool.records import SUFFIX, RecordKind, Scan, SegmentFile, disk_error, read_records, scan_file

log = logging.getLogger(__name__)


def open_spool(
    folder: Path, box: SecretBox, clock: Clock, limits: Limits, finisher: Finisher, disk: Disk | None = None
) -> tuple[Outbox, Ledger]:
    """The outbox and the ledger in `folder`, mended.

    Raises:
        StorageFull, StorageError: the folder cannot be written at all; try again later.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise disk_error(error, "make the spool's folder") from error
    index = _open_index(folder, clock)
    ledger = Ledger(index)
    outbox = Outbox(folder, index, box, disk or RealDisk(), clock, limits)
    recovery = Recovery(outbox, ledger, finisher)
    recovery.run()
    return outbox, ledger


class Recovery:
    """Mends an outbox; also closes segments whose writer failed while the process lives on."""

    def __init__(self, outbox: Outbox, ledger: Ledger, finisher: Finisher) -> None:
        self._outbox = outbox
        self._ledger = ledger
        self._finisher = finisher

    def run(self) -> None:
        """Steps 2 to 6. A file that fails is logged and left for the next start; the others go on."""
        for path in sorted(self._outbox.folder.glob(f"*{SUFFIX}")):
            try:
                self.mend(path)
            except StorageError as error:
                log.warning("spool_mend_failed", extra={"fields": {"file": path.name, "code": error.code}})
        for segment_id in self._states():
            if not self._outbox.path(segment_id).exists():
                self._settle_missing(segment_id)

    def mend(self, path: Path) -> None:
        """Bring one file into one of the orderly states.

        Raises:
            StorageError: the disk refused; try again later.
        """
        segment_id = _named(path)
        state = self._states().get(segment_id) if segment_id else None
        if segment_id and state == "acknowledged":
            self._outbox.acknowledge(segment_id)
            return
        try:
            scan = scan_file(path)
            if scan.segment_id != segment_id or (state == "closed" and not self._intact(segment_id, scan)):
                raise ObjectDamaged("spool_file_damaged", f"{path.name} was whole once and is damaged now")
            self._take_in(path, scan, state)
        except ObjectDamaged as error:
            log.warning("spool_file_damaged", extra={"fields": {"file": path.name, "code": error.code}})
            self._outbox.set_aside(path)
            if segment_id:
                self._outbox.record_drop(segment_id, "spool_corrupt")

    def _intact(self, segment_id: UUID, scan: Scan) -> bool:
        """Whether a file that was closed once still holds its whole segment; only its end record may be damaged."""
        if scan.whole and scan.closed:
            return True
        with self._outbox.index.read() as connection:
            row = connection.execute("SELECT sha256 FROM segment WHERE id = ?", (str(segment_id),)).fetchone()
        self._outbox.body(segment_id, bytes.fromhex(row["sha256"]))
        return True

    def _take_in(self, path: Path, scan: Scan, state: str | None) -> None:
        if state == "closed":
            return
        if not scan.whole:
            fields = {"file": path.name, "cut_bytes": scan.file_bytes - scan.valid_bytes}
            log.warning("spool_tail_cut", extra={"fields": fields})
        records = read_records(path, self._outbox.box)
        if scan.damaged and not records:
            raise ObjectDamaged("spool_file_damaged", f"{path.name} holds records, and its first is damaged")
        if scan.damaged:
            self._keep_copy(path)
        if not records or records[0][0] != RecordKind.META:
            self._discard_empty(path, scan.segment_id)
            return
        meta = parse_meta(scan.segment_id, records[0][1])
        if not scan.closed:
            self._finish(path, scan, meta, b"".join(plain for kind, plain in records if kind == RecordKind.DATA))
            return
        body = b"".join(plain for kind, plain in records if kind == RecordKind.DATA)
        self._outbox.index_closed(_from_end(meta, records[-1][1], body, scan.valid_bytes))

    def _keep_copy(self, path: Path) -> None:
        """Pictures behind a damaged record cannot be sent, but what is about to be cut off is not destroyed."""
        quarantine = self._outbox.folder / QUARANTINE
        try:
            quarantine.mkdir(exist_ok=True, mode=0o700)
            shutil.copyfile(path, quarantine / f"{path.name}.damaged")
        except OSError as error:
            raise disk_error(error, "keep a damaged spool file") from error
        log.error("spool_file_damaged_inside", extra={"fields": {"file": path.name}})

    def _finish(self, path: Path, scan: Scan, meta: SegmentMeta, body: bytes) -> None:
        known_until_us = None if scan.damaged else self._ledger.end_us(meta.monitor)
        finished = self._finisher(body, known_until_us)
        if scan.damaged:  # on record before the file is cut: a kill between the two must not hide the loss
            from_us = meta.t0_us if finished is None else _next_second(finished.t1_us)
            self._outbox.record_cut(meta, from_us, scan.file_bytes - scan.valid_bytes, "spool_corrupt")
        if finished is None:
            self._discard_empty(path, meta.id)
            return
        file = SegmentFile.reopen(path, scan, self._outbox.box, self._outbox.disk)
        try:
            digest = hashlib.sha256(body + finished.tail)
            end = {"t1_us": finished.t1_us, "pictures": finished.pictures, "sha256": digest.hexdigest()}
            if finished.tail:
                file.append(RecordKind.DATA, finished.tail)
            file.append(RecordKind.END, json.dumps(end).encode())
        finally:
            file.close()
        log.info("spool_segment_finished", extra={"fields": {"segment": meta.id, "pictures": len(finished.pictures)}})
        self._outbox.index_closed(Stored(meta, finished.t1_us, finished.pictures, digest.digest(), file.size))

    def _discard_empty(self, path: Path, segment_id: UUID) -> None:
        """No picture that can be sent is here, and a loss, if there was one, is on record."""
        remove(path)
        with self._outbox.index.write() as connection:
            connection.execute("DELETE FROM segment WHERE id = ?", (str(segment_id),))

    def _settle_missing(self, segment_id: UUID) -> None:
        if self._states()[segment_id] == "acknowledged":
            self._outbox.acknowledge(segment_id)
        else:
            self._outbox.record_drop(segment_id, "spool_file_missing")

    def _states(self) -> dict[UUID, str]:
        with self._outbox.index.read() as connection:
            rows = connection.execute("SELECT id, state FROM segment").fetchall()
        return {UUID(row["id"]): row["state"] for row in rows}


def _open_index(folder: Path, clock: Clock) -> SpoolIndex:
    try:
        return SpoolIndex.open(folder)
    except IndexDamaged as error:
        log.warning("spool_index_rebuilt", extra={"fields": {"message": error.message}})
    quarantine = folder / QUARANTINE
    quarantine.mkdir(exist_ok=True, mode=0o700)
    for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"):
        if (folder / name).exists():
            (folder / name).replace(quarantine / f"{clock.now_us()}-{name}")
    index = SpoolIndex.open(folder)
    index.note(clock.now_us(), "index_rebuilt", "the index was damaged: unreported coverage is lost")
    return index


def _from_end(meta: SegmentMeta, raw: bytes, body: bytes, size: int) -> Stored:
    try:
        end = json.loads(raw)
        stored = Stored(meta, int(end["t1_us"]), tuple(map(int, end["pictures"])), bytes.fromhex(end["sha256"]), size)
    except (ValueError, KeyError, TypeError) as error:
        raise ObjectDamaged("spool_record_damaged", f"segment {meta.id} has no readable end record") from error
    if hashlib.sha256(body).digest() != stored.sha256:
        raise ObjectDamaged("spool_segment_damaged", f"segment {meta.id} differs from its hash")
    return stored


def _next_second(t_us: int) -> int:
    """The first second of the ledger that the time does not fall into."""
    return -(-t_us // US) * US


def _named(path: Path) -> UUID | None:
    try:
        return UUID(path.name.removesuffix(SUFFIX))
    except ValueError:
        return None
