"""Event intake (事件接入): a signed batch in, rows out; the same event twice is harmless, and nothing is lost.

Events are stored in small transactions, then the visits of every window and day they touch are derived again. A
repeated event derives too, so a sender that got no answer repairs whatever a crash left between the two.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, insert, select, update

from console.services.binding import WindowDay
from console.services.days import day_of
from console.services.event_parsing import EventContext, ParsedEvent, Rejection, parse_events, read_batch
from console.services.halls import hall_clock
from console.services.sequences import holes, holes_around, last_sequence
from console.services.sources import SignedBatch, Source
from storage.archive.alarms import Detail, close_alarm, is_open, open_alarm
from storage.archive.catalog import Catalog
from storage.archive.tables import case, case_event, service_window
from storage.clock import Clock
from storage.errors import Conflict
from storage.ids import new_id
from storage.model import AlarmKind, EventKind

EVENTS_A_WRITE = 50
"""Events stored in one transaction: well under 50 ms."""
_NO_CASE = frozenset({EventKind.SIGNED_ON, EventKind.SIGNED_OFF})


class Binder(Protocol):
    """Derives the visits of windows' days (`VisitBinder`)."""

    def bind(self, neighbourhoods: Iterable[WindowDay]) -> int: ...


@dataclass(slots=True)
class _Outcome:
    """What became of a batch so far."""

    stored: list[int] = field(default_factory=list)
    repeated: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    touched: set[WindowDay] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Lookup:
    """What a chunk of events refers to, read once."""

    known: dict[int, bytes]  # sequence -> digest of what was taken before
    windows: dict[int, UUID]
    cases: dict[str, Row[Any]]
    zone: ZoneInfo


class Intake:
    """Takes batches of events. Blocking; safe in several threads and processes."""

    def __init__(self, catalog: Catalog, clock: Clock, binder: Binder) -> None:
        self._catalog = catalog
        self._clock = clock
        self._binder = binder

    def take(self, batch: SignedBatch) -> dict[str, Any]:
        """Store what can be stored; the answer of `POST /intake/v1/events`.

        Raises:
            InvalidInput: the body as a whole cannot be read.
            NotFound: `hall_missing`: the first run is not over.
        """
        raw = read_batch(batch.body)
        events, rejections = parse_events(raw, EventContext(batch.source.zone, self._clock.now_us()))
        outcome = _Outcome(rejections=rejections)
        for start in range(0, len(events), EVENTS_A_WRITE):
            self._take_chunk(batch.source, events[start : start + EVENTS_A_WRITE], outcome)
        if outcome.stored:
            self._check_holes(batch.source, outcome.stored)
        self._binder.bind(sorted(outcome.touched, key=lambda item: (item.day, item.window_id)))
        return _answer(outcome)

    def _take_chunk(self, source: Source, chunk: Sequence[ParsedEvent], outcome: _Outcome) -> None:
        try:
            self._store(source, chunk, outcome)
        except Conflict:  # another console took one of these sequences or cases at the same moment: now it is visible
            self._store(source, chunk, outcome)

    def _store(self, source: Source, chunk: Sequence[ParsedEvent], outcome: _Outcome) -> None:
        done = _Outcome()
        with self._catalog.write() as conn:
            lookup = _look_up(conn, source.id, chunk)
            fresh = _sort_out(chunk, lookup, done)
            self._insert(conn, source, fresh, lookup)
            self._raise_alarms(conn, source, fresh, lookup, done)
        done.stored = [event.sequence for event in fresh]
        done.touched = _touched(chunk, lookup)
        outcome.stored += done.stored
        outcome.repeated += done.repeated
        outcome.rejections += done.rejections
        outcome.touched |= done.touched

    def _insert(self, conn: Connection, source: Source, fresh: Sequence[ParsedEvent], lookup: _Lookup) -> None:
        if not fresh:
            return
        case_ids = self._cases(conn, source, fresh, lookup)
        intake_us = self._clock.now_us()
        rows = [
            {
                "id": new_id(self._clock),
                "source_id": source.id,
                "sequence": event.sequence,
                "case_id": case_ids.get(_key(event)),
                "kind": event.kind.value,
                "case_number": event.case_number,
                "ticket": event.ticket,
                "item_code": event.item_code,
                "step": event.step,
                "window_code": event.window,
                "window_id": window_of(lookup.windows, event.window),
                "staff": event.staff,
                "event_us": event.event_us,
                "precision": event.precision.value,
                "intake_us": intake_us,
                "digest": event.digest,
            }
            for event in fresh
        ]
        conn.execute(insert(case_event), rows)

    def _cases(
        self, conn: Connection, source: Source, fresh: Sequence[ParsedEvent], lookup: _Lookup
    ) -> dict[str, UUID]:
        """Case key → id, with new cases made and known ones brought up to date."""
        by_key: dict[str, list[ParsedEvent]] = {}
        for event in fresh:
            if _key(event):
                by_key.setdefault(_key(event), []).append(event)
        ids: dict[str, UUID] = {}
        for key, events in by_key.items():
            known = lookup.cases.get(key)
            values = _case_values(known, events)
            ids[key] = known.id if known is not None else new_id(self._clock)
            if known is not None:
                conn.execute(update(case).where(case.c.id == known.id).values(**values))
            else:
                number = events[0].case_number
                conn.execute(insert(case).values(id=ids[key], source_id=source.id, key=key, number=number, **values))
        return ids

    def _raise_alarms(
        self, conn: Connection, source: Source, fresh: Sequence[ParsedEvent], lookup: _Lookup, done: _Outcome
    ) -> None:
        subject = f"source:{source.id}"
        for rejection in done.rejections:
            detail: Detail = {
                "source": source.code,
                "sequence": rejection.sequence or 0,
                "last_us": self._clock.now_us(),
            }
            open_alarm(conn, self._clock, AlarmKind.SEQUENCE_CONFLICT, subject, detail)
        strange = sorted({e.window for e in fresh if e.window and window_of(lookup.windows, e.window) is None})
        for code in strange:
            open_alarm(
                conn,
                self._clock,
                AlarmKind.UNKNOWN_WINDOW,
                window_subject(code),
                {"source": source.code, "window": code},
            )

    def _check_holes(self, source: Source, stored: Sequence[int]) -> None:
        """Open the hole alarm for holes beside what was just stored; close it when the last hole was filled."""
        subject = f"source:{source.id}"
        with self._catalog.read() as conn:
            alarmed = is_open(conn, AlarmKind.SEQUENCE_HOLE, subject)
            filled_in = min(stored) < (last_sequence(conn, source.id) or 0) - len(stored) + 1
            if alarmed and not filled_in:
                return
            found = holes(conn, source.id) if alarmed else holes_around(conn, source.id, stored)
        if not found and not alarmed:
            return
        with self._catalog.write() as conn:
            if not found:
                close_alarm(conn, self._clock, AlarmKind.SEQUENCE_HOLE, subject)
                return
            first, last = found[0]
            detail: Detail = {"source": source.code, "first": first, "last": last, "holes": len(found)}
            open_alarm(conn, self._clock, AlarmKind.SEQUENCE_HOLE, subject, detail)


def window_subject(code: str) -> str:
    """The alarm subject of a window number that no window has."""
    return f"window_code:{code}"


def window_of(windows: dict[int, UUID], code: str) -> UUID | None:
    """The window that a source names by its number (full-width digits too); None when there is no such window."""
    folded = unicodedata.normalize("NFKC", code)
    return windows.get(int(folded)) if folded.isascii() and folded.isdigit() else None


def windows_by_number(conn: Connection) -> dict[int, UUID]:
    """Every window of the hall, retired ones too: an event may be late."""
    return {row.number: row.id for row in conn.execute(select(service_window.c.number, service_window.c.id))}


def _key(event: ParsedEvent) -> str:
    return "" if event.kind in _NO_CASE else event.case_key


def _look_up(conn: Connection, source_id: UUID, chunk: Sequence[ParsedEvent]) -> _Lookup:
    columns = case_event.c
    taken = conn.execute(
        select(columns.sequence, columns.digest)
        .where(columns.source_id == source_id)
        .where(columns.sequence.in_([event.sequence for event in chunk]))
    )
    keys = {_key(event) for event in chunk} - {""}
    cases = conn.execute(select(case).where(case.c.source_id == source_id, case.c.key.in_(keys)))
    return _Lookup(
        known={row.sequence: bytes(row.digest) for row in taken},
        windows=windows_by_number(conn),
        cases={row.key: row for row in cases},
        zone=hall_clock(conn).zone,
    )


def _sort_out(chunk: Sequence[ParsedEvent], lookup: _Lookup, done: _Outcome) -> list[ParsedEvent]:
    """The events that are new; repeats are counted, and conflicts rejected."""
    seen = dict(lookup.known)
    fresh: list[ParsedEvent] = []
    for event in chunk:
        before = seen.setdefault(event.sequence, event.digest)
        if before != event.digest:
            done.rejections.append(Rejection(event.index, event.sequence, "sequence_conflict", {}))
        elif event.sequence in lookup.known or any(event.sequence == other.sequence for other in fresh):
            done.repeated += 1
        else:
            fresh.append(event)
    return fresh


def _touched(chunk: Sequence[ParsedEvent], lookup: _Lookup) -> set[WindowDay]:
    windows = ((event, window_of(lookup.windows, event.window)) for event in chunk)
    return {WindowDay(window_id, day_of(event.event_us, lookup.zone)) for event, window_id in windows if window_id}


def _case_values(known: Row[Any] | None, events: Sequence[ParsedEvent]) -> dict[str, Any]:
    """A case's first and last time, its status (the last event's kind) and item after these events."""
    ordered = sorted(events, key=lambda event: (event.event_us, event.sequence))
    last = ordered[-1]
    items = [event.item_code for event in ordered if event.item_code]
    values: dict[str, Any] = {
        "first_us": ordered[0].event_us,
        "last_us": last.event_us,
        "status": last.kind.value,
        "item_code": items[-1] if items else "",
    }
    if known is None:
        return values
    values["first_us"] = min(known.first_us, ordered[0].event_us)
    if last.event_us < known.last_us:
        values |= {
            "last_us": known.last_us,
            "status": known.status,
            "item_code": known.item_code or values["item_code"],
        }
    values["item_code"] = values["item_code"] or known.item_code
    return values


def _answer(outcome: _Outcome) -> dict[str, Any]:
    rejected = sorted(outcome.rejections, key=lambda item: item.index)
    return {
        "accepted": len(outcome.stored),
        "repeated": outcome.repeated,
        "rejected": [
            {"index": item.index, "sequence": item.sequence, "code": item.code, "fields": dict(item.fields)}
            for item in rejected
        ],
    }
