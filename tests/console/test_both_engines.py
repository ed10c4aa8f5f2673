"""The console's everyday on SQLite and on PostgreSQL: people, cameras, windows, lists."""

from __future__ import annotations

import re

from fastapi.routing import APIRoute

from console.routes.guard import Needs
from console.services.access import FOOTAGE_ACTIONS, RULES
from storage.model import Role
from tests.console.console_world import ConsoleWorld
from tests.console.test_authorisation import only_gate, routes_of
from tests.fakes.console_gateway import device_facts


def test_a_day_of_a_hall_administrator(any_hall_console: ConsoleWorld) -> None:
    world = any_hall_console
    world.gateway.devices["192.0.2.10"] = device_facts("SN-1", codec="h265")
    manager = world.person("hall_admin")
    windows = manager.get("/api/windows").json()["windows"]
    seen = [{"window_id": windows[0]["id"], "role": "front"}]
    body = {"address": "192.0.2.10", "port": 80, "username": "u", "password": world.gateway.password, "name": "10号"}
    wanted = [{"number": 1, "name": "10号", "windows": seen}]
    made = manager.post("/api/devices", {**body, "channels": wanted}).json()
    assert manager.post("/api/devices", body).json()["error"]["code"] == "already_registered"
    camera = manager.get("/api/cameras").json()["cameras"][0]
    assert {item["role"]: item["recorded"] for item in camera["streams"]} == {"main": True, "sub": True}
    world.clock.advance(60)
    path = f"/api/cameras/{camera['id']}/windows"
    assert manager.delete(f"{path}/{camera['windows'][0]['map_id']}").status_code == 204
    assert manager.post(path, {"window_id": windows[1]["id"], "role": "panorama"}).status_code == 201
    coverage = manager.get(f"/api/cameras/{camera['id']}/coverage", day="2026-11-21").json()
    assert coverage["spans"][-1]["state"] == "future"
    device = f"/api/devices/{made['device']['id']}"
    assert manager.patch(device, {"credentials": {"username": "v", "password": "w-camera-1"}}).status_code == 200
    assert manager.delete(device).status_code == 204
    assert manager.get("/api/cameras").json()["cameras"] == []


def test_accounts_and_sessions(any_hall_console: ConsoleWorld) -> None:
    world = any_hall_console
    admin = world.person("system_admin")
    person = {"login": "two", "display_name": "二", "password": "both-hats-at-once", "roles": ["auditor", "supervisor"]}
    account = admin.post("/api/accounts", person).json()
    assert account["several_roles"] is True
    assert admin.post("/api/accounts", person).json()["error"]["code"] == "login_taken"
    other = world.browser()
    other.login("two", "both-hats-at-once")
    other.state_purpose()
    assert other.get("/api/purposes/current").json()["code"] == "complaint"
    admin.patch(f"/api/accounts/{account['id']}", {"disabled": True})
    assert other.get("/api/session").status_code == 401
    world.clock.advance(3601)
    assert admin.get("/api/session").status_code == 401


def test_every_list_answers(any_hall_console: ConsoleWorld) -> None:
    world = any_hall_console
    browsers = {role: world.person(role) for role in Role}
    answered = 0
    for route in routes_of(world):
        gate = only_gate(route)
        if not isinstance(route, APIRoute) or not isinstance(gate, Needs) or gate.action in FOOTAGE_ACTIONS:
            continue
        if "GET" not in (route.methods or ()) or re.search(r"\{", route.path):
            continue
        role = next(iter(RULES[gate.action]))
        answer = browsers[role].get(route.path, q="2026")
        assert answer.status_code == 200, f"{route.path}: {answer.text}"
        answered += 1
    assert answered >= 12
