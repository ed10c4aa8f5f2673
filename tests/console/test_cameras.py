"""Cameras: states, coverage by the hall's day, pictures of now with their audit rows, problems."""

from __future__ import annotations

import itertools
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select

from storage.archive.alarms import open_alarm
from storage.archive.ingest import Ingest
from storage.archive.tables import audit, case, event_source, stream, stream_state
from storage.clock import US, FakeClock
from storage.ids import new_id
from storage.model import AlarmKind, GapReason
from tests.console.console_world import START_US, Browser, ConsoleWorld
from tests.fakes.console_gateway import JPEG, device_facts

HOUR = 3600 * US


@pytest.fixture
def camera_id(hall: ConsoleWorld) -> str:
    hall.gateway.devices["192.0.2.10"] = device_facts("SN-1")
    body = {"address": "192.0.2.10", "port": 80, "username": "u", "password": hall.gateway.password, "name": "1号正面"}
    made = hall.person("hall_admin").post("/api/devices", body)
    return str(made.json()["channels"][0]["id"])


def stream_id(world: ConsoleWorld, role: str = "main") -> UUID:
    with world.catalog.read() as conn:
        found: UUID = conn.execute(select(stream.c.id).where(stream.c.role == role)).scalar_one()
        return found


def write_state(world: ConsoleWorld, role: str, live: str, recording: str, **seen: Any) -> None:
    now = world.clock.now_us()
    values: dict[str, Any] = {"live": live, "live_cause": "", "live_since_us": now - 5}
    values |= {"recording": recording, "recording_cause": "refused by the host", "recording_since_us": now - 7} | seen
    with world.catalog.write() as conn:
        conn.execute(insert(stream_state).values(stream_id=stream_id(world, role), updated_us=now, **values))


def read(world: ConsoleWorld, camera_id: str) -> Any:
    return world.person("supervisor").get(f"/api/cameras/{camera_id}").json()


def test_states_are_the_gateway_s_while_it_writes_them(hall: ConsoleWorld, camera_id: str) -> None:
    assert read(hall, camera_id)["live"]["state"] == "connecting"
    write_state(hall, "main", "live", "recorded")
    write_state(hall, "sub", "offline", "unreachable")
    shown = read(hall, camera_id)
    now = hall.clock.now_us()
    assert shown["live"] == {"state": "live", "cause": "", "since_us": now - 5}
    assert shown["recording"]["state"] == "recorded"
    assert shown["device"]["serial"] == "SN-1"

    hall.clock.advance(60)
    shown = read(hall, camera_id)
    assert shown["live"] == {"state": "offline", "cause": "gateway_silent", "since_us": now}
    assert shown["recording"]["state"] == "unknown"
    problem = hall.person("supervisor").get("/api/problems").json()["problems"][0]
    assert (problem["kind"], problem["count"]) == ("gateway_silent", 1)


def test_what_the_gateway_measures_is_shown_while_it_is_fresh(hall: ConsoleWorld, camera_id: str) -> None:
    assert (read(hall, camera_id)["clock"], read(hall, camera_id)["streams"][0]["seen"]) == (None, None)
    measured = {"engine": "libav", "engine_note": "no SETUP", "transport": "udp", "fps_milli": 24_950}
    measured |= {"bitrate_kbit": 3_400, "clock_offset_us": 75_000_000, "clock_error_us": 40_000}
    write_state(hall, "main", "live", "recorded", **measured)
    write_state(hall, "sub", "live", "recorded", clock_offset_us=75_100_000, clock_error_us=900_000)
    shown = read(hall, camera_id)
    assert shown["streams"][0]["seen"] == measured
    assert shown["clock"] == {"offset_us": 75_000_000, "error_us": 40_000}, "the one that is known best"

    hall.clock.advance(60)
    shown = read(hall, camera_id)
    assert (shown["clock"], shown["streams"][0]["seen"]) == (None, None)


def test_counters_are_the_gateway_s_of_now(hall: ConsoleWorld, camera_id: str) -> None:
    main = stream_id(hall)
    hall.gateway.counted[main] = {"lost": 4, "reconnects": 2, "last_cause": "network"}
    path = f"/api/cameras/{camera_id}/counters"
    told = hall.person("supervisor").get(path).json()["streams"]
    assert [(row["role"], row["counted"]) for row in told] == [("main", hall.gateway.counted[main]), ("sub", None)]

    hall.gateway.away = True
    assert hall.person("supervisor").get(path).status_code == 503
    assert hall.person("supervisor").get(f"/api/cameras/{UUID(int=1)}/counters").status_code == 404


def test_a_camera_that_is_not_recorded_is_a_problem_once(hall: ConsoleWorld, camera_id: str) -> None:
    write_state(hall, "main", "offline", "refused")
    watcher = hall.person("supervisor")
    problems = watcher.get("/api/problems").json()["problems"]
    assert [(item["kind"], item["cause"], item["name"]) for item in problems] == [
        ("camera_offline", "refused", "1号正面")
    ]
    assert problems[0]["link"] == f"/cameras/{camera_id}"
    with hall.catalog.write() as conn:
        detail = {"reason": "unreachable"}
        open_alarm(conn, hall.clock, AlarmKind.CAMERA_OFFLINE, f"stream:{stream_id(hall)}", detail)
    problems = watcher.get("/api/problems").json()["problems"]
    assert [(item["subject"], item["cause"]) for item in problems] == [(f"camera:{camera_id}", "unreachable")]
    counts = watcher.get("/api/status").json()
    assert counts["cameras"] == {"total": 1, "live": 0, "recorded": 0}
    assert counts["problems"] == 1


def test_cases_of_today_are_those_that_came_today(hall: ConsoleWorld) -> None:
    source = {"id": new_id(hall.clock), "code": "a", "name": "a", "timezone": "", "secret_box": b"x", "created_us": 0}
    with hall.catalog.write() as conn:
        conn.execute(insert(event_source).values(**source))
        for hours in (0, 10, 20):  # nine in the morning, seven in the evening, five of the next day
            moment = FakeClock(START_US + hours * HOUR)
            row = {"id": new_id(moment), "source_id": source["id"], "number": str(hours), "key": str(hours)}
            conn.execute(insert(case).values(**row, first_us=0, last_us=0, status="applied"))
    assert hall.person("auditor").get("/api/status").json()["cases_today"] == 2


def test_coverage_is_cut_by_the_hall_s_midnight_wherever_the_viewer_is(hall: ConsoleWorld, camera_id: str) -> None:
    ingest = Ingest(hall.catalog, hall.clock, "gateway")
    ingest.open_gap(stream_id(hall), START_US, GapReason.UNREACHABLE, "no route")
    hall.clock.advance(3600)
    ingest.close_gap(stream_id(hall), START_US + HOUR)
    answer = hall.person("auditor").get(f"/api/cameras/{camera_id}/coverage", day="2026-11-21").json()
    assert answer["t0_us"] == START_US - 9 * HOUR
    assert answer["t1_us"] - answer["t0_us"] == 24 * HOUR
    assert answer["now_us"] == START_US + HOUR
    spans = [
        (item["state"], item["t0_us"] - answer["t0_us"], item["t1_us"] - answer["t0_us"]) for item in answer["spans"]
    ]
    assert ("unreachable", 9 * HOUR, 10 * HOUR) in spans
    assert spans[-1] == ("future", 10 * HOUR, 24 * HOUR)
    assert spans[0][1] == 0
    assert all(before[2] == after[1] for before, after in itertools.pairwise(spans))


@pytest.mark.parametrize("day", ["2026-13-01", "yesterday", "0001-01-01", "9999-12-31", "20261121T00"])
def test_days_that_are_none(hall: ConsoleWorld, camera_id: str, day: str) -> None:
    answer = hall.person("auditor").get(f"/api/cameras/{camera_id}/coverage", day=day)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "day_invalid")


def test_a_picture_of_now_is_on_record_before_it_is_shown(hall: ConsoleWorld, camera_id: str) -> None:
    viewer = hall.person("supervisor")
    path = f"/api/cameras/{camera_id}/snapshot"
    assert viewer.get(path).json()["error"]["code"] == "purpose_required"
    purpose = viewer.state_purpose("patrol", "上午巡查")
    answer = viewer.get(path)
    assert (answer.content, answer.headers["content-type"]) == (JPEG, "image/jpeg")
    hall.gateway.away = True
    assert viewer.get(path).status_code == 503
    with hall.catalog.read() as conn:
        rows = conn.execute(select(audit).where(audit.c.action == "camera_snapshot")).mappings().all()
    assert [(row["subject"], str(row["purpose_id"])) for row in rows] == [(f"camera:{camera_id}", purpose)] * 2


def test_names_sort_as_people_count(hall: ConsoleWorld) -> None:
    manager = hall.person("hall_admin")
    for number, name in enumerate(("10号", "2号", "１号")):
        address = f"192.0.2.{number + 40}"
        hall.gateway.devices[address] = device_facts(f"S-{number}")
        password = hall.gateway.password
        body = {"address": address, "port": 80, "username": "u", "password": password, "name": name}
        assert manager.post("/api/devices", body).status_code == 201
    assert [item["name"] for item in manager.get("/api/cameras").json()["cameras"]] == ["１号", "2号", "10号"]


def test_a_camera_is_renamed(hall: ConsoleWorld, camera_id: str) -> None:
    manager: Browser = hall.person("hall_admin")
    assert manager.patch(f"/api/cameras/{camera_id}", {"name": "  大门  外 "}).json()["name"] == "大门 外"
    assert manager.patch(f"/api/cameras/{camera_id}", {"name": "x" * 81}).json()["error"]["code"] == "name_long"
    unknown = manager.patch("/api/cameras/01234567-89ab-7cde-8f01-23456789abcd", {"name": "x"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "camera_unknown")
