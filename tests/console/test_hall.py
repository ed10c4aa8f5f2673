"""The hall, its windows, its days."""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from console.services.days import Period, day_of, day_span, in_service
from storage.clock import US
from tests.console.console_world import START_US, ConsoleWorld


def test_a_changed_notice_gets_a_new_version(hall: ConsoleWorld) -> None:
    admin = hall.person("system_admin")
    before = admin.get("/api/hall").json()["notice_version"]
    assert admin.patch("/api/hall", {"video_days": 40}).json()["notice_version"] == before
    changed = admin.patch("/api/hall", {"notice_staff": "新的告知"}).json()
    assert (changed["notice_version"], changed["video_days"]) == (before + 1, 40)
    assert admin.patch("/api/hall", {"notice_staff": "新的告知"}).json()["notice_version"] == before + 1


@pytest.mark.parametrize(
    "change",
    [{"video_days": 0}, {"visit_minutes": 5000}, {"timezone": "../etc/passwd"}, {"name": " "}, {"quota_bytes": -1}],
)
def test_what_a_hall_cannot_be(hall: ConsoleWorld, change: dict[str, Any]) -> None:
    admin = hall.person("system_admin")
    before = admin.get("/api/hall").json()
    assert admin.patch("/api/hall", change).status_code == 422
    assert admin.get("/api/hall").json() == before


def test_periods_are_replaced_as_a_whole(hall: ConsoleWorld) -> None:
    admin = hall.person("system_admin")
    periods = [
        {"weekday": 1, "from_minute": 780, "to_minute": 1020},
        {"weekday": 1, "from_minute": 540, "to_minute": 720},
    ]
    assert admin.patch("/api/hall", {"periods": periods}).json()["periods"] == periods[::-1]
    assert admin.patch("/api/hall", {"periods": []}).json()["periods"] == []


def test_windows_in_bulk_leave_existing_ones_alone(hall: ConsoleWorld) -> None:
    manager = hall.person("hall_admin")
    answer = manager.post("/api/windows", {"first": 10, "last": 14, "name_pattern": "综合{n}"})
    assert answer.status_code == 201
    names = {item["number"]: item["name"] for item in answer.json()["windows"]}
    assert (names[12], names[13], len(names)) == ("12号窗口", "综合13", 14)


def test_a_window_is_renamed_retired_and_brought_back(hall: ConsoleWorld) -> None:
    manager = hall.person("hall_admin")
    window = manager.get("/api/windows").json()["windows"][0]
    path = f"/api/windows/{window['id']}"
    assert manager.patch(path, {"name": " 不动产 登记 "}).json()["name"] == "不动产 登记"
    assert manager.patch(path, {"retired": True}).json()["retired_us"] == hall.clock.now_us()
    assert manager.patch(path, {"retired": False}).json()["retired_us"] is None
    assert manager.patch("/api/windows/01234567-89ab-7cde-8f01-23456789abcd", {"name": "x"}).status_code == 404


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Asia/Shanghai", date(2026, 11, 21), 24),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # midnight itself did not exist
        ("Asia/Kathmandu", date(2026, 1, 1), 24),
    ],
)
def test_days_are_as_long_as_the_hall_s_clock_makes_them(zone: str, day: date, hours: int) -> None:
    span = day_span(day, ZoneInfo(zone))
    assert span.t1_us - span.t0_us == hours * 3600 * US
    assert day_of(span.t0_us, ZoneInfo(zone)) == day
    assert day_of(span.t1_us - 1, ZoneInfo(zone)) == day


def test_service_periods_hold_in_the_hall_s_time() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    saturday_morning = [Period(6, 540, 720)]
    assert in_service(START_US, zone, saturday_morning)
    assert not in_service(START_US - 1, zone, saturday_morning)
    assert not in_service(START_US, ZoneInfo("UTC"), saturday_morning)
    assert in_service(START_US, zone, [])
