"""The only way out of the archive: row → garbage mark → object → gone.

One transaction checks the holds, removes the row, marks the object, extends the `removed` stretch and appends the
delete leaf. Only then, outside of it, the object is deleted, and only after that its mark. A crash between any two
steps leaves a mark that the next pass finishes. What is staged, held or kept for a case is never taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Table,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from storage.archive import tables
from storage.archive.alarms import close_alarm, open_alarm
from storage.archive.catalog import Catalog
from storage.archive.holds import lock_holds
from storage.archive.ingest import count_stored, stream_kind
from storage.archive.objects import ObjectStore
from storage.archive.space import GIB, Volume
from storage.clock import US, Clock
from storage.errors import Conflict, Unavailable
from storage.evidence.chain import append_leaves, lock_head
from storage.evidence.leaf import Fact
from storage.ids import new_id
from storage.model import AlarmKind, EventKind, LeafKind, Span, StreamKind

log = logging.getLogger(__name__)

DAY_US = 24 * 3600 * US
CLOSING = (EventKind.DECIDED.value, EventKind.DELIVERED.value, EventKind.EVALUATED.value)
"""A case whose last event is one of these is closed."""
_LONGEST_VISIT_US = DAY_US


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """What the hall row does not hold. The basis of each default stands in docs/storage.md."""

    case_days: int = 184
    """Media of a case are kept this long after it closed: six months, the longest ones."""
    open_case_days: int = 366
    """A case that never closes counts as closed this long after its last event."""
    headroom_bytes: int = 4 * GIB
    """Without a quota: keep this much of the volume free (above the recorder's reserve)."""
    batch: int = 40
    """Rows that one transaction takes: under 50 ms."""
    slice_rows: int = 500
    """Rows that one transaction looks at."""


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What one pass did."""

    removed_rows: int = 0
    removed_bytes: int = 0
    deleted_objects: int = 0
    failed_objects: int = 0
    unmet_bytes: int = 0
    """Bytes over the quota that nothing removable could give."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    kind: str  # segment | screen
    id: UUID
    stream_id: UUID
    chain: StreamKind
    t0_us: int
    t1_us: int
    size_bytes: int
    sha256: bytes
    location: str


class Retention:
    """Removes what is too old, then what is over the quota, oldest first, then the objects that are marked."""

    def __init__(
        self,
        catalog: Catalog,
        stores: Mapping[str, ObjectStore],
        clock: Clock,
        rules: RetentionRules | None = None,
        volume: Volume | None = None,
    ) -> None:
        """`stores` by location; a row at another location (staging) is out of reach. `volume`: where objects lie on
        disk, for halls without a quota."""
        self._catalog = catalog
        self._stores = stores
        self._clock = clock
        self._rules = rules or RetentionRules()
        self._volume = volume

    def run_once(self) -> RetentionReport:
        """One pass. Objects that cannot be deleted now keep their marks and are counted; they are tried again."""
        report = RetentionReport()
        for hall_id, video_days, screen_days, quota in self._halls():
            now_us = self._clock.now_us()
            for kind, days in (("segment", video_days), ("screen", screen_days)):
                report = self._remove_old(report, hall_id, kind, now_us - days * DAY_US)
            report = self._remove_excess(report, hall_id, quota)
        return self._sweep(report)

    def _halls(self) -> Sequence[tuple[UUID, int, int, int]]:
        table = tables.hall
        with self._catalog.read() as conn:
            rows = conn.execute(select(table.c.id, table.c.video_days, table.c.screen_days, table.c.quota_bytes))
            return [(row.id, row.video_days, row.screen_days, row.quota_bytes) for row in rows]

    # --- by age ------------------------------------------------------------------------------------------------------
    def _remove_old(self, report: RetentionReport, hall_id: UUID, kind: str, before_us: int) -> RetentionReport:
        for part in self._slices((kind,), before_us):
            while True:
                taken = self._remove_batch(hall_id, (kind,), part, before_us, None, "age")
                report = _counted(report, taken)
                if len(taken) < self._rules.batch:
                    break
        return report

    # --- by quota ----------------------------------------------------------------------------------------------------
    def _remove_excess(self, report: RetentionReport, hall_id: UUID, quota: int) -> RetentionReport:
        """What no camera's own rule keeps goes first; only when that is not enough, what such rules keep goes too."""
        excess = self._excess_bytes(hall_id, quota)
        for sparing in (True, False):
            for part in self._slices(_KINDS, _NO_LIMIT_US) if excess > 0 else ():
                while excess > 0:
                    taken = self._remove_batch(hall_id, _KINDS, part, _NO_LIMIT_US, excess, "quota", sparing=sparing)
                    excess -= sum(each.size_bytes for each in taken)
                    report = _counted(report, taken)
                    if len(taken) < self._rules.batch:
                        break
                if excess <= 0:
                    break
        self._alarm_quota(hall_id, excess)
        return replace(report, unmet_bytes=report.unmet_bytes + max(0, excess))

    def _excess_bytes(self, hall_id: UUID, quota: int) -> int:
        """How many bytes must go: over the hall's quota, or into the volume's headroom."""
        over = 0
        with self._catalog.read() as conn:
            marked = _sum(conn, select(func.sum(tables.garbage.c.bytes)))
            if quota:
                over = stored_bytes(conn, hall_id) - quota
        if self._volume is not None:
            over = max(over, self._rules.headroom_bytes - self._volume.usage().free_bytes - marked)
        return over

    def _slices(self, kinds: Sequence[str], before_us: int) -> Iterator[Span]:
        """Stretches of time with some hundred rows each, oldest first, up to `before_us`.

        A batch looks at one stretch only, so that protected rows, however many, never make it long.
        """
        begin_us = 0
        while begin_us < before_us:
            with self._catalog.read() as conn:
                ends = [self._slice_end(conn, kind, begin_us) for kind in kinds]
            end_us = min([before_us, *(max(end, begin_us + 1) for end in ends if end is not None)])
            yield Span(begin_us, end_us)
            begin_us = end_us

    def _slice_end(self, conn: Connection, kind: str, begin_us: int) -> int | None:
        t0_us = _table(kind).c.t0_us
        query = select(t0_us).where(t0_us >= begin_us).order_by(t0_us).offset(self._rules.slice_rows).limit(1)
        return conn.execute(query).scalar_one_or_none()

    def _alarm_quota(self, hall_id: UUID, excess: int) -> None:
        subject = f"quota:{hall_id}"
        with self._catalog.write() as conn:
            if excess > 0:
                detail: dict[str, str | int] = {"cause": "nothing_left_to_remove", "bytes": excess}
                open_alarm(conn, self._clock, AlarmKind.DISK_FORECAST, subject, detail)
            else:
                close_alarm(conn, self._clock, AlarmKind.DISK_FORECAST, subject)
        if excess > 0:
            log.error("quota_cannot_be_met", extra={"fields": {"hall": str(hall_id), "bytes": excess}})

    # --- row and mark ------------------------------------------------------------------------------------------------
    def _remove_batch(
        self,
        hall_id: UUID,
        kinds: Sequence[str],
        part: Span,
        before_us: int,
        enough: int | None,
        rule: str,
        *,
        sparing: bool = True,
    ) -> list[_Candidate]:
        """One transaction: the oldest removable rows of `kinds` in `part`, not more than `enough` bytes need."""
        with self._catalog.write() as conn:
            lock_holds(conn, hall_id)
            found = [each for kind in kinds for each in self._candidates(conn, hall_id, kind, part, before_us, sparing)]
            found.sort(key=lambda each: (each.t0_us, each.id))
            taken = _enough(found[: self._rules.batch], enough)
            for kind in kinds:
                self._remove_rows(conn, kind, [each for each in taken if each.kind == kind], rule)
        return taken

    def _candidates(
        self, conn: Connection, hall_id: UUID, kind: str, part: Span, before_us: int, sparing: bool
    ) -> Iterator[_Candidate]:
        """Removable rows; `sparing` leaves out what a camera's own keeping rule keeps."""
        table, owner = _table(kind), _owner(kind)
        columns = (table.c.id, owner, table.c.t0_us, table.c.t1_us, table.c.bytes, table.c.sha256, table.c.location)
        query = _of_hall(kind, hall_id, *columns, *_role(kind)).where(table.c.t1_us <= before_us)
        query = query.where(table.c.t0_us >= part.t0_us, table.c.t0_us < part.t1_us)
        # Nearly all rows are at one location: an index on it would lead the planner through all of them.
        query = query.where(table.c.location.concat("").in_(list(self._stores)))
        query = query.where(~_held(table, kind), ~self._kept_for_a_case(kind, table))
        if sparing and kind == "segment":
            query = query.where(~_kept_by_plan(self._clock.now_us()))
        for row in conn.execute(query.order_by(table.c.t0_us).limit(self._rules.batch)).all():
            yield _Candidate(
                kind=kind,
                id=row[0],
                stream_id=row[1],
                chain=stream_kind(row[7]) if kind == "segment" else StreamKind.SCREEN,
                t0_us=row[2],
                t1_us=row[3],
                size_bytes=row[4],
                sha256=bytes(row[5]),
                location=row[6],
            )

    def _kept_for_a_case(self, kind: str, table: Table) -> ColumnElement[bool]:
        """A visit overlaps the media at a window that their camera saw, or their workstation served, at that time."""
        now_us, rules = self._clock.now_us(), self._rules
        visits, cases, maps = tables.visit, tables.case, _maps(kind)
        mapped, owners = _mapped(kind)
        closed = cases.c.status.in_(CLOSING)
        kept = or_(
            and_(closed, cases.c.last_us > now_us - rules.case_days * DAY_US),
            and_(~closed, cases.c.last_us > now_us - rules.open_case_days * DAY_US),
        )
        end_us = func.coalesce(visits.c.t1_us, visits.c.t0_us + _LONGEST_VISIT_US)
        overlap = and_(
            visits.c.superseded_us.is_(None),
            visits.c.t0_us < table.c.t1_us,
            visits.c.t0_us > table.c.t0_us - _LONGEST_VISIT_US,
            end_us > table.c.t0_us,
        )
        in_force = and_(maps.c.from_us < table.c.t1_us, or_(maps.c.to_us.is_(None), maps.c.to_us > table.c.t0_us))
        joined = visits.join(cases, visits.c.case_id == cases.c.id).join(maps, maps.c.window_id == visits.c.window_id)
        found = select(visits.c.id).select_from(joined).where(mapped, overlap, in_force, kept)
        return exists(found.correlate(table, owners))

    def _remove_rows(self, conn: Connection, kind: str, taken: Sequence[_Candidate], rule: str) -> None:
        """Rows out, marks in, and for each stream its `removed` stretch and its delete leaves."""
        if not taken:
            return
        table, now_us = _table(kind), self._clock.now_us()
        conn.execute(delete(table).where(table.c.id.in_([each.id for each in taken])))
        conn.execute(insert(tables.garbage), [_mark(each, rule, now_us) for each in taken])
        by_stream: dict[UUID, list[_Candidate]] = {}
        for each in taken:
            by_stream.setdefault(each.stream_id, []).append(each)
        for stream_id, mine in sorted(by_stream.items()):
            for each in mine:
                self._extend_removed(conn, each, rule)
            leaves = [(LeafKind.DELETE, _delete_facts(each, rule, now_us)) for each in mine]
            append_leaves(conn, stream_id, mine[0].chain, leaves, lock_head(conn, stream_id, mine[0].chain).epoch)
            count_stored(conn, stream_id, -len(mine), -sum(each.size_bytes for each in mine))

    def _extend_removed(self, conn: Connection, each: _Candidate, rule: str) -> None:
        """One row for an unbroken stretch: a segment that touches the last one lengthens it."""
        table = tables.removed
        touching = and_(table.c.t0_us <= each.t0_us, table.c.t1_us >= each.t0_us)
        mine = select(table.c.id, table.c.t1_us).where(table.c.stream_id == each.stream_id, table.c.rule == rule)
        query = mine.where(touching).order_by(table.c.t0_us.desc()).limit(1)
        row = conn.execute(query).one_or_none()
        if row is None:
            values = {"stream_id": each.stream_id, "t0_us": each.t0_us, "t1_us": each.t1_us, "rule": rule}
            conn.execute(insert(table).values(id=new_id(self._clock), removed_us=self._clock.now_us(), **values))
        elif row.t1_us < each.t1_us:
            change = update(table).where(table.c.id == row.id)
            conn.execute(change.values(t1_us=each.t1_us, removed_us=self._clock.now_us()))

    # --- object and gone ---------------------------------------------------------------------------------------------
    def _sweep(self, report: RetentionReport) -> RetentionReport:
        """Delete marked objects, oldest first, and after each page its marks."""
        after: tuple[int, UUID] | None = None
        while True:
            page = self._marked(after)
            gone = [object_id for object_id, location, _ in page if self._delete_object(object_id, location)]
            self._unmark(gone)
            report = replace(
                report,
                deleted_objects=report.deleted_objects + len(gone),
                failed_objects=report.failed_objects + len(page) - len(gone),
            )
            if len(page) < self._rules.batch:
                return report
            after = page[-1][2], page[-1][0]

    def _marked(self, after: tuple[int, UUID] | None) -> list[tuple[UUID, str, int]]:
        table = tables.garbage
        query = select(table.c.object_id, table.c.location, table.c.t0_us).order_by(table.c.t0_us, table.c.object_id)
        if after is not None:
            later = and_(table.c.t0_us == after[0], table.c.object_id > after[1])
            query = query.where(or_(table.c.t0_us > after[0], later))
        with self._catalog.read() as conn:
            rows = conn.execute(query.limit(self._rules.batch)).all()
            return [(row.object_id, row.location, row.t0_us) for row in rows]

    def _delete_object(self, object_id: UUID, location: str) -> bool:
        store = self._stores.get(location)
        if store is None:
            return False
        try:
            store.delete(object_id)
        except (Unavailable, Conflict, OSError) as error:
            log.warning("object_not_deleted", extra={"fields": {"object": str(object_id), "error": str(error)}})
            return False
        return True

    def _unmark(self, gone: Sequence[UUID]) -> None:
        if gone:
            with self._catalog.write() as conn:
                conn.execute(delete(tables.garbage).where(tables.garbage.c.object_id.in_(gone)))


_KINDS = ("segment", "screen")
_NO_LIMIT_US = (1 << 63) - 1


def stored_bytes(conn: Connection, hall_id: UUID) -> int:
    """What the hall's cameras and workstations keep now, from the running totals: one row for each stream."""
    totals = tables.stored.c
    owners = tables.stream.join(tables.channel, tables.stream.c.channel_id == tables.channel.c.id)
    owners = owners.join(tables.device, tables.channel.c.device_id == tables.device.c.id)
    cameras = select(tables.stream.c.id).select_from(owners).where(tables.device.c.hall_id == hall_id)
    desks = tables.monitor.join(tables.workstation, tables.monitor.c.workstation_id == tables.workstation.c.id)
    screens = select(tables.monitor.c.id).select_from(desks).where(tables.workstation.c.hall_id == hall_id)
    mine = or_(totals.stream_id.in_(cameras), totals.stream_id.in_(screens))
    return _sum(conn, select(func.sum(totals.bytes)).where(mine))


def _table(kind: str) -> Table:
    return tables.segment if kind == "segment" else tables.screen_segment


def _owner(kind: str) -> ColumnElement[UUID]:
    return tables.segment.c.stream_id if kind == "segment" else tables.screen_segment.c.monitor_id


def _role(kind: str) -> tuple[ColumnElement[str], ...]:
    return (tables.stream.c.role,) if kind == "segment" else ()


def _of_hall(kind: str, hall_id: UUID, *columns: ColumnElement[Any]) -> Select[Any]:
    """Rows of one hall's media, joined with what they belong to."""
    if kind == "segment":
        media, streams, channels, devices = tables.segment, tables.stream, tables.channel, tables.device
        joined = media.join(streams, media.c.stream_id == streams.c.id)
        joined = joined.join(channels, streams.c.channel_id == channels.c.id)
        joined = joined.join(devices, channels.c.device_id == devices.c.id)
        return select(*columns).select_from(joined).where(devices.c.hall_id == hall_id)
    screens, monitors, workstations = tables.screen_segment, tables.monitor, tables.workstation
    joined = screens.join(monitors, screens.c.monitor_id == monitors.c.id)
    joined = joined.join(workstations, monitors.c.workstation_id == workstations.c.id)
    return select(*columns).select_from(joined).where(workstations.c.hall_id == hall_id)


def _maps(kind: str) -> Table:
    return tables.camera_window if kind == "segment" else tables.workstation_window


def _mapped(kind: str) -> tuple[ColumnElement[bool], FromClause]:
    """The map row is about the media's own camera or workstation, and the table of the outer query that says so."""
    if kind == "segment":
        return tables.camera_window.c.channel_id == tables.stream.c.channel_id, tables.stream
    return tables.workstation_window.c.workstation_id == tables.monitor.c.workstation_id, tables.monitor


def _held(table: Table, kind: str) -> ColumnElement[bool]:
    holds = tables.hold
    mine = and_(
        holds.c.subject_kind == ("stream" if kind == "segment" else "monitor"), holds.c.subject_id == _owner(kind)
    )
    overlap = and_(holds.c.t0_us < table.c.t1_us, holds.c.t1_us > table.c.t0_us)
    obeyed = or_(mine, holds.c.subject_kind == "hall")
    return exists(select(holds.c.id).where(holds.c.released_us.is_(None), overlap, obeyed).correlate(table))


def _kept_by_plan(now_us: int) -> ColumnElement[bool]:
    """The camera's recording plan keeps the segment: by its own days, or by those of its keeping class."""
    plans, classes, segments = tables.recording_plan, tables.retention_class, tables.segment
    joined = plans.outerjoin(classes, classes.c.id == plans.c.retention_class_id)
    own = plans.c.keep_days * literal(DAY_US, BigInteger)
    by_class = func.coalesce(classes.c.days, 0) * literal(DAY_US, BigInteger)
    kept = or_(segments.c.t1_us > now_us - own, segments.c.t1_us > now_us - by_class)
    found = select(plans.c.channel_id).select_from(joined).where(plans.c.channel_id == tables.stream.c.channel_id, kept)
    return exists(found.correlate(segments, tables.stream))


def _sum(conn: Connection, query: Select[Any]) -> int:
    return int(conn.execute(query).scalar_one() or 0)


def _enough(found: list[_Candidate], enough: int | None) -> list[_Candidate]:
    if enough is None:
        return found
    taken, total = [], 0
    for each in found:
        if total >= enough:
            break
        taken.append(each)
        total += each.size_bytes
    return taken


def _counted(report: RetentionReport, taken: Sequence[_Candidate]) -> RetentionReport:
    size = sum(each.size_bytes for each in taken)
    return replace(report, removed_rows=report.removed_rows + len(taken), removed_bytes=report.removed_bytes + size)


def _mark(each: _Candidate, rule: str, now_us: int) -> dict[str, object]:
    return {
        "object_id": each.id,
        "kind": each.kind,
        "location": each.location,
        "stream_id": each.stream_id,
        "t0_us": each.t0_us,
        "bytes": each.size_bytes,
        "rule": rule,
        "marked_us": now_us,
    }


def _delete_facts(each: _Candidate, rule: str, now_us: int) -> dict[str, Fact]:
    return {
        "id": str(each.id),
        "t0_us": each.t0_us,
        "t1_us": each.t1_us,
        "sha256": each.sha256.hex(),
        "bytes": each.size_bytes,
        "rule": rule,
        "removed_us": now_us,
    }
