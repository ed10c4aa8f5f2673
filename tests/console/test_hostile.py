"""What strangers, taken-over machines and curious officials try: odd headers and bytes, floods, traces not left."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any
from uuid import UUID

import pytest
import uvicorn
from fastapi import APIRouter, Request
from sqlalchemy import func, select
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from console.app import BodyCap, create_app
from console.routes.guard import Guard
from console.server import ImpatientProtocol
from console.services.live_viewer import CHANNEL_BYTES, LEAST_BYTES, Channel, StreamKey, Viewer
from console.services.screens import Turns
from console.services.throttle import Throttle, address_key
from storage.archive.tables import coverage
from storage.clock import US, FakeClock, SystemClock
from storage.errors import NotAuthenticated, Unavailable
from storage.model import Role
from tests.console.agent_world import enrolled
from tests.console.console_world import Browser, ConsoleWorld
from tests.console.footage_world import FakePurposes, FakeSessions, FootageWorld, minutes
from tests.fakes.archive import Hall

NOWHERE = "01234567-89ab-7cde-8f01-23456789abcd"


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def post_raw(browser: Browser, path: str, body: str) -> Any:
    headers = {**browser.headers(), "Content-Type": "application/json"}
    return browser.client.post(path, content=body, headers=headers)


@pytest.mark.parametrize("origin", ["https://[", "http://[::1", "https://\xff", "null", "https://hall.example.evil"])
def test_an_odd_origin_is_another_page(hall: ConsoleWorld, origin: str) -> None:
    body = {"login": "admin", "password": "x"}
    headers = {"Origin": origin.encode("latin-1")}
    answer = hall.browser().client.post("/api/login", json=body, headers=headers)  # type: ignore[arg-type]
    assert code_of(answer) == (403, "origin_not_allowed")


@pytest.mark.parametrize("text", ["a\x00b", "a\nb", "\x1b[2Jx", "a\u202eb", "a\u2066b", "a\ud800b"])
def test_texts_with_control_characters_are_refused(hall: ConsoleWorld, text: str) -> None:
    person = hall.person("supervisor")
    stated = json.dumps({"code": "complaint", "reference": text})
    assert code_of(post_raw(person, "/api/purposes", stated)) == (422, "invalid_request")
    noted = json.dumps({"code": "complaint", "reference": "x", "note": f"one\nline{text}"})
    assert post_raw(person, "/api/purposes", noted).status_code == (200 if text == "a\nb" else 422)


@pytest.mark.parametrize("query", ["q=%00", "q=a%0Ab", "q=%1b"])
def test_a_search_for_control_characters_is_refused(hall: ConsoleWorld, query: str) -> None:
    assert hall.person("auditor").client.get(f"/api/cases?{query}").status_code == 422
    action = query.replace("q=", "action=")
    assert hall.person("auditor").client.get(f"/api/audit?{action}").status_code == 422


@pytest.mark.parametrize("number", ["1e400", "9" * 4200, "9" * 5000, "NaN", "-Infinity", "1.5", "[" * 50_000])
def test_numbers_that_are_none_are_refused(hall: ConsoleWorld, number: str) -> None:
    manager = hall.person("hall_admin")
    answer = post_raw(manager, "/api/windows", f'{{"first": {number}, "last": 2, "name_pattern": "{{n}}"}}')
    assert answer.status_code in (400, 422)
    assert len(answer.text) < 500


def test_what_a_machine_says_of_itself_is_shown_without_control_characters(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    now = hall.clock.now_us()
    claim = {"monitor": "DP\x00-1", "t0_us": now - US, "t1_us": now, "state": "locked", "detail": "a\x1bb"}
    monitors = [{"name": "DP\x00-1", "width": 1, "height": 1}]
    assert machine.report(version="1\n2", monitors=monitors, coverage=[claim]).status_code == 200
    [shown] = hall.person("hall_admin").get("/api/workstations").json()["workstations"]
    assert shown["agent_version"] == "1?2"
    assert {item["name"] for item in shown["monitors"]} == {"DP-1", "DP?-1"}


def test_a_claim_about_half_a_century_makes_no_rows(hall: ConsoleWorld) -> None:
    machine = enrolled(hall)
    assert code_of(machine.report(("locked", 0, hall.clock.now_us()))) == (422, "coverage_long")
    with hall.catalog.read() as conn:
        assert conn.execute(select(func.count()).select_from(coverage)).scalar_one() == 0


def test_a_purpose_counts_in_no_other_session_of_the_account_older_or_newer(hall: ConsoleWorld) -> None:
    older, newer = hall.person("supervisor"), hall.person("supervisor")
    older.purpose = newer.state_purpose()
    refused = older.get(f"/api/cameras/{NOWHERE}/snapshot")
    assert code_of(refused) == (403, "purpose_unknown")
    assert older.get("/api/purposes/current").json() is None
    assert code_of(newer.get(f"/api/cameras/{NOWHERE}/snapshot")) == (404, "camera_unknown")


def test_knocking_at_addresses_leaves_a_trace_also_when_nobody_answers(hall: ConsoleWorld) -> None:
    manager, admin = hall.person("hall_admin"), hall.person(Role.SYSTEM_ADMIN)
    at = {"address": "10.1.2.3", "port": 8080, "username": "admin", "password": "a-guess"}
    assert manager.post("/api/devices/probe", at).status_code == 422
    assert manager.post("/api/devices", {**at, "name": "x"}).status_code == 422
    hall.gateway.away = True
    assert manager.post("/api/devices/discover", {"mode": "unicast", "subnets": ["10.0.0.0/24"]}).status_code == 503
    rows = admin.get("/api/audit").json()["rows"]
    told = [(row["login"], row["action"], row["subject"]) for row in rows if row["action"].startswith("device")]
    assert sorted(told) == [
        ("hall_admin", "device_probe", "address:10.1.2.3:8080"),
        ("hall_admin", "device_probe", "address:10.1.2.3:8080"),
        ("hall_admin", "devices_discover", "hall"),
    ]
    assert "a-guess" not in json.dumps(rows)


def test_another_stretch_of_the_same_stream_is_another_audit_row(small_hall: Hall) -> None:
    world = FootageWorld(small_hall)
    world.log_in(Role.AUDITOR)
    t0_us, stream_id = world.clock.now_us(), small_hall.main_id
    for _ in range(2):
        for start in (0, 7200):
            path = f"/api/media/streams/{stream_id}/segments"
            span = f"from_us={t0_us + start * US}&to_us={t0_us + start * US + minutes(5)}"
            assert world.get(f"{path}?{span}").status_code == 200
    assert world.audited() == [("segments_list", f"stream:{stream_id}")] * 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::5", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::5", "2001:db8:1:3::5", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "testclient", False),
    ],
)
def test_a_machine_with_many_addresses_is_one(one: str, other: str, same: bool) -> None:
    assert (address_key(one) == address_key(other)) is same
    throttle = Throttle(FakeClock(0), free_attempts=1)
    throttle.attempt(address_key(one))
    if same:
        with pytest.raises(NotAuthenticated):
            throttle.attempt(address_key(other))
    else:
        throttle.attempt(address_key(other))


async def test_a_viewer_that_does_not_read_and_subscribes_again_and_again_takes_bounded_memory() -> None:
    viewer = Viewer()
    group = [(True, bytes(CHANNEL_BYTES)), *[(False, bytes(CHANNEL_BYTES))] * 6]
    for number in range(64):
        channel = Channel(number, StreamKey(UUID(int=number), False), keys_only=False, viewer=viewer)
        viewer.channels[number] = channel
        viewer.send_group(channel, group)
    budget = max(LEAST_BYTES, 64 * CHANNEL_BYTES)
    assert budget <= viewer.waiting_bytes <= budget + 8 * CHANNEL_BYTES
    assert any(channel.waiting for channel in viewer.channels.values())


def test_heavy_pictures_are_made_a_few_at_a_time_and_a_crowd_is_sent_away() -> None:
    turns = Turns(at_once=1, waiting=1)
    begun, go_on = threading.Event(), threading.Event()
    results: list[str] = []

    def work() -> None:
        with turns.take():
            begun.set()
            go_on.wait()
            results.append("made")

    first, second = threading.Thread(target=work), threading.Thread(target=work)
    first.start()
    begun.wait()
    second.start()
    until = SystemClock().monotonic() + 30
    while turns.free and SystemClock().monotonic() < until:
        second.join(0.001)
    with pytest.raises(Unavailable, match="too many"), turns.take():
        pass
    go_on.set()
    first.join()
    second.join()
    assert results == ["made", "made"]
    assert int(turns.free) == 2


async def test_a_body_that_drips_is_given_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    routes = APIRouter()

    @routes.post("/slow")
    async def slow(request: Request) -> int:
        return len(await request.body())

    assert await status_of(BodyCap(create_app([routes], version="0"), body_s=0.01), "/slow") == 408
    assert await status_of(BodyCap(app, body_s=60), "/slow", pieces=3) == 200


async def status_of(app: Any, path: str, pieces: int | None = None) -> int:
    """The status of a POST whose body comes in so many pieces, or never ends."""
    sent: list[Message] = []
    left = pieces

    async def receive() -> Message:
        nonlocal left
        if left == 0:
            await asyncio.Event().wait()
        if left is None:
            left = 0
            return {"type": "http.request", "body": b"x", "more_body": True}
        left -= 1
        return {"type": "http.request", "body": b"x", "more_body": left > 0}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": [], "scheme": "https"}
    await app({**scope, "asgi": {"version": "3.0"}, "http_version": "1.1"}, receive, send)
    return int(sent[0]["status"])


@pytest.mark.net
async def test_a_request_whose_head_drips_is_given_up() -> None:
    config = uvicorn.Config(create_app([], version="0"), lifespan="off", log_config=None)
    config.load()

    class Hurried(ImpatientProtocol):
        head_s = 0.05

    def protocol() -> Hurried:
        return Hurried(config=config, server_state=ServerState(), app_state={})

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for whole in (b"", b"GET /nothing HTTP/1.1\r\nHost: hall\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(whole)
            if whole:
                assert b"404" in await reader.readline()
            writer.write(b"GET / HTTP/1.1\r\nHost:")
            await reader.read()  # until the server closes
            writer.close()
            await writer.wait_closed()


async def test_what_carries_no_signature_is_not_read() -> None:
    guard = Guard(FakeSessions(), FakePurposes())
    gate = guard.signed("workstation", lambda signed: signed).dependency

    async def never() -> Message:
        raise AssertionError("the body was read")

    with pytest.raises(NotAuthenticated, match="Signature"):
        await gate(Request({"type": "http", "method": "PUT", "path": "/", "headers": []}, never))
