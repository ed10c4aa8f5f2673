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

from camera_gateway.live import wire
from camera_gateway.live.hub import VIEWER_BYTES, Hub, Viewer
from camera_gateway.tap import LiveFormat, LiveUnit
from storage.clock import FakeClock

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
