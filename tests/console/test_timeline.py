"""The timeline of a visit: lanes by the map as it was then, cut to the visit, with coverage and steps."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from storage.archive.tables import camera_window, stream
from storage.model import GapReason, Role, RunEnd
from tests.console.footage_world import FailingAudit, FootageWorld, minutes
from tests.fakes.archive import Hall

NUMBER = "滁政务〔2026〕第000123号"


@pytest.fixture
def world(small_hall: Hall) -> FootageWorld:
    made = FootageWorld(small_hall)
    made.log_in(Role.AUDITOR)
    return made


def timeline(world: FootageWorld, number: str = NUMBER, visit: int = 0) -> dict[str, Any]:
    """The timeline of a visit of the first case found, as the browser gets it."""
    case_id = world.get(f"/api/cases?q={number}").json()["cases"][0]["id"]
    visits = world.get(f"/api/cases/{case_id}").json()["visits"]
    answer = world.get(f"/api/visits/{visits[visit]['id']}/timeline")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def test_a_timeline_has_every_lane_of_the_visit(world: FootageWorld) -> None:
    hall, start = world.hall, world.clock.now_us()
    with world.catalog.write() as conn:
        conn.execute(update(stream).where(stream.c.id == hall.main_id).values(recorded=True, width=1920, height=1080))
    world.map_camera(hall.channel_id, hall.window_ids[0], start, None, "front")
    world.map_workstation(hall.window_ids[0], start)
    pictures = [start + minutes(m) for m in (2, 2.5)]
    world.record_screen(pictures[0], pictures[0] + minutes(1), dict.fromkeys(pictures, 7) | {pictures[1]: 9})
    made = world.record(hall.main_id, 10)
    world.send("called", start + minutes(2), ticket="A012", window="1")
    world.send("accepted", start + minutes(3), NUMBER, ticket="A012", window="1", staff="1001")
    world.send("evaluated", start + minutes(6), NUMBER, window="1")

    shown = timeline(world)

    assert shown["t0_us"] == start + minutes(2)
    assert start + minutes(6) <= shown["t1_us"] <= start + minutes(6) + 10**6
    assert shown["case"]["number"] == NUMBER
    assert (shown["visit"]["window"]["number"], shown["visit"]["staff"]) == (1, "1001")
    assert [item["kind"] for item in shown["steps"]] == ["called", "accepted", "evaluated"]
    camera = shown["cameras"][0]
    assert (camera["name"], camera["role"]) == ("1号窗口正面", "front")
    assert [item["role"] for item in camera["streams"]] == ["main"]
    assert [item["id"] for item in camera["streams"][0]["segments"]] == [str(item.id) for item in made[2:7]]
    assert [item["state"] for item in camera["coverage"]] == ["recorded"]
    assert (camera["coverage"][0]["t0_us"], camera["coverage"][0]["t1_us"]) == (shown["t0_us"], shown["t1_us"])
    screen = shown["screens"][0]
    assert screen["monitor_id"] == str(hall.monitor_id)
    assert screen["pictures"] == pictures
    assert screen["coverage"][0]["state"] == "recording"


def test_the_map_is_the_one_of_that_time_and_not_of_today(world: FootageWorld) -> None:
    hall, start = world.hall, world.clock.now_us()
    other, other_stream = world.add_camera("2号机位")
    world.map_camera(hall.channel_id, hall.window_ids[0], start, start + minutes(20), "front")
    world.map_camera(hall.channel_id, hall.window_ids[1], start + minutes(20), None, "front")
    world.map_camera(other, hall.window_ids[0], start + minutes(20), None, "panorama")
    world.record(hall.main_id, 40)
    world.send("accepted", start + minutes(5), NUMBER, window="1")
    world.send("evaluated", start + minutes(9), NUMBER, window="1")
    world.send("accepted", start + minutes(25), "〔2026〕2", window="1")
    world.send("evaluated", start + minutes(29), "〔2026〕2", window="1")

    assert [item["camera_id"] for item in timeline(world)["cameras"]] == [str(hall.channel_id)]
    later = timeline(world, "20262")["cameras"]
    assert [(item["camera_id"], item["role"]) for item in later] == [(str(other), "panorama")]
    assert later[0]["streams"][0]["id"] == str(other_stream)


def test_a_camera_that_was_turned_in_mid_visit_shows_only_its_own_part(world: FootageWorld) -> None:
    hall, start = world.hall, world.clock.now_us()
    world.map_camera(hall.channel_id, hall.window_ids[0], start, start + minutes(7), "front")
    made = world.record(hall.main_id, 20)
    world.send("accepted", start + minutes(5), NUMBER, window="1")
    world.send("evaluated", start + minutes(15), NUMBER, window="1")

    camera = timeline(world)["cameras"][0]

    assert [item["id"] for item in camera["streams"][0]["segments"]] == [str(item.id) for item in made[5:7]]
    assert [(item["t0_us"], item["t1_us"]) for item in camera["coverage"]] == [(start + minutes(5), start + minutes(7))]


def test_a_camera_with_two_roles_is_one_lane(world: FootageWorld) -> None:
    hall, start = world.hall, world.clock.now_us()
    world.map_camera(hall.channel_id, hall.window_ids[0], start, start + minutes(7), "front")
    world.map_camera(hall.channel_id, hall.window_ids[0], start + minutes(7), None, "overhead")
    made = world.record(hall.main_id, 20)
    world.send("accepted", start + minutes(5), NUMBER, window="1")
    world.send("evaluated", start + minutes(9), NUMBER, window="1")

    cameras = timeline(world)["cameras"]

    assert [item["role"] for item in cameras] == ["front"]
    assert len(cameras[0]["streams"][0]["segments"]) == len(made[5:10])


def test_a_gap_is_shown_with_its_reason(world: FootageWorld) -> None:
    hall, start = world.hall, world.clock.now_us()
    with world.catalog.write() as conn:
        conn.execute(update(stream).where(stream.c.id == hall.main_id).values(recorded=True))
    world.map_camera(hall.channel_id, hall.window_ids[0], start, None, "front")
    run_id = world.ingest.open_run(hall.main_id, start)
    data = b"segment"
    segment = hall.segment(run_id, start, start + minutes(1), data)
    world.store.put_bytes(segment.id, data)
    world.ingest.commit_segment(segment, world.store.location)
    world.clock.advance(60)
    world.ingest.close_run(run_id, start + minutes(1), RunEnd.NETWORK, "reset")
    world.clock.advance(600)
    world.send("accepted", start, NUMBER, window="1")
    world.send("evaluated", start + minutes(3), NUMBER, window="1")

    coverage = timeline(world)["cameras"][0]["coverage"]

    assert [(item["state"], item["detail"]) for item in coverage] == [
        ("recorded", ""),
        (GapReason.NETWORK.value, "reset"),
    ]


def test_times_of_a_minute_widen_what_is_shown(world: FootageWorld) -> None:
    start = world.clock.now_us() // minutes(1) * minutes(1)
    world.clock.advance(7200)
    world.send("accepted", start + minutes(5) + 30 * 10**6, NUMBER, window="1", precision="minute")
    world.send("accepted", start + minutes(9) + 30 * 10**6, "〔2026〕2", window="1", precision="minute")

    shown = timeline(world)

    assert (shown["t0_us"], shown["t1_us"]) == (start + minutes(5), start + minutes(10.5))


def test_an_open_visit_is_shown_until_now(world: FootageWorld) -> None:
    start = world.clock.now_us()
    world.send("accepted", start, NUMBER, window="1")
    world.clock.advance(300)

    shown = timeline(world)

    assert shown["visit"]["t1_us"] is None
    assert shown["t1_us"] == world.clock.now_us()


def test_an_older_version_of_a_visit_can_still_be_opened(world: FootageWorld) -> None:
    start = world.clock.now_us()
    world.send("accepted", start, NUMBER, window="1")
    first = timeline(world)["visit"]
    world.send("evaluated", start + minutes(2), NUMBER, window="1")

    old, new = world.get(f"/api/visits/{first['id']}/timeline").json()["visit"], timeline(world)["visit"]

    assert (old["version"], old["closed_by"]) == (1, "open")
    assert (new["version"], new["closed_by"]) == (2, "evaluated")


def test_a_timeline_needs_a_purpose_and_its_audit_row(world: FootageWorld) -> None:
    world.send("accepted", world.clock.now_us(), NUMBER, window="1")
    visit_id = timeline(world)["visit"]["id"]
    assert world.audited() == [("timeline_view", f"visit:{visit_id}")]

    world.log_in(Role.AUDITOR, session="two", purpose=None)
    refused = world.get(f"/api/visits/{visit_id}/timeline")
    world.log_in(Role.AUDITOR, session="three")
    FailingAudit.away = True
    unaudited = world.get(f"/api/visits/{visit_id}/timeline")

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "purpose_required")
    assert unaudited.status_code == 503
    assert "cameras" not in unaudited.json()


def test_a_map_row_taken_back_before_it_held_shows_nothing(world: FootageWorld) -> None:
    start = world.clock.now_us()
    world.map_camera(world.hall.channel_id, world.hall.window_ids[0], start, None, "front")
    with world.catalog.write() as conn:
        conn.execute(update(camera_window).values(to_us=start))
    world.send("accepted", start, NUMBER, window="1")

    assert timeline(world)["cameras"] == []
