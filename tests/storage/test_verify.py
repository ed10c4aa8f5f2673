"""An honest archive passes; every way to cheat is found. On both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import ColumnElement, delete, insert, select, update

from storage.archive import tables
from storage.archive.ingest import Ingest
from storage.archive.objects import DiskStore
from storage.archive.retention import Retention
from storage.archive.staging import StagingFolder
from storage.archive.verify import Level, Report, verify
from storage.clock import US
from storage.errors import InvalidInput, Unavailable
from storage.evidence.leaf import Leaf, encode, leaf_hash
from storage.ids import new_id
from storage.model import CameraSegment, CoverageSpan, GapReason, LeafKind, RunEnd
from tests.fakes.archive import MINUTE, Hall


@dataclass
class Archive:
    """A small hall with a past: three cameras' worth of kinds of rows, a real outage, deletions."""

    hall: Hall
    store: DiskStore
    segments: list[CameraSegment]
    screen_id: UUID

    def verify(self, level: Level = Level.HASH) -> Report:
        return verify(self.hall.catalog, {"disk": self.store}, level)

    def codes(self, level: Level = Level.HASH) -> set[str]:
        report = self.verify(level)
        assert report.status == (1 if report.findings else 0)
        return {finding.code for finding in report.findings}


@pytest.fixture
def archive(any_hall: Hall, tmp_path: Path) -> Archive:
    hall, store = any_hall, DiskStore(tmp_path / "objects")
    ingest = Ingest(hall.catalog, hall.clock, "g")
    hall.record(ingest, store, 2)
    hall.clock.advance(31 * 24 * 3600)
    Retention(hall.catalog, {"disk": store}, hall.clock).run_once()
    segments = hall.record(ingest, store, 3)
    ingest.close_run(segments[-1].run_id, segments[-1].t1_us, RunEnd.NETWORK)
    hall.clock.advance(120)  # a real two-minute outage
    segments += hall.record(ingest, store, 2)
    hall.record(ingest, store, 1, stream_id=hall.sub_id)
    ingest.open_gap(hall.sub_id, hall.clock.now_us(), GapReason.REFUSED)
    now = hall.clock.now_us()
    screen = hall.screen(now, now + 10 * US, b"pictures")
    ingest.take_screen(store, screen, [now], b"pictures")
    spans = [CoverageSpan(now, now + 10 * US, "recording"), CoverageSpan(now + 10 * US, now + 20 * US, "locked")]
    ingest.record_coverage(hall.monitor_id, spans)
    ingest.mark_silence(hall.monitor_id, now + MINUTE)
    return Archive(hall, store, segments, screen.id)


@pytest.mark.parametrize("level", list(Level))
def test_an_honest_archive_with_an_outage_and_deletions_passes(archive: Archive, level: Level) -> None:
    report = archive.verify(level)
    assert (list(report.findings), report.status, report.count) == ([], 0, 0)
    assert report.streams == 4  # main, sub, screen, the hall's holds
    assert report.objects == (7 if level >= Level.PRESENCE else 0)
    assert (report.bytes_read > 0) == (level == Level.HASH)
    assert list(report.lines())[-1].endswith("findings=0")


Cheat = Callable[[Archive], None]


def flip_a_bit(archive: Archive) -> None:
    path = archive.store.path(archive.segments[1].id)
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)


def cut_an_object(archive: Archive) -> None:
    path = archive.store.path(archive.screen_id)
    path.write_bytes(path.read_bytes()[:-1])


def lose_an_object(archive: Archive) -> None:
    archive.store.path(archive.segments[0].id).unlink()


def replace_object_and_hash(archive: Archive) -> None:
    archive.store.path(archive.segments[0].id).write_bytes(b"forged")
    edit_segment(archive, sha256=bytes(32), bytes=6)


def edit_segment(archive: Archive, **values: object) -> None:
    table = tables.segment
    with archive.hall.catalog.write() as conn:
        conn.execute(update(table).where(table.c.id == archive.segments[0].id).values(**values))


def move_a_segment_in_time(archive: Archive) -> None:
    edit_segment(archive, t0_us=archive.segments[0].t0_us - 1)


def drop_a_row(archive: Archive) -> None:
    with archive.hall.catalog.write() as conn:
        conn.execute(delete(tables.segment).where(tables.segment.c.id == archive.segments[1].id))


def add_a_row(archive: Archive) -> None:
    table = tables.segment
    with archive.hall.catalog.write() as conn:
        row = dict(conn.execute(select(table).where(table.c.id == archive.segments[1].id)).mappings().one())
        conn.execute(insert(table).values(**row | {"id": new_id(archive.hall.clock)}))


def drop_a_leaf(archive: Archive) -> None:
    with archive.hall.catalog.write() as conn:
        conn.execute(delete(tables.leaf).where(*is_leaf(archive, 6)))


def drop_a_deletion(archive: Archive) -> None:
    with archive.hall.catalog.write() as conn:
        conn.execute(delete(tables.leaf).where(*is_leaf(archive, 3)))


def cut_the_tail(archive: Archive) -> None:
    table = tables.leaf
    with archive.hall.catalog.write() as conn:
        conn.execute(delete(table).where(table.c.stream_id == archive.hall.main_id, table.c.sequence > 6))


def cut_the_tail_with_its_rows(archive: Archive) -> None:
    last = archive.segments[-1].id
    with archive.hall.catalog.write() as conn:
        conn.execute(delete(tables.leaf).where(*is_leaf(archive, 13)))
        conn.execute(delete(tables.segment).where(tables.segment.c.id == last))


def swap_two_leaves(archive: Archive) -> None:
    table = tables.leaf
    with archive.hall.catalog.write() as conn:
        for old, new in ((5, -1), (6, 5), (-1, 6)):
            conn.execute(update(table).where(*is_leaf(archive, old)).values(sequence=new))


def edit_a_leaf(archive: Archive) -> None:
    with archive.hall.catalog.write() as conn:
        body = bytes(conn.execute(select(tables.leaf.c.body).where(*is_leaf(archive, 5))).scalar_one())
        conn.execute(update(tables.leaf).where(*is_leaf(archive, 5)).values(body=body.replace(b'"g"', b'"h"')))


def edit_a_leaf_and_its_hash(archive: Archive) -> None:
    with archive.hall.catalog.write() as conn:
        body = bytes(conn.execute(select(tables.leaf.c.body).where(*is_leaf(archive, 5))).scalar_one())
        forged = body.replace(b'"g"', b'"h"')
        conn.execute(update(tables.leaf).where(*is_leaf(archive, 5)).values(body=forged, hash=leaf_hash(forged)))


def move_a_leaf_to_another_stream(archive: Archive) -> None:
    with archive.hall.catalog.write() as conn:
        head = conn.execute(
            select(tables.stream_head).where(tables.stream_head.c.stream_id == archive.hall.sub_id)
        ).one()
        wrong = Leaf(LeafKind.VIEW, archive.hall.main_id, head.sequence + 1, bytes(head.hash), {"id": "x"})
        body = encode(wrong)
        values = {"stream_id": archive.hall.sub_id, "sequence": head.sequence + 1, "kind": "view", "body": body}
        conn.execute(insert(tables.leaf).values(hash=leaf_hash(body), **values))
        new_head = {"sequence": head.sequence + 1, "hash": leaf_hash(body)}
        conn.execute(
            update(tables.stream_head).where(tables.stream_head.c.stream_id == archive.hall.sub_id).values(**new_head)
        )


def forge_the_head(archive: Archive) -> None:
    table = tables.stream_head
    with archive.hall.catalog.write() as conn:
        conn.execute(update(table).where(table.c.stream_id == archive.hall.sub_id).values(hash=bytes(32)))


def lose_the_head(archive: Archive) -> None:
    with archive.hall.catalog.write() as conn:
        conn.execute(delete(tables.stream_head).where(tables.stream_head.c.stream_id == archive.hall.main_id))


def hide_an_outage(archive: Archive) -> None:
    with archive.hall.catalog.write() as conn:
        conn.execute(delete(tables.gap).where(tables.gap.c.reason == "network"))


def shorten_an_outage(archive: Archive) -> None:
    with archive.hall.catalog.write() as conn:
        conn.execute(update(tables.gap).where(tables.gap.c.reason == "network").values(t1_us=tables.gap.c.t1_us - 1))


def rename_an_outage(archive: Archive) -> None:
    with archive.hall.catalog.write() as conn:
        conn.execute(update(tables.gap).where(tables.gap.c.reason == "network").values(reason="plan"))


def end_an_outage_silently(archive: Archive) -> None:
    with archive.hall.catalog.write() as conn:
        conn.execute(update(tables.gap).where(tables.gap.c.t1_us.is_(None)).values(t1_us=tables.gap.c.t0_us))


def excuse_a_silence(archive: Archive) -> None:
    with archive.hall.catalog.write() as conn:
        conn.execute(update(tables.coverage).where(tables.coverage.c.state == "agent_down").values(state="off_hours"))


def is_leaf(archive: Archive, sequence: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return tables.leaf.c.stream_id == archive.hall.main_id, tables.leaf.c.sequence == sequence


@pytest.mark.parametrize(
    ("cheat", "level", "expected"),
    [
        (flip_a_bit, Level.HASH, {"object_hash"}),
        (cut_an_object, Level.PRESENCE, {"object_size"}),
        (lose_an_object, Level.PRESENCE, {"object_missing"}),
        (replace_object_and_hash, Level.ROWS, {"row_differs"}),
        (move_a_segment_in_time, Level.ROWS, {"row_differs"}),
        (drop_a_row, Level.ROWS, {"row_missing"}),
        (add_a_row, Level.ROWS, {"leaf_missing"}),
        (drop_a_leaf, Level.ROWS, {"sequence_broken", "previous_mismatch", "leaf_missing"}),
        (drop_a_deletion, Level.ROWS, {"sequence_broken", "previous_mismatch", "row_missing"}),
        (cut_the_tail, Level.ROWS, {"head_mismatch", "leaf_missing", "row_differs"}),
        (cut_the_tail_with_its_rows, Level.ROWS, {"head_mismatch"}),
        (swap_two_leaves, Level.ROWS, {"leaf_differs", "previous_mismatch"}),
        (edit_a_leaf, Level.ROWS, {"leaf_hash"}),
        (edit_a_leaf_and_its_hash, Level.ROWS, {"previous_mismatch"}),
        (move_a_leaf_to_another_stream, Level.ROWS, {"leaf_differs"}),
        (forge_the_head, Level.ROWS, {"head_mismatch"}),
        (lose_the_head, Level.ROWS, {"head_missing"}),
        (hide_an_outage, Level.ROWS, {"row_missing", "leaf_missing"}),
        (shorten_an_outage, Level.ROWS, {"row_differs"}),
        (rename_an_outage, Level.ROWS, {"row_differs"}),
        (end_an_outage_silently, Level.ROWS, {"row_differs"}),
        (excuse_a_silence, Level.ROWS, {"row_differs"}),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_cheats_are_found(archive: Archive, cheat: Cheat, level: Level, expected: set[str]) -> None:
    assert archive.codes(level) == set()
    cheat(archive)
    assert archive.codes(level) == expected


def test_leaves_of_a_long_chain_are_read_in_pages(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.archive.verify.PAGE", 2)
    assert archive.codes() == set()
    drop_a_row(archive)
    assert archive.codes() == {"row_missing"}


def test_what_cannot_be_looked_at_is_neither_good_nor_bad(any_hall: Hall, tmp_path: Path) -> None:
    staging = StagingFolder(tmp_path / "staging", any_hall.gateway_id)
    ingest, t0 = Ingest(any_hall.catalog, any_hall.clock, "g"), any_hall.clock.now_us()
    segment = any_hall.segment(ingest.open_run(any_hall.main_id, t0), t0, t0 + MINUTE, b"staged")
    part = tmp_path / "x.part"
    part.write_bytes(b"staged")
    ingest.commit_segment(segment, staging.place(segment.id, part))
    report = verify(any_hall.catalog, {}, Level.HASH)
    assert (report.unreachable, report.count, report.status) == (1, 0, 2)
    assert verify(any_hall.catalog, {staging.location: staging}, Level.HASH).status == 0
    staging.path(segment.id).write_bytes(b"stAged")
    assert verify(any_hall.catalog, {staging.location: staging}, Level.HASH).status == 1


class AwayStore(DiskStore):
    """A store whose machine is gone."""

    def size(self, object_id: UUID) -> int:
        raise Unavailable("object_store_away", str(object_id))


def test_a_store_that_is_away_is_no_finding(archive: Archive, tmp_path: Path) -> None:
    report = verify(archive.hall.catalog, {"disk": AwayStore(tmp_path / "away")}, Level.PRESENCE)
    assert (report.unreachable, report.status) == (7, 2)


def test_an_object_that_moved_meanwhile_is_no_finding(archive: Archive, tmp_path: Path) -> None:
    class Moving(DiskStore):
        def size(self, object_id: UUID) -> int:
            with archive.hall.catalog.write() as conn:
                conn.execute(update(tables.segment).where(tables.segment.c.id == object_id).values(location="s3"))
                conn.execute(update(tables.screen_segment).values(location="s3"))
            return super().size(object_id)

    assert verify(archive.hall.catalog, {"disk": Moving(tmp_path / "empty")}, Level.PRESENCE).findings == []


def test_findings_are_bounded_and_all_counted() -> None:
    report = Report(Level.ROWS)
    for number in range(1500):
        report.add("leaf_hash", f"stream:{number}")
    assert (len(report.findings), report.count, report.status) == (1000, 1500, 1)
    assert "... and 500 more" in list(report.lines())


def test_levels_are_named_for_the_command_line() -> None:
    assert [Level.named(name) for name in ("rows", "presence", "hash")] == list(Level)
    with pytest.raises(InvalidInput, match="use one of rows, presence, hash"):
        Level.named("all")
