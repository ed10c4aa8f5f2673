"""Questions that pages ask of the catalog. Each takes a connection of `Catalog.read()` (or `write()`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, func, or_, select

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
    table = tables.screen_segment
    return _stored_screens(conn, _overlapping(table, table.c.monitor_id == monitor_id, span))


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
    layers = [
        *_recorded(conn, tables.segment, tables.segment.c.stream_id == stream_id, span, (6, 0)),
        *_removed(conn, stream_id, span, (5, 0)),
        *_camera_gaps(conn, stream_id, span, now_us),
        *_pending_runs(conn, stream_id, now_us),
        Layer(span.t0_us, max(_first_known_us(conn, stream_id), span.t0_us), GapReason.PLAN, rank=(2, 0)),
        Layer(max(now_us, span.t0_us), span.t1_us, DerivedState.FUTURE, rank=(1, 0)),
    ]
    return flatten(layers, span, GapReason.UNKNOWN)


def screen_coverage(conn: Connection, monitor_id: UUID, span: Span, now_us: int) -> list[CoverageSpan]:
    """An exact partition of `span` for one monitor of a workstation.

    States: `removed` (retention took the pictures), a `CoverageState` (the agent's claims before the server's, the
    later taken before the earlier; `powered_off` and `agent_down` last until the next claim; a hole between claims is
    `agent_down`), `pending` (after the last claim, up to `now_us`), `plan` (before the monitor was seen), `future`.
    """
    claims = _claims(conn, monitor_id, span)
    first_us = conn.execute(select(tables.monitor.c.first_us).where(tables.monitor.c.id == monitor_id)).scalar()
    begin_us = min([first_us if first_us is not None else now_us, *(claim.t0_us for claim in claims)])
    layers = [
        *_removed(conn, monitor_id, span, (7, 0)),
        *claims,
        *_recorded_screens(conn, monitor_id, span),
        *_lasting(claims, now_us),
        Layer(span.t0_us, max(begin_us, span.t0_us), GapReason.PLAN, rank=(2, 0)),
        Layer(max(now_us, span.t0_us), span.t1_us, DerivedState.FUTURE, rank=(2, 0)),
        Layer(_last_end_us(conn, monitor_id, begin_us), now_us, DerivedState.PENDING, rank=(1, 0)),
    ]
    return flatten(layers, span, CoverageState.AGENT_DOWN)


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


def _recorded(
    conn: Connection, table: Table, mine: ColumnElement[bool], span: Span, rank: tuple[int, int]
) -> list[Layer]:
    query = _overlapping(table, mine, span).with_only_columns(table.c.t0_us, table.c.t1_us)
    return [Layer(row.t0_us, row.t1_us, DerivedState.RECORDED, rank=rank) for row in conn.execute(query)]


def _recorded_screens(conn: Connection, monitor_id: UUID, span: Span) -> list[Layer]:
    table = tables.screen_segment
    query = _overlapping(table, table.c.monitor_id == monitor_id, span).with_only_columns(table.c.t0_us, table.c.t1_us)
    return [Layer(row.t0_us, row.t1_us, CoverageState.RECORDING, rank=(4, 0)) for row in conn.execute(query)]


def _removed(conn: Connection, stream_id: UUID, span: Span, rank: tuple[int, int]) -> list[Layer]:
    table = tables.removed
    query = select(table).where(table.c.stream_id == stream_id, table.c.t0_us < span.t1_us, table.c.t1_us > span.t0_us)
    return [Layer(row.t0_us, row.t1_us, DerivedState.REMOVED, row.rule, rank) for row in conn.execute(query)]


def _camera_gaps(conn: Connection, stream_id: UUID, span: Span, now_us: int) -> list[Layer]:
    """Gaps of the stream; the open one ends now, or where a run that has no segment yet began."""
    table = tables.gap
    query = select(table).where(table.c.stream_id == stream_id, table.c.t0_us < span.t1_us)
    query = query.where(or_(table.c.t1_us.is_(None), table.c.t1_us > span.t0_us)).order_by(table.c.t0_us, table.c.id)
    open_end_us = min([now_us, *(run.t0_us for run in _open_runs(conn, stream_id))])
    return [
        Layer(row.t0_us, open_end_us if row.t1_us is None else row.t1_us, row.reason, row.detail, (4, order))
        for order, row in enumerate(conn.execute(query))
    ]


def _pending_runs(conn: Connection, stream_id: UUID, now_us: int) -> list[Layer]:
    """From the last committed segment of a running run to now."""
    table, layers = tables.segment, []
    for run in _open_runs(conn, stream_id):
        newest = select(table.c.t1_us).where(table.c.stream_id == stream_id, table.c.t0_us >= run.t0_us)
        committed_us = conn.execute(newest.order_by(table.c.t0_us.desc()).limit(1)).scalar_one_or_none()
        layers.append(Layer(max(run.t0_us, committed_us or 0), now_us, DerivedState.PENDING, rank=(3, 0)))
    return layers


def _open_runs(conn: Connection, stream_id: UUID) -> Sequence[Row[Any]]:
    table = tables.run
    return conn.execute(select(table.c.t0_us).where(table.c.stream_id == stream_id, table.c.t1_us.is_(None))).all()


def _first_known_us(conn: Connection, stream_id: UUID) -> int:
    """When the camera was registered, or the first thing written about its stream, whichever is earlier."""
    streams, channels, devices = tables.stream, tables.channel, tables.device
    joined = streams.join(channels, streams.c.channel_id == channels.c.id)
    joined = joined.join(devices, channels.c.device_id == devices.c.id)
    created = select(devices.c.created_us).select_from(joined).where(streams.c.id == stream_id)
    known = [conn.execute(created).scalar_one_or_none()]
    for table in (tables.run, tables.gap, tables.segment):
        known.append(conn.execute(select(func.min(table.c.t0_us)).where(table.c.stream_id == stream_id)).scalar_one())
    return min([found for found in known if found is not None], default=0)


def _claims(conn: Connection, monitor_id: UUID, span: Span) -> list[Layer]:
    """Claims that may reach into the span, and the last one before them, for states that last."""
    table = tables.coverage
    columns = (table.c.t0_us, table.c.t1_us, table.c.state, table.c.author, table.c.detail)
    mine = select(*columns).where(table.c.monitor_id == monitor_id)
    reach_us = span.t0_us - LONGEST_CLAIM_US
    near = mine.where(table.c.t0_us >= reach_us, table.c.t0_us < span.t1_us).order_by(table.c.id)  # as they were taken
    before = mine.where(table.c.t0_us < reach_us).order_by(table.c.t0_us.desc(), table.c.id.desc()).limit(1)
    rows = [*conn.execute(before), *conn.execute(near)]
    return [
        Layer(row.t0_us, row.t1_us, row.state, row.detail, (6 if row.author == "agent" else 5, order))
        for order, row in enumerate(rows)
    ]


def _lasting(claims: Sequence[Layer], now_us: int) -> list[Layer]:
    """`powered_off` and `agent_down` go on from their end to the next claim, or to now."""
    layers = []
    for claim in claims:
        if claim.state not in LASTING or any(x.t0_us <= claim.t1_us < x.t1_us for x in claims):
            continue
        until_us = min([now_us, *(x.t0_us for x in claims if x.t0_us >= claim.t1_us)])
        layers.append(Layer(claim.t1_us, until_us, claim.state, claim.detail, (3, 0)))
    return layers


def _last_end_us(conn: Connection, monitor_id: UUID, default_us: int) -> int:
    """The end of what is known about a monitor."""
    ends = [default_us]
    for table in (tables.coverage, tables.screen_segment):
        query = select(table.c.t1_us).where(table.c.monitor_id == monitor_id).order_by(table.c.t0_us.desc()).limit(1)
        ends.extend(conn.execute(query).scalars())
    return max(ends)


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
