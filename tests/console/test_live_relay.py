"""The live relay: one upstream for all viewers, drops only for the slow one, and what happens when a gateway dies."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from blockbuster import blockbuster_ctx

from console.services import live_relay
from console.services.live_link import GatewayLink
from console.services.live_relay import LinkEvents, LiveRelay
from console.services.live_viewer import LEAST_BYTES, Viewer
from storage.clock import FakeClock, SystemClock
from storage.errors import MediaError
from tests.fakes.live_gateway import FakeAddress, FakeLiveGateway

GATEWAY = UUID(int=1)
HEAD = struct.Struct(">HBB")


class FakeLink:
    """Remembers what the relay sent to a gateway, and plays the gateway."""

    def __init__(self, events: LinkEvents) -> None:
        self.events = events
        self.sent: list[dict[str, Any]] = []
        self.closed = False

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def close(self) -> None:
        self.closed = True

    def frame(self, payload: bytes, *, key: bool = False, channel: int = 0) -> None:
        self.events.media(HEAD.pack(channel, 1, int(key)) + payload)

    def start(self, channel: int = 0, codec: str = "avc1.64001F") -> None:
        info = {"op": "info", "channel": channel, "stream": "s", "role": "sub", "codec": codec, "width": 1, "height": 1}
        state = {"op": "state", "channel": channel, "live": "live", "cause": "", "since_us": 5}
        self.events.control(info)
        self.events.control(state | {"recording": "recorded", "recording_since_us": 5})
        self.events.media(HEAD.pack(channel, 0, 0) + b"init")


class Relay:
    """A relay whose links are fakes."""

    def __init__(self) -> None:
        self.links: list[FakeLink] = []
        self.relay = LiveRelay(self._open, FakeClock())

    def _open(self, gateway_id: UUID, events: LinkEvents) -> FakeLink:
        self.links.append(FakeLink(events))
        return self.links[-1]


async def drain(viewer: Viewer) -> list[Any]:
    """Everything that waits for a viewer: control messages as objects, media as (channel, type, flags, payload)."""
    shown: list[Any] = []
    while True:
        try:
            async with asyncio.timeout(0):
                message = await viewer.next()
        except TimeoutError:
            return shown
        shown.append(json.loads(message) if isinstance(message, str) else (*HEAD.unpack_from(message), message[4:]))


def ops(messages: list[Any]) -> list[str]:
    """What kinds of messages: the op, or init, key, frame."""
    return [item["op"] if isinstance(item, dict) else ("init", ("frame", "key")[item[2]])[item[1]] for item in messages]


async def test_a_stream_and_what_is_made_of_it_are_two_upstreams() -> None:
    world, stream = Relay(), uuid4()
    one, two = Viewer(), Viewer()
    world.relay.subscribe(one, 1, GATEWAY, stream)
    world.relay.subscribe(two, 1, GATEWAY, stream, transcode=True)
    link = world.links[0]
    about = {"op": "info", "stream": str(stream), "role": "main", "codec": "x", "width": 1, "height": 1}
    link.events.control(about | {"channel": 0})
    link.events.control(about | {"channel": 1, "derived": True})
    world.relay.leave(two)

    assert [item.get("transcode") for item in link.sent if item["op"] == "subscribe"] == [None, True]
    assert ["derived" in item for item in await drain(one) if item["op"] == "info"] == [False]
    assert [item["derived"] for item in await drain(two) if item["op"] == "info"] == [True]
    assert link.sent[-1] == {"op": "unsubscribe", "channel": 1}


async def test_a_second_viewer_shares_the_upstream_and_starts_at_once() -> None:
    world, stream = Relay(), uuid4()
    one, two = Viewer(), Viewer()
    world.relay.subscribe(one, 7, GATEWAY, stream)
    link = world.links[0]
    link.start()
    for number in range(3):
        link.frame(b"%d" % number, key=number == 0)
    world.relay.subscribe(two, 9, GATEWAY, stream)
    link.frame(b"3")

    first, second = await drain(one), await drain(two)

    assert link.sent == [{"op": "subscribe", "channel": 0, "stream": str(stream)}]
    assert ops(first) == ["state", "info", "state", "init", "key", "frame", "frame", "frame"]
    assert ops(second) == ["info", "state", "init", "key", "frame", "frame", "frame"]
    assert [item[0] for item in second if isinstance(item, tuple)] == [9] * 5
    assert [item[3] for item in second if isinstance(item, tuple)] == [b"init", b"0", b"1", b"2", b"3"]
    assert second[1]["live"] == "live"
    assert len(world.links) == 1


async def test_the_last_viewer_ends_the_upstream_and_its_number_is_not_used_again_at_once() -> None:
    world, stream = Relay(), uuid4()
    one, two = Viewer(), Viewer()
    world.relay.subscribe(one, 1, GATEWAY, stream)
    world.relay.subscribe(two, 1, GATEWAY, stream)
    link = world.links[0]
    world.relay.unsubscribe(one, 1)
    assert len(link.sent) == 1
    world.relay.leave(two)
    link.frame(b"late", key=True)
    world.relay.subscribe(one, 1, GATEWAY, uuid4())
    link.frame(b"later", key=True)

    assert [item["op"] for item in link.sent] == ["subscribe", "unsubscribe", "subscribe"]
    assert [item["channel"] for item in link.sent] == [0, 0, 1]
    assert "key" not in ops(await drain(one))
    await world.relay.close()
    assert link.closed


async def test_a_channel_that_is_used_again_starts_clean() -> None:
    world, viewer = Relay(), Viewer()
    world.relay.subscribe(viewer, 1, GATEWAY, uuid4())
    world.relay.subscribe(viewer, 2, GATEWAY, uuid4())
    link = world.links[0]
    for channel in (0, 1):
        link.start(channel)
        link.frame(b"old", key=True, channel=channel)
    world.relay.subscribe(viewer, 1, GATEWAY, uuid4())
    link.start(2)
    link.frame(b"new", key=True, channel=2)

    shown = [item for item in await drain(viewer) if isinstance(item, tuple) and item[1] == 1]

    assert [(item[0], item[3]) for item in shown] == [(2, b"old"), (1, b"new")]
    assert viewer.waiting_bytes == 0


async def test_a_slow_viewer_loses_frames_up_to_a_key_frame_and_another_one_none() -> None:
    world, stream = Relay(), uuid4()
    slow, quick = Viewer(), Viewer()
    for viewer in (slow, quick):
        world.relay.subscribe(viewer, 1, GATEWAY, stream)
    link = world.links[0]
    link.start()
    size = LEAST_BYTES // 4
    seen: list[Any] = []
    for number in range(12):
        link.frame(b"%02d" % number + bytes(size), key=number % 4 == 0)
        seen += await drain(quick)
    behind = await drain(slow)
    link.frame(b"12", key=True)
    link.frame(b"13")
    behind += await drain(slow)

    assert [item[3][:2] for item in seen if isinstance(item, tuple) and item[1] == 1] == [
        b"%02d" % n for n in range(12)
    ]
    assert "dropped" not in ops(seen)
    got = [item[3][:2] for item in behind if isinstance(item, tuple) and item[1] == 1]
    assert got == [b"00", b"01", b"02", b"03", b"12", b"13"]
    dropped = [item for item in behind if isinstance(item, dict) and item["op"] == "dropped"]
    assert dropped == [{"op": "dropped", "channel": 1, "frames": 8}]
    assert slow.waiting_bytes == 0


async def test_a_viewer_of_key_frames_gets_only_those() -> None:
    world, stream = Relay(), uuid4()
    viewer = Viewer()
    world.relay.subscribe(viewer, 1, GATEWAY, stream, keys_only=True)
    link = world.links[0]
    link.start()
    for number in range(8):
        link.frame(b"%d" % number, key=number % 4 == 0)

    assert ops(await drain(viewer)) == ["state", "info", "state", "init", "key", "key"]


async def test_new_parameters_bring_a_new_init_and_wait_for_a_key_frame() -> None:
    world, stream = Relay(), uuid4()
    viewer = Viewer()
    world.relay.subscribe(viewer, 1, GATEWAY, stream)
    link = world.links[0]
    link.start()
    link.frame(b"0", key=True)
    await drain(viewer)
    link.start(codec="avc1.640028")
    link.frame(b"old")
    link.frame(b"new", key=True)

    shown = await drain(viewer)

    assert ops(shown) == ["info", "state", "init", "key"]
    assert shown[0]["codec"] == "avc1.640028"


async def test_a_lost_gateway_is_said_and_everything_is_asked_for_again() -> None:
    world, streams = Relay(), [uuid4(), uuid4()]
    viewer = Viewer()
    for number, stream in enumerate(streams):
        world.relay.subscribe(viewer, number, GATEWAY, stream)
    link = world.links[0]
    link.start()
    link.frame(b"0", key=True)
    await drain(viewer)
    link.events.lost(77, retried=False)
    link.events.lost(77, retried=True)
    link.events.lost(77, retried=True)
    late = Viewer()
    world.relay.subscribe(late, 3, GATEWAY, streams[0])
    link.sent.clear()
    link.events.connected()
    link.start()
    link.frame(b"old")
    link.frame(b"new", key=True)

    told = [item for item in await drain(viewer) if isinstance(item, tuple) or item["channel"] == 0]

    assert [(item["live"], item["cause"], item["since_us"]) for item in told[:2]] == [
        ("connecting", "gateway_away", 77),
        ("offline", "gateway_away", 77),
    ]
    assert ops(told[2:]) == ["info", "state", "init", "key"]
    assert [item["stream"] for item in link.sent] == [str(stream) for stream in streams]
    assert ops(await drain(late)) == ["state", "info", "state", "init", "key"]


async def test_a_group_that_grows_too_long_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_relay, "GROUP_BYTES", 100)
    world, stream = Relay(), uuid4()
    world.relay.subscribe(Viewer(), 1, GATEWAY, stream)
    link = world.links[0]
    link.start()
    link.frame(bytes(60), key=True)
    link.frame(bytes(60))
    link.frame(bytes(10))
    late = Viewer()
    world.relay.subscribe(late, 1, GATEWAY, stream)
    assert ops(await drain(late)) == ["info", "state", "init"]

    link.frame(b"k", key=True)
    assert ops(await drain(late)) == ["key"]


async def test_what_a_gateway_says_of_errors_and_drops_goes_to_its_viewers() -> None:
    world, stream = Relay(), uuid4()
    viewer = Viewer()
    world.relay.subscribe(viewer, 5, GATEWAY, stream)
    link = world.links[0]
    await drain(viewer)
    link.events.control({"op": "dropped", "channel": 0, "frames": 4})
    link.events.control({"op": "error", "channel": 0, "code": "stream_not_found"})
    link.events.control({"op": "error", "channel": 44, "code": "nobody"})
    with pytest.raises(MediaError):
        link.events.media(b"xx")

    assert await drain(viewer) == [
        {"op": "dropped", "channel": 5, "frames": 4},
        {"op": "error", "channel": 5, "code": "stream_not_found"},
    ]


# --- over a real socket ---------------------------------------------------------------------------------------------
@asynccontextmanager
async def connected(url: str | None = None) -> AsyncIterator[tuple[FakeLiveGateway, LiveRelay]]:
    """A relay with a real link to a fake gateway; any blocking call in the loop fails the test."""
    gateway = FakeLiveGateway()
    await gateway.start()
    clock = SystemClock()
    address = FakeAddress(url or gateway.url)
    relay = LiveRelay(lambda gateway_id, events: GatewayLink(gateway_id, address, events, clock), clock)
    try:
        with blockbuster_ctx():
            yield gateway, relay
    finally:
        await relay.close()
        await gateway.stop()


async def until(viewer: Viewer, op: str, **fields: Any) -> list[Any]:
    """Messages up to the first one of that op with these fields."""
    seen: list[Any] = []
    async with asyncio.timeout(20):
        while True:
            message = await viewer.next()
            seen.append(json.loads(message) if isinstance(message, str) else (*HEAD.unpack_from(message), message[4:]))
            last = seen[-1]
            if ops([last]) == [op] and (isinstance(last, tuple) or fields.items() <= last.items()):
                return seen


@pytest.mark.net
async def test_two_viewers_one_signed_socket_one_subscription() -> None:
    stream = str(uuid4())
    async with connected() as (gateway, relay):
        one, two = Viewer(), Viewer()
        relay.subscribe(one, 1, GATEWAY, UUID(stream))
        await gateway.subscribed(stream)
        await gateway.info(stream)
        await gateway.frame(stream, b"key", key=True)
        await until(one, "key")
        relay.subscribe(two, 2, GATEWAY, UUID(stream))
        await gateway.frame(stream, b"delta")
        await until(one, "frame")

        assert ops(await until(two, "frame")) == ["info", "state", "init", "key", "frame"]
        assert (len(gateway.connections), gateway.subscriptions, gateway.refused) == (1, [stream], 0)
        relay.leave(one)
        relay.leave(two)
        await gateway.unsubscribed(stream)


@pytest.mark.net
async def test_a_gateway_that_is_killed_and_comes_back_is_subscribed_again() -> None:
    stream = str(uuid4())
    async with connected() as (gateway, relay):
        viewer = Viewer()
        relay.subscribe(viewer, 1, GATEWAY, UUID(stream))
        await gateway.subscribed(stream)
        await gateway.info(stream)
        await gateway.frame(stream, b"before", key=True)
        await until(viewer, "key")
        await gateway.stop()
        await until(viewer, "state", live="connecting", cause="gateway_away")
        await until(viewer, "state", live="offline", cause="gateway_away")
        await gateway.start()
        await gateway.subscribed(stream, times=2)
        await gateway.info(stream)
        await gateway.frame(stream, b"after", key=True)

        assert (await until(viewer, "key"))[-1][3] == b"after"


@pytest.mark.net
async def test_a_gateway_that_talks_nonsense_is_left_and_asked_again() -> None:
    stream = str(uuid4())
    async with connected() as (gateway, relay):
        viewer = Viewer()
        relay.subscribe(viewer, 1, GATEWAY, UUID(stream))
        await gateway.subscribed(stream)
        await gateway.channels[stream][0].send("not json")

        await until(viewer, "state", live="connecting", cause="gateway_away")
        await gateway.subscribed(stream, times=2)
