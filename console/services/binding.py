"""Keeps the stored visits equal to what the events say: derive, compare, write what changed, with its leaf.

The unit is one window's day. A pass reads first and takes the write lock only when something differs; a write
changes at most `CHANGES_A_WRITE` visits, so that a bulk import never holds the catalog for long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Row, Select, insert, select, update

from console.services.days import day_of, day_span, zone_of
from console.services.halls import periods_of
from console.services.visits import Visit, VisitRules, WindowEvent, derive, join_tickets
from storage.archive.catalog import Catalog
from storage.archive.tables import case, case_event, event_source, hall, service_window, visit
from storage.clock import US, Clock
from storage.evidence.chain import append_leaf, lock_head
from storage.ids import hall_chain, new_id
from storage.model import EventKind, LeafKind, Span, StreamKind, TimePrecision

CHANGES_A_WRITE = 12
DAY_US = 86_400 * US


@dataclass(frozen=True, slots=True)
class WindowDay:
    """The neighbourhood of an event: everything at its window on its day."""

    window_id: UUID
    day: date


@dataclass(frozen=True, slots=True)
class HallRules:
    """The hall and the rules that its settings make."""

    hall_id: UUID
    rules: VisitRules


@dataclass(frozen=True, slots=True)
class _Change:
    """One visit to write: `old` is superseded (None: it is new), `new` takes its place (None: withdrawn)."""

    old: Row[Any] | None
    new: Visit | None


def read_hall(conn: Connection) -> HallRules | None:
    """The hall of this catalog with the rules of its visits; None before the first run is finished."""
    row = conn.execute(select(hall.c.id, hall.c.timezone, hall.c.visit_minutes).order_by(hall.c.created_us)).first()
    if row is None:
        return None
    periods = tuple(periods_of(conn, row.id))
    return HallRules(row.id, VisitRules(zone_of(row.timezone), periods, row.visit_minutes * 60 * US))


class VisitBinder:
    """Binds cases to windows. Blocking; safe in several threads and processes (the binding chain's head is locked)."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock

    def bind(self, neighbourhoods: Iterable[WindowDay]) -> int:
        """Bring the visits of these windows' days up to date; returns how many were written."""
        with self._catalog.read() as conn:
            known = read_hall(conn)
        if known is None:
            return 0
        written = 0
        for neighbourhood in neighbourhoods:
            while changed := self._bind_some(known, neighbourhood):
                written += changed
        return written

    def due(self) -> list[WindowDay]:
        """The windows' days of the last two days whose visits are open still."""
        still_open = (visit.c.superseded_us.is_(None), visit.c.t1_us.is_(None))
        return self._lately(select(visit.c.window_id, visit.c.t0_us).where(*still_open), visit.c.t0_us)

    def recent(self) -> list[WindowDay]:
        """The windows' days with events in the last two days: derived once more when a console starts."""
        return self._lately(select(case_event.c.window_id, case_event.c.event_us), case_event.c.event_us)

    def _lately(self, query: Select[Any], at_us: ColumnElement[int]) -> list[WindowDay]:
        """The days of the (window, time) rows of the last two days."""
        window_id = query.selected_columns[0]
        with self._catalog.read() as conn:
            known = read_hall(conn)
            if known is None:
                return []
            since = at_us >= self._clock.now_us() - 2 * DAY_US
            rows = conn.execute(query.where(window_id.in_(select(service_window.c.id)), since)).all()
        return _window_days(rows, known.rules.timezone)

    def _bind_some(self, known: HallRules, where: WindowDay) -> int:
        """One pass over a window's day; how many joins and visits it wrote, 0 when all is as it should be."""
        with self._catalog.read() as conn:
            if not any(self._differences(conn, known, where)):
                return 0
        with self._catalog.write() as conn:
            lock_head(conn, hall_chain(known.hall_id, StreamKind.BINDING), StreamKind.BINDING)
            joins, changes = self._differences(conn, known, where)
            for event_id, case_id in joins.items():
                _join(conn, event_id, case_id)
            for change in changes[:CHANGES_A_WRITE]:
                self._apply(conn, known.hall_id, where.window_id, change)
            return len(joins) + min(len(changes), CHANGES_A_WRITE)

    def _differences(
        self, conn: Connection, known: HallRules, where: WindowDay
    ) -> tuple[dict[UUID, UUID | None], list[_Change]]:
        span = day_span(where.day, known.rules.timezone)
        rows = _events(conn, where.window_id, span)
        events = [_window_event(row) for row in rows]
        derived = derive(events, known.rules, self._clock.now_us())
        return _joins(rows, join_tickets(events)), _changes(_stored(conn, where.window_id, span), derived)

    def _apply(self, conn: Connection, hall_id: UUID, window_id: UUID, change: _Change) -> None:
        now_us = self._clock.now_us()
        if change.old is not None:
            conn.execute(update(visit).where(visit.c.id == change.old.id).values(superseded_us=now_us))
        if change.new is None:
            if change.old is not None:
                self._leaf(conn, hall_id, {"visit": str(change.old.id), "state": "withdrawn", "at": now_us})
            return
        visit_id = new_id(self._clock)
        version = change.old.version + 1 if change.old is not None else 1
        values = _values(change.new)
        conn.execute(
            insert(visit).values(id=visit_id, window_id=window_id, version=version, derived_us=now_us, **values)
        )
        facts: dict[str, str | int] = {
            "visit": str(visit_id),
            "state": "bound",
            "at": now_us,
            "version": version,
            "case": str(change.new.case_id),
            "window": str(window_id),
            "t0": change.new.t0_us,
            "opened_by": change.new.opened_by.value,
            "closed_by": change.new.closed_by.value,
            "ambiguous": int(change.new.ambiguous),
        }
        if change.new.t1_us is not None:
            facts["t1"] = change.new.t1_us
        if change.old is not None:
            facts["supersedes"] = str(change.old.id)
        self._leaf(conn, hall_id, facts)

    def _leaf(self, conn: Connection, hall_id: UUID, facts: dict[str, str | int]) -> None:
        append_leaf(conn, hall_chain(hall_id, StreamKind.BINDING), StreamKind.BINDING, LeafKind.BINDING, facts)


def _window_days(rows: Iterable[Any], timezone: ZoneInfo) -> list[WindowDay]:
    found = {WindowDay(window_id, day_of(at_us, timezone)) for window_id, at_us in rows}
    return sorted(found, key=lambda item: (item.day, item.window_id))


def _events(conn: Connection, window_id: UUID, span: Span) -> list[Row[Any]]:
    columns = case_event.c
    query = (
        select(
            columns.id,
            columns.kind,
            columns.event_us,
            columns.precision,
            columns.case_id,
            columns.case_number,
            columns.ticket,
            columns.staff,
            columns.sequence,
            event_source.c.code,
        )
        .join(event_source, event_source.c.id == columns.source_id)
        .where(columns.window_id == window_id, columns.event_us >= span.t0_us, columns.event_us < span.t1_us)
    )
    return list(conn.execute(query))


def _window_event(row: Row[Any]) -> WindowEvent:
    return WindowEvent(
        id=row.id,
        kind=EventKind(row.kind),
        event_us=row.event_us,
        precision=TimePrecision(row.precision),
        case_id=row.case_id if row.case_number else None,
        ticket=row.ticket,
        staff=row.staff,
        order=(row.code, row.sequence),
    )


def _stored(conn: Connection, window_id: UUID, span: Span) -> list[Row[Any]]:
    query = select(visit).where(
        visit.c.window_id == window_id,
        visit.c.t0_us >= span.t0_us,
        visit.c.t0_us < span.t1_us,
        visit.c.superseded_us.is_(None),
    )
    return list(conn.execute(query.order_by(visit.c.t0_us)))


def _joins(rows: Iterable[Row[Any]], joined: dict[UUID, UUID]) -> dict[UUID, UUID | None]:
    """Event id → case id where a ticket's stored case is not what the events say now."""
    return {row.id: joined.get(row.id) for row in rows if not row.case_number and row.case_id != joined.get(row.id)}


def _join(conn: Connection, event_id: UUID, case_id: UUID | None) -> None:
    conn.execute(update(case_event).where(case_event.c.id == event_id).values(case_id=case_id))
    if case_id is None:
        return
    event_us = conn.execute(select(case_event.c.event_us).where(case_event.c.id == event_id)).scalar_one()
    conn.execute(update(case).where(case.c.id == case_id, case.c.first_us > event_us).values(first_us=event_us))


def _changes(stored: list[Row[Any]], derived: list[Visit]) -> list[_Change]:
    """What to write. A stored visit is continued by the derived one with its opening event, else of its case."""
    left = {row.id: row for row in stored}
    partners: dict[UUID, Row[Any]] = {}
    for attribute in ("open_event_id", "case_id"):
        for item in derived:
            if item.open_event_id in partners:
                continue
            wanted = getattr(item, attribute)
            row = next((row for row in left.values() if getattr(row, attribute) == wanted), None)
            if row is not None:
                partners[item.open_event_id] = left.pop(row.id)
    changes = [_Change(row, None) for row in left.values()]
    for item in derived:
        old = partners.get(item.open_event_id)
        if old is None or _differs(old, item):
            changes.append(_Change(old, item))
    return changes


def _values(item: Visit) -> dict[str, Any]:
    return {
        "case_id": item.case_id,
        "staff": item.staff,
        "t0_us": item.t0_us,
        "t1_us": item.t1_us,
        "opened_by": item.opened_by.value,
        "closed_by": item.closed_by.value,
        "open_event_id": item.open_event_id,
        "ambiguous": item.ambiguous,
    }


def _differs(row: Row[Any], item: Visit) -> bool:
    return any(getattr(row, name) != value for name, value in _values(item).items())
