"""Recording plans from the catalog, on both engines: hours, calendar, visits, missing years, and what a look costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, event, insert, select, update

from camera_gateway.catalog_plan import CatalogPlan
from camera_gateway.plan import PlanMode, StreamPlan
from storage.archive import tables
from storage.clock import US
from storage.ids import new_id
from storage.model import AlarmKind, DayKind, EventKind, RecordingMode, StreamPolicy, TimePrecision
from tests.fakes.archive import Hall

SHANGHAI = ZoneInfo("Asia/Shanghai")
MINUTE = 60 * US


def at(text: str) -> int:
    """Microseconds of a wall time in Shanghai."""
    return round(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).timestamp()) * US


@dataclass
class World:
    """The small hall, served from nine to twelve and half past one to five, with its main stream planned."""

    hall: Hall

    def __post_init__(self) -> None:
        self.plan = CatalogPlan(self.hall.catalog, self.hall.gateway_id, 0, 1)
        with self.hall.catalog.write() as conn:
            conn.execute(update(tables.stream).where(tables.stream.c.id == self.hall.main_id).values(recorded=True))
            for weekday in range(1, 6):
                for begin, end in ((540, 720), (810, 1020)):
                    values = {"weekday": weekday, "from_minute": begin, "to_minute": end}
                    conn.execute(insert(tables.service_period).values(id=uuid4(), hall_id=self.hall.hall_id, **values))

    def add(self, table: Any, **values: Any) -> None:
        with self.hall.catalog.write() as conn:
            conn.execute(insert(table).values(**values))

    def set_plan(self, mode: RecordingMode, **values: Any) -> None:
        plan = {"mode": mode.value, "streams": StreamPolicy.AUTO.value, "updated_us": 1}
        self.add(tables.recording_plan, channel_id=self.hall.channel_id, **plan, **values)

    def load_year(self, year: int) -> None:
        self.add(tables.calendar_year, hall_id=self.hall.hall_id, year=year, source="", loaded_us=1)

    def see(self, window_id: UUID) -> None:
        entry = {"channel_id": self.hall.channel_id, "window_id": window_id, "role": "front", "from_us": 1}
        self.add(tables.camera_window, id=uuid4(), **entry)

    def happen(self, kind: EventKind, when: str, window_id: UUID, **values: Any) -> None:
        with self.hall.catalog.write() as conn:
            source_id = conn.execute(select(tables.event_source.c.id)).scalar()
            if source_id is None:
                source_id = uuid4()
                source = {"code": "hall", "secret_box": b"", "created_us": 1}
                conn.execute(insert(tables.event_source).values(id=source_id, **source))
            sequence = len(conn.execute(select(tables.case_event.c.id)).all()) + 1
            row = {"event_us": at(when), "precision": TimePrecision.SECOND.value, "intake_us": 1, "digest": bytes(32)}
            row |= {"id": uuid4(), "source_id": source_id, "sequence": sequence, "kind": kind.value}
            conn.execute(insert(tables.case_event).values(**row | {"window_id": window_id, "ticket": "A7"} | values))

    def main(self, when: str | int) -> StreamPlan:
        """The main stream's plan at that time."""
        self.hall.clock.wall_us = when if isinstance(when, int) else at(when)
        return next(one for one in self.plan.streams() if one.id == self.hall.main_id)

    def alarms(self) -> list[str]:
        """Subjects of open alarms about years that are not loaded."""
        table = tables.alarm.c
        query = select(table.subject).where(table.kind == AlarmKind.CALENDAR_UNLOADED.value, table.closed_us.is_(None))
        with self.hall.catalog.read() as conn:
            return list(conn.execute(query).scalars())

    @contextmanager
    def counting(self) -> Iterator[list[str]]:
        """The statements that are sent meanwhile."""
        sent: list[str] = []

        def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            sent.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        yield sent
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def world(any_hall: Hall) -> World:
    return World(any_hall)


def test_a_camera_without_a_plan_is_always_recorded_and_its_other_stream_never(world: World) -> None:
    main = world.main("2026-11-22T03:00")
    assert (main.mode, main.planned, main.reason, main.until_us) == (PlanMode.RECORD, True, "", None)
    sub = next(one for one in world.plan.streams() if one.id == world.hall.sub_id)
    assert (sub.mode, sub.planned, sub.reason) == (PlanMode.OFF, False, "not_planned")
    assert world.alarms() == []


def test_periods_with_a_holiday_and_a_working_saturday(world: World) -> None:
    world.load_year(2026)
    day = {"hall_id": world.hall.hall_id, "kind": DayKind.HOLIDAY.value}
    world.add(tables.calendar_day, **day, day="2026-10-02", as_weekday=0, name="国庆节")
    world.add(tables.calendar_day, **day | {"kind": DayKind.WORKDAY.value}, day="2026-10-10", as_weekday=5, name="调休")
    world.set_plan(RecordingMode.PERIODS, audio=True, audio_basis="大厅录音管理规定")
    assert world.main("2026-10-09T10:00").mode is PlanMode.RECORD
    assert world.main("2026-10-09T10:00").audio
    assert world.main("2026-10-02T10:00").mode is PlanMode.OFF
    assert world.main("2026-10-10T10:00").mode is PlanMode.RECORD
    assert world.main("2026-10-11T10:00").mode is PlanMode.OFF
    early = world.main("2026-10-09T08:59:45")
    assert (early.mode, early.until_us, early.pre_roll_s) == (PlanMode.STANDBY, at("2026-10-09T09:00"), 1)
    assert early.reason == "outside_hours"
    assert world.alarms() == []


def test_a_named_schedule_and_what_is_changed_of_it_count_at_the_next_look(world: World) -> None:
    schedule_id, period_id = uuid4(), uuid4()
    hall = {"hall_id": world.hall.hall_id, "created_us": 1}
    world.add(tables.schedule, id=schedule_id, name="夜间值守", follows_calendar=False, **hall)
    night = {"weekday": 5, "from_minute": 1320, "to_minute": 1800}
    world.add(tables.schedule_period, id=period_id, schedule_id=schedule_id, **night)
    world.set_plan(RecordingMode.PERIODS, schedule_id=schedule_id)
    assert world.main("2026-11-21T05:59:59").mode is PlanMode.RECORD
    assert world.main("2026-11-21T06:00").reason == "outside_schedule: 夜间值守"
    with world.hall.catalog.write() as conn:
        conn.execute(update(tables.schedule_period).values(to_minute=1860))
    assert world.main("2026-11-21T06:00").mode is PlanMode.RECORD
    assert world.alarms() == []  # it does not follow the calendar


def test_a_year_that_nobody_loaded_records_by_the_plain_week_and_raises_an_alarm_once(world: World) -> None:
    world.set_plan(RecordingMode.PERIODS)
    assert world.main("2026-10-02T10:00").mode is PlanMode.RECORD
    assert world.alarms() == ["calendar:2026"]
    world.main("2026-10-02T10:01")
    with world.hall.catalog.read() as conn:
        assert conn.execute(select(tables.alarm.c.count)).scalar_one() == 1
    world.load_year(2026)
    with world.hall.catalog.write() as conn:
        conn.execute(update(tables.alarm).values(closed_us=1))
    assert world.main("2026-12-14T10:00").mode is PlanMode.RECORD
    assert world.alarms() == []
    world.main("2026-12-15T10:00")
    assert world.alarms() == ["calendar:2027"]


def test_a_visit_open_at_closing_time_goes_on_until_ten_minutes_after_its_end(world: World) -> None:
    window_id = world.hall.window_ids[0]
    world.load_year(2026)
    world.set_plan(RecordingMode.PERIODS)
    world.see(window_id)
    world.happen(EventKind.CALLED, "2026-11-20T16:50", window_id)
    assert world.main("2026-11-20T17:00").mode is PlanMode.RECORD
    assert world.main("2026-11-20T17:00").until_us == at("2026-11-20T17:30")  # idle at 17:20
    world.happen(EventKind.ACCEPTED, "2026-11-20T17:10", window_id)
    assert world.main("2026-11-20T17:40").mode is PlanMode.RECORD
    world.happen(EventKind.EVALUATED, "2026-11-20T17:35", window_id)
    ended = at("2026-11-20T17:45") + US  # the event is exact to the second
    assert world.main(ended - 1).mode is PlanMode.RECORD
    assert world.main(ended).mode is PlanMode.OFF


def test_the_extension_is_capped_two_hours_after_closing(world: World) -> None:
    window_id = world.hall.window_ids[0]
    world.load_year(2026)
    world.set_plan(RecordingMode.PERIODS)
    world.see(window_id)
    for hour in (16, 17, 18):
        for minute in (0, 20, 40):
            world.happen(EventKind.STEP, f"2026-11-20T{hour}:{minute:02}", window_id)
    world.happen(EventKind.STEP, "2026-11-20T18:59", window_id)
    assert world.main(at("2026-11-20T19:00") - 1).mode is PlanMode.RECORD
    assert world.main("2026-11-20T19:00").mode is PlanMode.OFF


def test_events_that_know_only_the_day_extend_nothing(world: World) -> None:
    window_id = world.hall.window_ids[0]
    world.load_year(2026)
    world.set_plan(RecordingMode.PERIODS)
    world.see(window_id)
    world.happen(EventKind.CALLED, "2026-11-20T16:50", window_id, precision=TimePrecision.DAY.value)
    assert world.main("2026-11-20T17:00").mode is PlanMode.OFF


def test_on_event_a_camera_stands_by_and_its_windows_visit_records(world: World) -> None:
    window_id = world.hall.window_ids[1]
    world.set_plan(RecordingMode.EVENT, pre_roll_s=15, post_roll_s=40)
    assert world.main("2026-11-20T10:00").motion_alone  # as long as it sees no window
    world.see(window_id)
    idle = world.main("2026-11-20T10:00")
    assert not idle.motion_alone
    assert (idle.mode, idle.metadata, idle.pre_roll_s, idle.post_roll_s) == (PlanMode.STANDBY, True, 15, 40)
    with world.hall.catalog.write() as conn:
        conn.execute(update(tables.stream).values(recorded=True))
    assert [one.metadata for one in world.plan.streams() if one.role == "sub"] == [False]  # the main one brings them
    world.happen(EventKind.CALLED, "2026-11-20T10:01", window_id)
    assert world.main("2026-11-20T10:01").mode is PlanMode.RECORD
    assert world.main("2026-11-20T10:31:39").mode is PlanMode.RECORD
    assert world.main("2026-11-20T10:31:40").mode is PlanMode.STANDBY
    assert world.main("2026-11-20T10:31:40").reason == "no_event"


def test_an_unknown_zone_records_and_is_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.load_year(2026)
    world.set_plan(RecordingMode.PERIODS)
    for zone, mode in (("Mars/Olympus", PlanMode.RECORD), ("Asia/Shanghai", PlanMode.OFF), ("", PlanMode.RECORD)):
        with world.hall.catalog.write() as conn:
            conn.execute(update(tables.hall).values(timezone=zone))
        caplog.clear()
        for _ in range(3):
            assert world.main("2026-11-22T03:00").mode is mode
        told = [record.message for record in caplog.records if record.message == "hours_unreadable"]
        assert len(told) == (mode is PlanMode.RECORD)


def test_a_look_costs_the_same_number_of_statements_for_one_camera_and_for_two_hundred(world: World) -> None:
    world.load_year(2026)
    world.set_plan(RecordingMode.PERIODS)
    world.see(world.hall.window_ids[0])
    world.main("2026-11-20T18:00")
    with world.counting() as few:
        world.plan.streams()
    hall, now_us = world.hall, 1
    with hall.catalog.write() as conn:
        for number in range(200):
            device_id, channel_id = new_id(hall.clock), new_id(hall.clock)
            device = {"hall_id": hall.hall_id, "gateway_id": hall.gateway_id, "address": "192.0.2.1", "port": 80}
            conn.execute(insert(tables.device).values(id=device_id, name="", created_us=now_us, **device))
            conn.execute(insert(tables.channel).values(id=channel_id, device_id=device_id, number=number, name=""))
            plan = {"mode": RecordingMode.PERIODS.value, "streams": "auto", "updated_us": 1}
            conn.execute(insert(tables.recording_plan).values(channel_id=channel_id, **plan))
            for role in ("main", "sub"):
                stream = {"channel_id": channel_id, "role": role, "codec": "h264", "recorded": True}
                conn.execute(insert(tables.stream).values(id=new_id(hall.clock), **stream))
    with world.counting() as many:
        assert len(world.plan.streams()) == 402
    assert len(many) == len(few)
    assert len(many) <= 12
