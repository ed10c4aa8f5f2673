"""Event intake: what is taken, what is refused and why, what repeats, what is missing, and what it does to visits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from console.services.event_parsing import EventContext, ParsedEvent, parse_events, read_batch, read_time
from console.services.intake import window_of
from storage.archive.alarms import is_open
from storage.archive.periodic import Periodic
from storage.archive.tables import alarm, case_event, event_source, leaf, visit
from storage.clock import US
from storage.errors import InvalidInput, NotAuthenticated
from storage.identity.requests import SharedSecret, sign_headers
from storage.model import AlarmKind, TimePrecision
from tests.console.case_world import INTAKE, CaseWorld, at_us, event, source_row_secret

NUMBER = "滁政务〔2026〕第000123号"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CaseWorld]:
    made = CaseWorld.at(tmp_path)
    yield made
    made.catalog.close()


# --- reading --------------------------------------------------------------------------------------------------------
NOW = at_us("10:00:00")
WITH_ZONE = EventContext(ZoneInfo("Asia/Shanghai"), NOW)
WITHOUT_ZONE = EventContext(None, NOW)


@pytest.mark.parametrize(
    ("text", "expected", "precision"),
    [
        ("2026-11-20T09:30:00+08:00", "09:30:00", TimePrecision.SECOND),
        ("2026-11-20T01:30:00Z", "09:30:00", TimePrecision.SECOND),
        ("2026-11-20 09:30", "09:30:00", TimePrecision.MINUTE),
        ("2026-11-20T09:30:00.250000", "09:30:00.250000", TimePrecision.MICROSECOND),
        ("2026-11-20", "00:00:00", TimePrecision.DAY),
    ],
)
def test_times_are_read_with_the_precision_they_show(text: str, expected: str, precision: TimePrecision) -> None:
    assert read_time(text, WITH_ZONE) == (at_us(expected), precision)


@pytest.mark.parametrize(
    ("text", "context", "code"),
    [
        ("2026-11-20T09:30:00", WITHOUT_ZONE, "offset_required"),
        ("2026-11-20", WITHOUT_ZONE, "offset_required"),
        ("2026-02-30T09:30:00Z", WITH_ZONE, "time_invalid"),
        ("2026-11-20T24:00:01Z", WITH_ZONE, "time_invalid"),
        ("2026-11-20T09:30:00+25:00", WITH_ZONE, "time_invalid"),
        ("20261120T093000Z", WITH_ZONE, "time_invalid"),
        ("2026-11-20T09:30.5", WITH_ZONE, "time_invalid"),
        ("1999-12-31T00:00:00Z", WITH_ZONE, "time_too_old"),
        ("2062-11-20T09:30:00Z", WITH_ZONE, "time_in_future"),
        ("2026-03-29T02:30:00", EventContext(ZoneInfo("Europe/Berlin"), NOW), "time_does_not_exist"),
    ],
)
def test_times_that_cannot_be_meant_are_refused(text: str, context: EventContext, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_time(text, context)

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("intake", "expected"),
    [
        ("2026-10-25T00:31:00+00:00", "2026-10-25T00:30:00+00:00"),
        ("2026-10-25T01:31:00+00:00", "2026-10-25T01:30:00+00:00"),
        ("2026-11-25T01:31:00+00:00", "2026-10-25T00:30:00+00:00"),
    ],
)
def test_a_local_time_that_happens_twice_is_the_one_near_the_intake(intake: str, expected: str) -> None:
    berlin = EventContext(ZoneInfo("Europe/Berlin"), round(datetime.fromisoformat(intake).timestamp() * US))

    moment, _ = read_time("2026-10-25T02:30:00", berlin)

    assert moment == round(datetime.fromisoformat(expected).timestamp() * US)


GOOD = {"sequence": 1, "kind": "accepted", "case_number": NUMBER, "at": "2026-11-20T09:30:00+08:00"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "arrived"}, "kind_unknown"),
        ({"kind": ["called"]}, "kind_unknown"),
        ({"sequence": -1}, "sequence_invalid"),
        ({"sequence": True}, "sequence_invalid"),
        ({"sequence": 1 << 63}, "sequence_invalid"),
        ({"case_number": ""}, "case_number_required"),
        ({"case_number": "〔〕--"}, "case_number_empty"),
        ({"case_number": "1" * 65}, "case_number_long"),
        ({"case_number": 17}, "wrong_type"),
        ({"kind": "called", "case_number": None}, "ticket_required"),
        ({"window": 3}, "wrong_type"),
        ({"step": "审" * 201}, "text_long"),
        ({"staff": "王\x00芳"}, "bad_characters"),
        ({"staff": "\ud800"}, "bad_characters"),
        ({"caseNumber": "1"}, "field_unknown"),
        ({"at": 1795138200}, "time_invalid"),
        ({"at": "2026-11-20T09:30+08:00", "precision": "second"}, "precision_too_fine"),
        ({"precision": "hour"}, "precision_unknown"),
    ],
)
def test_each_wrong_field_has_its_own_code(change: dict[str, object], code: str) -> None:
    events, rejections = parse_events([GOOD, GOOD | change], WITH_ZONE)

    assert [item.index for item in events] == [0]
    assert [(item.index, item.code) for item in rejections] == [(1, code)]


def test_a_stated_precision_may_be_coarser_than_the_text() -> None:
    events, _ = parse_events([GOOD | {"precision": "minute"}], WITH_ZONE)

    assert [item.precision for item in events] == [TimePrecision.MINUTE]


def test_the_order_of_keys_does_not_change_the_digest() -> None:
    turned = dict(reversed(GOOD.items()))

    def digest(item: dict[str, object]) -> bytes:
        events: list[ParsedEvent] = parse_events([item], WITH_ZONE)[0]
        return events[0].digest

    assert digest(turned) == digest(GOOD)
    assert digest(GOOD | {"staff": "王芳"}) != digest(GOOD)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "body_not_json"),
        (b"\xff\xfe", "body_not_json"),
        (b"[" * 100_000, "body_not_json"),
        (b"NaN", "body_not_json"),
        (b'{"sequence": ' + b"9" * 5000 + b"}", "body_not_json"),
        (b"17", "body_not_events"),
        (json.dumps([GOOD] * 501).encode(), "too_many_events"),
        (b" " * ((1 << 20) + 1), "body_too_large"),
    ],
)
def test_bodies_that_are_no_batch_are_refused_whole(body: bytes, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_batch(body)

    assert caught.value.code == code


def test_windows_are_found_by_number_in_any_width() -> None:
    three = UUID(int=3)

    assert window_of({3: three}, "3") == three
    assert window_of({3: three}, "０3") == three
    assert window_of({3: three}, "3号") is None
    assert window_of({3: three}, "") is None


# --- who sends ------------------------------------------------------------------------------------------------------
def test_a_signed_batch_is_the_sources_and_a_repeat_of_the_request_is_not_taken(world: CaseWorld) -> None:
    source = world.add_source()
    signer = SharedSecret(world.secrets["approval"].encode())
    headers = sign_headers(signer, "approval", "POST", INTAKE, b"[]", world.clock)

    batch = world.sources.authenticate(headers, "POST", INTAKE, b"[]")

    assert (batch.source.id, batch.source.zone, batch.body) == (source.id, ZoneInfo("Asia/Shanghai"), b"[]")
    with pytest.raises(NotAuthenticated, match="before"):
        world.sources.authenticate(headers, "POST", INTAKE, b"[]")


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [("approval", b"[1]", "signature_wrong"), ("stranger", b"[]", "key_unknown")],
)
def test_another_body_or_an_unknown_source_is_not_authentic(
    world: CaseWorld, code: str, body: bytes, expected: str
) -> None:
    world.add_source()
    headers = sign_headers(SharedSecret(world.secrets["approval"].encode()), code, "POST", INTAKE, b"[]", world.clock)

    with pytest.raises(NotAuthenticated) as caught:
        world.sources.authenticate(headers, "POST", INTAKE, body)

    assert caught.value.code == expected


def test_a_disabled_source_may_not_speak(world: CaseWorld) -> None:
    source = world.add_source()
    headers = sign_headers(
        SharedSecret(world.secrets["approval"].encode()), "approval", "POST", INTAKE, b"[]", world.clock
    )
    with world.catalog.write() as conn:
        conn.execute(update(event_source).where(event_source.c.id == source.id).values(disabled_us=1))

    with pytest.raises(NotAuthenticated):
        world.sources.authenticate(headers, "POST", INTAKE, b"[]")


def test_the_secret_is_nowhere_in_the_catalog_in_the_clear(world: CaseWorld) -> None:
    source = world.add_source()

    assert world.secrets["approval"].encode() not in source_row_secret(world, source)


# --- taking ---------------------------------------------------------------------------------------------------------
def test_an_event_is_stored_once_and_its_repeat_is_harmless(world: CaseWorld) -> None:
    source = world.add_source()
    called = event(1, "accepted", "09:30:00", NUMBER, window="1", staff="1001")

    first = world.send(source, called)
    second = world.send(source, called, called)

    assert first == {"accepted": 1, "repeated": 0, "rejected": []}
    assert second == {"accepted": 0, "repeated": 2, "rejected": []}
    assert world.count(case_event) == 1
    assert world.count(visit) == 1


def test_the_same_sequence_with_another_event_is_refused_and_alarmed(world: CaseWorld) -> None:
    source = world.add_source()
    world.send(source, event(1, "accepted", "09:30:00", NUMBER, window="1"))

    answer = world.send(
        source,
        event(2, "evaluated", "09:35:00", NUMBER, window="1"),
        event(1, "accepted", "09:31:00", NUMBER, window="1"),
        event(2, "evaluated", "09:36:00", NUMBER, window="1"),
    )

    assert (answer["accepted"], answer["repeated"]) == (1, 0)
    assert [(item["index"], item["sequence"], item["code"]) for item in answer["rejected"]] == [
        (1, 1, "sequence_conflict"),
        (2, 2, "sequence_conflict"),
    ]
    with world.catalog.read() as conn:
        assert is_open(conn, AlarmKind.SEQUENCE_CONFLICT, f"source:{source.id}")
        kept = conn.execute(select(case_event.c.event_us).where(case_event.c.sequence == 1)).scalar_one()
    assert kept == at_us("09:30:00")


def test_a_hole_shows_until_it_is_filled(world: CaseWorld) -> None:
    source = world.add_source()
    world.send(source, event(10, "applied", "08:00:00", NUMBER))

    def seen() -> tuple[list[list[int]], bool]:
        with world.catalog.read() as conn:
            alarmed = is_open(conn, AlarmKind.SEQUENCE_HOLE, f"source:{source.id}")
        return world.sources.list_all()[0]["holes"], alarmed

    assert seen() == ([], False)
    world.send(source, event(13, "step", "08:10:00", NUMBER), event(15, "step", "08:20:00", NUMBER))
    assert seen() == ([[11, 12], [14, 14]], True)
    world.send(source, event(12, "step", "08:05:00", NUMBER), event(14, "step", "08:15:00", NUMBER))
    assert seen() == ([[11, 11]], True)
    world.send(source, event(11, "step", "08:04:00", NUMBER))
    assert seen() == ([], False)
    world.send(source, event(16, "step", "08:25:00", NUMBER))
    assert seen() == ([], False)


def test_a_big_batch_is_taken_whole(world: CaseWorld) -> None:
    source = world.add_source()
    batch = [
        event(n, "accepted", f"09:{n // 60 % 60:02}:{n % 60:02}", f"滁政务〔2026〕第{n:06}号", window=str(n % 4 + 1))
        for n in range(500)
    ]

    answer = world.send(source, *batch)

    assert (answer["accepted"], answer["rejected"]) == (500, [])
    assert world.count(visit, visit.c.superseded_us.is_(None)) == 500
    assert world.count(leaf) == world.count(visit)


def test_an_unknown_window_is_kept_shown_and_linked_when_the_window_comes(world: CaseWorld) -> None:
    source = world.add_source()
    world.send(source, event(1, "accepted", "09:30:00", NUMBER, window="41"))

    with world.catalog.read() as conn:
        assert is_open(conn, AlarmKind.UNKNOWN_WINDOW, "window_code:41")
    assert world.visits(NUMBER) == []

    world.add_window(41)
    world.keeper.run_once()

    assert [item["window"]["number"] for item in world.visits(NUMBER)] == [41]
    assert world.count(alarm, alarm.c.closed_us.is_(None)) == 0


def test_a_call_joins_its_case_when_the_ticket_is_named_later(world: CaseWorld) -> None:
    queue, approval = world.add_source("queue"), world.add_source("approval")
    world.send(queue, event(1, "called", "09:00:00", ticket="A012", window="1"))
    world.send(approval, event(1, "accepted", "09:03:00", NUMBER, ticket="A012", window="1", staff="1001 王芳"))

    found = world.cases.search(NUMBER)
    shown = world.cases.read(UUID(found[0]["id"]))

    assert [item["kind"] for item in shown["events"]] == ["called", "accepted"]
    assert found[0]["first_us"] == at_us("09:00:00")
    assert [(item["t0_us"], item["opened_by"], item["staff"]) for item in shown["visits"]] == [
        (at_us("09:00:00"), "called", "1001 王芳")
    ]


def test_a_late_event_links_the_past_anew_and_keeps_the_old_version(world: CaseWorld) -> None:
    source = world.add_source()
    world.send(source, event(1, "accepted", "09:00:00", NUMBER, window="1"))
    world.send(source, event(3, "accepted", "09:40:00", "〔2026〕2", window="1"))
    assert [(v["t1_us"], v["closed_by"], v["version"]) for v in world.visits(NUMBER)] == [
        (at_us("09:30:00"), "timeout", 1)
    ]

    world.send(source, event(2, "evaluated", "09:12:00", NUMBER, window="1"))

    assert [(v["t1_us"], v["closed_by"], v["version"]) for v in world.visits(NUMBER)] == [
        (at_us("09:12:00"), "evaluated", 2)
    ]
    assert world.count(visit) == 3
    assert world.count(visit, visit.c.superseded_us.is_not(None)) == 1
    assert world.count(leaf, leaf.c.kind == "binding") == 3
    world.keeper.run_once()
    world.binder.bind(world.binder.recent())
    assert world.count(visit) == 3


def test_a_late_call_moves_the_start_of_a_visit(world: CaseWorld) -> None:
    source = world.add_source()
    world.send(source, event(2, "accepted", "09:05:00", NUMBER, window="1"))
    world.send(source, event(1, "called", "09:00:00", NUMBER, window="1"))

    assert [(v["t0_us"], v["version"], v["opened_by"]) for v in world.visits(NUMBER)] == [
        (at_us("09:00:00"), 2, "called")
    ]


def test_an_open_visit_closes_when_its_time_is_up(world: CaseWorld) -> None:
    source = world.add_source()
    world.send(source, event(1, "accepted", "09:50:00", NUMBER, window="1"))
    assert [(v["t1_us"], v["closed_by"]) for v in world.visits(NUMBER)] == [(None, "open")]

    world.clock.advance(19 * 60)
    assert world.keeper.run_once() == 0
    world.clock.advance(60)
    assert world.keeper.run_once() == 1

    assert [(v["t1_us"], v["closed_by"], v["version"]) for v in world.visits(NUMBER)] == [
        (at_us("10:20:00"), "timeout", 2)
    ]


def test_the_keeper_works_by_itself_and_stops(world: CaseWorld) -> None:
    world.send(world.add_source(), event(1, "accepted", "09:50:00", NUMBER, window="1"))
    keeper = Periodic("case-keeper", world.keeper.run_once, world.clock, interval_s=600)
    keeper.start()
    try:
        while world.visits(NUMBER)[0]["t1_us"] is None:  # the fake clock's waits move the time
            pass
    finally:
        keeper.stop()

    assert world.visits(NUMBER)[0]["closed_by"] == "timeout"


def test_the_alarm_of_a_conflict_closes_a_week_after_the_last_one(world: CaseWorld) -> None:
    source = world.add_source()
    world.send(source, event(1, "applied", "09:00:00", NUMBER))
    for day in (0, 5):
        world.clock.advance(day * 86_400)
        world.send(source, event(1, "applied", f"09:0{day + 1}:00", NUMBER))
    world.clock.advance(6 * 86_400)

    def is_shown() -> bool:
        world.keeper.run_once()
        with world.catalog.read() as conn:
            return is_open(conn, AlarmKind.SEQUENCE_CONFLICT, f"source:{source.id}")

    assert is_shown()
    world.clock.advance(2 * 86_400)
    assert not is_shown()


def test_the_status_of_a_case_is_its_last_event_in_time_not_in_arrival(world: CaseWorld) -> None:
    source = world.add_source()
    world.send(source, event(3, "decided", "09:50:00", NUMBER, item_code="3411-22"))
    world.send(source, event(1, "applied", "08:00:00", NUMBER), event(2, "step", "09:00:00", NUMBER, step="初审"))

    found = world.cases.search(NUMBER)[0]

    assert (found["status"], found["item_code"]) == ("decided", "3411-22")
    assert (found["first_us"], found["last_us"]) == (at_us("08:00:00"), at_us("09:50:00"))


# --- searching ------------------------------------------------------------------------------------------------------
def test_the_same_number_from_two_sources_stays_two_cases(world: CaseWorld) -> None:
    one, two = world.add_source("approval"), world.add_source("housing")
    world.send(one, event(1, "applied", "08:00:00", NUMBER))
    world.send(two, event(1, "applied", "08:00:00", " 滁政务 (2026) 第000123号"))

    found = world.cases.search("滁政务[2026]第000123号")

    assert [item["source"]["code"] for item in found] == ["approval", "housing"]
    assert [item["number"] for item in found] == [NUMBER, "滁政务 (2026) 第000123号"]


def test_the_exact_number_comes_first_then_prefixes_in_byte_order(world: CaseWorld) -> None:
    source = world.add_source()
    numbers = ["A-100", "A-10", "A-1", "a-1b", "A-1￥", "B-1", "A_1", "A%1"]
    world.send(source, *(event(n, "applied", "08:00:00", number) for n, number in enumerate(numbers)))

    assert [item["number"] for item in world.cases.search("a1")] == ["A-1", "A-10", "A-100", "a-1b", "A-1￥"]
    assert [item["number"] for item in world.cases.search("A%")] == ["A%1"]
