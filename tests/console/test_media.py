"""Footage over HTTP: purpose and audit before any byte, ranges, pictures in force, and the view log."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import select

from console.routes.guard import PURPOSE_HEADER
from console.services.byte_ranges import ByteRange, RangeNotSatisfiable, choose_range
from console.services.screens import ByteCache
from storage.archive import tables
from storage.archive.staging import staging_location
from storage.errors import Unavailable
from storage.model import CoverageSpan, PurposeCode, Role
from tests.console.footage_world import FailingAudit, FootageWorld, minutes
from tests.fakes.archive import Hall


@pytest.fixture
def world(small_hall: Hall) -> FootageWorld:
    made = FootageWorld(small_hall)
    made.log_in(Role.AUDITOR)
    return made


# --- ranges ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (0, 100, False)),
        ("bytes=0-9", (0, 10, True)),
        ("bytes=90-", (90, 10, True)),
        ("bytes=-10", (90, 10, True)),
        ("bytes=-500", (0, 100, True)),
        ("bytes=50-5000", (50, 50, True)),
        ("bytes=9-3", (0, 100, False)),
        ("bytes=0-1,5-6", (0, 100, False)),
        ("bytes=-", (0, 100, False)),
        ("bytes=x-9", (0, 100, False)),
        ("items=0-9", (0, 100, False)),
        ("bytes=" + "9" * 40 + "-", (0, 100, False)),
    ],
)
def test_a_range_header_chooses_bytes(header: str | None, expected: tuple[int, int, bool]) -> None:
    chosen = choose_range(header, 100, etag='"a"')

    assert (chosen.start, chosen.length, chosen.partial) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_outside_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        choose_range(header, 100, etag='"a"')


def test_a_changed_tag_gets_everything() -> None:
    assert not choose_range("bytes=0-9", 100, etag='"a"', if_range='"b"').partial
    assert not choose_range("bytes=0-9", 100, etag='"a"', if_range="Sat, 21 Nov 2026 00:00:00 GMT").partial
    assert choose_range("bytes=0-9", 100, etag='"a"', if_range='"a"').partial


@given(st.text(max_size=30), st.integers(0, 50))
def test_whatever_is_asked_the_answer_lies_inside(header: str, total: int) -> None:
    try:
        chosen = choose_range("bytes=" + header, total, etag='"a"')
    except RangeNotSatisfiable:
        return

    assert chosen.start >= 0
    assert chosen.start + chosen.length <= total
    assert chosen.partial or chosen == ByteRange(0, total, total, partial=False)


# --- segments -------------------------------------------------------------------------------------------------------
def test_a_segment_is_served_whole_and_by_range(world: FootageWorld) -> None:
    segment = world.record(world.hall.main_id, 1)[0]
    path = f"/api/media/segments/{segment.id}"

    whole = world.get(path)
    part = world.get(path, Range="bytes=10-19", If_Range=whole.headers["etag"])
    stale = world.get(path, Range="bytes=10-19", If_Range='"other"')
    outside = world.get(path, Range=f"bytes={segment.size_bytes}-")

    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    assert hashlib.sha256(whole.content).digest() == segment.sha256
    assert whole.headers["etag"] == f'"{segment.sha256.hex()}"'
    assert whole.headers["accept-ranges"] == "bytes"
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{segment.size_bytes}"
    assert (stale.status_code, stale.content) == (200, whole.content)
    assert (outside.status_code, outside.headers["content-range"]) == (416, f"bytes */{segment.size_bytes}")
    assert "no-store" in whole.headers["cache-control"]


def test_a_viewing_copy_is_on_record_as_derived(world: FootageWorld) -> None:
    segment = world.record(world.hall.main_id, 1)[0]
    world.converter.convertible.add(segment.id)

    copy = world.get(f"/api/media/segments/{segment.id}/converted")

    assert (copy.status_code, copy.content) == (200, b"derived picture")
    assert copy.headers["x-sunhall-derived"] == "h264"
    assert world.reader.opened == []
    with world.catalog.read() as conn:
        assert "derived" in str(conn.execute(select(tables.audit.c.detail)).scalar_one())


def test_a_segment_that_plays_has_no_viewing_copy(world: FootageWorld) -> None:
    segment = world.record(world.hall.main_id, 1)[0]
    refused = world.get(f"/api/media/segments/{segment.id}/converted")
    world.converter.away = True
    away = world.get(f"/api/media/segments/{segment.id}/converted")
    world.browser.headers.pop(PURPOSE_HEADER)

    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_convertible")
    assert away.status_code == 503
    assert world.get(f"/api/media/segments/{segment.id}/converted").status_code == 403


def test_without_a_purpose_no_byte_is_read(world: FootageWorld) -> None:
    segment = world.record(world.hall.main_id, 1)[0]
    path = f"/api/media/segments/{segment.id}"
    world.browser.headers.pop(PURPOSE_HEADER)

    missing = world.get(path)
    nonsense = world.get(path, X_Sunhall_Purpose="17")
    unknown = world.get(path, X_Sunhall_Purpose=str(uuid4()))

    assert [answer.status_code for answer in (missing, nonsense, unknown)] == [403, 422, 403]
    assert missing.json()["error"]["code"] == "purpose_required"
    assert world.reader.opened == []
    assert world.audited() == []


@pytest.mark.parametrize(
    ("role", "purpose", "status"),
    [
        (Role.SUPERVISOR, PurposeCode.PATROL, 200),
        (Role.AUDITOR, PurposeCode.COMMISSIONING, 403),
        (Role.HALL_ADMIN, PurposeCode.COMMISSIONING, 403),
        (Role.SYSTEM_ADMIN, PurposeCode.AUDIT, 403),
    ],
)
def test_roles_and_purposes_decide(world: FootageWorld, role: Role, purpose: PurposeCode, status: int) -> None:
    segment = world.record(world.hall.main_id, 1)[0]
    world.log_in(role, session="other", purpose=purpose)

    assert world.get(f"/api/media/segments/{segment.id}").status_code == status
    assert bool(world.reader.opened) == (status == 200)


def test_when_the_audit_row_cannot_be_written_nothing_is_served(world: FootageWorld) -> None:
    segment = world.record(world.hall.main_id, 1)[0]
    start = world.clock.now_us()
    world.record_screen(start, start + minutes(1), {start: 10})
    FailingAudit.away = True

    answers = [
        world.get(f"/api/media/segments/{segment.id}"),
        world.get(f"/api/media/screens/{world.hall.monitor_id}/at?t_us={start}"),
        world.get(f"/api/media/streams/{world.hall.main_id}/segments?from_us=0&to_us=1"),
    ]

    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert world.reader.opened == []
    assert world.audited() == []


def test_the_audit_row_is_there_before_the_object_is_opened_and_ranges_share_it(world: FootageWorld) -> None:
    segment = world.record(world.hall.main_id, 1)[0]
    path = f"/api/media/segments/{segment.id}"
    world.store.delete(segment.id)

    assert world.get(path).status_code == 500
    assert world.audited() == [("segment_view", f"segment:{segment.id}")]

    world.get(path, Range="bytes=0-1")
    assert len(world.audited()) == 1
    world.clock.advance(301)
    world.get(path)
    assert len(world.audited()) == 2


def test_a_segment_that_is_gone_is_not_found(world: FootageWorld) -> None:
    assert world.get(f"/api/media/segments/{uuid4()}").json()["error"]["code"] == "segment_not_found"


def test_a_segment_that_waits_at_its_gateway_is_read_there(world: FootageWorld) -> None:
    hall, start = world.hall, world.clock.now_us()
    run_id = world.ingest.open_run(hall.main_id, start)
    segment = hall.segment(run_id, start, start + minutes(1), b"0123456789")
    world.staged.objects[segment.id] = b"0123456789"
    world.ingest.commit_segment(segment, staging_location(hall.gateway_id))
    path = f"/api/media/segments/{segment.id}"

    part = world.get(path, Range="bytes=2-5")
    world.staged.away = True
    away = world.get(path)

    assert (part.status_code, part.content) == (206, b"2345")
    assert (away.status_code, away.json()["error"]["code"]) == (503, "gateway_away")


def test_segments_of_a_stream_are_listed_with_their_coverage(world: FootageWorld) -> None:
    start = world.clock.now_us()
    made = world.record(world.hall.main_id, 3)
    path = f"/api/media/streams/{world.hall.main_id}/segments"

    shown = world.get(f"{path}?from_us={start + minutes(1)}&to_us={start + minutes(3)}").json()

    assert [item["id"] for item in shown["segments"]] == [str(item.id) for item in made[1:]]
    assert [item["state"] for item in shown["coverage"]] == ["recorded"]
    assert world.get(f"{path}?from_us=5&to_us=5").json()["error"]["code"] == "span_invalid"
    assert world.get(f"{path}?from_us=0&to_us={26 * 3600 * 10**6}").json()["error"]["code"] == "span_invalid"
    assert world.get(f"/api/media/streams/{uuid4()}/segments?from_us=0&to_us=1").status_code == 404


# --- the view log ---------------------------------------------------------------------------------------------------
def test_a_contiguous_range_becomes_one_view_leaf(world: FootageWorld) -> None:
    made = world.record(world.hall.main_id, 5)
    for segment in (made[0], made[1], made[2]):
        world.get(f"/api/media/segments/{segment.id}")
    assert world.views.run_once() == 0

    world.clock.advance(61)
    assert world.views.run_once() == 1
    world.get(f"/api/media/segments/{made[4].id}")
    world.views.stop()

    shown = [(leaf["watched"], leaf["t0"], leaf["t1"]) for leaf in world.leaves("view")]
    lane = str(world.hall.main_id)
    assert shown == [(lane, made[0].t0_us, made[2].t1_us), (lane, made[4].t0_us, made[4].t1_us)]
    assert world.leaves("view")[0]["purpose"] == world.browser.headers[PURPOSE_HEADER]


def test_a_jump_on_the_lane_ends_the_range(world: FootageWorld) -> None:
    made = world.record(world.hall.main_id, 5)
    for segment in (made[0], made[4], made[3]):
        world.get(f"/api/media/segments/{segment.id}")

    assert world.views.run_once() == 1
    world.views.stop()

    assert [(leaf["t0"], leaf["t1"]) for leaf in world.leaves("view")] == [
        (made[0].t0_us, made[0].t1_us),
        (made[3].t0_us, made[4].t1_us),
    ]


def test_the_view_log_writes_by_itself(world: FootageWorld) -> None:
    made = world.record(world.hall.main_id, 1)
    world.get(f"/api/media/segments/{made[0].id}")
    world.views.start()
    try:
        while not world.leaves("view"):  # the fake clock's waits move the time
            pass
    finally:
        world.views.stop()

    assert len(world.leaves("view")) == 1


def test_ranges_wait_while_the_catalog_is_away(world: FootageWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.record(world.hall.main_id, 1)
    world.get(f"/api/media/segments/{made[0].id}")
    world.clock.advance(61)

    def away() -> None:
        raise Unavailable("catalog_away")

    with monkeypatch.context() as broken:
        broken.setattr(world.catalog, "write", away)
        with pytest.raises(Unavailable):
            world.views.run_once()

    assert world.views.run_once() == 1
    assert len(world.leaves("view")) == 1


# --- screens --------------------------------------------------------------------------------------------------------
def picture(world: FootageWorld, t_us: int, accept: str = "image/png") -> tuple[int, int, str]:
    """(grey of the middle, time taken, media type) of the picture at a moment."""
    answer = world.get(f"/api/media/screens/{world.hall.monitor_id}/at?t_us={t_us}", Accept=accept)
    assert answer.status_code == 200, answer.text
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    assert pixels.shape == (64, 128, 3)
    return int(pixels[32, 64, 0]), int(answer.headers["x-sunhall-picture-us"]), answer.headers["content-type"]


def test_the_picture_in_force_is_the_last_one_taken(world: FootageWorld) -> None:
    start = world.clock.now_us()
    second = start + minutes(0.5)
    world.record_screen(start, start + minutes(1), {start: 10, second: 200})
    world.clock.advance(120)

    assert picture(world, start) == (10, start, "image/png")
    assert picture(world, second - 1) == (10, start, "image/png")
    assert picture(world, second, "image/webp,*/*") == (200, second, "image/webp")
    assert picture(world, second, "*/*") == (200, second, "image/webp"), "what a page's fetch says"
    assert picture(world, start + minutes(1) - 1) == (200, second, "image/png")
    assert len(world.reader.opened) == 1
    assert len(world.audited()) == 1


def test_a_picture_stands_while_the_ledger_says_unchanged_and_no_longer(world: FootageWorld) -> None:
    start = world.clock.now_us()
    world.record_screen(start, start + minutes(1), {start: 10})
    end = start + minutes(1)
    world.ingest.record_coverage(
        world.hall.monitor_id,
        [
            CoverageSpan(start, end, "recording"),
            CoverageSpan(end, end + minutes(9), "unchanged"),
            CoverageSpan(end + minutes(9), end + minutes(10), "locked"),
        ],
    )
    world.clock.advance(3600)
    path = f"/api/media/screens/{world.hall.monitor_id}/at?t_us="

    assert picture(world, end + minutes(8))[:2] == (10, start)
    locked, before = world.get(f"{path}{end + minutes(9.5)}"), world.get(f"{path}{start - 1}")

    assert (locked.status_code, locked.json()["error"]["code"]) == (404, "no_picture")
    assert locked.json()["error"]["fields"] == {"state": "locked"}
    assert before.json()["error"]["code"] == "no_picture"


def test_a_damaged_group_is_an_error_and_not_a_picture(world: FootageWorld) -> None:
    start = world.clock.now_us()
    segment = world.record_screen(start, start + minutes(1), {start: 10})
    world.store.delete(segment.id)
    world.store.put_bytes(segment.id, b"not a screen segment")

    answer = world.get(f"/api/media/screens/{world.hall.monitor_id}/at?t_us={start}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "object_damaged")


def test_the_cache_keeps_what_was_used_last_within_its_bytes() -> None:
    cache: ByteCache[str] = ByteCache(100)
    made: list[str] = []

    def get(key: str) -> None:
        def make() -> bytes:
            made.append(key)
            return bytes(40)

        assert len(cache.get(key, make)) == 40

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)

    assert made == ["a", "b", "c", "b"]
    assert cache.size == 80
    assert len(cache.get("huge", lambda: bytes(500))) == 500
    assert cache.size == 0


def test_nothing_under_the_console_reads_media_in_a_transaction(world: FootageWorld, tmp_path: Path) -> None:
    segment = world.record(world.hall.main_id, 1)[0]
    opened = world.reader.inner.open("segment", segment.id)

    with world.catalog.write() as conn:  # a write transaction goes through while pieces are still to be read
        conn.exec_driver_sql("UPDATE hall SET name = 'x'")
    assert b"".join(opened)
