"""The picture of a screen at a moment: the last one taken, while the ledger says that it still stood."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from console.services.access import Actor
from console.services.audit_log import Detail
from console.services.footage_audit import FootageAudit
from console.services.media import Reader
from console.services.view_log import ViewLog
from screen_capture import decode
from storage.archive import queries
from storage.archive.catalog import Catalog
from storage.archive.queries import StoredScreen
from storage.clock import Clock
from storage.errors import NotFound, ObjectDamaged, Unavailable
from storage.model import CoverageState, Span

PictureFormat = Literal["webp", "png"]
K = TypeVar("K", bound=Hashable)

GROUP_BYTES = 48 << 20
PICTURE_BYTES = 64 << 20
LARGEST_GROUP = 8 << 20
AT_ONCE = 2
"""Pictures made at the same time: the largest that a segment may hold takes half a gigabyte while it is made."""
MOST_WAITING = 12
"""Requests that may wait for their turn; more would take the threads that everybody else needs."""
_STANDING = frozenset({CoverageState.RECORDING.value, CoverageState.UNCHANGED.value})


@dataclass(frozen=True, slots=True)
class ScreenPicture:
    """An encoded picture and the time it was taken."""

    data: bytes
    media_type: str
    taken_us: int


class ByteCache(Generic[K]):
    """The most recently used byte strings, at most `limit` bytes of them. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[K, bytes] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes kept now."""
        return self._size

    def peek(self, key: K) -> bytes | None:
        """What is kept under `key`, if anything."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def get(self, key: K, make: Callable[[], bytes]) -> bytes:
        """What is kept under `key`, made now when nothing is."""
        known = self.peek(key)
        if known is not None:
            return known
        made = make()
        with self._lock:
            self._size += len(made) - len(self._kept.pop(key, b""))
            self._kept[key] = made
            while self._size > self._limit:
                _, dropped = self._kept.popitem(last=False)
                self._size -= len(dropped)
        return made


class Turns:
    """Lets few do heavy work at the same time, and few wait for it. Thread-safe."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._room = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._free = at_once + waiting

    @property
    def free(self) -> int:
        """How many more may come now."""
        return self._free

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn and have it for the block. Raises Unavailable (`pictures_busy`) when too many wait."""
        with self._lock:
            if not self._free:
                raise Unavailable("pictures_busy", "too many screen pictures are asked for at once: ask again")
            self._free -= 1
        try:
            with self._room:
                yield
        finally:
            with self._lock:
                self._free += 1


class Screens:
    """Serves screen pictures. Blocking; thread-safe. Groups and encoded pictures are cached, both within bounds."""

    def __init__(self, catalog: Catalog, reader: Reader, audit: FootageAudit, views: ViewLog, clock: Clock) -> None:
        self._catalog = catalog
        self._reader = reader
        self._audit = audit
        self._views = views
        self._clock = clock
        self._groups: ByteCache[UUID] = ByteCache(GROUP_BYTES)
        self._pictures: ByteCache[tuple[UUID, int, PictureFormat]] = ByteCache(PICTURE_BYTES)
        self._turns = Turns(AT_ONCE, MOST_WAITING)

    def picture_at(self, actor: Actor, monitor_id: UUID, t_us: int, picture_format: PictureFormat) -> ScreenPicture:
        """The picture in force at `t_us`; the audit row is committed before the group is opened.

        Raises:
            NotFound: `no_picture`: none was taken yet, or the screen was locked, paused, off... then (`state`).
            StorageError, MediaError, Unavailable: the group is missing, damaged, its store is away, or too many ask.
        """
        with self._catalog.read() as conn:
            stored, index = _in_force(conn, monitor_id, t_us, self._clock.now_us())
        segment_id = stored.segment.id
        span = stored.segment
        detail: Detail = {"monitor": str(monitor_id), "t0_us": span.t0_us, "t1_us": span.t1_us}
        self._audit.record(actor, "screen_view", f"screen:{segment_id}", detail)
        data = self._picture(stored, index, picture_format)
        self._views.note(actor, "screen", monitor_id, Span(t_us, t_us + 1))
        return ScreenPicture(data, f"image/{picture_format}", stored.picture_times_us[index])

    def _picture(self, stored: StoredScreen, index: int, picture_format: PictureFormat) -> bytes:
        key = (stored.segment.id, index, picture_format)
        known = self._pictures.peek(key)
        if known is not None:
            return known
        with self._turns.take():  # while waiting another may have made it
            return self._pictures.get(key, lambda: self._encode(stored, index, picture_format))

    def _encode(self, stored: StoredScreen, index: int, picture_format: PictureFormat) -> bytes:
        group = self._groups.get(stored.segment.id, lambda: self._read(stored))
        pixels = decode.picture_at(group, index)
        return decode.encode_webp(pixels) if picture_format == "webp" else decode.encode_png(pixels)

    def _read(self, stored: StoredScreen) -> bytes:
        if stored.segment.size_bytes > LARGEST_GROUP:
            raise ObjectDamaged("object_damaged", "a screen segment this large cannot be one of ours")
        data = b"".join(self._reader.open("screen", stored.segment.id))
        if hashlib.sha256(data).digest() != stored.segment.sha256:
            raise ObjectDamaged("object_damaged", f"screen segment {stored.segment.id} is not what was recorded")
        return data


def _in_force(conn: Connection, monitor_id: UUID, t_us: int, now_us: int) -> tuple[StoredScreen, int]:
    found = queries.picture_at(conn, monitor_id, t_us)
    if found is None:
        raise NotFound("no_picture", "no picture was taken before that moment")
    stored, _ = found
    if not stored.segment.t0_us <= t_us < stored.segment.t1_us:
        states = queries.screen_coverage(conn, monitor_id, Span(t_us, t_us + 1), now_us)
        state = str(states[0].state) if states else ""
        if state not in _STANDING:
            raise NotFound("no_picture", "there is no picture of that moment", state=state)
    return found
