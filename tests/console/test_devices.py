"""Devices: discovery, probing, registering, credentials, retiring; and what is recorded of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from console.services.device_rows import recorded_roles, warnings_of
from storage.archive.alarms import open_alarm
from storage.archive.tables import camera_window, channel, device, leaf, stream
from storage.ids import hall_chain
from storage.model import AlarmKind, StreamKind
from tests.console.console_world import Browser, ConsoleWorld
from tests.fakes.console_gateway import device_facts, stream_facts

ADDRESS = "192.0.2.10"


@pytest.fixture
def manager(hall: ConsoleWorld) -> Browser:
    hall.gateway.devices[ADDRESS] = device_facts("SN-1")
    return hall.person("hall_admin")


def credentials(world: ConsoleWorld, address: str = ADDRESS, password: str = "") -> dict[str, Any]:
    return {"address": address, "port": 80, "username": "admin", "password": password or world.gateway.password}


def register(world: ConsoleWorld, manager: Browser, **changes: Any) -> Any:
    return manager.post("/api/devices", {**credentials(world), "name": "1号窗口", **changes})


def test_a_probe_shows_the_picture_and_keeps_nothing(hall: ConsoleWorld, manager: Browser) -> None:
    answer = manager.post("/api/devices/probe", credentials(hall))
    assert answer.status_code == 200
    body = answer.json()
    assert body["channels"][0]["streams"][0]["gop_ms"] == 2000
    assert (body["registered"], body["warnings"]) == (None, [])
    assert body["picture"]
    assert "sealed" not in body
    with hall.catalog.read() as conn:
        assert conn.execute(select(device)).first() is None


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"password": "wrong-one"}, 422, "wrong_password"),
        ({"address": "192.0.2.99"}, 422, "unreachable"),
        ({"address": "http://192.0.2.10/"}, 422, "invalid_request"),
        ({"port": 0}, 422, "invalid_request"),
    ],
)
def test_how_a_probe_fails(
    hall: ConsoleWorld, manager: Browser, change: dict[str, Any], status: int, code: str
) -> None:
    answer = manager.post("/api/devices/probe", {**credentials(hall), **change})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    hall.gateway.away = True
    away = manager.post("/api/devices/probe", credentials(hall))
    assert (away.status_code, away.json()["error"]["code"]) == (503, "gateway_away")


def test_registering_makes_rows_and_the_gateway_is_told(hall: ConsoleWorld, manager: Browser) -> None:
    made = register(hall, manager)
    assert made.status_code == 201
    body = made.json()
    assert (body["device"]["serial"], body["device"]["auth_blocked"]) == ("SN-1", False)
    assert [item["number"] for item in body["channels"]] == [1]
    assert hall.gateway.refreshed == 1
    camera = manager.get("/api/cameras").json()["cameras"][0]
    assert {item["role"]: item["recorded"] for item in camera["streams"]} == {"main": True, "sub": False}
    assert camera["recording"]["state"] == "pending"
    with hall.catalog.read() as conn:
        box = conn.execute(select(device.c.password_box)).scalar_one()
    assert box
    assert hall.gateway.password.encode() not in bytes(box)


def test_the_gateway_is_warmed_and_nobody_minds_when_it_is_away(hall: ConsoleWorld, manager: Browser) -> None:
    assert manager.post("/api/devices/warm", {}).status_code == 204
    assert hall.gateway.warmed == 1
    hall.gateway.away = True
    assert manager.post("/api/devices/warm", {}).status_code == 204
    assert hall.person("supervisor").post("/api/devices/warm", {}).status_code == 403


def test_the_same_device_is_not_registered_twice(hall: ConsoleWorld, manager: Browser) -> None:
    device_id = register(hall, manager).json()["device"]["id"]
    again = register(hall, manager)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_registered")
    hall.gateway.devices["192.0.2.11"] = device_facts("SN-1")
    moved = register(hall, manager, address="192.0.2.11")
    assert moved.json()["error"]["fields"] == {"device": device_id}
    assert manager.post("/api/devices/probe", credentials(hall, "192.0.2.11")).json()["registered"] == device_id
    found = manager.post("/api/devices/discover", {"mode": "multicast"}).json()["devices"]
    assert {item["registered"] for item in found} == {device_id}


def test_an_empty_discovery_says_that_only_the_local_subnet_is_seen(hall: ConsoleWorld, manager: Browser) -> None:
    hall.gateway.devices.clear()
    assert manager.post("/api/devices/discover", {"mode": "multicast"}).json()["note"] == "local_subnet_only"
    scan = {"mode": "unicast", "subnets": ["192.0.2.0/24"]}
    assert manager.post("/api/devices/discover", scan).json() == {"devices": [], "searched": 0, "note": None}


def test_an_h265_camera_brings_its_h264_substream() -> None:
    streams = [stream_facts("main", "h265"), stream_facts("sub", "h264")]
    assert recorded_roles(streams) == {"main", "sub"}
    assert recorded_roles([stream_facts("main", "h265"), stream_facts("sub", "h265")]) == {"main"}
    assert recorded_roles([stream_facts("main", "h264"), stream_facts("sub", "h264")]) == {"main"}


def test_what_an_administrator_should_know_before() -> None:
    facts = device_facts("SN-2", codec="h265", sub="h265")
    facts["device"]["clock_offset_us"] = -95_000_000
    facts["channels"][0]["streams"][0]["gop_ms"] = 10_000
    assert warnings_of(facts) == ["clock_off", "long_key_interval", "h265_without_h264"]


def test_a_recorder_with_many_channels_registers_the_wanted_ones(hall: ConsoleWorld, manager: Browser) -> None:
    hall.gateway.devices[ADDRESS] = device_facts("NVR", channels=16)
    windows = manager.get("/api/windows").json()["windows"]
    seen = [{"window_id": windows[0]["id"], "role": "front"}, {"window_id": windows[1]["id"], "role": "panorama"}]
    wanted = [{"number": 2, "name": "东侧", "windows": seen}, {"number": 16, "name": "西侧"}]
    assert register(hall, manager, channels=wanted).status_code == 201
    cameras = {item["name"]: item for item in manager.get("/api/cameras").json()["cameras"]}
    assert sorted(cameras) == ["东侧", "西侧"]
    assert [(item["number"], item["role"]) for item in cameras["东侧"]["windows"]] == [(1, "front"), (2, "panorama")]
    hall.gateway.devices["192.0.2.20"] = device_facts("NVR-2", channels=2)
    wrong = register(hall, manager, address="192.0.2.20", channels=[{"number": 9, "name": "x"}])
    assert wrong.json()["error"]["code"] == "channel_unknown"
    with hall.catalog.read() as conn:
        assert conn.execute(select(device.c.serial)).scalars().all() == ["NVR"]


def test_a_batch_succeeds_and_fails_item_by_item(hall: ConsoleWorld, manager: Browser) -> None:
    for number in range(3):
        hall.gateway.devices[f"192.0.2.{number + 30}"] = device_facts(f"B-{number}")
    items = [{**credentials(hall, f"192.0.2.{number + 30}"), "name": f"批量{number}"} for number in range(4)]
    items[1]["password"] = "wrong-one"
    results = manager.post("/api/devices/batch", {"items": items}).json()["results"]
    outcome = [item["error"]["code"] if item["error"] else item["device"]["name"] for item in results]
    assert outcome == ["批量0", "wrong_password", "批量2", "unreachable"]


def test_new_credentials_end_the_stop_after_two_refusals(hall: ConsoleWorld, manager: Browser) -> None:
    device_id = register(hall, manager).json()["device"]["id"]
    with hall.catalog.write() as conn:
        conn.execute(update(device).values(auth_failures=2))
    assert manager.get("/api/devices").json()["devices"][0]["auth_blocked"] is True
    change = {"credentials": {"username": "operator", "password": "another-Secret-3"}}
    changed = manager.patch(f"/api/devices/{device_id}", change).json()
    assert (changed["auth_blocked"], changed["username"]) == (False, "operator")
    assert hall.gateway.sealed[UUID(device_id)] == "another-Secret-3"
    with hall.catalog.read() as conn:
        assert conn.execute(select(device.c.credential_version)).scalar_one() == 2
    named = manager.patch(f"/api/devices/{device_id}", {"name": "新名", "enabled": False}).json()
    assert (named["name"], named["enabled"]) == ("新名", False)
    with hall.catalog.read() as conn:
        assert conn.execute(select(device.c.credential_version)).scalar_one() == 2
    assert manager.get("/api/cameras").json()["cameras"][0]["recording"]["state"] == "maintenance"


def test_a_retired_device_leaves_lists_but_not_the_archive(hall: ConsoleWorld, manager: Browser) -> None:
    window = manager.get("/api/windows").json()["windows"][0]["id"]
    seen = [{"number": 1, "name": "c", "windows": [{"window_id": window, "role": "front"}]}]
    device_id = register(hall, manager, channels=seen).json()["device"]["id"]
    hall.clock.advance(60)
    assert manager.delete(f"/api/devices/{device_id}").status_code == 204
    assert manager.get("/api/devices").json()["devices"] == []
    assert manager.get("/api/cameras").json()["cameras"] == []
    assert manager.delete(f"/api/devices/{device_id}").status_code == 404
    with hall.catalog.read() as conn:
        assert conn.execute(select(device.c.password_box)).scalar_one() is None
        assert conn.execute(select(camera_window.c.to_us)).scalar_one() == hall.clock.now_us()
        assert len(conn.execute(select(stream.c.id)).all()) == 2
        assert conn.execute(select(channel.c.name)).scalar_one() == "c"
    assert register(hall, manager).status_code == 201


@pytest.mark.parametrize("how", ["retired", "disabled"])
def test_a_device_out_of_service_is_no_problem(hall: ConsoleWorld, manager: Browser, how: str) -> None:
    made = register(hall, manager).json()
    path, camera = f"/api/devices/{made['device']['id']}", f"camera:{made['channels'][0]['id']}"
    with hall.catalog.write() as conn:
        open_alarm(conn, hall.clock, AlarmKind.CAMERA_OFFLINE, camera, {"cause": "unreachable"})
        open_alarm(conn, hall.clock, AlarmKind.UNKNOWN_WINDOW, "window_code:A7", {})
    assert manager.get("/api/problems").json()["count"] == 2
    answer = manager.delete(path) if how == "retired" else manager.patch(path, {"enabled": False})
    assert answer.status_code in (200, 204)
    left = manager.get("/api/problems").json()["problems"]
    assert [(item["kind"], item["name"], item["link"]) for item in left] == [("unknown_window", "A7", "/hall")]


def test_every_change_of_the_map_is_a_leaf(hall: ConsoleWorld, manager: Browser) -> None:
    windows = manager.get("/api/windows").json()["windows"]
    register(hall, manager)
    camera_id = manager.get("/api/cameras").json()["cameras"][0]["id"]
    path = f"/api/cameras/{camera_id}/windows"
    begun = manager.post(path, {"window_id": windows[4]["id"], "role": "overhead"})
    assert begun.status_code == 201
    assert (begun.json()["number"], begun.json()["role"]) == (5, "overhead")
    twice = manager.post(path, {"window_id": windows[4]["id"], "role": "overhead"})
    assert (twice.status_code, twice.json()["error"]["code"]) == (409, "map_exists")
    hall.clock.advance(60)
    map_id = begun.json()["map_id"]
    early = manager.delete(f"{path}/{map_id}?to_us={begun.json()['from_us'] - 1}")
    assert early.json()["error"]["code"] == "to_invalid"
    assert manager.delete(f"{path}/{map_id}").status_code == 204
    assert manager.delete(f"{path}/{map_id}").json()["error"]["code"] == "map_ended"
    assert leaves_of_map(hall) == ["begin", "end"]


def leaves_of_map(world: ConsoleWorld) -> list[str]:
    hall_id = UUID(world.person("auditor").get("/api/hall").json()["id"])
    query = select(leaf.c.body).where(leaf.c.stream_id == hall_chain(hall_id, StreamKind.MAP)).order_by(leaf.c.sequence)
    with world.catalog.read() as conn:
        bodies = [bytes(body).decode() for body in conn.execute(query).scalars()]
    return [body.split('"change":"')[1].split('"')[0] for body in bodies]


def test_a_retired_window_takes_no_new_cameras(hall: ConsoleWorld, manager: Browser) -> None:
    register(hall, manager)
    camera_id = manager.get("/api/cameras").json()["cameras"][0]["id"]
    window = manager.get("/api/windows").json()["windows"][0]["id"]
    manager.patch(f"/api/windows/{window}", {"retired": True})
    answer = manager.post(f"/api/cameras/{camera_id}/windows", {"window_id": window, "role": "front"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "window_retired")
    assert leaves_of_map(hall) == []


def test_without_a_gateway_registering_says_so(fresh: ConsoleWorld) -> None:
    fresh.finish_setup()
    fresh.gateway.devices[ADDRESS] = device_facts("SN-1")
    answer = register(fresh, fresh.person("hall_admin"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "gateway_missing")
