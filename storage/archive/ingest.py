"""The only way into the archive. Each call is one transaction that holds the row, its leaf and the stream's new head.

The object is complete and synced before a call names it (docs/storage.md). Repeating a call with the same id and the
same hash is harmless; the same id with another hash is refused and raises an alarm.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import Connection, Row, Table, func, insert, select, update

from storage.archive import tables
from storage.archive.alarms import open_alarm
from storage.archive.catalog import Catalog
from storage.archive.objects import ObjectStore
from storage.clock import US, Clock
from storage.errors import Conflict, InvalidInput, NotFound, ObjectDamaged
from storage.evidence.chain import append_leaf, append_leaves, lock_head
from storage.evidence.leaf import Fact
from storage.ids import new_id
from storage.model import (
    SERVER_ONLY_STATES,
    AlarmKind,
    CameraSegment,
    CoverageSpan,
    CoverageState,
    GapReason,
    LeafKind,
    RunEnd,
    ScreenSegment,
    StreamKind,
)

AnyRow = Row[*tuple[Any, ...]]
Author = Literal["agent", "server"]

SMALLEST_SILENCE_US = US
"""A hole between two claims of an agent that is shorter than this gets no row of its own (rounding, not silence)."""

LASTING = frozenset({CoverageState.POWERED_OFF, CoverageState.AGENT_DOWN})
"""States of a monitor that go on until the next claim."""
LONGEST_CLAIM_US = 24 * 3600 * US
"""Longer claims are kept in pieces of this length, so that a query knows how far back it must look."""

_GAP_OF_END = {RunEnd.STOPPED: GapReason.MAINTENANCE}
_LOSING_ENDS = frozenset({RunEnd.DISK_SLOW, RunEnd.DISK_FULL, RunEnd.CRASH})
"""Ends that say themselves why the last moments of a run were not kept."""


class Ingest:
    """Writes media, gaps and coverage into the archive. Thread-safe."""

    def __init__(self, catalog: Catalog, clock: Clock, recorder_name: str, epoch: int = 0) -> None:
        """`recorder_name` (the process's node id) stands in every leaf; `epoch` is the lease under which it writes."""
        self._catalog = catalog
        self._clock = clock
        self._recorder = recorder_name
        self._epoch = epoch

    # --- cameras -----------------------------------------------------------------------------------------------------
    def open_run(self, stream_id: UUID, t0_us: int, run_id: UUID | None = None) -> UUID:
        """Begin an unbroken run of segments; returns its id. A run that a crash left open is ended first, as `crash`.

        A recorder brings its own `run_id`, since its files carry it before the row exists; repeating is harmless.

        Raises:
            NotFound: `stream_not_found`.
            Conflict: `run_conflict`: that id is a run of another stream.
        """
        run_id = run_id or new_id(self._clock)
        with self._catalog.write() as conn:
            kind = _stream_kind(conn, stream_id)
            lock_head(conn, stream_id, kind)
            known = conn.execute(select(tables.run).where(tables.run.c.id == run_id)).one_or_none()
            if known is not None:
                _require_run_of(known, stream_id)
                return run_id
            for left in _open_runs(conn, stream_id):
                self._end_run(conn, kind, left, last_t1_us(conn, left), RunEnd.CRASH, "found at next start")
            conn.execute(insert(tables.run).values(id=run_id, stream_id=stream_id, t0_us=t0_us))
        return run_id

    def commit_segment(self, segment: CameraSegment, location: str) -> bool:
        """Commit a segment whose object is complete and synced at `location`; false when it was committed before.

        The first segment of a run closes the stream's open gap. A segment that comes late, into a time that has a gap
        leaf already, names that gap in its own leaf and rewrites nothing.

        One that retention has removed, and whose object it is about to delete, counts as committed before.

        Raises:
            Conflict: `segment_conflict`: the id exists with another hash (alarm raised).
            InvalidInput: `segment_invalid`. NotFound: `run_not_found`. StaleEpoch: the lease is another's.
        """
        _check_camera_segment(segment)
        with self._catalog.write() as conn:
            kind = _stream_kind(conn, segment.stream_id)
            lock_head(conn, segment.stream_id, kind)
            known = _known_hash(conn, tables.segment, segment.id)
            if known is None:
                if _is_marked(conn, segment.id):
                    return False
                self._insert_segment(conn, kind, segment, location)
                return True
        self._require_same(known, segment.sha256, segment.id, f"stream:{segment.stream_id}")
        return False

    def relocate(self, segment_id: UUID, old: str, new: str) -> bool:
        """Point a row at its object's verified copy; false when it points there already.

        Raises:
            NotFound: `segment_not_found`: retention removed the row meanwhile.
            Conflict: `segment_moved`: the row says neither `old` nor `new`.
        """
        table = tables.segment
        with self._catalog.write() as conn:
            change = update(table).where(table.c.id == segment_id, table.c.location == old).values(location=new)
            if conn.execute(change).rowcount == 1:
                return True
            found = conn.execute(select(table.c.location).where(table.c.id == segment_id)).scalar_one_or_none()
        if found is None:
            raise NotFound("segment_not_found", f"segment {segment_id} has no row", id=str(segment_id))
        if found != new:
            raise Conflict("segment_moved", f"segment {segment_id} is at {found}, not at {old}", id=str(segment_id))
        return False

    def close_run(self, run_id: UUID, t1_us: int, end: RunEnd, detail: str = "") -> bool:
        """End a run; unless new parameters follow (`parameters`), a gap of that reason opens where it ends.

        It ends at `t1_us`, or where its last committed segment ends if that is earlier: what a disk refused was not
        recorded, whatever the recorder believed when it ended the run. Unless the end itself says that the disk
        refused, such a loss is a gap of its own (`unknown`, up to `t1_us`). False when the run was ended before, which
        changes nothing.

        Raises:
            NotFound: `run_not_found`.
        """
        with self._catalog.write() as conn:
            run = _run(conn, run_id)
            kind = _stream_kind(conn, run.stream_id)
            lock_head(conn, run.stream_id, kind)
            if _run(conn, run_id).t1_us is not None:
                return False
            self._end_run(conn, kind, run, t1_us, end, detail)
        return True

    def open_gap(self, stream_id: UUID, t_us: int, reason: GapReason, detail: str = "") -> UUID:
        """Say that the stream has no segments from `t_us` on, and why; returns the gap's id.

        An open gap of the same reason goes on; one of another reason ends at `t_us` (same moment, new reason). Without
        one it begins where the last run or gap ended, if that is earlier: no instant falls between.

        Raises:
            NotFound: `stream_not_found`.
        """
        with self._catalog.write() as conn:
            kind = _stream_kind(conn, stream_id)
            lock_head(conn, stream_id, kind)
            return self._open_gap(conn, kind, stream_id, t_us, reason, detail)

    def close_gap(self, stream_id: UUID, t_us: int) -> bool:
        """End the stream's open gap at `t_us`; false when none is open. A run's first segment does it by itself."""
        with self._catalog.write() as conn:
            kind = _stream_kind(conn, stream_id)
            lock_head(conn, stream_id, kind)
            return self._close_gap(conn, kind, stream_id, t_us)

    # --- screens -----------------------------------------------------------------------------------------------------
    def take_screen(
        self, store: ObjectStore, segment: ScreenSegment, picture_times_us: Sequence[int], data: bytes
    ) -> bool:
        """Check, store and commit an uploaded screen segment in the one right order; false when it was known.

        Raises:
            ObjectDamaged: `hash_mismatch`: the bytes are not what the segment says.
            Conflict: `segment_conflict` (nothing is overwritten; alarm raised). InvalidInput: `segment_invalid`.
            Unavailable, StorageFull: the store cannot take it now; the agent keeps it.
        """
        _check_screen_segment(segment, picture_times_us)
        if len(data) != segment.size_bytes or hashlib.sha256(data).digest() != segment.sha256:
            raise ObjectDamaged("hash_mismatch", "the bytes received are not those announced", id=str(segment.id))
        with self._catalog.read() as conn:
            known = _known_hash(conn, tables.screen_segment, segment.id)
            if known is None and _is_marked(conn, segment.id):
                return False
        if known is None:
            store.put_bytes(segment.id, data)
            return self.commit_screen(segment, picture_times_us, store.location)
        self._require_same(known, segment.sha256, segment.id, f"workstation:{segment.workstation_id}")
        return False

    def commit_screen(self, segment: ScreenSegment, picture_times_us: Sequence[int], location: str) -> bool:
        """Commit a screen segment whose object is stored at `location`; false when it was committed before.

        A monitor that was never announced gets its row now.

        Raises:
            Conflict: `segment_conflict` (alarm raised). InvalidInput: `segment_invalid`. StaleEpoch.
        """
        _check_screen_segment(segment, picture_times_us)
        with self._catalog.write() as conn:
            monitor_id = ensure_monitor(
                conn, self._clock, segment.workstation_id, segment.monitor, first_us=segment.t0_us
            )
            lock_head(conn, monitor_id, StreamKind.SCREEN)
            known = _known_hash(conn, tables.screen_segment, segment.id)
            if known is None:
                if _is_marked(conn, segment.id):
                    return False
                self._insert_screen(conn, monitor_id, segment, picture_times_us, location)
                return True
        self._require_same(known, segment.sha256, segment.id, f"workstation:{segment.workstation_id}")
        return False

    def record_coverage(self, monitor_id: UUID, spans: Sequence[CoverageSpan], author: Author = "agent") -> int:
        """Take claims about a monitor's time; returns how many were new (a repeated claim is harmless).

        Claims are never rewritten: of two that overlap, a query takes the agent's before the server's, then the later
        taken. Where an agent's new claims start after a silence, the silence becomes `agent_down`, unless the
        machine had said that it was powered off.

        Raises:
            InvalidInput: `coverage_invalid`: an empty span, an unknown state, or one that only the server may write.
        """
        for span in spans:
            _check_span(span, author)
        told = {(piece.t0_us, piece.t1_us, str(piece.state)): piece for span in spans for piece in _pieces(span)}
        ordered = [told[key] for key in sorted(told)]
        with self._catalog.write() as conn:
            lock_head(conn, monitor_id, StreamKind.SCREEN)
            known = _known_claims(conn, monitor_id, ordered)
            fresh = [span for span in ordered if (span.t0_us, span.t1_us, str(span.state)) not in known]
            if author == "agent":
                self._fill_silences(conn, monitor_id, fresh)
            self._insert_coverage(conn, monitor_id, fresh, author)
        return len(fresh)

    def mark_silence(self, monitor_id: UUID, until_us: int) -> bool:
        """Write `agent_down` from the last claim (or picture, where there is no claim) to `until_us`.

        A console service calls it for monitors that say nothing. `powered_off` and `agent_down` last until the next
        claim by themselves, so a second call writes nothing; nor does one about a monitor that never said anything,
        for its time is still planned. True when a row was written.

        Raises:
            NotFound: `monitor_not_found`.
        """
        with self._catalog.write() as conn:
            lock_head(conn, monitor_id, StreamKind.SCREEN)
            last = _last_claim(conn, monitor_id)
            if last is not None and last.state in LASTING:
                return False
            since_us = last.t1_us if last is not None else _last_picture_us(conn, monitor_id)
            if since_us is None or until_us - since_us < SMALLEST_SILENCE_US:
                return False
            self._insert_silence(conn, monitor_id, since_us, until_us)
        return True

    # --- inside ------------------------------------------------------------------------------------------------------
    def _insert_segment(self, conn: Connection, kind: StreamKind, segment: CameraSegment, location: str) -> None:
        run = _run(conn, segment.run_id)
        if run.stream_id != segment.stream_id:
            raise InvalidInput("segment_invalid", "the run belongs to another stream", id=str(segment.id))
        values = {
            "id": segment.id,
            "stream_id": segment.stream_id,
            "run_id": segment.run_id,
            "t0_us": segment.t0_us,
            "t1_us": segment.t1_us,
            "media_duration": segment.media_duration,
            "timescale": segment.timescale,
            "codec": segment.codec,
            "width": segment.width,
            "height": segment.height,
            "frames": segment.frames,
            "bytes": segment.size_bytes,
            "sha256": segment.sha256,
            "location": location,
            "salvaged": segment.salvaged,
        }
        self._note_hole(conn, kind, run, segment.t0_us)
        fills = _filled_gap(conn, segment.stream_id, segment.t0_us, segment.t1_us)
        conn.execute(insert(tables.segment).values(**values))
        count_stored(conn, segment.stream_id, 1, segment.size_bytes)
        facts = _media_facts(segment, self._recorder) | {"run": str(segment.run_id)}
        facts |= _camera_clock(conn, segment.stream_id)
        if segment.salvaged:
            facts["salvaged"] = 1
        if fills is not None:
            facts["fills_gap"] = str(fills)
        append_leaf(conn, segment.stream_id, kind, LeafKind.SEGMENT, facts, self._epoch)
        self._close_gap_before(conn, kind, run, segment.t0_us)

    def _note_hole(self, conn: Connection, kind: StreamKind, run: AnyRow, t0_us: int) -> None:
        """Segments of a run join; where one does not, what lay between was lost on its way to the archive."""
        if run.t1_us is not None or _open_gap_row(conn, run.stream_id) is not None:
            return
        kept_us = last_t1_us(conn, run)
        if kept_us < t0_us:
            self._open_gap(conn, kind, run.stream_id, kept_us, GapReason.UNKNOWN, "a part of the run was not kept")
            self._close_gap(conn, kind, run.stream_id, t0_us)

    def _close_gap_before(self, conn: Connection, kind: StreamKind, run: AnyRow, t0_us: int) -> None:
        """The open gap ends with the first segment of a *later* run, not with late data of the run before it."""
        gap = _open_gap_row(conn, run.stream_id)
        if gap is not None and run.t1_us is None:
            self._close_gap(conn, kind, run.stream_id, t0_us)

    def _end_run(self, conn: Connection, kind: StreamKind, run: AnyRow, t1_us: int, end: RunEnd, detail: str) -> None:
        kept_us = min(t1_us, last_t1_us(conn, run))
        change = update(tables.run).where(tables.run.c.id == run.id)
        conn.execute(change.values(t1_us=kept_us, end=end.value, detail=detail))
        if kept_us < t1_us and end not in _LOSING_ENDS:
            self._open_gap(conn, kind, run.stream_id, kept_us, GapReason.UNKNOWN, "the end of the run was not kept")
            kept_us = t1_us
        if end is not RunEnd.PARAMETERS:
            reason = _GAP_OF_END.get(end) or GapReason(end.value)
            self._open_gap(conn, kind, run.stream_id, kept_us, reason, detail or end.value)

    def _open_gap(
        self, conn: Connection, kind: StreamKind, stream_id: UUID, t_us: int, reason: GapReason, detail: str
    ) -> UUID:
        gap = _open_gap_row(conn, stream_id)
        if gap is not None and gap.reason == reason.value:
            return cast(UUID, gap.id)
        if gap is not None:
            t_us = max(t_us, gap.t0_us)
            self._close_gap(conn, kind, stream_id, t_us)
        else:
            t_us = min(t_us, _known_until_us(conn, stream_id, t_us))
        gap_id = new_id(self._clock)
        values = {"id": gap_id, "stream_id": stream_id, "t0_us": t_us, "reason": reason.value, "detail": detail}
        conn.execute(insert(tables.gap).values(**values))
        facts: dict[str, Fact] = {"id": str(gap_id), "state": "open", "t0_us": t_us, "reason": reason.value}
        append_leaf(conn, stream_id, kind, LeafKind.GAP, facts | {"recorder": self._recorder}, self._epoch)
        return gap_id

    def _close_gap(self, conn: Connection, kind: StreamKind, stream_id: UUID, t_us: int) -> bool:
        gap = _open_gap_row(conn, stream_id)
        if gap is None:
            return False
        t1_us = max(t_us, gap.t0_us)
        conn.execute(update(tables.gap).where(tables.gap.c.id == gap.id).values(t1_us=t1_us))
        facts: dict[str, Fact] = {
            "id": str(gap.id),
            "state": "closed",
            "t0_us": gap.t0_us,
            "t1_us": t1_us,
            "reason": gap.reason,
            "recorder": self._recorder,
        }
        append_leaf(conn, stream_id, kind, LeafKind.GAP, facts, self._epoch)
        return True

    def _insert_screen(
        self, conn: Connection, monitor_id: UUID, segment: ScreenSegment, times: Sequence[int], location: str
    ) -> None:
        values = {
            "id": segment.id,
            "monitor_id": monitor_id,
            "t0_us": segment.t0_us,
            "t1_us": segment.t1_us,
            "pictures": segment.pictures,
            "bytes": segment.size_bytes,
            "sha256": segment.sha256,
            "location": location,
            "picture_index": pack_times(times),
            "received_us": self._clock.now_us(),
        }
        conn.execute(insert(tables.screen_segment).values(**values))
        count_stored(conn, monitor_id, 1, segment.size_bytes)
        facts = _media_facts(segment, self._recorder) | {"pictures": segment.pictures}
        facts |= _workstation_clock(conn, segment.workstation_id)
        append_leaf(conn, monitor_id, StreamKind.SCREEN, LeafKind.SCREEN, facts, self._epoch)

    def _insert_coverage(
        self, conn: Connection, monitor_id: UUID, spans: Sequence[CoverageSpan], author: Author
    ) -> None:
        """Rows, and a leaf for each but `recording`, whose evidence is the screen leaf of its pictures."""
        rows = [_coverage_row(new_id(self._clock), monitor_id, span, author) for span in spans]
        if rows:
            conn.execute(insert(tables.coverage), rows)
        told = [row for row in rows if row["state"] != CoverageState.RECORDING]
        leaves = [(LeafKind.GAP, _coverage_facts(row, self._recorder)) for row in told]
        append_leaves(conn, monitor_id, StreamKind.SCREEN, leaves, self._epoch)

    def _fill_silences(self, conn: Connection, monitor_id: UUID, fresh: Sequence[CoverageSpan]) -> None:
        """Every silence before one of `fresh` (by start): after all earlier claims, and between two of these."""
        last = _last_claim(conn, monitor_id)
        end_us, state = (None, "") if last is None else (last.t1_us, last.state)
        for span in fresh:
            silent = end_us is not None and span.t0_us - end_us >= SMALLEST_SILENCE_US
            if silent and end_us is not None and state != CoverageState.POWERED_OFF:
                self._insert_silence(conn, monitor_id, end_us, span.t0_us)
            if end_us is None or span.t1_us > end_us:
                end_us, state = span.t1_us, str(span.state)

    def _insert_silence(self, conn: Connection, monitor_id: UUID, since_us: int, until_us: int) -> None:
        silence = CoverageSpan(since_us, until_us, CoverageState.AGENT_DOWN)
        self._insert_coverage(conn, monitor_id, list(_pieces(silence)), "server")

    def _require_same(self, known: bytes, offered: bytes, object_id: UUID, subject: str) -> None:
        if known == offered:
            return
        with self._catalog.write() as conn:
            detail = {"segment": str(object_id), "kept": known.hex(), "refused": offered.hex()}
            open_alarm(conn, self._clock, AlarmKind.SEGMENT_CONFLICT, subject, detail)
        raise Conflict("segment_conflict", "this segment id was committed with other bytes", id=str(object_id))


def ensure_monitor(
    conn: Connection, clock: Clock, workstation_id: UUID, name: str, width: int = 0, height: int = 0, first_us: int = 0
) -> UUID:
    """The id of a workstation's monitor, made when it is new; a size that is known (not 0) is brought up to date."""
    table = tables.monitor
    mine = (table.c.workstation_id == workstation_id, table.c.name == name)
    found = conn.execute(select(table.c.id, table.c.width, table.c.height).where(*mine)).one_or_none()
    if found is None:
        monitor_id = new_id(clock)
        values = {"id": monitor_id, "workstation_id": workstation_id, "name": name, "width": width, "height": height}
        conn.execute(insert(table).values(**values, first_us=first_us or clock.now_us()))
        return monitor_id
    if width and height and (found.width, found.height) != (width, height):
        conn.execute(update(table).where(*mine).values(width=width, height=height))
    return cast(UUID, found.id)


def count_stored(conn: Connection, stream_id: UUID, objects: int, size_bytes: int) -> None:
    """Add to what a stream or monitor keeps, in the transaction of the rows and under the stream's head."""
    table = tables.stored
    change = {"objects": table.c.objects + objects, "bytes": table.c.bytes + size_bytes}
    if conn.execute(update(table).where(table.c.stream_id == stream_id).values(**change)).rowcount == 0:
        conn.execute(insert(table).values(stream_id=stream_id, objects=objects, bytes=size_bytes))


def pack_times(times_us: Sequence[int]) -> bytes:
    """A screen segment's picture index: one big-endian int64 for each picture's time."""
    return struct.pack(f">{len(times_us)}q", *times_us)


def unpack_times(packed: bytes) -> tuple[int, ...]:
    """The picture times in an index."""
    return struct.unpack(f">{len(packed) // 8}q", packed)


def stream_kind(role: str) -> StreamKind:
    """The chain kind of a camera stream's role (`main`, `sub`)."""
    return StreamKind.CAMERA_MAIN if role == "main" else StreamKind.CAMERA_SUB


def _stream_kind(conn: Connection, stream_id: UUID) -> StreamKind:
    role = conn.execute(select(tables.stream.c.role).where(tables.stream.c.id == stream_id)).scalar_one_or_none()
    if role is None:
        raise NotFound("stream_not_found", f"no stream {stream_id} in the catalog", id=str(stream_id))
    return stream_kind(role)


def _run(conn: Connection, run_id: UUID) -> AnyRow:
    row = conn.execute(select(tables.run).where(tables.run.c.id == run_id)).one_or_none()
    if row is None:
        raise NotFound("run_not_found", f"no run {run_id} in the catalog", id=str(run_id))
    return row


def _require_run_of(run: AnyRow, stream_id: UUID) -> None:
    if run.stream_id != stream_id:
        raise Conflict("run_conflict", f"run {run.id} belongs to another stream", id=str(run.id))


def _open_runs(conn: Connection, stream_id: UUID) -> Sequence[AnyRow]:
    runs = tables.run
    return conn.execute(select(runs).where(runs.c.stream_id == stream_id, runs.c.t1_us.is_(None))).all()


def last_t1_us(conn: Connection, run: AnyRow) -> int:
    """The end of a run's last segment (its own beginning when it has none), found from the stream's newest row back."""
    rows = tables.segment
    query = select(rows.c.t1_us).where(rows.c.stream_id == run.stream_id, rows.c.t0_us >= run.t0_us)
    query = query.where(rows.c.run_id == run.id).order_by(rows.c.t0_us.desc()).limit(1)
    found = conn.execute(query).scalar_one_or_none()
    return int(run.t0_us if found is None else found)


def _open_gap_row(conn: Connection, stream_id: UUID) -> AnyRow | None:
    gaps = tables.gap
    query = select(gaps).where(gaps.c.stream_id == stream_id, gaps.c.t1_us.is_(None)).order_by(gaps.c.t0_us.desc())
    return conn.execute(query).first()


def _known_until_us(conn: Connection, stream_id: UUID, t_us: int) -> int:
    """Where the stream's last run or closed gap before `t_us` ended; `t_us` when none did or a run is going on."""
    if _open_runs(conn, stream_id):
        return t_us
    ends: list[int | None] = []
    for table in (tables.run, tables.gap):
        query = select(table.c.t1_us).where(table.c.stream_id == stream_id, table.c.t0_us <= t_us)
        ends += conn.execute(query.order_by(table.c.t0_us.desc()).limit(1)).scalars()
    return max([end for end in ends if end is not None], default=t_us)


def _filled_gap(conn: Connection, stream_id: UUID, t0_us: int, t1_us: int) -> UUID | None:
    """The closed gap that a late segment reaches into."""
    gaps = tables.gap
    query = select(gaps.c.id).where(gaps.c.stream_id == stream_id, gaps.c.t0_us < t1_us, gaps.c.t1_us > t0_us)
    return conn.execute(query.order_by(gaps.c.t0_us)).scalars().first()


def _known_hash(conn: Connection, table: Table, object_id: UUID) -> bytes | None:
    found = conn.execute(select(table.c.sha256).where(table.c.id == object_id)).scalar_one_or_none()
    return None if found is None else bytes(found)


def _is_marked(conn: Connection, object_id: UUID) -> bool:
    """Whether retention removed the row and is about to delete the object: it was taken before, and is not again."""
    marks = tables.garbage
    return conn.execute(select(marks.c.object_id).where(marks.c.object_id == object_id)).first() is not None


def _known_claims(conn: Connection, monitor_id: UUID, spans: Sequence[CoverageSpan]) -> set[tuple[int, int, str]]:
    """Claims taken before that begin within the reach of `spans`."""
    if not spans:
        return set()
    rows = tables.coverage
    query = select(rows.c.t0_us, rows.c.t1_us, rows.c.state).where(rows.c.monitor_id == monitor_id)
    query = query.where(rows.c.t0_us >= spans[0].t0_us, rows.c.t0_us <= spans[-1].t0_us)
    return {(row.t0_us, row.t1_us, row.state) for row in conn.execute(query)}


def _coverage_row(row_id: UUID, monitor_id: UUID, span: CoverageSpan, author: Author) -> dict[str, Any]:
    return {
        "id": row_id,
        "monitor_id": monitor_id,
        "t0_us": span.t0_us,
        "t1_us": span.t1_us,
        "state": str(span.state),
        "author": author,
        "detail": span.detail,
    }


def _coverage_facts(row: Mapping[str, Any], recorder: str) -> dict[str, Fact]:
    return {
        "id": str(row["id"]),
        "t0_us": row["t0_us"],
        "t1_us": row["t1_us"],
        "reason": row["state"],
        "author": row["author"],
        "recorder": recorder,
    }


def _last_claim(conn: Connection, monitor_id: UUID) -> AnyRow | None:
    """The claim that ends last; no claim is longer than a day, so only the last day is looked at."""
    rows = tables.coverage
    newest = conn.execute(select(func.max(rows.c.t0_us)).where(rows.c.monitor_id == monitor_id)).scalar_one()
    if newest is None:
        return None
    near = select(rows).where(rows.c.monitor_id == monitor_id, rows.c.t0_us >= newest - LONGEST_CLAIM_US)
    return conn.execute(near.order_by(rows.c.t1_us.desc(), rows.c.id.desc()).limit(1)).first()


def _last_picture_us(conn: Connection, monitor_id: UUID) -> int | None:
    """Until when the monitor's pictures go; None when there are none."""
    if conn.execute(select(tables.monitor.c.id).where(tables.monitor.c.id == monitor_id)).first() is None:
        raise NotFound("monitor_not_found", f"no monitor {monitor_id} in the catalog", id=str(monitor_id))
    table = tables.screen_segment
    query = select(table.c.t1_us).where(table.c.monitor_id == monitor_id).order_by(table.c.t0_us.desc()).limit(1)
    return cast(int | None, conn.execute(query).scalar())


def _media_facts(segment: CameraSegment | ScreenSegment, recorder: str) -> dict[str, Fact]:
    return {
        "id": str(segment.id),
        "t0_us": segment.t0_us,
        "t1_us": segment.t1_us,
        "sha256": segment.sha256.hex(),
        "bytes": segment.size_bytes,
        "recorder": recorder,
    }


def _camera_clock(conn: Connection, stream_id: UUID) -> dict[str, Fact]:
    streams, channels, devices = tables.stream, tables.channel, tables.device
    joined = streams.join(channels, streams.c.channel_id == channels.c.id)
    joined = joined.join(devices, channels.c.device_id == devices.c.id)
    query = select(devices.c.clock_offset_us, devices.c.clock_error_us).select_from(joined)
    return _clock_facts(conn.execute(query.where(streams.c.id == stream_id)).one_or_none())


def _workstation_clock(conn: Connection, workstation_id: UUID) -> dict[str, Fact]:
    table = tables.workstation
    query = select(table.c.clock_offset_us, table.c.clock_error_us).where(table.c.id == workstation_id)
    return _clock_facts(conn.execute(query).one_or_none())


def _clock_facts(row: AnyRow | None) -> dict[str, Fact]:
    if row is None or row.clock_offset_us is None:
        return {}
    facts: dict[str, Fact] = {"clock_offset_us": row.clock_offset_us}
    if row.clock_error_us is not None:
        facts["clock_error_us"] = row.clock_error_us
    return facts


def _check_camera_segment(segment: CameraSegment) -> None:
    if segment.timescale <= 0 or segment.media_duration < 0:
        raise InvalidInput("segment_invalid", "timescale and media duration must be positive", id=str(segment.id))
    _check_media(segment)


def _check_screen_segment(segment: ScreenSegment, times: Sequence[int]) -> None:
    _check_media(segment)
    if len(times) != segment.pictures or not times:
        raise InvalidInput("segment_invalid", "the picture times do not fit the count", id=str(segment.id))
    inside = all(segment.t0_us <= time <= segment.t1_us for time in times)
    if not inside or list(times) != sorted(times):
        raise InvalidInput("segment_invalid", "picture times must ascend inside the segment", id=str(segment.id))


def _check_media(segment: CameraSegment | ScreenSegment) -> None:
    if segment.t1_us <= segment.t0_us or segment.size_bytes <= 0 or len(segment.sha256) != 32:
        raise InvalidInput("segment_invalid", "a segment has a length, bytes and a SHA-256", id=str(segment.id))


def _pieces(span: CoverageSpan) -> Iterator[CoverageSpan]:
    for t0_us in range(span.t0_us, span.t1_us, LONGEST_CLAIM_US):
        yield CoverageSpan(t0_us, min(t0_us + LONGEST_CLAIM_US, span.t1_us), span.state, span.detail)


def _check_span(span: CoverageSpan, author: Author) -> None:
    if span.t1_us <= span.t0_us:
        raise InvalidInput("coverage_invalid", "a span must end after it begins")
    try:
        state = CoverageState(span.state)
    except ValueError as error:
        raise InvalidInput("coverage_invalid", f"no such state: {span.state}") from error
    if author == "agent" and state in SERVER_ONLY_STATES:
        raise InvalidInput("coverage_invalid", f"only the server may write {state.value}")
