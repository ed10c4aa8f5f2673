"""Recording plans, schedules, window hours, keeping classes and calendar years over the API, on both engines."""

from __future__ import annotations

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select

from storage.archive import tables
from storage.archive.ingest import Ingest
from storage.archive.verify import Level, verify
from storage.clock import US
from storage.ids import new_id
from storage.model import GapReason, LeafKind
from tests.console.console_world import Browser, ConsoleWorld
from tests.fakes.console_gateway import device_facts

NOBODY_S_ID = "01234567-89ab-7cde-8f01-23456789abcd"


def at(text: str) -> int:
    """Microseconds of a wall time in Shanghai."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()) * US


@dataclass
class Planned:
    """A hall with two cameras: one H.265 with an H.264 substream that sees window 1, one that sees nothing."""

    world: ConsoleWorld
    manager: Browser
    cameras: list[str]
    windows: list[str]

    def plan(self, **change: Any) -> Any:
        """Change the first camera's plan."""
        return self.manager.patch(f"/api/cameras/{self.cameras[0]}/plan", change)

    def schedule(self, name: str = "晚间班", **change: Any) -> dict[str, Any]:
        periods = [{"weekday": day, "from_minute": 720, "to_minute": 1200} for day in range(1, 6)]
        answer = self.manager.post("/api/schedules", {"name": name, "periods": periods, **change})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def recorded(self, camera: int = 0) -> dict[str, bool]:
        """Which streams the camera's plan takes."""
        shown = self.manager.get(f"/api/cameras/{self.cameras[camera]}").json()
        return {item["role"]: item["recorded"] for item in shown["streams"]}

    def rows(self, table: Any, **where: Any) -> list[Any]:
        with self.world.catalog.read() as conn:
            query = select(table)
            for name, value in where.items():
                query = query.where(table.c[name] == value)
            return list(conn.execute(query).all())

    def problems(self) -> list[tuple[str, str]]:
        found = self.manager.get("/api/problems").json()["problems"]
        return [(one["kind"], one["name"]) for one in found if one["kind"] == "calendar_unloaded"]

    def preview(self, day: str) -> list[list[tuple[str, int, int]]]:
        """Bars of both cameras: state, and hours of the hall's day."""
        answer = self.manager.get("/api/plans/preview", day=day).json()
        begin = answer["t0_us"]
        return [
            [
                (bar["state"], (bar["t0_us"] - begin) // (60 * US), (bar["t1_us"] - begin) // (60 * US))
                for bar in one["bars"]
            ]
            for one in answer["cameras"]
        ]


@pytest.fixture
def planned(any_hall_console: ConsoleWorld) -> Planned:
    world = any_hall_console
    world.gateway.devices["192.0.2.10"] = device_facts("SN-1", codec="h265")
    world.gateway.devices["192.0.2.11"] = device_facts("SN-2")
    world.gateway.devices["192.0.2.11"]["channels"][0]["streams"].pop()
    manager = world.person("hall_admin")
    windows = [one["id"] for one in manager.get("/api/windows").json()["windows"]]
    cameras = []
    for number, address in ((1, "192.0.2.10"), (2, "192.0.2.11")):
        body = {"address": address, "port": 80, "username": "u", "password": world.gateway.password}
        made = manager.post("/api/devices", {**body, "name": f"{number}号"}).json()
        cameras.append(made["channels"][0]["id"])
    manager.post(
        f"/api/cameras/{cameras[0]}/windows", {"window_id": windows[0], "role": "front", "from_us": at("2026-01-01")}
    )
    return Planned(world, manager, cameras, windows)


def test_a_camera_without_a_plan_is_always_recorded(planned: Planned) -> None:
    shown = planned.manager.get("/api/plans").json()
    first = shown["plans"][0]
    assert (first["name"], first["has_sub"], first["windows"][0]["number"]) == ("1号", True, 1)
    assert (first["plan"]["mode"], first["plan"]["version"], first["plan"]["audio"]) == ("always", 0, False)
    assert first["plan"]["keeps_days"] == 30
    assert shown["plans"][1]["has_sub"] is False
    assert planned.rows(tables.recording_plan) == []


def test_a_change_keeps_what_is_left_out_and_refuses_an_old_version(planned: Planned) -> None:
    plan = planned.plan(mode="periods", post_roll_s=60, version=0).json()
    assert (plan["mode"], plan["post_roll_s"], plan["pre_roll_s"], plan["version"]) == ("periods", 60, 10, 1)
    assert plan["updated_by"] == "hall_admin 姓名"
    assert planned.plan(mode="off", version=0).json()["error"]["code"] == "plan_changed"
    again = planned.plan(mode="event", on_motion=False, version=1).json()
    assert (again["post_roll_s"], again["on_motion"], again["version"]) == (60, False, 2)
    assert planned.manager.get(f"/api/cameras/{planned.cameras[0]}/plan").json() == again


def test_of_two_who_change_a_plan_at_once_one_is_told(planned: Planned) -> None:
    """Each has read the same version; on PostgreSQL nothing but a lock makes the second one wait."""
    start = threading.Barrier(2)
    managers = [planned.manager, planned.world.person("hall_admin")]

    def change(number: int, version: int) -> str:
        start.wait(10)
        body = {"post_roll_s": 60 + number, "version": version}
        answer = managers[number].patch(f"/api/cameras/{planned.cameras[0]}/plan", body).json()
        return str(answer.get("error", {}).get("code", "changed"))

    for version in range(3):  # the first one makes the row
        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(change, (0, 1), (version, version))) == ["changed", "plan_changed"]


def test_the_periods_of_two_who_change_a_schedule_at_once_never_come_together(planned: Planned) -> None:
    start = threading.Barrier(2)
    managers = [planned.manager, planned.world.person("hall_admin")]
    path = f"/api/schedules/{planned.schedule()['id']}"

    def change(number: int) -> None:
        start.wait(10)
        periods = [{"weekday": day, "from_minute": 600 + number, "to_minute": 700} for day in range(1, 8)]
        assert managers[number].patch(path, {"periods": periods}).status_code == 200

    for _ in range(5):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(change, (0, 1)))
        begins = [row.from_minute for row in planned.rows(tables.schedule_period)]
        assert begins in ([600] * 7, [601] * 7)


def test_stream_policies_choose_streams_and_the_default_brings_the_h264_substream(planned: Planned) -> None:
    assert planned.recorded() == {"main": True, "sub": True}
    for policy, wanted in (
        ("main", {"main": True, "sub": False}),
        ("sub", {"main": False, "sub": True}),
        ("both", {"main": True, "sub": True}),
        ("main", {"main": True, "sub": False}),
        ("auto", {"main": True, "sub": True}),
    ):
        assert planned.plan(streams=policy).status_code == 200
        assert planned.recorded() == wanted
    many = {"camera_ids": planned.cameras, "change": {"streams": "sub", "mode": "off"}}
    refused = planned.manager.patch("/api/plans", many)
    assert refused.json()["error"]["code"] == "no_substream"
    assert refused.json()["error"]["fields"] == {"camera": planned.cameras[1], "cameras": 1}
    assert planned.plan().json()["mode"] == "always"  # nothing was changed


def test_sound_needs_its_legal_basis_and_says_who_turned_it_on(planned: Planned) -> None:
    for basis in ({}, {"audio_basis": "  "}):
        assert planned.plan(audio=True, **basis).json()["error"]["code"] == "audio_basis_missing"
    on = planned.plan(audio=True, audio_basis="《大厅视频监控管理办法》第九条").json()
    assert (on["audio"], on["audio_by"], on["audio_us"]) == (True, "hall_admin 姓名", planned.world.clock.now_us())
    planned.world.clock.advance(60)
    assert planned.plan(mode="periods").json()["audio_us"] == on["audio_us"]
    off = planned.plan(audio=False).json()
    assert (off["audio"], off["audio_basis"], off["audio_by"], off["audio_us"]) == (False, "", None, None)
    told = [json.loads(row.detail) for row in planned.rows(tables.audit, action="plan_change")]
    assert [one["audio"] for one in told] == [True, True, False]
    assert told[0]["audio_basis"] == "《大厅视频监控管理办法》第九条"


def test_many_cameras_at_once_each_with_an_audit_row_and_a_leaf(planned: Planned) -> None:
    answer = planned.manager.patch("/api/plans", {"camera_ids": planned.cameras, "change": {"mode": "periods"}})
    assert [one["plan"]["mode"] for one in answer.json()["plans"]] == ["periods", "periods"]
    subjects = {row.subject for row in planned.rows(tables.audit, action="plan_change")}
    assert subjects == {f"camera:{camera}" for camera in planned.cameras}
    leaves = [json.loads(row.body) for row in planned.rows(tables.leaf, kind=LeafKind.PLAN.value)]
    assert {leaf["subject"] for leaf in leaves} == subjects
    assert all(leaf["mode"] == "periods" for leaf in leaves)
    assert list(verify(planned.world.catalog, {}, Level.ROWS).findings) == []
    unknown = {"camera_ids": [*planned.cameras, NOBODY_S_ID], "change": {"mode": "off"}}
    assert planned.manager.patch("/api/plans", unknown).status_code == 404
    assert planned.plan().json()["mode"] == "periods"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"mode": "sometimes"}, 422),
        ({"pre_roll_s": 61}, 422),
        ({"extend_cap_s": 4 * 3600 + 1}, 422),
        ({"keep_days": 3661}, 422),
        ({"schedule_id": NOBODY_S_ID}, 404),
        ({"retention_class_id": NOBODY_S_ID}, 404),
        ({"audio_basis": "长" * 501}, 422),
        ({"colour": 1}, 422),
    ],
)
def test_what_a_plan_cannot_be(planned: Planned, change: dict[str, Any], status: int) -> None:
    assert planned.plan(**change).status_code == status
    assert planned.rows(tables.recording_plan) == []


def test_schedules_live_while_something_goes_by_them(planned: Planned) -> None:
    made = planned.schedule()
    path = f"/api/schedules/{made['id']}"
    assert (made["follows_calendar"], len(made["periods"]), made["cameras"]) == (True, 5, 0)
    again = planned.manager.post("/api/schedules", {"name": "晚间班", "periods": made["periods"]})
    assert again.json()["error"]["code"] == "schedule_exists"
    night: dict[str, Any] = {
        "periods": [{"weekday": 7, "from_minute": 1320, "to_minute": 1800}],
        "follows_calendar": False,
    }
    assert planned.manager.patch(path, night).json()["periods"] == night["periods"]
    overlapping = [*night["periods"], {"weekday": 1, "from_minute": 300, "to_minute": 400}]
    assert planned.manager.patch(path, {"periods": overlapping}).json()["error"]["code"] == "periods_overlap"
    assert planned.manager.patch(path, {"periods": []}).json()["error"]["code"] == "periods_missing"
    planned.plan(mode="periods", schedule_id=made["id"])
    used = planned.manager.delete(path).json()["error"]
    assert (used["code"], used["fields"]) == ("schedule_in_use", {"cameras": 1, "windows": 0})
    assert planned.plan(schedule_id=None).json()["schedule_id"] is None
    assert planned.manager.delete(path).status_code == 204
    assert planned.manager.get("/api/schedules").json() == {"schedules": []}
    assert planned.manager.delete(path).status_code == 404
    actions = [row.action for row in planned.rows(tables.audit) if row.action.startswith("schedule_")]
    assert actions == ["schedule_create", "schedule_change", "schedule_delete"]


def test_windows_keep_hours_of_their_own_and_lunch_duty(planned: Planned) -> None:
    made = planned.schedule()
    path = f"/api/windows/{planned.windows[0]}/hours"
    one = planned.manager.patch(path, {"schedule_id": made["id"], "lunch_weekdays": [5, 1]}).json()
    assert (one["schedule_id"], one["lunch_weekdays"]) == (made["id"], [1, 5])
    assert planned.manager.patch(path, {"schedule_id": None}).json()["lunch_weekdays"] == [1, 5]
    assert planned.manager.patch(path, {"lunch_weekdays": [8]}).json()["error"]["code"] == "weekday_invalid"
    assert planned.manager.patch(f"/api/windows/{NOBODY_S_ID}/hours", {}).status_code == 404
    shown = planned.manager.get("/api/window-hours").json()["windows"]
    assert len(shown) == 12
    assert shown[0]["lunch_weekdays"] == [1, 5]
    assert shown[1] | {"window_id": "", "name": ""} == {
        "window_id": "",
        "number": 2,
        "name": "",
        "schedule_id": None,
        "lunch_weekdays": [],
    }


def test_keeping_classes_and_the_longest_rule(planned: Planned) -> None:
    wanted = {"name": "重点部位", "days": 90, "basis": "《反恐怖主义法》第三十二条"}
    made = planned.manager.post("/api/retention-classes", wanted).json()
    path = f"/api/retention-classes/{made['id']}"
    assert planned.plan(retention_class_id=made["id"], keep_days=45).json()["keeps_days"] == 90
    assert planned.manager.patch(path, {"days": 20}).json()["cameras"] == 1
    assert planned.plan().json()["keeps_days"] == 45
    assert planned.plan(keep_days=7).json()["keeps_days"] == 30  # the hall's own
    assert planned.manager.delete(path).json()["error"]["code"] == "retention_class_in_use"
    planned.plan(retention_class_id=None)
    assert planned.manager.delete(path).status_code == 204
    assert planned.manager.post("/api/retention-classes", {"days": 3}).status_code == 422
    assert planned.manager.post("/api/retention-classes", {**wanted, "days": 0}).status_code == 422


NOTICE = "国庆节：10月1日（周四）至7日（周三）放假调休，共7天。9月20日（周日）、10月10日（周六）上班。"


def load(planned: Planned, year: int, text: str = NOTICE) -> Any:
    read = planned.manager.post(f"/api/calendar/{year}/read", {"text": text}).json()
    assert read["problems"] == []
    body = {"source": "国办发明电〔2025〕7号", "days": read["days"]}
    return planned.manager.patch(f"/api/calendar/{year}", body).json()


def test_a_year_that_plans_need_is_missed_loudly_until_it_is_loaded(planned: Planned) -> None:
    assert planned.problems() == []
    planned.plan(mode="periods")
    assert planned.problems() == [("calendar_unloaded", "2026")]
    assert planned.manager.get("/api/calendar").json() == {"years": [], "missing": [2026]}
    loaded = load(planned, 2026)
    assert (loaded["loaded"], len(loaded["days"])) == (True, 9)
    assert planned.problems() == []
    years = planned.manager.get("/api/calendar").json()
    assert years["missing"] == []
    assert [(one["year"], one["holidays"], one["workdays"]) for one in years["years"]] == [(2026, 7, 2)]
    assert planned.manager.delete("/api/calendar/2026").status_code == 204
    assert planned.problems() == [("calendar_unloaded", "2026")]
    planned.plan(mode="always")
    assert planned.problems() == []
    assert planned.manager.delete("/api/calendar/2026").json()["error"]["code"] == "calendar_unknown"


def test_loading_a_year_again_replaces_it_and_reaches_into_december(planned: Planned) -> None:
    load(planned, 2026)
    days = [{"day": "2025-12-31", "kind": "holiday"}, {"day": "2026-01-04", "kind": "workday", "as_weekday": 1}]
    again = planned.manager.patch("/api/calendar/2026", {"days": days}).json()
    assert [one["day"] for one in again["days"]] == ["2026-01-04"]
    assert planned.manager.get("/api/calendar/2025").json()["loaded"] is False
    assert len(planned.manager.get("/api/calendar/2025").json()["days"]) == 1
    assert planned.manager.patch("/api/calendar/2026", {"days": days}).status_code == 200
    twice = {"days": [days[0], days[0]]}
    assert planned.manager.patch("/api/calendar/2026", twice).json()["error"]["code"] == "calendar_day_invalid"


def test_a_file_of_the_office_is_read_and_what_cannot_be_is_told(planned: Planned) -> None:
    data = "日期,类型,名称\r\n2026-10-01,放假,国庆节\r\n2026-10-02,国庆节\r\n".encode("gb18030")
    answer = planned.manager.post("/api/calendar/2026/read", {"data": base64.b64encode(data).decode()}).json()
    assert [one["day"] for one in answer["days"]] == ["2026-10-01"]
    assert answer["problems"] == [{"line": 3, "text": "2026-10-02,国庆节", "code": "kind_missing"}]
    for body in ({}, {"text": "", "data": ""}, {"data": "%"}):
        assert planned.manager.post("/api/calendar/2026/read", body).json()["error"]["code"] == "calendar_input"
    assert planned.manager.get("/api/calendar/1999").json()["error"]["code"] == "year_invalid"


def test_a_day_as_planned(planned: Planned) -> None:
    assert planned.preview("2026-10-02") == [[("record", 0, 1440)], [("record", 0, 1440)]]
    load(planned, 2026)
    planned.plan(mode="periods")
    assert planned.preview("2026-10-09")[0] == [("record", 540, 1020), ("may_extend", 1020, 1140)]
    assert planned.preview("2026-10-02")[0] == []
    answer = planned.manager.get("/api/plans/preview", day="2026-10-10").json()
    assert answer["calendar"] == {"loaded": True, "kind": "workday", "as_weekday": 5, "name": "国庆节"}
    night = [{"weekday": 5, "from_minute": 1320, "to_minute": 1800}]
    made = planned.schedule("夜间", periods=night, follows_calendar=False)
    both = {"camera_ids": planned.cameras, "change": {"mode": "event", "schedule_id": made["id"]}}
    planned.manager.patch("/api/plans", both)
    saturday = planned.preview("2026-10-10")
    assert saturday == [[("event", 0, 360), ("may_extend", 360, 480)], [("event", 0, 360)]]
    assert planned.preview("2026-10-09")[1] == [("event", 1320, 1440)]
    planned.plan(mode="off")
    assert planned.preview("2026-10-10")[0] == []
    assert planned.manager.get("/api/plans/preview").json()["day"] == "2026-11-21"
    assert planned.manager.get("/api/plans/preview", day="soon").json()["error"]["code"] == "day_invalid"


def test_time_outside_the_plan_is_shown_with_the_schedule_s_name(planned: Planned) -> None:
    """The gateway's gap of reason `plan` comes through to the camera's page as it was written."""
    world = planned.world
    camera_id = UUID(planned.cameras[0])
    stream_id = next(row.id for row in planned.rows(tables.stream, channel_id=camera_id) if row.role == "main")
    ingest = Ingest(world.catalog, world.clock, new_id(world.clock).hex)
    seven = world.clock.now_us() - 2 * 3600 * US
    ingest.open_gap(stream_id, seven, GapReason.PLAN, "outside_schedule: 晚间班")
    shown = planned.manager.get(f"/api/cameras/{camera_id}/coverage", day="2026-11-21").json()
    spans = {(one["state"], one["detail"]) for one in shown["spans"] if one["t1_us"] > seven}
    assert ("plan", "outside_schedule: 晚间班") in spans
    state = {"live": "offline", "live_cause": "plan", "live_since_us": 1, "recording": "plan", "recording_since_us": 1}
    with world.catalog.write() as conn:
        values = {"recording_cause": "outside_schedule: 晚间班", "updated_us": world.clock.now_us()}
        conn.execute(insert(tables.stream_state).values(stream_id=stream_id, **state, **values))
    recording = planned.manager.get(f"/api/cameras/{camera_id}").json()["recording"]
    assert (recording["state"], recording["cause"]) == ("plan", "outside_schedule: 晚间班")
    assert all(one["kind"] != "camera_offline" for one in planned.manager.get("/api/problems").json()["problems"])


def test_an_odd_camera_is_read_by_another_engine_or_transport(planned: Planned) -> None:
    path = f"/api/cameras/{planned.cameras[0]}"
    changed = planned.manager.patch(path, {"engine": "libav", "transport": "udp"}).json()
    assert {(one["engine"], one["transport"]) for one in changed["streams"]} == {("libav", "udp")}
    assert changed["name"] == "1号"
    again = planned.manager.patch(path, {"engine": "", "name": "一号"}).json()
    assert {(one["engine"], one["transport"]) for one in again["streams"]} == {("", "udp")}
    assert again["name"] == "一号"
    other = planned.manager.get(f"/api/cameras/{planned.cameras[1]}").json()
    assert {(one["engine"], one["transport"]) for one in other["streams"]} == {("", "tcp")}
    assert planned.manager.patch(path, {"engine": "ffmpeg"}).status_code == 422
    details = [json.loads(row.detail) for row in planned.rows(tables.audit, action="camera_change")]
    assert details[0] == {"changed": ["engine", "transport"], "engine": "libav", "transport": "udp"}
