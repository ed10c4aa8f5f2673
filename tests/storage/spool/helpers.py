"""What the spool's tests share: a spool with a fake clock, a disk that can be filled, and pretended segments."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

from storage.clock import FakeClock
from storage.identity.boxes import SecretBox
from storage.spool.disk import RealDisk
from storage.spool.ledger import Ledger
from storage.spool.outbox import Finished, Limits, Outbox, Stored
from storage.spool.recovery import Recovery, open_spool

BOX = SecretBox(b"k" * 32)
T0 = FakeClock().now_us()
ROOMY = Limits(max_bytes=1 << 30, min_free_bytes=0)


class FillingDisk(RealDisk):
    """A disk with so much room for spool files; a write beyond it stops half-way, as on a real one."""

    def __init__(self, room: int = 1 << 40, *, honest: bool = False) -> None:
        """`honest`: it says how full it is; otherwise somebody else fills it between question and write."""
        self.room = room
        self.honest = honest

    def write(self, descriptor: int, data: bytes) -> None:
        fitting = data[: max(self.room, 0)]
        super().write(descriptor, fitting)
        self.room -= len(fitting)
        if len(fitting) < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def free_bytes(self, folder: Path) -> int:
        return self.room if self.honest else 1 << 40


def finish(body: bytes, known_until_us: int | None) -> Finished | None:
    """Pretended segments are pieces of `piece N;`; their end is `end`. A finished one is left as it is."""
    if not body:
        return None
    times = tuple(T0 + int(piece.split()[1]) for piece in body.decode().split(";") if piece.startswith("piece"))
    tail = b"" if body.endswith(b"end") else b"end"
    return Finished(tail, max(known_until_us or 0, times[-1] + 1), times)


class Spool:
    """An outbox and a ledger in a folder, to be opened again after whatever happened to the files."""

    def __init__(self, folder: Path, limits: Limits = ROOMY, disk: RealDisk | None = None) -> None:
        self.folder = folder
        self.limits = limits
        self.disk = disk or RealDisk()
        self.clock = FakeClock()
        self.box = BOX
        self.outbox: Outbox
        self.ledger: Ledger
        self._open()

    def _open(self) -> None:
        self.outbox, self.ledger = open_spool(self.folder, self.box, self.clock, self.limits, finish, self.disk)

    def reopen(self) -> None:
        """What a start after a kill does: nothing was written on the way out."""
        self.outbox.index.close()
        self._open()

    def close(self) -> None:
        self.outbox.index.close()

    def mend(self) -> None:
        """Finish the segments whose writers failed."""
        self.outbox.finish_abandoned(Recovery(self.outbox, self.ledger, finish).mend)

    def segment(self, t0_us: int = 0, pieces: int = 3, monitor: str = "HDMI-1", size: int = 0) -> Stored:
        """A closed segment; `size` more bytes in each piece."""
        self.clock.advance(1)
        writer = self.outbox.begin(monitor, 100, 50, T0 + t0_us)
        for number in range(pieces):
            writer.append(piece(t0_us + number, size), T0 + t0_us + number)
        writer.close(b"end", T0 + t0_us + pieces)
        stored = self.find(T0 + t0_us)
        assert stored is not None
        return stored

    def find(self, t0_us: int) -> Stored | None:
        """The closed segment that begins then."""
        return next((stored for stored in self.due() if stored.meta.t0_us == t0_us), None)

    def due(self) -> list[Stored]:
        """Everything that waits for upload, oldest first."""
        found: list[Stored] = []
        with self.outbox.index.read() as connection:
            ids = [
                row["id"] for row in connection.execute("SELECT id FROM segment WHERE state = 'closed' ORDER BY t0_us")
            ]
        for segment_id in ids:
            with self.outbox.index.write() as connection:
                connection.execute("UPDATE segment SET attempts = CASE WHEN id = ? THEN -1 ELSE 0 END", (segment_id,))
            stored = self.outbox.next_due()
            assert stored is not None
            found.append(stored)
        return found

    def body(self, stored: Stored) -> bytes:
        """Its bytes; checks that the hash is theirs."""
        data = self.outbox.body(stored.meta.id, stored.sha256)
        assert hashlib.sha256(data).digest() == stored.sha256
        return data

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.spool"))

    def quarantined(self) -> list[Path]:
        return sorted((self.folder / "quarantine").glob("*"))


def piece(number: int, size: int = 0) -> bytes:
    """One pretended picture."""
    return f"piece {number} {'x' * size};".encode()
