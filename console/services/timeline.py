"""The timeline of a visit: every lane that tells of it, with the map as it was then, in one answer.

Lanes are cut to the time in which the camera or workstation really belonged to the window: a camera that was turned
to another window in mid-visit shows nothing of that other window.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from console.services.access import Actor
from console.services.audit_log import Detail
from console.services.cases import case_row, shown_case, shown_visit, visit_query
from console.services.footage_audit import FootageAudit
from console.services.media import shown_segment, shown_span
from console.services.visits import WIDTH_US, uncertainty
from storage.archive import queries
from storage.archive.catalog import Catalog
from storage.archive.queries import CameraWindow, WorkstationWindow
from storage.archive.tables import case_event, channel, monitor, segment, stream, visit, workstation
from storage.clock import Clock
from storage.errors import NotFound
from storage.model import CameraRole, CoverageSpan, EventKind, Span, TimePrecision

_ROLES = [role.value for role in CameraRole]
_CLOSING_KINDS = [EventKind.CALLED.value, EventKind.ACCEPTED.value, EventKind.EVALUATED.value]


class Timelines:
    """Reads timelines. Blocking."""

    def __init__(self, catalog: Catalog, audit: FootageAudit, clock: Clock) -> None:
        self._catalog = catalog
        self._audit = audit
        self._clock = clock

    def read(self, actor: Actor, visit_id: UUID) -> dict[str, Any]:
        """The lanes of a visit (an older version of it too); the audit row is committed before this returns.

        Raises:
            NotFound: `visit_not_found`.
        """
        now_us = self._clock.now_us()
        with self._catalog.read() as conn:
            row = conn.execute(visit_query().where(visit.c.id == visit_id)).first()
            if row is None:
                raise NotFound("visit_not_found", "there is no such visit")
            span = span_of(conn, row, now_us)
            shown = {
                "t0_us": span.t0_us,
                "t1_us": span.t1_us,
                "case": shown_case(case_row(conn, row.case_id)),
                "visit": shown_visit(row),
                "steps": _steps(conn, row.case_id, span),
                "cameras": _cameras(conn, row.window_id, span, now_us),
                "screens": _screens(conn, row.window_id, span, now_us),
            }
        detail: Detail = {"case": str(row.case_id), "t0_us": span.t0_us, "t1_us": span.t1_us}
        self._audit.record(actor, "timeline_view", f"visit:{visit_id}", detail)
        return shown


def span_of(conn: Connection, row: Row[Any], now_us: int) -> Span:
    """The time to show: the visit, widened by what its opening and closing events leave open; until now when open."""
    precision = conn.execute(select(case_event.c.precision).where(case_event.c.id == row.open_event_id)).scalar_one()
    t0_us = uncertainty(row.t0_us, TimePrecision(precision)).t0_us
    if row.t1_us is None:
        return Span(t0_us, max(now_us, t0_us + 1))
    closing = conn.execute(
        select(case_event.c.precision)
        .where(case_event.c.window_id == row.window_id, case_event.c.event_us == row.t1_us)
        .where(case_event.c.kind.in_(_CLOSING_KINDS))
    ).scalars()
    late_us = max((WIDTH_US[TimePrecision(item)] for item in closing if item != TimePrecision.DAY), default=0)
    return Span(t0_us, max(row.t1_us + late_us, t0_us + 1))


def _steps(conn: Connection, case_id: UUID, span: Span) -> list[dict[str, Any]]:
    columns = case_event.c
    query = (
        select(columns.id, columns.kind, columns.step, columns.event_us, columns.precision)
        .where(columns.case_id == case_id, columns.event_us >= span.t0_us, columns.event_us <= span.t1_us)
        .order_by(columns.event_us, columns.sequence)
    )
    return [
        {"id": str(row.id), "kind": row.kind, "step": row.step, "event_us": row.event_us, "precision": row.precision}
        for row in conn.execute(query)
    ]


def _cameras(conn: Connection, window_id: UUID, span: Span, now_us: int) -> list[dict[str, Any]]:
    seen: dict[UUID, list[CameraWindow]] = {}
    for item in queries.cameras_of_window(conn, window_id, span):
        seen.setdefault(item.channel_id, []).append(item)
    rows = _by_id(conn.execute(select(channel).where(channel.c.id.in_(seen))))
    streams: dict[UUID, list[Row[Any]]] = {}
    for row in conn.execute(select(stream).where(stream.c.channel_id.in_(seen)).order_by(stream.c.role)):
        streams.setdefault(row.channel_id, []).append(row)
    footage = _segments(conn, [row.id for found in streams.values() for row in found], span)
    ordered = sorted(seen, key=lambda key: (_ROLES.index(seen[key][0].role), rows[key].name_sort, rows[key].id))
    lanes = [_lane(rows[key], seen[key], streams.get(key, ()), footage, span) for key in ordered]
    wanted = {lane.row.id: lane.spans for lane in lanes if lane.covered}
    covered = {lane.row.id: lane.covered for lane in lanes}
    coverage = _coverage(
        wanted,
        lambda ids, part: queries.channel_coverages(conn, {key: covered[key] for key in ids}, part, now_us),
    )
    return [_camera(lane, coverage) for lane in lanes]


def _segments(conn: Connection, stream_ids: Sequence[UUID], span: Span) -> dict[UUID, list[Row[Any]]]:
    """Stream id → its segments that overlap `span`, by start; one query for all lanes."""
    columns = segment.c
    query = (
        select(segment)
        .where(columns.stream_id.in_(stream_ids), columns.t0_us < span.t1_us)
        .where(columns.t0_us > span.t0_us - queries.LONGEST_SEGMENT_US, columns.t1_us > span.t0_us)
        .order_by(columns.stream_id, columns.t0_us, columns.id)
    )
    found: dict[UUID, list[Row[Any]]] = {}
    for row in conn.execute(query):
        found.setdefault(row.stream_id, []).append(row)
    return found


@dataclass(frozen=True, slots=True)
class _Lane:
    """A camera's lane: its streams as shown, those whose coverage stands for it, and when it saw the window."""

    row: Row[Any]
    role: str
    streams: list[dict[str, Any]]
    covered: list[UUID]
    spans: list[Span]


def _lane(
    row: Row[Any],
    maps: Sequence[CameraWindow],
    streams: Sequence[Row[Any]],
    footage: Mapping[UUID, Sequence[Row[Any]]],
    span: Span,
) -> _Lane:
    spans = _cut(maps, span)
    made = (_stream(item, footage.get(item.id, ()), spans) for item in streams)
    shown = [item for item in made if item is not None]
    planned = [item.id for item in streams if item.recorded]
    covered = [*planned, *(UUID(item["id"]) for item in shown if UUID(item["id"]) not in planned)]
    return _Lane(row, maps[0].role, shown, covered, spans)


def _camera(lane: _Lane, coverage: Mapping[UUID, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "camera_id": str(lane.row.id),
        "name": lane.row.name,
        "role": lane.role,
        "streams": lane.streams,
        "coverage": coverage[lane.row.id] if lane.covered else [],
    }


def _coverage(
    wanted: Mapping[UUID, Sequence[Span]],
    ask: Callable[[Collection[UUID], Span], Mapping[UUID, list[CoverageSpan]]],
) -> dict[UUID, list[dict[str, Any]]]:
    """Owner → the coverage of its spans, as shown. Most owners have the same span, and are asked for together."""
    found: dict[tuple[UUID, Span], list[CoverageSpan]] = {}
    for span, owners in _by_span(wanted).items():
        found.update({(owner, span): covered for owner, covered in ask(owners, span).items()})
    return {
        owner: [
            shown_span(item.t0_us, item.t1_us, item.state, item.detail) for span in spans for item in found[owner, span]
        ]
        for owner, spans in wanted.items()
    }


def _by_span(wanted: Mapping[UUID, Sequence[Span]]) -> dict[Span, list[UUID]]:
    owners: dict[Span, list[UUID]] = {}
    for owner, spans in wanted.items():
        for span in spans:
            owners.setdefault(span, []).append(owner)
    return owners


def _stream(row: Row[Any], footage: Sequence[Row[Any]], spans: Sequence[Span]) -> dict[str, Any] | None:
    """A stream with the segments that touch one of the spans; None when it is not recorded and has none."""
    segments = [item for item in footage if any(Span(item.t0_us, item.t1_us).overlaps(part) for part in spans)]
    if not segments and not row.recorded:
        return None
    return {
        "id": str(row.id),
        "role": row.role,
        "codec": row.codec,
        "width": row.width,
        "height": row.height,
        "segments": [shown_segment(item) for item in segments],
    }


def _screens(conn: Connection, window_id: UUID, span: Span, now_us: int) -> list[dict[str, Any]]:
    served: dict[UUID, list[WorkstationWindow]] = {}
    for item in queries.workstations_of_window(conn, window_id, span):
        served.setdefault(item.workstation_id, []).append(item)
    stations = _by_id(conn.execute(select(workstation).where(workstation.c.id.in_(served))))
    monitors = conn.execute(
        select(monitor).where(monitor.c.workstation_id.in_(served), monitor.c.first_us < span.t1_us)
    ).all()
    ordered = sorted(monitors, key=lambda row: (stations[row.workstation_id].name_sort, row.name, row.id))
    wanted = {row.id: _cut(served[row.workstation_id], span) for row in ordered}
    coverage = _coverage(wanted, lambda ids, part: queries.screen_coverages(conn, ids, part, now_us))
    pictures = _pictures(conn, wanted)
    return [_screen(row, stations[row.workstation_id], pictures[row.id], coverage[row.id]) for row in ordered]


def _pictures(conn: Connection, wanted: Mapping[UUID, Sequence[Span]]) -> dict[UUID, list[int]]:
    """Monitor → the times of its pictures within its spans."""
    found: dict[UUID, set[int]] = {monitor_id: set() for monitor_id in wanted}
    for span, monitor_ids in _by_span(wanted).items():
        for monitor_id, groups in queries.screen_segments_of(conn, monitor_ids, span).items():
            times = (t_us for stored in groups for t_us in stored.picture_times_us)
            found[monitor_id].update(t_us for t_us in times if span.t0_us <= t_us < span.t1_us)
    return {monitor_id: sorted(times) for monitor_id, times in found.items()}


def _screen(row: Row[Any], station: Row[Any], pictures: list[int], coverage: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "workstation_id": str(station.id),
        "workstation": station.name,
        "monitor_id": str(row.id),
        "monitor": row.name,
        "width": row.width,
        "height": row.height,
        "pictures": pictures,
        "coverage": coverage,
    }


def _cut(maps: Iterable[CameraWindow | WorkstationWindow], span: Span) -> list[Span]:
    """The parts of `span` in which one of the mappings held, joined where they meet."""
    parts: list[Span] = []
    for item in sorted(maps, key=lambda item: item.from_us):
        t0_us = max(item.from_us, span.t0_us)
        t1_us = min(span.t1_us if item.to_us is None else item.to_us, span.t1_us)
        if parts and t0_us <= parts[-1].t1_us:
            parts[-1] = Span(parts[-1].t0_us, max(parts[-1].t1_us, t1_us))
        elif t0_us < t1_us:
            parts.append(Span(t0_us, t1_us))
    return parts


def _by_id(rows: Iterable[Row[Any]]) -> Mapping[UUID, Row[Any]]:
    return {row.id: row for row in rows}
