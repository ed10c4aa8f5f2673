"""Cases (办件): found by their number, shown with their events and visits."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, func, select

from storage.archive.catalog import Catalog
from storage.archive.tables import case, case_event, event_source, service_window, visit
from storage.errors import NotFound
from storage.model import case_key

FOUND_LIMIT = 50
"""Cases listed for one search."""


class Cases:
    """Searches and reads cases. Blocking."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def search(self, text: str) -> list[dict[str, Any]]:
        """Cases whose key is that of `text`, then those whose key begins with it: byte order gives just that.

        The same number from two sources is two cases. At most `FOUND_LIMIT`.

        Raises:
            InvalidInput: `case_number_empty` or `case_number_long`.
        """
        key = case_key(text)
        first = (  # found by the index alone and cut before anything is joined or counted
            select(case.c.id)
            .where(case.c.key >= key, case.c.key < key + "\U0010ffff")
            .order_by(case.c.key, case.c.source_id)
            .limit(FOUND_LIMIT)
            .subquery()
        )
        query = _cases().join(first, first.c.id == case.c.id).order_by(case.c.key, event_source.c.code)
        with self._catalog.read() as conn:
            return [shown_case(row) for row in conn.execute(query)]

    def read(self, case_id: UUID) -> dict[str, Any]:
        """A case with all its events in order and its present visits.

        Raises:
            NotFound: `case_not_found`.
        """
        with self._catalog.read() as conn:
            return {
                "case": shown_case(case_row(conn, case_id)),
                "events": [_shown_event(row) for row in _events(conn, case_id)],
                "visits": [shown_visit(row) for row in _visits(conn, case_id)],
            }


def case_row(conn: Connection, case_id: UUID) -> Row[Any]:
    """The case with its source and number of visits; NotFound (`case_not_found`) otherwise."""
    row = conn.execute(_cases().where(case.c.id == case_id)).first()
    if row is None:
        raise NotFound("case_not_found", "there is no such case")
    return row


def shown_case(row: Row[Any]) -> dict[str, Any]:
    """A case as the wire shows it."""
    return {
        "id": str(row.id),
        "number": row.number,
        "source": {"id": str(row.source_id), "code": row.source_code, "name": row.source_name},
        "item_code": row.item_code,
        "status": row.status,
        "first_us": row.first_us,
        "last_us": row.last_us,
        "visits": row.visits,
    }


def shown_visit(row: Row[Any]) -> dict[str, Any]:
    """A visit as the wire shows it; the row has the window's number and name."""
    return {
        "id": str(row.id),
        "version": row.version,
        "window": {"id": str(row.window_id), "number": row.window_number, "name": row.window_name},
        "staff": row.staff,
        "t0_us": row.t0_us,
        "t1_us": row.t1_us,
        "opened_by": row.opened_by,
        "closed_by": row.closed_by,
        "ambiguous": row.ambiguous,
    }


def visit_query() -> Select[Any]:
    """Visits with their window, for `shown_visit`."""
    return select(
        visit, service_window.c.number.label("window_number"), service_window.c.name.label("window_name")
    ).join(service_window, service_window.c.id == visit.c.window_id)


def _cases() -> Select[Any]:
    visits = (
        select(func.count())
        .where(visit.c.case_id == case.c.id, visit.c.superseded_us.is_(None))
        .correlate(case)
        .scalar_subquery()
    )
    return select(
        case, event_source.c.code.label("source_code"), event_source.c.name.label("source_name"), visits.label("visits")
    ).join(event_source, event_source.c.id == case.c.source_id)


def _events(conn: Connection, case_id: UUID) -> list[Row[Any]]:
    query = (
        select(case_event, service_window.c.number.label("window_number"))
        .outerjoin(service_window, service_window.c.id == case_event.c.window_id)
        .where(case_event.c.case_id == case_id)
        .order_by(case_event.c.event_us, case_event.c.source_id, case_event.c.sequence)
    )
    return list(conn.execute(query))


def _visits(conn: Connection, case_id: UUID) -> list[Row[Any]]:
    query = visit_query().where(visit.c.case_id == case_id, visit.c.superseded_us.is_(None))
    return list(conn.execute(query.order_by(visit.c.t0_us, visit.c.window_id)))


def _shown_event(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "sequence": row.sequence,
        "kind": row.kind,
        "step": row.step,
        "window": row.window_code,
        "window_id": str(row.window_id) if row.window_id else None,
        "staff": row.staff,
        "event_us": row.event_us,
        "precision": row.precision,
        "intake_us": row.intake_us,
        "ticket": row.ticket,
    }
