"""The browser's live socket, end to end: a real uvicorn, real sockets to a fake gateway, a real catalog."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import uvicorn
from blockbuster import blockbuster_ctx
from sqlalchemy import insert, update
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from console.app import create_app
from console.routes import live as live_routes
from console.routes.guard import COOKIE
from console.services.live_link import GatewayLink
from console.services.live_relay import LiveRelay
from console.services.live_session import LiveParts
from console.services.live_streams import LiveStreams, Quality
from storage.archive import tables
from storage.archive.tables import device, stream
from storage.clock import SystemClock
from storage.errors import NotFound
from storage.ids import new_id
from storage.model import PurposeCode, Role
from tests.console.footage_world import FailingAudit, FootageWorld
from tests.fakes.archive import Hall
from tests.fakes.live_gateway import FakeAddress, FakeLiveGateway

HEAD = struct.Struct(">HBB")


@dataclass
class RecheckClock(SystemClock):
    """The machine's clock, but each sleep lasts until the test lets it end."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def sleep_async(self, seconds: float) -> None:
        await self.gate.wait()
        self.gate.clear()


class Tab:
    """One browser tab: reads everything it is sent."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def until(self, wanted: Callable[[Any], bool]) -> list[Any]:
        """Messages up to the first that is wanted: objects, or (channel, type, flags, payload)."""
        seen: list[Any] = []
        async with asyncio.timeout(20):
            while True:
                message = await self.socket.recv()
                seen.append(
                    json.loads(message) if isinstance(message, str) else (*HEAD.unpack_from(message), message[4:])
                )
                if wanted(seen[-1]):
                    return seen

    async def op(self, name: str, **fields: Any) -> dict[str, Any]:
        """The next control message of that kind with those fields."""
        wanted = {"op": name, **fields}
        seen = await self.until(lambda item: isinstance(item, dict) and wanted.items() <= item.items())
        found: dict[str, Any] = seen[-1]
        return found

    async def key(self) -> bytes:
        """The payload of the next key frame."""
        seen = await self.until(lambda item: isinstance(item, tuple) and item[1:3] == (1, 1))
        return bytes(seen[-1][3])

    async def _goes_on(self) -> bool:
        try:
            await self.socket.recv()
        except ConnectionClosed:
            return False
        return True

    async def closed(self) -> int:
        """Wait for the end; the close code."""
        async with asyncio.timeout(20):
            while await self._goes_on():
                pass
            await self.socket.wait_closed()
        return self.socket.close_code or 0


class Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class LiveWorld(FootageWorld):
    """A small hall whose console answers on a port."""

    def __init__(self, hall: Hall) -> None:
        super().__init__(hall)
        self.gateway = FakeLiveGateway()
        self.recheck = RecheckClock()
        self.purpose_of: dict[str, str] = {}
        self.server: Server | None = None

    @property
    def port(self) -> int:
        assert self.server is not None
        return int(self.server.servers[0].sockets[0].getsockname()[1])

    def add_user(self, name: str, role: Role, purpose: PurposeCode = PurposeCode.PATROL) -> None:
        """A session whose cookie is the name, with a purpose on record."""
        self.log_in(role, session=name, purpose=None)
        account_id = self.sessions.actors[name].account_id
        assert account_id is not None
        self.purpose_of[name] = str(self.state(account_id, purpose))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Gateway and console up; any blocking call in their loop fails the test."""
        await self.gateway.start()
        address, clock = FakeAddress(self.gateway.url), SystemClock()
        relay = LiveRelay(lambda gateway_id, events: GatewayLink(gateway_id, address, events, clock), clock)
        parts = LiveParts(
            relay,
            LiveStreams(self.catalog),
            self.audit,
            self.views,
            self.recheck,
            self.guard.recheck,
            self.guard.with_purpose,
        )
        app = create_app([live_routes.router(parts, self.guard)], version="0")
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, ws="websockets-sansio", log_config=None, ws_per_message_deflate=False
        )
        self.server = Server(config)
        serving = asyncio.create_task(self.server.serve())
        try:
            await self.server.ready.wait()
            with blockbuster_ctx():
                yield
        finally:
            self.server.should_exit = True
            await serving
            await self.gateway.stop()

    @asynccontextmanager
    async def tab(self, name: str, *, origin: str = "", purpose: bool = True) -> AsyncIterator[Tab]:
        """A tab of that user, with its purpose told."""
        headers = {"Cookie": f"{COOKIE}={name}", "Origin": origin or f"http://127.0.0.1:{self.port}"}
        url = f"ws://127.0.0.1:{self.port}/api/live"
        async with connect(url, additional_headers=headers, compression=None, proxy=None, close_timeout=1) as socket:
            tab = Tab(socket)
            if purpose:
                await tab.say(op="purpose", id=self.purpose_of[name])
            yield tab

    async def show(self, tab: Tab, channel: int = 1, **more: Any) -> None:
        """Subscribe a tab to the camera."""
        await tab.say(op="subscribe", channel=channel, **({"camera": str(self.hall.channel_id)} | more))


@pytest.fixture
def world(small_hall: Hall) -> LiveWorld:
    made = LiveWorld(small_hall)
    made.add_user("watcher", Role.SUPERVISOR)
    return made


@pytest.mark.net
async def test_two_browsers_see_one_upstream_and_each_has_its_audit_row(world: LiveWorld) -> None:
    main = str(world.hall.main_id)
    world.add_user("second", Role.SUPERVISOR)
    async with world.running(), world.tab("watcher") as one, world.tab("second") as two:
        await world.show(one, quality="main")
        await world.gateway.subscribed(main)
        assert await asyncio.to_thread(world.audited) == [("live_view", f"camera:{world.hall.channel_id}")]
        await world.gateway.info(main)
        await world.gateway.frame(main, b"first", key=True)
        assert await one.key() == b"first"
        await world.show(two, channel=4)
        assert await two.key() == b"first"
        await world.gateway.frame(main, b"next", key=True)

        assert (await one.key(), await two.key()) == (b"next", b"next")
        assert world.gateway.subscriptions == [main]
        assert len(await asyncio.to_thread(world.audited)) == 2
        await one.say(op="unsubscribe", channel=1)
        await two.say(op="unsubscribe", channel=4)
        await world.gateway.unsubscribed(main)
    world.views.stop()
    assert {leaf["lane"] for leaf in world.leaves("view")} == {"live"}


@pytest.mark.net
async def test_without_a_purpose_nothing_is_shown(world: LiveWorld) -> None:
    async with world.running(), world.tab("watcher", purpose=False) as tab:
        await world.show(tab)
        refused = await tab.op("state", channel=1)
        error = await tab.op("error", channel=1)
        await tab.say(op="purpose", id=str(uuid4()))
        unknown = await tab.op("error", channel=None)
        await tab.say(op="ping", n=3)
        pong = await tab.op("pong")

    assert (refused["live"], refused["cause"], error["code"]) == (
        "no_permission",
        "purpose_required",
        "purpose_required",
    )
    assert unknown["code"] == "purpose_unknown"
    assert pong["n"] == 3
    assert world.audited() == []
    assert world.gateway.subscriptions == []


@pytest.mark.net
@pytest.mark.parametrize(
    ("purpose", "live"), [(PurposeCode.COMMISSIONING, "connecting"), (PurposeCode.COMPLAINT, "no_permission")]
)
async def test_a_hall_administrator_previews_only_for_commissioning(
    world: LiveWorld, purpose: PurposeCode, live: str
) -> None:
    world.add_user("admin", Role.HALL_ADMIN, purpose)
    async with world.running(), world.tab("admin") as tab:
        await world.show(tab)

        assert (await tab.op("state", channel=1))["live"] == live


@pytest.mark.net
@pytest.mark.parametrize(
    ("cookie", "origin"), [("nobody", ""), ("clerk", ""), ("watcher", "https://elsewhere.example"), ("watcher", "null")]
)
async def test_strangers_and_foreign_pages_get_no_socket(world: LiveWorld, cookie: str, origin: str) -> None:
    world.add_user("clerk", Role.SYSTEM_ADMIN)
    async with world.running():
        with pytest.raises(InvalidStatus):
            async with world.tab(cookie, origin=origin, purpose=False):
                pass


@pytest.mark.net
async def test_when_the_audit_row_cannot_be_written_no_frame_is_asked_for(world: LiveWorld) -> None:
    async with world.running(), world.tab("watcher") as tab:
        FailingAudit.away = True
        await world.show(tab)

        assert (await tab.op("error", channel=1))["code"] == "catalog_away"
    assert world.gateway.subscriptions == []


@pytest.mark.net
@pytest.mark.parametrize("roles", [None, frozenset({Role.AUDITOR})])
async def test_a_revoked_session_is_closed_at_the_next_check(world: LiveWorld, roles: frozenset[Role] | None) -> None:
    main = str(world.hall.main_id)
    async with world.running(), world.tab("watcher") as tab:
        await world.show(tab)
        await world.gateway.subscribed(main)
        await world.gateway.info(main)
        await world.gateway.frame(main, b"first", key=True)
        await tab.key()
        if roles is None:
            del world.sessions.actors["watcher"]
        else:
            world.sessions.actors["watcher"] = replace(world.sessions.actors["watcher"], roles=roles)
        world.recheck.gate.set()

        assert await tab.closed() == (4401 if roles is None else 4403)
        await world.gateway.unsubscribed(main)


@pytest.mark.net
async def test_a_tab_that_does_not_read_is_dropped_to_key_frames_while_another_sees_all(world: LiveWorld) -> None:
    main = str(world.hall.main_id)
    payload = bytes(256 << 10)
    async with world.running(), world.tab("watcher") as slow, world.tab("watcher") as quick:
        for tab in (slow, quick):
            await world.show(tab)
            await world.gateway.subscribed(main)
        await tab.op("state")
        await world.gateway.info(main)
        seen = 0
        for number in range(100):
            await world.gateway.frame(main, b"%03d" % number + payload, key=number % 10 == 0)
            shown = await quick.until(lambda item: isinstance(item, tuple) and item[1] == 1)
            assert not any(isinstance(item, dict) and item["op"] == "dropped" for item in shown)
            seen += 1
        reading = asyncio.create_task(slow.op("dropped"))
        for number in range(40):
            await world.gateway.frame(main, b"late" + bytes(1000), key=number % 10 == 0)
            await quick.until(lambda item: isinstance(item, tuple) and item[1] == 1)

        assert (await reading)["frames"] > 0
        assert seen == 100


@pytest.mark.net
async def test_messages_that_make_no_sense_are_answered_and_harmless(world: LiveWorld) -> None:
    hostile: list[tuple[str, str]] = [
        ("not json", "message_invalid"),
        ("[" * 4000, "message_invalid"),
        ("17", "message_invalid"),
        (json.dumps({"op": "x" * 5000}), "message_large"),
        (json.dumps({"op": "fly"}), "operation_unknown"),
        (json.dumps({"op": "subscribe", "channel": -1}), "channel_invalid"),
        (json.dumps({"op": "subscribe", "channel": 70000}), "channel_invalid"),
        (json.dumps({"op": "subscribe", "channel": True}), "channel_invalid"),
        (json.dumps({"op": "subscribe", "channel": 1, "camera": 7}), "id_invalid"),
        (json.dumps({"op": "subscribe", "channel": 1, "stream": "x"}), "id_invalid"),
        (json.dumps({"op": "subscribe", "channel": 1, "camera": str(uuid4())}), "camera_not_found"),
        (json.dumps({"op": "subscribe", "channel": 1, "stream": str(uuid4())}), "stream_not_found"),
        (
            json.dumps({"op": "subscribe", "channel": 1, "camera": str(world.hall.channel_id), "quality": "8k"}),
            "quality_unknown",
        ),
        (json.dumps({"op": "purpose", "id": "x"}), "purpose_invalid"),
    ]
    async with world.running(), world.tab("watcher") as tab:
        for text, code in hostile:
            await tab.socket.send(text)
            assert (await tab.op("error"))["code"] == code, text
        await tab.say(op="unsubscribe", channel=9)
        await tab.say(op="ping", n="x")
        assert (await tab.op("pong"))["n"] == 0
    assert world.gateway.subscriptions == []


# --- which stream ---------------------------------------------------------------------------------------------------
def codecs(world: LiveWorld, main: str, sub: str) -> None:
    """Set the codecs of the camera's two streams."""
    with world.catalog.write() as conn:
        for stream_id, codec in ((world.hall.main_id, main), (world.hall.sub_id, sub)):
            conn.execute(update(stream).where(stream.c.id == stream_id).values(codec=codec))


@pytest.mark.parametrize(
    ("main", "sub", "quality", "role", "playable"),
    [
        ("h264", "h264", Quality.AUTO, "main", True),
        ("h264", "h264", Quality.MAIN, "main", True),
        ("h264", "h264", Quality.SUB, "sub", True),
        ("h265", "h264", Quality.AUTO, "sub", True),
        ("h265", "h264", Quality.MAIN, "sub", True),
        ("h264", "h265", Quality.SUB, "main", True),
        ("h265", "h265", Quality.AUTO, "main", False),
    ],
)
def test_a_browser_gets_a_stream_that_it_can_play(
    world: LiveWorld, main: str, sub: str, quality: Quality, role: str, playable: bool
) -> None:
    codecs(world, main, sub)

    choice = LiveStreams(world.catalog).of_camera(world.hall.channel_id, quality)

    assert (choice.role, choice.playable, choice.gateway_id) == (role, playable, world.hall.gateway_id)


def test_a_retired_camera_shows_nothing(world: LiveWorld) -> None:
    with world.catalog.write() as conn:
        conn.execute(update(device).values(retired_us=1))

    with pytest.raises(NotFound):
        LiveStreams(world.catalog).of_camera(world.hall.channel_id, Quality.AUTO)
    with pytest.raises(NotFound):
        LiveStreams(world.catalog).of_stream(world.hall.main_id)


@pytest.mark.net
@pytest.mark.parametrize("h265", [False, True])
async def test_a_camera_without_h264_is_transcoded_where_the_browser_needs_it(world: LiveWorld, h265: bool) -> None:
    channel_id, stream_id = UUID(int=77), new_id(world.clock)
    with world.catalog.write() as conn:
        conn.execute(
            insert(tables.channel).values(
                id=channel_id, device_id=world.hall.device_id, number=9, name="", name_sort="", source_token=""
            )
        )
        conn.execute(insert(stream).values(id=stream_id, channel_id=channel_id, role="main", codec="h265"))
    async with world.running(), world.tab("watcher") as tab:
        await world.show(tab, camera=str(channel_id), h265=h265)
        await world.gateway.subscribed(str(stream_id))

    assert world.gateway.transcoded == ([] if h265 else [str(stream_id)])
