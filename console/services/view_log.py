"""Who watched what: one `view` leaf per session, lane and contiguous range (decision 0063).

Every request for footage has an audit row before its first byte. Besides, the ranges that one session watches on one
lane are gathered here, and a range becomes a leaf of the hall's view chain when it is left (a jump elsewhere) or after
`idle_s` without a request. A crash loses ranges that are not leaves yet; their audit rows stay.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from uuid import UUID

from console.services.access import Actor
from storage.archive.catalog import Catalog
from storage.archive.periodic import Periodic
from storage.clock import US, Clock
from storage.evidence.chain import append_leaf
from storage.ids import hall_chain
from storage.model import LeafKind, Span, StreamKind

JOIN_US = 2 * US
"""Two ranges this close are one: segments do not meet to the microsecond."""
LEAVES_A_WRITE = 20

_Key = tuple[bytes, UUID | None, UUID]


@dataclass(slots=True)
class _Watched:
    """A range that is being watched."""

    hall_id: UUID
    account_id: UUID | None
    purpose_id: UUID | None
    lane_id: UUID
    lane: str
    t0_us: int
    t1_us: int
    first_us: int
    last_us: int
    touched: float


class ViewLog:
    """A part of the console; `note` never touches the database, one thread writes the leaves."""

    def __init__(self, catalog: Catalog, clock: Clock, *, idle_s: float = 60.0, interval_s: float = 5.0) -> None:
        self._catalog = catalog
        self._clock = clock
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._watched: dict[_Key, _Watched] = {}
        self._left: deque[_Watched] = deque()
        self._writer = Periodic("view-log", self.run_once, clock, interval_s=interval_s, longest_pause_s=interval_s)

    def start(self) -> None:
        """Begin to write leaves."""
        self._writer.start()

    def stop(self) -> None:
        """Stop, then write what is still being watched."""
        self._writer.stop()
        self._leave(idle_s=0.0)
        self._write()

    def note(self, actor: Actor, lane: str, lane_id: UUID, span: Span) -> None:
        """The actor watches `span` of a stream or monitor. `lane`: `camera`, `screen` or `live`."""
        if actor.hall_id is None:
            return
        key = (actor.session_hash, actor.purpose_id, lane_id)
        with self._lock:
            known = self._watched.get(key)
            if known is not None and _joins(known, span):
                known.t0_us = min(known.t0_us, span.t0_us)
                known.t1_us = max(known.t1_us, span.t1_us)
                known.last_us, known.touched = self._clock.now_us(), self._clock.monotonic()
                return
            if known is not None:
                self._left.append(known)
            now_us = self._clock.now_us()
            self._watched[key] = _Watched(
                hall_id=actor.hall_id,
                account_id=actor.account_id,
                purpose_id=actor.purpose_id,
                lane_id=lane_id,
                lane=lane,
                t0_us=span.t0_us,
                t1_us=span.t1_us,
                first_us=now_us,
                last_us=now_us,
                touched=self._clock.monotonic(),
            )

    def run_once(self) -> int:
        """Leave ranges that are idle and write the leaves that are due; how many were written."""
        self._leave(self._idle_s)
        return self._write()

    def _leave(self, idle_s: float) -> None:
        until = self._clock.monotonic() - idle_s
        with self._lock:
            for key in [key for key, item in self._watched.items() if item.touched <= until]:
                self._left.append(self._watched.pop(key))

    def _write(self) -> int:
        """Write all that was left, in small transactions; what could not be written stays."""
        written = 0
        while True:
            with self._lock:
                batch = [self._left[n] for n in range(min(len(self._left), LEAVES_A_WRITE))]
            if not batch:
                return written
            with self._catalog.write() as conn:
                for item in batch:
                    chain = hall_chain(item.hall_id, StreamKind.VIEW)
                    append_leaf(conn, chain, StreamKind.VIEW, LeafKind.VIEW, _facts(item))
            with self._lock:
                for _ in batch:
                    self._left.popleft()
            written += len(batch)


def _joins(known: _Watched, span: Span) -> bool:
    return known.t0_us - JOIN_US <= span.t1_us and span.t0_us <= known.t1_us + JOIN_US


def _facts(item: _Watched) -> dict[str, str | int]:
    return {
        "lane": item.lane,
        "watched": str(item.lane_id),
        "t0": item.t0_us,
        "t1": item.t1_us,
        "account": str(item.account_id or ""),
        "purpose": str(item.purpose_id or ""),
        "from": item.first_us,
        "to": item.last_us,
    }
