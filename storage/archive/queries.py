"""Questions that pages ask of the catalog. Each takes a connection of `Catalog.read()` (or `write()`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, ScalarSelect, Select, Table, func, or_, select

from storage.archive import tables
from storage.archive.ingest import LASTING, LONGEST_CLAIM_US, unpack_times
from storage.archive.spans import Layer, flatten
from storage.model import (
    CameraSegment,
    CoverageSpan,
    CoverageState,
    DerivedState,
    GapReason,
    ScreenSegment,
    Span,
)

LONGEST_SEGMENT_US = 15 * 60 * 1_000_000
"""No segment is longer: queries by start time look back this far for one that reaches into the span."""


@dataclass(frozen=True, slots=True)
class StoredScreen:
    """A committed screen segment with its picture index."""

    segment: ScreenSegment
    monitor_id: UUID
    picture_times_us: tuple[int, ...]
    location: str


@dataclass(frozen=True, slots=True)
class CameraWindow:
    """A camera (channel) saw a window in a role during [from_us, to_us); None: it still does."""

    map_id: UUID
    channel_id: UUID
    window_id: UUID
    number: int
    name: str
    role: str
    from_us: int
    to_us: int | None


@dataclass(frozen=True, slots=True)
class WorkstationWindow:
    """A workstation served a window during [from_us, to_us); None: it still does."""

    map_id: UUID
    workstation_id: UUID
    window_id: UUID
    number: int
    name: str
    from_us: int
    to_us: int | None


# --- media -----------------------------------------------------------------------------------------------------------
def segments(conn: Connection, stream_id: UUID, span: Span) -> list[CameraSegment]:
    """Committed segments of a stream that overlap `span`, by start."""
    table = tables.segment
    query = _overlapping(table, table.c.stream_id == stream_id, span)
    return [
        CameraSegment(
            id=row.id,
            stream_id=row.stream_id,
            run_id=row.run_id,
            t0_us=row.t0_us,
            t1_us=row.t1_us,
            media_duration=row.media_duration,
            timescale=row.timescale,
            codec=row.codec,
            width=row.width,
            height=row.height,
            frames=row.frames,
            size_bytes=row.bytes,
            sha256=bytes(row.sha256),
            salvaged=row.salvaged,
        )
        for row in conn.execute(query)
    ]


def screen_segments(conn: Connection, monitor_id: UUID, span: Span) -> list[StoredScreen]:
    """Committed screen segments of a monitor that overlap `span`, by start."""
    return screen_segments_of(conn, [monitor_id], span)[monitor_id]


def screen_segments_of(conn: Connection, monitor_ids: Collection[UUID], span: Span) -> dict[UUID, list[StoredScreen]]:
    """The same of several monitors with one look for all."""
    table = tables.screen_segment
    found: dict[UUID, list[StoredScreen]] = {monitor_id: [] for monitor_id in monitor_ids}
    for stored in _stored_screens(conn, _overlapping(table, table.c.monitor_id.in_(monitor_ids), span)):
        found[stored.monitor_id].append(stored)
    return found


def picture_at(conn: Connection, monitor_id: UUID, t_us: int) -> tuple[StoredScreen, int] | None:
    """The segment and index of the last picture taken at or before `t_us`; None: there is none.

    Whether that picture was still in force at `t_us` is for `screen_coverage` to say.
    """
    table = tables.screen_segment
    query = select(table).where(table.c.monitor_id == monitor_id, table.c.t0_us <= t_us)
    found = _stored_screens(conn, query.order_by(table.c.t0_us.desc()).limit(2))
    best: tuple[StoredScreen, int] | None = None
    for stored in found:
        before = [index for index, time in enumerate(stored.picture_times_us) if time <= t_us]
        if before and (best is None or stored.picture_times_us[before[-1]] > best[0].picture_times_us[best[1]]):
            best = stored, before[-1]
    return best


def stream_ids_of_channel(conn: Connection, channel_id: UUID) -> list[UUID]:
    """A camera's streams, main first."""
    table = tables.stream
    return list(
        conn.execute(select(table.c.id).where(table.c.channel_id == channel_id).order_by(table.c.role)).scalars()
    )


# --- coverage --------------------------------------------------------------------------------------------------------
def camera_coverage(conn: Connection, stream_id: UUID, span: Span, now_us: int) -> list[CoverageSpan]:
    """An exact partition of `span`: every instant is in one span, in ascending order, neighbours differ.

    States: `recorded` (a committed segment), `removed` (retention took it), a `GapReason`, `pending` (a run is going on
    and its next segment is not committed yet), `plan` (before the camera was registered), `future` (from `now_us` on),
    `unknown` (nothing was written about it). Where two would hold the earlier of this list wins.
    """
    return camera_coverages(conn, [stream_id], span, now_us)[stream_id]


def camera_coverages(
    conn: Connection, stream_ids: Collection[UUID], span: Span, now_us: int
) -> dict[UUID, list[CoverageSpan]]:
    """`camera_coverage` of several streams with one look of each kind for all."""
    segments, runs = tables.segment, _open_runs(conn, stream_ids)
    layers = _gathered(
        stream_ids,
        _recorded(conn, segments, segments.c.stream_id, stream_ids, span, DerivedState.RECORDED, (6, 0)),
        _removed(conn, stream_ids, span, (5, 0)),
        _camera_gaps(conn, stream_ids, span, now_us, runs),
        _pending_runs(runs, now_us),
        _planned_before(_first_known_us(conn, stream_ids), span),
    )
    future = Layer(max(now_us, span.t0_us), span.t1_us, DerivedState.FUTURE, rank=(1, 0))
    return {key: flatten([*mine, future], span, GapReason.UNKNOWN) for key, mine in layers.items()}


def channel_coverages(
    conn: Connection, streams: Mapping[UUID, Sequence[UUID]], span: Span, now_us: int
) -> dict[UUID, list[CoverageSpan]]:
    """Coverage of whole cameras by channel: an exact partition each, from their streams in order of preference.

    The first stream's word counts; where it is only `plan` or `unknown` (its plan did not take it then), the others'.
    """
    found = camera_coverages(conn, [one for mine in streams.values() for one in mine], span, now_us)
    return {key: flatten(_preferred(found, mine), span, GapReason.UNKNOWN) for key, mine in streams.items()}


_WEAK = {GapReason.UNKNOWN.value: 0, GapReason.PLAN.value: 1}


def _preferred(found: Mapping[UUID, Sequence[CoverageSpan]], stream_ids: Sequence[UUID]) -> Iterable[Layer]:
    for order, stream_id in enumerate(stream_ids):
        for one in found[stream_id]:
            yield Layer(one.t0_us, one.t1_us, one.state, one.detail, (_WEAK.get(one.state, 2), -order))


def screen_coverage(conn: Connection, monitor_id: UUID, span: Span, now_us: int) -> list[CoverageSpan]:
    """An exact partition of `span` for one monitor of a workstation.

    States: `removed` (retention took the pictures), a `CoverageState` (the agent's claims before the server's, the
    later taken before the earlier; `powered_off` and `agent_down` last until the next claim; a hole between claims is
    `agent_down`), `pending` (after the last claim, up to `now_us`), `plan` (before the agent's first word: nobody can
    say of a recorder that never spoke that it fell silent), `future`.
    """
    return screen_coverages(conn, [monitor_id], span, now_us)[monitor_id]


def screen_coverages(
    conn: Connection, monitor_ids: Collection[UUID], span: Span, now_us: int
) -> dict[UUID, list[CoverageSpan]]:
    """`screen_coverage` of several monitors with one look of each kind for all."""
    pictures = tables.screen_segment
    claims = _claims(conn, monitor_ids, span)
    known = {key: _known_or(found, now_us) for key, found in _known_of_monitors(conn, monitor_ids).items()}
    layers = _gathered(
        monitor_ids,
        _removed(conn, monitor_ids, span, (7, 0)),
        claims.items(),
        _recorded(conn, pictures, pictures.c.monitor_id, monitor_ids, span, CoverageState.RECORDING, (4, 0)),
        ((key, _lasting(mine, now_us)) for key, mine in claims.items()),
        _planned_before({key: first_us for key, (first_us, _) in known.items()}, span),
        ((key, [Layer(last_us, now_us, DerivedState.PENDING, rank=(1, 0))]) for key, (_, last_us) in known.items()),
    )
    future = Layer(max(now_us, span.t0_us), span.t1_us, DerivedState.FUTURE, rank=(2, 0))
    return {key: flatten([*mine, future], span, CoverageState.AGENT_DOWN) for key, mine in layers.items()}


# --- who sees and serves what, as it was then -------------------------------------------------------------------------
def windows_of_camera(conn: Connection, channel_id: UUID, t_us: int) -> list[CameraWindow]:
    """The windows that a camera saw at `t_us`, by number."""
    maps = tables.camera_window
    return _camera_windows(conn, maps.c.channel_id == channel_id, Span(t_us, t_us + 1))


def cameras_of_window(conn: Connection, window_id: UUID, span: Span) -> list[CameraWindow]:
    """The cameras that saw a window at any time in `span` (the same camera twice when its role changed)."""
    maps = tables.camera_window
    return _camera_windows(conn, maps.c.window_id == window_id, span)


def windows_of_workstation(conn: Connection, workstation_id: UUID, t_us: int) -> list[WorkstationWindow]:
    """The windows that a workstation served at `t_us`, by number."""
    maps = tables.workstation_window
    return _workstation_windows(conn, maps.c.workstation_id == workstation_id, Span(t_us, t_us + 1))


def workstations_of_window(conn: Connection, window_id: UUID, span: Span) -> list[WorkstationWindow]:
    """The workstations that served a window at any time in `span`."""
    maps = tables.workstation_window
    return _workstation_windows(conn, maps.c.window_id == window_id, span)


def monitors_of_workstation(conn: Connection, workstation_id: UUID) -> list[UUID]:
    """A workstation's monitors, by the agent's name for them."""
    table = tables.monitor
    query = select(table.c.id).where(table.c.workstation_id == workstation_id).order_by(table.c.name)
    return list(conn.execute(query).scalars())


# --- inside -----------------------------------------------------------------------------------------------------------
def _overlapping(table: Table, mine: ColumnElement[bool], span: Span) -> Select[Any]:
    reach_us = span.t0_us - LONGEST_SEGMENT_US
    query = select(table).where(mine, table.c.t0_us < span.t1_us, table.c.t0_us > reach_us)
    return query.where(table.c.t1_us > span.t0_us).order_by(table.c.t0_us, table.c.id)


def _stored_screens(conn: Connection, query: Select[Any]) -> list[StoredScreen]:
    monitors = tables.monitor
    rows = conn.execute(query).all()
    owners = {
        row.id: row for row in conn.execute(select(monitors).where(monitors.c.id.in_({row.monitor_id for row in rows})))
    }
    return [_stored_screen(row, owners[row.monitor_id]) for row in rows]


def _stored_screen(row: Row[Any], owner: Row[Any]) -> StoredScreen:
    segment = ScreenSegment(
        id=row.id,
        workstation_id=owner.workstation_id,
        monitor=owner.name,
        t0_us=row.t0_us,
        t1_us=row.t1_us,
        pictures=row.pictures,
        size_bytes=row.bytes,
        sha256=bytes(row.sha256),
    )
    return StoredScreen(segment, row.monitor_id, unpack_times(bytes(row.picture_index)), row.location)


_Layers = Iterable[tuple[UUID, Sequence[Layer]]]
"""Layers with whose they are; the same owner may come several times."""


def _gathered(owners: Collection[UUID], *parts: _Layers) -> dict[UUID, list[Layer]]:
    gathered: dict[UUID, list[Layer]] = {owner: [] for owner in owners}
    for part in parts:
        for owner, layers in part:
            gathered[owner] += layers
    return gathered


def _recorded(
    conn: Connection,
    table: Table,
    owner: ColumnElement[UUID],
    ids: Collection[UUID],
    span: Span,
    state: str,
    rank: tuple[int, int],
) -> _Layers:
    query = _overlapping(table, owner.in_(ids), span).with_only_columns(owner, table.c.t0_us, table.c.t1_us)
    return [(row[0], [Layer(row.t0_us, row.t1_us, state, rank=rank)]) for row in conn.execute(query)]


def _removed(conn: Connection, ids: Collection[UUID], span: Span, rank: tuple[int, int]) -> _Layers:
    table = tables.removed
    query = select(table).where(table.c.stream_id.in_(ids), table.c.t0_us < span.t1_us, table.c.t1_us > span.t0_us)
    return [
        (row.stream_id, [Layer(row.t0_us, row.t1_us, DerivedState.REMOVED, row.rule, rank)])
        for row in conn.execute(query)
    ]


def _camera_gaps(
    conn: Connection, ids: Collection[UUID], span: Span, now_us: int, runs: Mapping[UUID, Sequence[_OpenRun]]
) -> _Layers:
    """Gaps of the streams; an open one ends now, or where a run that has no segment yet began."""
    table = tables.gap
    query = select(table).where(table.c.stream_id.in_(ids), table.c.t0_us < span.t1_us)
    query = query.where(or_(table.c.t1_us.is_(None), table.c.t1_us > span.t0_us)).order_by(table.c.t0_us, table.c.id)
    for order, row in enumerate(conn.execute(query)):
        open_end_us = min([now_us, *(run.t0_us for run in runs.get(row.stream_id, ()))])
        t1_us = open_end_us if row.t1_us is None else row.t1_us
        yield row.stream_id, [Layer(row.t0_us, t1_us, row.reason, row.detail, (4, order))]


def _pending_runs(runs: Mapping[UUID, Sequence[_OpenRun]], now_us: int) -> _Layers:
    """From the last committed segment of a running run to now."""
    for stream_id, found in runs.items():
        begins = [max(run.t0_us, run.committed_us or 0) for run in found]
        yield stream_id, [Layer(begin_us, now_us, DerivedState.PENDING, rank=(3, 0)) for begin_us in begins]


def _planned_before(first_us: Mapping[UUID, int], span: Span) -> _Layers:
    for owner, begin_us in first_us.items():
        yield owner, [Layer(span.t0_us, max(begin_us, span.t0_us), GapReason.PLAN, rank=(2, 0))]


@dataclass(frozen=True, slots=True)
class _OpenRun:
    """A run that is going on, with the end of its last committed segment."""

    t0_us: int
    committed_us: int | None


def _open_runs(conn: Connection, stream_ids: Collection[UUID]) -> dict[UUID, list[_OpenRun]]:
    runs, segments = tables.run, tables.segment
    newest = select(segments.c.t1_us).where(segments.c.stream_id == runs.c.stream_id, segments.c.t0_us >= runs.c.t0_us)
    newest = newest.order_by(segments.c.t0_us.desc()).limit(1)
    query = select(runs.c.stream_id, runs.c.t0_us, newest.scalar_subquery().label("committed_us"))
    found: dict[UUID, list[_OpenRun]] = {}
    for row in conn.execute(query.where(runs.c.stream_id.in_(stream_ids), runs.c.t1_us.is_(None))):
        found.setdefault(row.stream_id, []).append(_OpenRun(row.t0_us, row.committed_us))
    return found


def _first_known_us(conn: Connection, stream_ids: Collection[UUID]) -> dict[UUID, int]:
    """When each camera was registered, or the first thing written about its stream, whichever is earlier."""
    streams, channels, devices = tables.stream, tables.channel, tables.device
    joined = streams.join(channels, streams.c.channel_id == channels.c.id)
    joined = joined.join(devices, channels.c.device_id == devices.c.id)
    told = [
        _first(table.c.t0_us, table.c.stream_id == streams.c.id) for table in (tables.run, tables.gap, tables.segment)
    ]
    query = select(streams.c.id, devices.c.created_us, *told).select_from(joined).where(streams.c.id.in_(stream_ids))
    found = {row[0]: min(value for value in row[1:] if value is not None) for row in conn.execute(query)}
    return {stream_id: found.get(stream_id, 0) for stream_id in stream_ids}


def _claims(conn: Connection, monitor_ids: Collection[UUID], span: Span) -> dict[UUID, list[Layer]]:
    """Claims that reach into the span, and what may last into it: of those that began before, the last to end.

    No claim is longer than a day, so what is older than that can only be the last one before.
    """
    table, monitors, earlier = tables.coverage, tables.monitor, tables.coverage.alias()
    columns = (table.c.monitor_id, table.c.t0_us, table.c.t1_us, table.c.state, table.c.author, table.c.detail)
    reach_us = span.t0_us - LONGEST_CLAIM_US
    last = select(earlier.c.id).where(earlier.c.monitor_id == monitors.c.id, earlier.c.t0_us < reach_us)
    last = last.order_by(earlier.c.t0_us.desc(), earlier.c.id.desc()).limit(1)
    chosen = monitors.join(table, table.c.id == last.correlate(monitors).scalar_subquery())
    before = select(*columns).select_from(chosen).where(monitors.c.id.in_(monitor_ids))
    began = (earlier.c.monitor_id.in_(monitor_ids), earlier.c.t0_us >= reach_us, earlier.c.t0_us < span.t0_us)
    ends = select(earlier.c.monitor_id, func.max(earlier.c.t1_us).label("t1_us")).where(*began)
    ended = ends.group_by(earlier.c.monitor_id).subquery()
    near = select(*columns).outerjoin(ended, ended.c.monitor_id == table.c.monitor_id)
    near = near.where(table.c.monitor_id.in_(monitor_ids), table.c.t0_us >= reach_us, table.c.t0_us < span.t1_us)
    near = near.where(or_(table.c.t1_us > span.t0_us, table.c.t1_us == ended.c.t1_us)).order_by(table.c.id)
    claims: dict[UUID, list[Layer]] = {monitor_id: [] for monitor_id in monitor_ids}
    for order, row in enumerate([*conn.execute(before), *conn.execute(near)]):  # in the order they were taken
        rank = (6 if row.author == "agent" else 5, order)
        claims[row.monitor_id].append(Layer(row.t0_us, row.t1_us, row.state, row.detail, rank))
    return claims


def _lasting(claims: Sequence[Layer], now_us: int) -> list[Layer]:
    """`powered_off` and `agent_down` go on from their end to the next claim, or to now."""
    layers = []
    for claim in claims:
        if claim.state not in LASTING or any(x.t0_us <= claim.t1_us < x.t1_us for x in claims):
            continue
        until_us = min([now_us, *(x.t0_us for x in claims if x.t0_us >= claim.t1_us)])
        layers.append(Layer(claim.t1_us, until_us, claim.state, claim.detail, (3, 0)))
    return layers


@dataclass(frozen=True, slots=True)
class _Known:
    """The first word of a monitor's agent and the end of what is known about the monitor; None: nothing is."""

    first_us: int | None
    last_us: int | None


def _known_of_monitors(conn: Connection, monitor_ids: Collection[UUID]) -> dict[UUID, _Known]:
    monitors, claims = tables.monitor, tables.coverage
    pictures, removed = tables.screen_segment, tables.removed
    first = (
        _first(claims.c.t0_us, claims.c.monitor_id == monitors.c.id, claims.c.author == "agent"),
        _first(pictures.c.t0_us, pictures.c.monitor_id == monitors.c.id),
        _first(removed.c.t0_us, removed.c.stream_id == monitors.c.id),
    )
    last = [_end_of_last(table, table.c.monitor_id == monitors.c.id) for table in (claims, pictures)]
    known = {monitor_id: _Known(None, None) for monitor_id in monitor_ids}
    for row in conn.execute(select(monitors.c.id, *first, *last).where(monitors.c.id.in_(monitor_ids))):
        begins, ends = ([value for value in part if value is not None] for part in (row[1:4], row[4:]))
        known[row[0]] = _Known(min(begins, default=None), max(ends, default=None))
    return known


def _known_or(known: _Known, now_us: int) -> tuple[int, int]:
    """(first, last): until now nothing was to be expected of a monitor whose agent never spoke."""
    first_us = now_us if known.first_us is None else known.first_us
    return first_us, first_us if known.last_us is None else max(first_us, known.last_us)


def _first(column: ColumnElement[int], *mine: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(column).where(*mine).order_by(column).limit(1).scalar_subquery()


def _end_of_last(table: Table, mine: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(table.c.t1_us).where(mine).order_by(table.c.t0_us.desc()).limit(1).scalar_subquery()


def _camera_windows(conn: Connection, mine: ColumnElement[bool], span: Span) -> list[CameraWindow]:
    maps, windows = tables.camera_window, tables.service_window
    columns = (
        maps.c.id.label("map_id"),
        maps.c.channel_id,
        maps.c.window_id,
        maps.c.role,
        maps.c.from_us,
        maps.c.to_us,
    )
    query = select(*columns, windows.c.number, windows.c.name).join_from(maps, windows)
    query = query.where(mine, *_in_force(maps, span)).order_by(windows.c.number, maps.c.from_us)
    return [CameraWindow(**row) for row in conn.execute(query).mappings()]


def _workstation_windows(conn: Connection, mine: ColumnElement[bool], span: Span) -> list[WorkstationWindow]:
    maps, windows = tables.workstation_window, tables.service_window
    columns = (maps.c.id.label("map_id"), maps.c.workstation_id, maps.c.window_id, maps.c.from_us, maps.c.to_us)
    query = select(*columns, windows.c.number, windows.c.name).join_from(maps, windows)
    query = query.where(mine, *_in_force(maps, span)).order_by(windows.c.number, maps.c.from_us)
    return [WorkstationWindow(**row) for row in conn.execute(query).mappings()]


def _in_force(maps: Table, span: Span) -> tuple[ColumnElement[bool], ...]:
    return maps.c.from_us < span.t1_us, or_(maps.c.to_us.is_(None), maps.c.to_us > span.t0_us)
