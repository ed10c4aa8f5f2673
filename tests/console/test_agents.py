"""Workstations and their agents: enrolment, signatures, reports, segments, silence, revocation."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from console.services.watchers import SilenceWatch
from storage.archive.ingest import Ingest
from storage.archive.tables import alarm, coverage, enrolment_code, leaf, screen_segment, workstation_window
from storage.clock import US
from storage.ids import hall_chain, new_id
from storage.model import AlarmKind, StreamKind
from tests.console.agent_world import Machine, code_for, enrolled, segment
from tests.console.console_world import ConsoleWorld


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def only(world: ConsoleWorld) -> dict[str, Any]:
    found: list[dict[str, Any]] = world.person("auditor").get("/api/workstations").json()["workstations"]
    assert len(found) == 1
    return found[0]


def test_enrolling_makes_the_workstation_with_its_windows_and_leaves(hall: ConsoleWorld) -> None:
    machine = Machine.make(hall)
    answer = machine.enrol(code_for(hall.person("hall_admin")))
    assert answer.status_code == 201
    settings = answer.json()["settings"]
    assert (settings["timezone"], settings["interval_s"]) == ("Asia/Shanghai", 5.0)
    assert settings["notice"] == {"version": 1, "text": "本机屏幕定时截取"}
    assert settings["service_periods"][0] == {"weekday": 1, "from_minute": 540, "to_minute": 1020}
    shown = only(hall)
    assert (shown["name"], shown["hostname"]) == ("3号窗口工作电脑", "PC-1")
    assert [item["number"] for item in shown["windows"]] == [1, 2]
    assert [(item["name"], item["width"]) for item in shown["monitors"]] == [("DP-1", 128)]
    with hall.catalog.read() as conn:
        hall_id = conn.execute(select(enrolment_code.c.hall_id)).scalar_one()
        chain = select(leaf.c.sequence).where(leaf.c.stream_id == hall_chain(hall_id, StreamKind.MAP))
        assert len(conn.execute(chain).all()) == 2


def test_a_code_is_good_once(hall: ConsoleWorld) -> None:
    code = code_for(hall.person("hall_admin"))
    assert Machine.make(hall, "first").enrol(code.lower().replace("-", " ")).status_code == 201
    assert error(Machine.make(hall, "second").enrol(code)) == (401, "enrolment_code_invalid")


def test_a_code_expires(hall: ConsoleWorld) -> None:
    code = code_for(hall.person("hall_admin"), minutes=10)
    hall.clock.advance(601)
    assert error(Machine.make(hall).enrol(code)) == (401, "enrolment_code_invalid")


def test_guessing_codes_is_slowed_down_by_address(hall: ConsoleWorld) -> None:
    code = code_for(hall.person("hall_admin"))
    machine = Machine.make(hall)
    for _ in range(5):
        assert error(machine.enrol("AAAA-BBBB-CCCC")) == (401, "enrolment_code_invalid")
    assert error(machine.enrol(code)) == (429, "too_many_attempts")
    elsewhere = Machine.make(hall, "other", "192.0.2.201")
    assert elsewhere.enrol(code).status_code == 201


def test_a_cloned_disk_cannot_enrol_with_the_same_key(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    code = code_for(hall.person("hall_admin"))
    assert error(machine.enrol(code)) == (409, "key_enrolled")
    assert Machine.make(hall, "fresh").enrol(code).status_code == 201


def test_reports_keep_coverage_and_repeat_harmlessly(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    t0 = hall.clock.now_us()
    hall.clock.advance(60)
    claims = [("recording", t0, t0 + 30 * US), ("unchanged", t0 + 30 * US, t0 + 60 * US)]
    answer = machine.report(*claims)
    assert answer.status_code == 200
    assert (answer.json()["now_us"], answer.json()["pace_s"]) == (hall.clock.now_us(), 10.0)
    assert machine.report(*claims).status_code == 200
    with hall.catalog.read() as conn:
        assert len(conn.execute(select(coverage)).all()) == 2
    shown = only(hall)
    assert (shown["state"], shown["clock_offset_us"], shown["spool_segments"]) == ("unchanged", -1500, 1)
    path = f"/api/workstations/{machine.id}/coverage"
    day = hall.person("auditor").get(path, day="2026-11-21").json()
    states = [span["state"] for span in day["monitors"][0]["spans"]]
    assert states == ["plan", "recording", "unchanged", "future"]


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        (("agent_down", 0, 60), "coverage_invalid"),
        (("asleep", 0, 60), "coverage_invalid"),
        (("recording", 60, 60), "coverage_invalid"),
        (("recording", 0, 1000), "coverage_future"),
    ],
)
def test_claims_that_are_refused(hall: ConsoleWorld, claim: tuple[str, int, int], code: str) -> None:
    machine = enrolled(hall)
    t0 = hall.clock.now_us()
    hall.clock.advance(60)
    state, begin, end = claim
    assert error(machine.report((state, t0 + begin * US, t0 + end * US))) == (422, code)
    with hall.catalog.read() as conn:
        assert conn.execute(select(coverage)).first() is None


def test_a_claim_about_another_monitor(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    claim = {"monitor": "HDMI-9", "t0_us": 1, "t1_us": 2, "state": "recording"}
    assert error(machine.report(coverage=[claim])) == (422, "monitor_unknown")


def test_a_newer_agent_may_say_more_and_at_length(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    t0 = hall.clock.now_us()
    hall.clock.advance(60)
    claim = {"monitor": "DP-1", "t0_us": t0, "t1_us": t0 + US, "state": "failed", "detail": "x" * 3000, "mood": "grey"}
    assert machine.report(coverage=[claim], battery=80).status_code == 200
    with hall.catalog.read() as conn:
        assert conn.execute(select(coverage.c.detail)).scalar_one() == "x" * 500


def test_a_request_is_taken_once(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    assert machine.send("GET", "/agent/v1/time").json() == {"now_us": hall.clock.now_us()}
    replayed = machine.http.get("/agent/v1/time", headers=machine.last_headers)
    assert error(replayed) == (401, "nonce_repeated")


def test_a_request_is_good_for_five_minutes(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    machine.send("GET", "/agent/v1/time")
    hall.clock.advance(301)
    late = machine.http.get("/agent/v1/time", headers=machine.last_headers)
    assert error(late) == (401, "time_outside_window")


def test_a_signature_covers_body_path_and_key(hall: ConsoleWorld) -> None:
    machine, other = enrolled(hall, "one"), enrolled(hall, "two")
    machine.report()
    headers = {**(machine.last_headers or {}), "Content-Type": "application/json"}
    hall.clock.advance(1)
    assert error(machine.http.post("/agent/v1/report", content=b"{}", headers=headers)) == (401, "signature_wrong")
    assert error(machine.http.get("/agent/v1/time", headers=headers)) == (401, "signature_wrong")
    forged = {**headers, "X-Sunhall-Key": other.id}
    assert error(machine.http.get("/agent/v1/time", headers=forged)) == (401, "signature_wrong")
    nobody = {**headers, "X-Sunhall-Key": str(new_id(hall.clock))}
    assert error(machine.http.get("/agent/v1/time", headers=nobody)) == (401, "key_unknown")
    assert error(machine.http.get("/agent/v1/time")) == (401, "signature_missing")


def test_segments_are_stored_once(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    data, head = segment(hall.clock.now_us())
    hall.clock.advance(60)
    segment_id = new_id(hall.clock)
    first = machine.put(data, head, segment_id)
    assert (first.status_code, first.json()["repeated"]) == (201, False)
    again = machine.put(data, head, segment_id)
    assert (again.status_code, again.json()["repeated"]) == (200, True)
    assert b"".join(hall.store.read(segment_id)) == data
    with hall.catalog.read() as conn:
        row = conn.execute(select(screen_segment)).mappings().one()
    assert (row["pictures"], row["location"], row["sha256"].hex()) == (3, "disk", head["sha256"])


def test_the_same_id_with_other_bytes_is_refused_and_raises_an_alarm(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    t0 = hall.clock.now_us()
    data, head = segment(t0)
    other, other_head = segment(t0, seed=5)
    hall.clock.advance(60)
    segment_id = new_id(hall.clock)
    machine.put(data, head, segment_id)
    assert error(machine.put(other, other_head, segment_id)) == (409, "segment_conflict")
    assert b"".join(hall.store.read(segment_id)) == data
    problem = hall.person("supervisor").get("/api/problems").json()["problems"][0]
    assert (problem["kind"], problem["name"]) == ("segment_conflict", "pc")
    assert (problem["link"], problem["subject"]) == ("/workstations", f"workstation:{machine.id}")


def test_segments_that_are_none(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    data, head = segment(hall.clock.now_us())
    hall.clock.advance(60)
    assert machine.put(data[:-9], head).status_code == 422
    assert error(machine.put(data, {**head, "width": 64})) == (422, "segment_mismatch")
    assert error(machine.put(data, {**head, "pictures": head["pictures"][:1]})) == (422, "segment_mismatch")
    assert error(machine.put(data, {**head, "sha256": "0" * 64})) == (422, "segment_mismatch")
    assert error(machine.put(data, {"monitor": "DP-1"})) == (422, "segment_header_invalid")
    future, future_head = segment(hall.clock.now_us() + 400 * US)
    assert error(machine.put(future, future_head)) == (422, "segment_future")
    with hall.catalog.read() as conn:
        assert conn.execute(select(screen_segment)).first() is None
    assert list(hall.store.ids()) == []


def test_bodies_over_the_cap_are_refused(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    _, head = segment(hall.clock.now_us())
    assert error(machine.put(bytes((8 << 20) + 1), head)) == (413, "body_too_large")
    big = json.dumps({"login": "x" * (1 << 20), "password": "y"}).encode()
    assert error(machine.http.post("/api/login", content=big)) == (413, "body_too_large")


def test_a_revoked_workstation_is_refused_at_once(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    manager = hall.person("hall_admin")
    assert machine.report().status_code == 200
    assert manager.post(f"/api/workstations/{machine.id}/revoke").status_code == 204
    assert error(machine.report()) == (401, "key_unknown")
    assert error(manager.post(f"/api/workstations/{machine.id}/revoke")) == (409, "workstation_revoked")
    shown = only(hall)
    assert (shown["state"], shown["windows"]) == ("revoked", [])
    with hall.catalog.read() as conn:
        ended = conn.execute(select(workstation_window.c.to_us)).scalars().all()
    assert ended == [hall.clock.now_us()] * 2


def test_windows_of_a_workstation_have_a_history(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    manager = hall.person("hall_admin")
    windows = manager.get("/api/windows").json()["windows"]
    path = f"/api/workstations/{machine.id}/windows"
    begun = manager.post(path, {"window_id": windows[6]["id"]})
    assert (begun.status_code, begun.json()["number"]) == (201, 7)
    hall.clock.advance(5)
    assert manager.delete(f"{path}/{begun.json()['map_id']}").status_code == 204
    assert [item["number"] for item in only(hall)["windows"]] == [1, 2]
    assert error(manager.post(path, {"window_id": windows[0]["id"]})) == (409, "map_exists")


def watch(world: ConsoleWorld) -> SilenceWatch:
    return SilenceWatch(world.catalog, world.clock, Ingest(world.catalog, world.clock, "console"), 60 * US)


def test_silence_is_written_by_the_server_and_raises_an_alarm(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    t0 = hall.clock.now_us()
    hall.clock.advance(30)
    machine.report(("recording", t0, t0 + 30 * US))
    hall.clock.advance(59)
    assert watch(hall).run_once() == 0
    hall.clock.advance(2)
    assert watch(hall).run_once() == 1
    watch(hall).run_once()
    assert only(hall)["state"] == "agent_down"
    problem = hall.person("supervisor").get("/api/problems").json()["problems"][0]
    assert (problem["kind"], problem["count"]) == ("agent_silent", 1)
    assert hall.person("supervisor").get("/api/status").json()["workstations"] == {
        "total": 1,
        "reporting": 0,
        "silent": 1,
    }
    with hall.catalog.read() as conn:
        written = conn.execute(select(coverage.c.state, coverage.c.author).where(coverage.c.author == "server")).all()
    assert [tuple(row) for row in written] == [("agent_down", "server")]

    back = hall.clock.now_us()
    machine.report(("recording", t0 + 30 * US, back))
    path = f"/api/workstations/{machine.id}/coverage"
    spans = hall.person("auditor").get(path, day="2026-11-21").json()["monitors"][0]["spans"]
    assert [span["state"] for span in spans] == ["plan", "recording", "future"]
    with hall.catalog.read() as conn:
        assert conn.execute(select(alarm.c.closed_us)).scalar_one() == back


def test_a_machine_that_was_switched_off_is_not_silent(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    t0 = hall.clock.now_us()
    hall.clock.advance(30)
    machine.report(("recording", t0, t0 + 20 * US), ("powered_off", t0 + 20 * US, t0 + 30 * US))
    hall.clock.advance(3600)
    assert watch(hall).run_once() == 0
    assert only(hall)["state"] == "powered_off"


def test_outside_the_service_periods_silence_is_written_without_an_alarm(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    hall.clock.advance(30)
    machine.report(("recording", hall.clock.now_us() - 30 * US, hall.clock.now_us()))
    hall.clock.advance(10 * 3600)
    assert watch(hall).run_once() == 1
    assert hall.person("supervisor").get("/api/problems").json()["count"] == 0
    assert machine.report().status_code == 200


@pytest.mark.parametrize("hours", [0, 10])
def test_an_agent_that_never_spoke_is_no_silence_of_a_recorder_but_an_alarm_after_ten_minutes(
    hall: ConsoleWorld, hours: int
) -> None:
    """Nothing was recorded that could have stopped; yet somebody must look why it does not begin."""
    hall.clock.advance(hours * 3600)  # 19:00 is after the service hours: it is installed then, and must work
    machine = enrolled(hall)
    t0 = hall.clock.now_us()
    hall.clock.advance(599)
    assert watch(hall).run_once() == 0
    assert only(hall)["state"] == "never_seen"
    assert states_of_today(hall, machine) == ["plan", "future"]
    hall.clock.advance(2)
    assert watch(hall).run_once() == 1
    (problem,) = hall.person("supervisor").get("/api/problems").json()["problems"]
    assert (problem["kind"], problem["subject"]) == ("agent_silent", f"workstation:{machine.id}")
    assert only(hall)["state"] == "agent_down"
    assert states_of_today(hall, machine) == ["plan", "future"]

    first = hall.clock.now_us()
    hall.clock.advance(20)
    machine.report(("recording", first, hall.clock.now_us()))
    assert hall.person("supervisor").get("/api/problems").json()["problems"] == []
    assert states_of_today(hall, machine) == ["plan", "recording", "future"]
    hall.clock.advance(61)
    assert watch(hall).run_once() == 1
    assert states_of_today(hall, machine) == ["plan", "recording", "agent_down", "future"]
    with hall.catalog.read() as conn:
        since = conn.execute(select(coverage.c.t0_us).where(coverage.c.author == "server")).scalar_one()
    assert since == first + 20 * US > t0


def states_of_today(world: ConsoleWorld, machine: Machine) -> list[str]:
    answer = world.person("auditor").get(f"/api/workstations/{machine.id}/coverage", day="2026-11-21")
    return [span["state"] for span in answer.json()["monitors"][0]["spans"]]


def test_a_hall_before_its_first_run_has_nobody_to_watch(fresh: ConsoleWorld) -> None:
    assert watch(fresh).run_once() == 0


def test_a_spool_that_dropped_raises_an_alarm_until_it_is_empty(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    machine.report(spool={"bytes": 1, "segments": 1, "dropped": 4})
    machine.report(spool={"bytes": 1, "segments": 1, "dropped": 4})
    problem = hall.person("supervisor").get("/api/problems").json()["problems"][0]
    assert (problem["kind"], problem["count"], json.loads(problem["detail"])) == (
        "agent_spool_dropped",
        1,
        {"dropped": 4},
    )
    machine.report()
    assert hall.person("supervisor").get("/api/problems").json()["count"] == 0


def test_what_a_spool_dropped_is_a_coverage_row_and_an_alarm(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    t1 = hall.clock.now_us() // US * US
    lost = {"monitor": "DP-1", "t0_us": t1 - 60 * US, "t1_us": t1, "state": "failed", "detail": "spool_full"}
    machine.report(coverage=[lost], spool={"bytes": 1, "segments": 1, "dropped": 1})
    with hall.catalog.read() as conn:
        row = conn.execute(select(coverage).where(coverage.c.author == "agent")).one()
        kind = conn.execute(select(alarm.c.kind).where(alarm.c.closed_us.is_(None))).scalar_one()
    assert (row.t0_us, row.t1_us, row.state, row.detail) == (t1 - 60 * US, t1, "failed", "spool_full")
    assert kind == AlarmKind.AGENT_SPOOL_DROPPED


def test_settings_get_a_new_version_when_the_hall_changes(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    before = machine.report().json()["settings"]
    assert machine.report().json()["settings"] == before
    hall.person("system_admin").patch("/api/hall", {"notice_staff": "另一段告知"})
    after = machine.report().json()["settings"]
    assert after["version"] != before["version"]
    assert after["notice"] == {"version": 2, "text": "另一段告知"}


def test_agents_work_on_both_engines(any_hall_console: ConsoleWorld) -> None:
    world = any_hall_console
    machine = enrolled(world)
    t0 = world.clock.now_us()
    data, head = segment(t0)
    world.clock.advance(60)
    assert machine.report(("recording", t0, t0 + 60 * US)).status_code == 200
    segment_id = new_id(world.clock)
    assert machine.put(data, head, segment_id).status_code == 201
    assert machine.put(data, head, segment_id).status_code == 200
    other, other_head = segment(t0, seed=3)
    assert error(machine.put(other, other_head, segment_id)) == (409, "segment_conflict")
    assert machine.http.get("/agent/v1/time", headers=machine.last_headers).status_code == 401
    world.clock.advance(61)
    assert watch(world).run_once() == 1
    kinds = {item["kind"] for item in world.person("supervisor").get("/api/problems").json()["problems"]}
    assert kinds == {"segment_conflict", "agent_silent"}
    assert only(world)["id"] == str(UUID(machine.id))
