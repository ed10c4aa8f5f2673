"""Replays the chains against the rows and the rows against the objects; reads only, in bounded memory.

Levels, each with those before it (costs: docs/storage.md): `rows` (hashes, order and heads of all chains; every leaf
has its row and every row its leaf), `presence` (every object is there with its size), `hash` (every byte is read).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection, Row, Table, select

from storage.archive import tables
from storage.archive.catalog import Catalog
from storage.archive.objects import sha256_of
from storage.errors import InvalidInput, ObjectMissing, Unavailable
from storage.evidence.leaf import NO_PREVIOUS, Leaf, decode, leaf_hash
from storage.model import CoverageState, LeafKind, StreamKind

PAGE = 500
KEPT_FINDINGS = 1000
AnyRow = Row[*tuple[Any, ...]]


class Level(IntEnum):
    """How much is proved."""

    ROWS = 1
    PRESENCE = 2
    HASH = 3

    @classmethod
    def named(cls, name: str) -> Level:
        """The level a command line names. Raises InvalidInput (`level_unknown`)."""
        try:
            return cls[name.upper()]
        except KeyError as error:
            known = ", ".join(level.name.lower() for level in cls)
            raise InvalidInput("level_unknown", f"no level {name}: use one of {known}") from error


class ReadableStore(Protocol):
    """What verify needs of a store; a gateway's `StagingFolder` is one too."""

    def size(self, object_id: UUID, /) -> int:
        """Bytes. Raises ObjectMissing, Unavailable."""
        ...

    def read(self, object_id: UUID, /) -> Iterator[bytes]:
        """All bytes. Raises ObjectMissing, Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be. `code` is stable; `subject` is `stream:<id>` or `object:<id>`."""

    code: str
    subject: str
    detail: str = ""


@dataclass
class Report:
    """What verify saw. The first thousand findings are kept, all are counted."""

    level: Level
    streams: int = 0
    leaves: int = 0
    objects: int = 0
    bytes_read: int = 0
    unreachable: int = 0
    """Objects that could not be looked at (staged elsewhere, or their store is away): neither good nor bad."""
    count: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The exit status: 0 all as it must be, 1 something is wrong, 2 not everything could be looked at."""
        if self.count:
            return 1
        return 2 if self.unreachable else 0

    def add(self, code: str, subject: str, detail: str = "") -> None:
        self.count += 1
        if len(self.findings) < KEPT_FINDINGS:
            self.findings.append(Finding(code, subject, detail))

    def lines(self) -> Iterator[str]:
        """The report for people and programs: one line a finding, then one line of counts."""
        for finding in self.findings:
            yield f"{finding.code} {finding.subject} {finding.detail}".rstrip()
        if self.count > len(self.findings):
            yield f"... and {self.count - len(self.findings)} more"
        yield (
            f"level={self.level.name.lower()} streams={self.streams} leaves={self.leaves} objects={self.objects} "
            f"bytes_read={self.bytes_read} unreachable={self.unreachable} findings={self.count}"
        )


def verify(catalog: Catalog, stores: Mapping[str, ReadableStore], level: Level) -> Report:
    """Check the archive, which may be at work meanwhile: what commits during the run is not held against it.

    `stores` by location, staging folders included.
    """
    report = Report(level)
    for stream_id, kind in _streams(catalog):
        report.streams += 1
        _ChainCheck(catalog, report, stream_id, kind).run()
    if level >= Level.PRESENCE:
        for table in (tables.segment, tables.screen_segment):
            _check_objects(catalog, stores, report, table)
    return report


def _streams(catalog: Catalog) -> list[tuple[UUID, str | None]]:
    """Every stream that has a head, a leaf or a row (one with rows and no head was tampered with)."""
    heads = tables.stream_head
    found: dict[UUID, str | None] = {}
    with catalog.read() as conn:
        for column in (tables.leaf.c.stream_id, tables.segment.c.stream_id, tables.gap.c.stream_id):
            found.update(dict.fromkeys(conn.execute(select(column).distinct()).scalars()))
        for column in (tables.screen_segment.c.monitor_id, tables.coverage.c.monitor_id):
            found.update(dict.fromkeys(conn.execute(select(column).distinct()).scalars(), StreamKind.SCREEN.value))
        found.update({row.stream_id: row.kind for row in conn.execute(select(heads.c.stream_id, heads.c.kind))})
    return sorted(found.items())


@dataclass
class _Tally:
    """An order-free fingerprint of a set of ids: equal sets have equal tallies, and a swap of two ids shows."""

    count: int = 0
    total: int = 0

    def add(self, object_id: UUID, times: int = 1) -> None:
        self.count += times
        self.total = (self.total + times * object_id.int) % (1 << 128)


class _ChainCheck:
    """One stream: its leaves in order, each against its row, then the head and what is left of the rows."""

    def __init__(self, catalog: Catalog, report: Report, stream_id: UUID, kind: str | None) -> None:
        self._catalog = catalog
        self._report = report
        self._stream_id = stream_id
        self._screen = kind == StreamKind.SCREEN
        self._sequence = 0
        self._hash = NO_PREVIOUS
        self._media, self._states = _Tally(), _Tally()
        self._missing: dict[UUID, int] = {}  # media leaves without a row, until their delete leaf comes
        self._open: dict[UUID, Leaf] = {}  # gap leaves that no later leaf closed

    def run(self) -> None:
        while True:
            with self._catalog.read() as conn:
                page = self._page(conn)
                self._check_page(conn, page)
                if len(page) < PAGE:
                    self._finish(conn)
                    return

    def _page(self, conn: Connection) -> Sequence[AnyRow]:
        table = tables.leaf
        query = select(table.c.sequence, table.c.kind, table.c.hash, table.c.body)
        query = query.where(table.c.stream_id == self._stream_id, table.c.sequence > self._sequence)
        return conn.execute(query.order_by(table.c.sequence).limit(PAGE)).all()

    def _check_page(self, conn: Connection, page: Sequence[AnyRow]) -> None:
        leaves = [leaf for row in page if (leaf := self._link(row)) is not None]
        by_kind: dict[LeafKind, list[Leaf]] = {}
        for leaf in leaves:
            by_kind.setdefault(leaf.kind, []).append(leaf)
        media = by_kind.get(LeafKind.SCREEN if self._screen else LeafKind.SEGMENT, [])
        self._match_media(media, _rows(conn, self._media_table, [_uuid(leaf) for leaf in media]))
        gaps = by_kind.get(LeafKind.GAP, [])
        self._match_states(gaps, _rows(conn, self._state_table, [_uuid(leaf) for leaf in gaps]))
        for leaf in by_kind.get(LeafKind.DELETE, []):
            self._match_deletion(leaf)

    def _link(self, row: AnyRow) -> Leaf | None:
        """Check one leaf's place in the chain; None when its bytes are no leaf."""
        self._report.leaves += 1
        body, kept = bytes(row.body), bytes(row.hash)
        if row.sequence != self._sequence + 1:
            self._add("sequence_broken", f"{self._sequence} is followed by {row.sequence}")
        if leaf_hash(body) != kept:
            self._add("leaf_hash", f"sequence {row.sequence}: the bytes do not have the kept hash")
        expected, self._sequence, self._hash = self._hash, row.sequence, kept
        try:
            leaf = decode(body)
        except InvalidInput as error:
            self._add("leaf_malformed", f"sequence {row.sequence}: {error}")
            return None
        said = (leaf.stream_id, leaf.sequence, leaf.kind.value)
        if said != (self._stream_id, row.sequence, row.kind):
            self._add("leaf_differs", f"sequence {row.sequence}: the leaf says it is {said[2]} {said[1]} of {said[0]}")
        if leaf.previous != expected:
            self._add("previous_mismatch", f"sequence {row.sequence} does not name the leaf before it")
        return leaf

    def _match_media(self, leaves: Sequence[Leaf], rows: Mapping[UUID, AnyRow]) -> None:
        for leaf in leaves:
            object_id = _uuid(leaf)
            row = rows.get(object_id)
            if row is None:
                self._missing[object_id] = leaf.sequence
                continue
            self._media.add(object_id)
            owner = row.monitor_id if self._screen else row.stream_id
            kept = (owner, row.t0_us, row.t1_us, bytes(row.sha256).hex(), row.bytes)
            facts = leaf.facts
            said = (self._stream_id, facts.get("t0_us"), facts.get("t1_us"), facts.get("sha256"), facts.get("bytes"))
            if kept != said:
                self._add("row_differs", f"sequence {leaf.sequence}: the row of {object_id} is not what was logged")

    def _match_states(self, leaves: Sequence[Leaf], rows: Mapping[UUID, AnyRow]) -> None:
        for leaf in leaves:
            row_id, row = _uuid(leaf), rows.get(_uuid(leaf))
            if leaf.facts.get("state") != "closed":  # a closing leaf is about a row that was counted at its opening
                self._states.add(row_id)
            if row is None:
                self._add("row_missing", f"sequence {leaf.sequence}: gap or coverage {row_id} has no row")
                continue
            reason = row.state if self._screen else row.reason
            if (reason, row.t0_us) != (leaf.facts.get("reason"), leaf.facts.get("t0_us")):
                self._add("row_differs", f"sequence {leaf.sequence}: the row of {row_id} is not what was logged")
            self._match_end(leaf, row_id, row)

    def _match_end(self, leaf: Leaf, row_id: UUID, row: AnyRow) -> None:
        if leaf.facts.get("state") == "open":
            self._open[row_id] = leaf
            return
        self._open.pop(row_id, None)
        if row.t1_us != leaf.facts.get("t1_us"):
            self._add("row_differs", f"sequence {leaf.sequence}: the end of {row_id} is not what was logged")

    def _match_deletion(self, leaf: Leaf) -> None:
        object_id = _uuid(leaf)
        if self._missing.pop(object_id, None) is None:  # the row was still there when its leaf was checked
            self._media.add(object_id, -1)

    def _finish(self, conn: Connection) -> None:
        """In the snapshot of the last page, so that leaves, head and rows are of one moment."""
        self._check_head(conn)
        for object_id, sequence in self._missing.items():
            self._add("row_missing", f"sequence {sequence}: {object_id} has no row and no delete leaf")
        self._check_left(conn, self._media_table, self._media, ())
        only = (tables.coverage.c.state != CoverageState.RECORDING.value,) if self._screen else ()
        self._check_left(conn, self._state_table, self._states, only)
        for row_id, row in _rows(conn, self._state_table, list(self._open)).items():
            if row.t1_us is not None:
                self._add("row_differs", f"gap {row_id} ended without a leaf")

    def _check_head(self, conn: Connection) -> None:
        heads = tables.stream_head
        row = conn.execute(select(heads).where(heads.c.stream_id == self._stream_id)).one_or_none()
        if row is None:
            self._add("head_missing", "the stream has leaves or rows and no head")
        elif (row.sequence, bytes(row.hash)) != (self._sequence, self._hash):
            self._add("head_mismatch", f"the head says {row.sequence}, the last leaf is {self._sequence}")

    def _check_left(self, conn: Connection, table: Table, logged: _Tally, only: Sequence[Any]) -> None:
        """Rows that no leaf names: counted by tally, and looked up one by one only when the tallies differ."""
        owner = table.c.monitor_id if self._screen else table.c.stream_id
        found = _Tally()
        for row_id in conn.execute(select(table.c.id).where(owner == self._stream_id, *only)).scalars():
            found.add(row_id)
        if found != logged:
            self._add("leaf_missing", f"{table.name}: {found.count} rows, {logged.count} of them logged")

    @property
    def _media_table(self) -> Table:
        return tables.screen_segment if self._screen else tables.segment

    @property
    def _state_table(self) -> Table:
        return tables.coverage if self._screen else tables.gap

    def _add(self, code: str, detail: str) -> None:
        self._report.add(code, f"stream:{self._stream_id}", detail)


def _uuid(leaf: Leaf) -> UUID:
    """The id that a leaf is about; nil when it names none (nothing has that id, so it is found missing)."""
    try:
        return UUID(str(leaf.facts.get("id", "")))
    except ValueError:
        return UUID(int=0)


def _rows(conn: Connection, table: Table, ids: Sequence[UUID]) -> dict[UUID, AnyRow]:
    found: dict[UUID, AnyRow] = {}
    for start in range(0, len(ids), PAGE):
        query = select(table).where(table.c.id.in_(ids[start : start + PAGE]))
        found.update({row.id: row for row in conn.execute(query)})
    return found


# --- rows against objects --------------------------------------------------------------------------------------------
def _check_objects(catalog: Catalog, stores: Mapping[str, ReadableStore], report: Report, table: Table) -> None:
    """Every row's object, in the order of ids, in pages: no transaction is open while objects are read."""
    last = UUID(int=0)
    columns = (table.c.id, table.c.location, table.c.bytes, table.c.sha256)
    while True:
        with catalog.read() as conn:
            page = conn.execute(select(*columns).where(table.c.id > last).order_by(table.c.id).limit(PAGE)).all()
        for row in page:
            report.objects += 1
            _check_object(catalog, stores, report, table, row)
        if len(page) < PAGE:
            return
        last = page[-1].id


def _check_object(
    catalog: Catalog, stores: Mapping[str, ReadableStore], report: Report, table: Table, row: AnyRow
) -> None:
    store = stores.get(row.location)
    if store is None:
        report.unreachable += 1
        return
    try:
        wrong = _compare(store, report, row)
    except Unavailable:
        report.unreachable += 1
        return
    except ObjectMissing:
        wrong = "object_missing"
    if wrong and _still_there(catalog, table, row):
        report.add(wrong, f"object:{row.id}", f"at {row.location}")


def _compare(store: ReadableStore, report: Report, row: AnyRow) -> str:
    """What is wrong with an object; empty: nothing."""
    if store.size(row.id) != row.bytes:
        return "object_size"
    if report.level < Level.HASH:
        return ""
    digest, size = sha256_of(store.read(row.id))
    report.bytes_read += size
    return "" if digest == bytes(row.sha256) else "object_hash"


def _still_there(catalog: Catalog, table: Table, row: AnyRow) -> bool:
    """Whether the row still points there: retention or the uploader may have come between."""
    with catalog.read() as conn:
        found = conn.execute(select(table.c.location).where(table.c.id == row.id)).scalar_one_or_none()
    return bool(found == row.location)
