"""Intake, binding, search and the timeline give the same on SQLite and PostgreSQL, with two consoles at once too."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from console.services.access import Actor
from console.services.audit_log import AuditLog
from console.services.binding import VisitBinder
from console.services.cases import Cases
from console.services.footage_audit import FootageAudit
from console.services.intake import Intake
from console.services.sources import SignedBatch, Source
from console.services.timeline import Timelines
from deploy.approval_platform.script import seeded_day
from storage.archive.alarms import is_open
from storage.archive.tables import case_event, leaf, stream_head, visit
from storage.model import AlarmKind, case_key
from tests.console.case_world import TODAY, CaseWorld, at_us, event

DAY = seeded_day(5, date.fromisoformat(TODAY), (1, 2), pace=0.2)


@pytest.fixture
def world(empty_url: str) -> Iterator[CaseWorld]:
    made = CaseWorld.make(empty_url, now="20:00:00")
    yield made
    made.catalog.close()


def present_visits(world: CaseWorld) -> list[tuple[Any, ...]]:
    """What every visit in force says, without ids and versions."""
    columns = visit.c
    query = (
        select(columns.t0_us, columns.t1_us, columns.staff, columns.opened_by, columns.closed_by, columns.ambiguous)
        .where(columns.superseded_us.is_(None))
        .order_by(columns.t0_us, columns.t1_us, columns.staff)
    )
    with world.catalog.read() as conn:
        return [tuple(row) for row in conn.execute(query)]


def test_a_day_in_any_order_with_repeats_gives_the_same_visits(world: CaseWorld) -> None:
    source = world.add_source()
    shuffled = random.Random(1).sample(DAY, len(DAY))
    shuffled += random.Random(2).sample(DAY, len(DAY) // 3)
    for start in range(0, len(shuffled), 40):
        assert world.send(source, *shuffled[start : start + 40])["rejected"] == []
    in_any_order = present_visits(world)

    straight = world.add_source("straight")
    with world.catalog.write() as conn:
        conn.exec_driver_sql("DELETE FROM visit")
        conn.exec_driver_sql("DELETE FROM case_event")
    for start in range(0, len(DAY), 500):
        world.send(straight, *DAY[start : start + 500])

    assert present_visits(world) == in_any_order
    assert len(in_any_order) == sum(item["kind"] == "accepted" for item in DAY)


def test_two_consoles_take_the_same_feed_at_once(world: CaseWorld) -> None:
    source = world.add_source()
    consoles = [Intake(world.catalog, world.clock, VisitBinder(world.catalog, world.clock)) for _ in range(2)]
    batches = [DAY[start : start + 25] for start in range(0, min(len(DAY), 300), 25)]

    def run(console: Intake) -> int:
        return sum(_send(console, source, batch)["accepted"] for batch in batches)

    with ThreadPoolExecutor(2) as pool:
        accepted = sum(pool.map(run, consoles))

    events = sum(len(batch) for batch in batches)
    assert accepted == events
    assert world.count(case_event) == events
    with world.catalog.read() as conn:
        doubled = conn.execute(
            select(visit.c.open_event_id)
            .where(visit.c.superseded_us.is_(None))
            .group_by(visit.c.open_event_id)
            .having(func.count() > 1)
        ).all()
        heads = conn.execute(select(func.sum(stream_head.c.sequence))).scalar_one()
    assert doubled == []
    assert heads == world.count(leaf)
    world.binder.bind(world.binder.recent())
    assert sum(1 for _ in present_visits(world)) == sum(item["kind"] == "accepted" for b in batches for item in b)


def _send(console: Intake, source: Source, events: list[dict[str, Any]]) -> dict[str, Any]:
    return console.take(SignedBatch(source, json.dumps(events).encode()))


def test_cases_are_listed_in_the_same_order(world: CaseWorld) -> None:
    source = world.add_source()
    numbers = ["A10", "a-1", "A1￥", "A1ß", "A1é", "A1中", "A1+", "A%1", "A\\1", "B1", "A1 b", "甲1", "𠮷1"]
    world.send(source, *(event(n, "applied", "08:00:00", number) for n, number in enumerate(numbers)))

    found = [item["number"] for item in world.cases.search("A-1")]
    prefixed = [number for number in numbers if case_key(number).startswith("A1")]
    assert found == sorted(prefixed, key=lambda number: case_key(number).encode())
    assert found[0] == "a-1"
    for special in ("A%", "A\\"):
        assert len(world.cases.search(special)) == 1
    assert [item["number"] for item in world.cases.search("𠮷")] == ["𠮷1"]


def test_holes_conflicts_and_late_events(world: CaseWorld) -> None:
    source = world.add_source()
    world.send(source, event(1, "accepted", "09:00:00", "A1", window="1"), event(4, "applied", "09:00:00", "A2"))
    answer = world.send(source, event(4, "applied", "09:00:01", "A2"))
    world.send(source, event(2, "evaluated", "09:07:00", "A1", window="1"))

    assert [item["code"] for item in answer["rejected"]] == ["sequence_conflict"]
    assert world.sources.list_all()[0]["holes"] == [[3, 3]]
    with world.catalog.read() as conn:
        assert is_open(conn, AlarmKind.SEQUENCE_HOLE, f"source:{source.id}")
        assert is_open(conn, AlarmKind.SEQUENCE_CONFLICT, f"source:{source.id}")
    assert [(item["t1_us"], item["version"]) for item in world.visits("A1")] == [(at_us("09:07:00"), 2)]


def test_a_timeline_is_read_and_audited(world: CaseWorld) -> None:
    source = world.add_source()
    world.send(source, event(1, "accepted", "09:00:00", "A1", window="1"))
    visit_id = UUID(world.visits("A1")[0]["id"])
    audit = FootageAudit(world.catalog, AuditLog(world.clock), world.clock)

    shown = Timelines(world.catalog, audit, world.clock).read(Actor(hall_id=world.hall_id), visit_id)

    assert (shown["cameras"], shown["screens"]) == ([], [])
    assert [item["kind"] for item in shown["steps"]] == ["accepted"]
    assert Cases(world.catalog).search("A1")[0]["visits"] == 1
