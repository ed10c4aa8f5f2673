"""Fan-out to viewers: what a new one gets, what a slow one loses, and that it is told."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from camera_gateway.fmp4.writer import LiveFrame, split_frame
from camera_gateway.live import wire
from camera_gateway.live.hub import VIEWER_BYTES, Channel, Hub, Viewer
from camera_gateway.tap import LiveFormat, LiveUnit
from storage.clock import FakeClock
from storage.errors import MediaError
from storage.model import LiveState

STREAM = uuid4()
FORMAT = LiveFormat("avc1.64001F", 640, 360, b"init")


def unit(number: int, *, key: bool = False, size: int = 100) -> LiveUnit:
    return LiveUnit(key, number * 3600, 0, 14_400, bytes(size))


def state(stream_id: UUID, **changes: Any) -> dict[str, Any]:
    told = {"stream": str(stream_id), "role": "sub", "live": "live", "cause": "", "since_us": 1}
    return told | {"recording": "recorded", "recording_since_us": 2} | changes


class Watcher:
    """A hub, the watched sets that it announced, and helpers to read a viewer."""

    def __init__(self) -> None:
        self.announced: list[frozenset[UUID]] = []
        self.hub = Hub(FakeClock(), self.announced.append)

    @staticmethod
    async def read(viewer: Viewer) -> tuple[list[dict[str, Any]], list[tuple[int, int, int]]]:
        """Everything queued: control messages, and (channel, type, flags) of media."""
        control: list[dict[str, Any]] = []
        media: list[tuple[int, int, int]] = []
        while True:
            try:
                async with asyncio.timeout(0.01):
                    message = await viewer.next()
            except TimeoutError:
                return control, media
            if isinstance(message, str):
                control.append(json.loads(message))
            else:
                media.append(struct.unpack_from(">HBB", message))


async def test_a_late_viewer_gets_info_state_init_and_the_cached_group() -> None:
    watcher = Watcher()
    watcher.hub.take_states([state(STREAM)])
    first, second = Viewer(), Viewer()
    watcher.hub.subscribe(first, 1, STREAM)
    watcher.hub.take_format(STREAM, FORMAT)
    for number in range(4):
        watcher.hub.take_unit(STREAM, unit(number, key=number == 0))
    watcher.hub.subscribe(second, 9, STREAM)
    control, media = await watcher.read(second)
    assert [message["op"] for message in control] == ["info", "state"]
    assert control[0] | {"channel": 9, "codec": "avc1.64001F", "width": 640, "role": "sub"} == control[0]
    assert media == [(9, 0, 0), (9, 1, 1), (9, 1, 0), (9, 1, 0), (9, 1, 0)]
    assert watcher.announced == [frozenset({STREAM})]


async def test_the_last_viewer_to_leave_ends_the_upstream() -> None:
    watcher = Watcher()
    first, second = Viewer(), Viewer()
    watcher.hub.subscribe(first, 1, STREAM)
    watcher.hub.subscribe(second, 1, STREAM)
    watcher.hub.leave(first)
    assert watcher.hub.watched == {STREAM}
    watcher.hub.leave(second)
    assert watcher.announced == [frozenset({STREAM}), frozenset()]
    watcher.hub.take_unit(STREAM, unit(0, key=True))  # still on its way: dropped quietly


async def test_a_slow_viewer_skips_to_the_next_key_frame_and_is_told() -> None:
    watcher = Watcher()
    viewer = Viewer()
    watcher.hub.subscribe(viewer, 3, STREAM)
    watcher.hub.take_format(STREAM, FORMAT)
    large = VIEWER_BYTES // 4
    for number in range(10):
        watcher.hub.take_unit(STREAM, unit(number, key=number == 0, size=large))
    before, media = await watcher.read(viewer)
    sent = [flags for _, kind, flags in media if kind == 1]
    assert sent == [1, 0, 0, 0]
    assert not [message for message in before if message["op"] == "dropped"]
    watcher.hub.take_unit(STREAM, unit(10))
    watcher.hub.take_unit(STREAM, unit(11, key=True))
    watcher.hub.take_unit(STREAM, unit(12))
    control, media = await watcher.read(viewer)
    assert control == [{"op": "dropped", "channel": 3, "frames": 7}]
    assert media == [(3, 1, 1), (3, 1, 0)]


async def test_new_parameters_send_a_new_init_and_wait_for_a_key_frame() -> None:
    watcher = Watcher()
    viewer = Viewer()
    watcher.hub.subscribe(viewer, 1, STREAM)
    watcher.hub.take_format(STREAM, FORMAT)
    watcher.hub.take_unit(STREAM, unit(0, key=True))
    watcher.hub.take_format(STREAM, LiveFormat("avc1.640028", 1920, 1080, b"other"))
    watcher.hub.take_unit(STREAM, unit(1))
    watcher.hub.take_unit(STREAM, unit(2, key=True))
    control, media = await watcher.read(viewer)
    assert [message["width"] for message in control if message["op"] == "info"] == [640, 1920]
    assert [kind for _, kind, _ in media] == [0, 1, 0, 1]


async def test_a_lost_worker_shows_as_offline_with_its_cause() -> None:
    watcher = Watcher()
    watcher.hub.take_states([state(STREAM)])
    viewer = Viewer()
    watcher.hub.subscribe(viewer, 1, STREAM)
    watcher.hub.lose({STREAM})
    control, _ = await watcher.read(viewer)
    assert [(message["live"], message["cause"]) for message in control] == [("live", ""), ("offline", "crash")]
    assert control[-1]["recording"] == "crash"


async def test_a_snapshot_opens_the_stream_and_closes_it_again() -> None:
    watcher = Watcher()
    waiting = asyncio.create_task(watcher.hub.key_frame(STREAM, 5))
    await asyncio.sleep(0)
    assert watcher.hub.watched == {STREAM}
    watcher.hub.take_format(STREAM, FORMAT)
    watcher.hub.take_unit(STREAM, unit(0))
    assert not waiting.done()
    watcher.hub.take_unit(STREAM, unit(1, key=True))
    media = await waiting
    assert media.startswith(b"init")
    assert watcher.hub.watched == frozenset()
    with pytest.raises(TimeoutError):
        await watcher.hub.key_frame(STREAM, 0.01)
    assert watcher.hub.watched == frozenset()


async def test_sixty_four_tiles_of_key_frames_cost_their_key_frames_and_lose_nothing() -> None:
    watcher = Watcher()
    streams = [uuid4() for _ in range(64)]
    viewer = Viewer(watcher.hub.tally)
    for number, stream_id in enumerate(streams):
        watcher.hub.subscribe(viewer, number, stream_id, keys_only=True)
        watcher.hub.take_format(stream_id, FORMAT)
    for number in range(100):
        for stream_id in streams:
            watcher.hub.take_unit(stream_id, unit(number, key=number % 50 == 0))
    control, media = await watcher.read(viewer)
    assert [flags for _, kind, flags in media if kind == 1] == [1] * 128
    assert not [message for message in control if message["op"] == "dropped"]
    assert (watcher.hub.tally.relayed, watcher.hub.tally.dropped) == (128, 0)


async def test_a_slow_viewer_costs_others_nothing_and_is_counted() -> None:
    watcher = Watcher()
    slow, quick = Viewer(watcher.hub.tally), Viewer(watcher.hub.tally)
    for viewer in (slow, quick):
        watcher.hub.subscribe(viewer, 1, STREAM)
    watcher.hub.take_format(STREAM, FORMAT)
    shown = 0
    for number in range(40):
        watcher.hub.take_unit(STREAM, unit(number, key=number == 0, size=VIEWER_BYTES // 8))
        shown += len([kind for _, kind, _ in (await watcher.read(quick))[1] if kind == 1])
    assert shown == 40
    assert watcher.hub.tally.dropped == 40 - 8


async def test_a_viewer_gets_one_frame_per_fragment() -> None:
    watcher = Watcher()
    viewer = Viewer()
    watcher.hub.subscribe(viewer, 1, STREAM)
    watcher.hub.take_format(STREAM, FORMAT)
    sent = [LiveUnit(number == 0, number * 3600, 7, 14_400, b"frame %d" % number) for number in range(3)]
    for one in sent:
        watcher.hub.take_unit(STREAM, one)
    received: list[LiveFrame] = []
    async with asyncio.timeout(5):
        while len(received) < 3:
            message = await viewer.next()
            if isinstance(message, bytes) and message[2] == 1:
                received.append(split_frame(message[4:]))
    assert [LiveUnit(got.key, got.decode_time, got.offset, got.duration, got.data) for got in received] == sent


@given(st.lists(st.one_of(st.text(max_size=300), st.binary(min_size=1, max_size=70_000)), min_size=1, max_size=8))
async def test_a_batch_is_what_a_websocket_client_reads(messages: list[str | bytes]) -> None:
    viewer = Viewer()
    channel = Channel(3, STREAM, viewer, keys_only=False)
    for message in messages:
        if isinstance(message, str):
            viewer.say(text=message)
        else:
            viewer.send_frame(channel, True, message)
    client = ClientProtocol(parse_uri("ws://gateway/"), state=State.OPEN, max_size=None)
    while (parts := viewer.take()) != []:
        client.receive_data(b"".join(parts))
    frames = [event for event in client.events_received() if isinstance(event, Frame)]
    assert [
        json.loads(bytes(frame.data))["text"] if frame.opcode is Opcode.TEXT else bytes(frame.data)[4:]
        for frame in frames
    ] == messages
    assert not viewer.behind


async def test_a_derived_stream_has_its_sources_states_and_is_not_asked_of_workers() -> None:
    watcher = Watcher()
    derived = uuid4()
    idle: list[UUID] = []
    watcher.hub.on_idle = idle.append
    watcher.hub.take_states([state(STREAM)])
    watcher.hub.derive(derived, STREAM)
    viewer = Viewer()
    watcher.hub.subscribe(viewer, 1, derived)
    assert watcher.hub.watched == frozenset()
    watcher.hub.pause_derived(derived, LiveState.OFFLINE, "transcoder_failed")
    watcher.hub.take_format(derived, FORMAT)
    watcher.hub.take_states([state(STREAM, live="offline", cause="unreachable")])
    watcher.hub.pause_derived(derived, LiveState.OFFLINE, "transcoder_failed")
    control, _ = await watcher.read(viewer)
    assert [message["cause"] for message in control if message["op"] == "state"] == [
        "",
        "transcoder_failed",
        "",
        "unreachable",
        "unreachable",  # why there is no picture at all says more than that none is made of it
    ]
    assert [message["derived"] for message in control if message["op"] == "info"] == [True]
    watcher.hub.leave(viewer)
    assert idle == [derived]
    watcher.hub.end_derived(derived)


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(1, 60), max_size=20))
def test_messages_are_the_same_however_the_link_cuts_them(bodies: list[bytes], cuts: list[int]) -> None:
    data = b"".join(wire.pack(wire.Kind.UNIT, body) for body in bodies)
    found: list[bytes] = []
    reader = wire.MessageReader(lambda _kind, body: found.append(bytes(body)))
    for cut in cuts:
        reader.feed(data[:cut])
        data = data[cut:]
    reader.feed(data)
    assert found == bodies


@given(st.binary(max_size=200))
def test_what_is_no_message_is_refused_or_waited_for(data: bytes) -> None:
    reader = wire.MessageReader(lambda _kind, _body: None)
    try:
        reader.feed(data)
    except MediaError:
        return


@given(
    st.builds(
        LiveUnit,
        key=st.booleans(),
        time=st.integers(0, 2**63),
        offset=st.integers(-(2**31), 2**31 - 1),
        duration=st.integers(0, 2**32 - 1),
        data=st.binary(max_size=50),
    ),
    st.uuids(),
)
def test_frames_survive_the_link(sent: LiveUnit, stream_id: UUID) -> None:
    message = wire.pack_unit(stream_id, sent)
    length, kind = wire.HEAD.unpack_from(message)
    assert (length, kind) == (len(message) - 4, wire.Kind.UNIT)
    assert wire.unpack_unit(message[wire.HEAD.size :]) == (stream_id, sent)


@given(st.uuids(), st.text(st.characters(codec="ascii"), max_size=40), st.integers(0, 65535), st.binary(max_size=50))
def test_formats_survive_the_link(stream_id: UUID, codec: str, side: int, init: bytes) -> None:
    sent = LiveFormat(codec, side, side, init)
    message = wire.pack_format(stream_id, sent)
    assert wire.unpack_format(message[wire.HEAD.size :]) == (stream_id, sent)
