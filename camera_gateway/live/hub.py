"""Fans live pictures out to viewers: one upstream per stream, however many watch. Belongs to one event loop."""

from __future__ import annotations

import asyncio
import json
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from camera_gateway.fmp4.writer import frame_fragment
from camera_gateway.tap import GOP_BYTES, LiveFormat, LiveUnit
from storage.clock import Clock
from storage.model import GapReason, LiveState

VIEWER_BYTES = 2 << 20
"""Bytes that may wait for one viewer before its frames are dropped up to the next key frame."""

BATCH_BYTES = 256 << 10
"""About how much is handed to a viewer's connection at once; what is there already is not counted as waiting."""

_QUEUE_LIMIT = 20_000
_HEAD = struct.Struct(">HBB")
_INIT, _FRAGMENT = 0, 1
_KEY = 1
_TEXT, _BINARY = 0x81, 0x82  # final frames of RFC 6455, section 5.2
_SHORT, _MEDIUM, _LONG = struct.Struct(">BB"), struct.Struct(">BBH"), struct.Struct(">BBQ")


@dataclass(slots=True)
class Tally:
    """What went to viewers since the process started."""

    relayed: int = 0
    dropped: int = 0


class Channel:
    """One stream on one viewer's socket."""

    __slots__ = ("dropped", "heads", "keys_only", "number", "started", "stream_id", "viewer", "waiting")

    def __init__(self, number: int, stream_id: UUID, viewer: Viewer, *, keys_only: bool) -> None:
        self.number = number
        self.stream_id = stream_id
        self.keys_only = keys_only
        self.viewer = viewer
        self.waiting = True  # for a key frame
        self.started = False  # a frame of this format was sent, so that one left out is a loss
        self.dropped = 0
        self.heads = tuple(_HEAD.pack(number, _FRAGMENT, flags) for flags in (0, _KEY))


class Viewer:
    """The outgoing side of one socket: messages in order, with a budget for media.

    A message is a text or a pair of its head and its payload, so that a payload is shared by all who get it.
    """

    def __init__(self, tally: Tally | None = None) -> None:
        self.channels: dict[int, Channel] = {}
        self._tally = tally or Tally()
        self._queue: deque[str | tuple[bytes, bytes]] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()

    def say(self, **message: Any) -> None:
        """Queue a control message."""
        text = json.dumps(message, separators=(",", ":"))
        self._queue.append(text)
        self._bytes += len(text)
        self._ready.set()

    def send_init(self, channel: Channel, live: LiveFormat) -> None:
        self._put(_HEAD.pack(channel.number, _INIT, 0), live.init)

    def send_frame(self, channel: Channel, key: bool, data: bytes) -> None:
        """Queue a frame, or drop it: after a drop only a key frame goes on, and the viewer is told the count."""
        if channel.keys_only and not key:
            return
        if (channel.waiting and not key) or self._bytes > VIEWER_BYTES:
            channel.dropped += channel.started
            self._tally.dropped += channel.started
            channel.waiting = True
            return
        if channel.dropped:
            self.say(op="dropped", channel=channel.number, frames=channel.dropped)
            channel.dropped = 0
        channel.waiting = False
        channel.started = True
        self._tally.relayed += 1
        self._put(channel.heads[key], data)

    @property
    def behind(self) -> bool:
        """Whether so much waits for this viewer that its small talk is left unanswered."""
        return self._bytes > 2 * VIEWER_BYTES or len(self._queue) > _QUEUE_LIMIT

    async def wait(self) -> None:
        """Return when something waits to be sent."""
        while not self._queue:
            self._ready.clear()
            await self._ready.wait()

    async def next(self) -> str | bytes:
        """The next message to send."""
        await self.wait()
        message = self._queue.popleft()
        if isinstance(message, str):
            self._bytes -= len(message)
            return message
        self._bytes -= len(message[1])
        return message[0] + message[1]

    def take(self) -> list[bytes]:
        """What waits, up to about `BATCH_BYTES`, as WebSocket frames ready to be written one after the other."""
        parts: list[bytes] = []
        queue, size = self._queue, 0
        while queue and size < BATCH_BYTES:
            message = queue.popleft()
            if isinstance(message, str):
                payload = message.encode()
                parts += (_frame_head(_TEXT, len(payload)), payload)
                size += len(message)
            else:
                head, data = message
                length = len(data)
                parts += (_frame_head(_BINARY, length + 4) + head, data)
                size += length
        self._bytes -= size
        return parts

    def _put(self, head: bytes, data: bytes) -> None:
        self._queue.append((head, data))
        self._bytes += len(data)
        self._ready.set()


def _frame_head(opcode: int, length: int) -> bytes:
    """The head of an unmasked frame, as servers send it."""
    if length < 126:
        return _SHORT.pack(opcode, length)
    if length < 65536:
        return _MEDIUM.pack(opcode, 126, length)
    return _LONG.pack(opcode, 127, length)


@dataclass(slots=True)
class _Stream:
    format: LiveFormat | None = None
    group: list[tuple[bool, bytes]] = field(default_factory=list)
    group_bytes: int = 0
    sequence: int = 0
    channels: list[Channel] = field(default_factory=list)
    waiting: list[asyncio.Future[bytes]] = field(default_factory=list)

    @property
    def watched(self) -> bool:
        return bool(self.channels or self.waiting)


_STATE = ("live", "cause", "since_us", "recording", "recording_since_us")


@dataclass(slots=True)
class _Derived:
    """A stream that a transcoder makes of another one."""

    source_id: UUID
    pause: dict[str, Any] = field(default_factory=dict)


class Hub:
    """Streams, their viewers and what workers said of them. `on_watched` is told whenever the watched set changes."""

    def __init__(self, clock: Clock, on_watched: Callable[[frozenset[UUID]], None]) -> None:
        self._clock = clock
        self._on_watched = on_watched
        self._streams: dict[UUID, _Stream] = {}
        self._by_bytes: dict[bytes, _Stream] = {}
        self._states: dict[UUID, dict[str, Any]] = {}
        self._derived: dict[UUID, _Derived] = {}
        self.on_idle: Callable[[UUID], None] = _nobody
        """Told of a derived stream that its last viewer left."""
        self.tally = Tally()
        self.viewers = 0
        self.transcoders = 0

    # --- viewers -----------------------------------------------------------------------------------------------------
    def subscribe(self, viewer: Viewer, number: int, stream_id: UUID, *, keys_only: bool = False) -> None:
        """Send the stream on that channel: info, state, init, the cached group of pictures, then frames."""
        self.unsubscribe(viewer, number)
        channel = Channel(number, stream_id, viewer, keys_only=keys_only)
        viewer.channels[number] = channel
        stream = self._stream(stream_id)
        was_watched = stream.watched
        stream.channels.append(channel)
        if stream.format is not None:
            self._say_info(channel, stream.format)
        self._say_state(channel)
        if stream.format is not None:
            viewer.send_init(channel, stream.format)
            for key, data in stream.group:
                viewer.send_frame(channel, key, data)
        if not was_watched:
            self._watched_changed()

    def unsubscribe(self, viewer: Viewer, number: int) -> None:
        """Stop that channel, if it is in use."""
        channel = viewer.channels.pop(number, None)
        if channel is not None:
            self._streams[channel.stream_id].channels.remove(channel)
            self._forget(channel.stream_id)

    def leave(self, viewer: Viewer) -> None:
        """The viewer's socket is gone."""
        for number in list(viewer.channels):
            self.unsubscribe(viewer, number)

    async def key_frame(self, stream_id: UUID, timeout_s: float) -> bytes:
        """Init segment and one key frame of a stream, opened on demand. Raises TimeoutError."""
        stream = self._stream(stream_id)
        if stream.format is not None and stream.group:
            return stream.format.init + stream.group[0][1]
        was_watched = stream.watched
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        stream.waiting.append(future)
        if not was_watched:
            self._watched_changed()
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        finally:
            if future in stream.waiting:
                stream.waiting.remove(future)
            self._forget(stream_id)

    @property
    def watched(self) -> frozenset[UUID]:
        """All streams of cameras that somebody watches."""
        return frozenset(key for key, stream in self._streams.items() if stream.watched and key not in self._derived)

    @property
    def channels(self) -> int:
        """How many channels viewers have open."""
        return sum(len(stream.channels) for stream in self._streams.values())

    @property
    def states(self) -> dict[str, dict[str, Any]]:
        """What workers last said of each stream."""
        return {str(key): state for key, state in self._states.items()}

    def offline_cause(self, stream_id: UUID) -> str | None:
        """Why the stream is offline (a gap reason's value); None when it is not known to be."""
        state = self._states.get(stream_id)
        if state is None or state["live"] != LiveState.OFFLINE.value:
            return None
        return str(state["cause"])

    # --- workers -----------------------------------------------------------------------------------------------------
    def take_states(self, rows: list[dict[str, Any]]) -> set[UUID]:
        """Note states and pass them to viewers; returns the streams they are about."""
        told: set[UUID] = set()
        for row in rows:
            stream_id = UUID(row["stream"])
            told.add(stream_id)
            self._states[stream_id] = row
            self._tell_state(stream_id)
            for derived_id, derived in self._derived.items():
                if derived.source_id == stream_id:
                    self._tell_state(derived_id)
        return told

    def take_format(self, stream_id: UUID, live: LiveFormat) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.group, stream.group_bytes = [], 0
        stream.format = live
        derived = self._derived.get(stream_id)
        if derived is not None and derived.pause:
            derived.pause = {}
            self._tell_state(stream_id)
        for channel in stream.channels:
            self._say_info(channel, live)
            channel.viewer.send_init(channel, live)
            channel.waiting, channel.started = True, False

    def take_unit(self, stream_id: UUID, unit: LiveUnit) -> None:
        self.take_frame(stream_id.bytes, unit.key, unit.time, unit.offset, unit.duration, unit.data)

    def take_frame(
        self, stream_id: bytes, key: bool, time: int, offset: int, duration: int, data: bytes | memoryview
    ) -> None:
        """A frame of the stream with these sixteen bytes as its id; `data` is valid during the call only."""
        stream = self._by_bytes.get(stream_id)
        if stream is None or stream.format is None:
            return
        stream.sequence += 1
        made = frame_fragment(stream.sequence, time, duration, offset, key, data)
        self._cache(stream, key, made)
        for channel in stream.channels:
            channel.viewer.send_frame(channel, key, made)
        if key and stream.waiting:
            waiting, stream.waiting = stream.waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(stream.format.init + made)

    def take_dropped(self, stream_id: UUID, frames: int) -> None:
        """The worker had to drop frames before a key frame."""
        stream = self._streams.get(stream_id)
        for channel in stream.channels if stream else ():
            channel.viewer.say(op="dropped", channel=channel.number, frames=frames)

    def lose(self, stream_ids: set[UUID]) -> None:
        """The worker of these streams is gone: they are offline until it is back."""
        now_us = self._clock.now_us()
        for stream_id in stream_ids:
            state = self._states.get(stream_id)
            if state is None:
                continue
            gone = {"live": LiveState.OFFLINE.value, "cause": GapReason.CRASH.value, "since_us": now_us}
            broken = {"recording": GapReason.CRASH.value, "recording_since_us": now_us}
            self.take_states([state | gone | broken])

    # --- derived streams ---------------------------------------------------------------------------------------------
    def derive(self, derived_id: UUID, source_id: UUID) -> None:
        """From now on `derived_id` shows what `source_id` shows, transcoded: it has the states of its source, and no
        worker. Subscribe viewers to it as to any stream."""
        self._stream(derived_id)
        self._derived[derived_id] = _Derived(source_id)

    def pause_derived(self, derived_id: UUID, live: LiveState, cause: str) -> None:
        """Its transcoder does not run, and why; until the next format its viewers see that."""
        stream, derived = self._streams[derived_id], self._derived[derived_id]
        stream.format, stream.group, stream.group_bytes = None, [], 0
        derived.pause = {"live": live.value, "cause": cause, "since_us": self._clock.now_us()}
        for channel in stream.channels:
            channel.waiting, channel.started = True, False
            self._say_state(channel)

    def watches_derived(self, derived_id: UUID) -> bool:
        """Whether somebody watches this derived stream."""
        stream = self._streams.get(derived_id)
        return stream is not None and stream.watched

    def end_derived(self, derived_id: UUID) -> None:
        """There is no such derived stream any more; who still watches it is told that it is offline."""
        stream = self._streams[derived_id]
        if stream.watched:
            self.pause_derived(derived_id, LiveState.OFFLINE, GapReason.CRASH.value)
        for channel in stream.channels:
            channel.viewer.channels.pop(channel.number, None)
        del self._derived[derived_id], self._streams[derived_id], self._by_bytes[derived_id.bytes]

    # --- inside ------------------------------------------------------------------------------------------------------
    def _stream(self, stream_id: UUID) -> _Stream:
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._streams[stream_id] = self._by_bytes[stream_id.bytes] = _Stream()
        return stream

    def _cache(self, stream: _Stream, key: bool, data: bytes) -> None:
        if key:
            stream.group, stream.group_bytes = [], 0
        if key or stream.group:
            stream.group.append((key, data))
            stream.group_bytes += len(data)
        if stream.group_bytes > GOP_BYTES:
            stream.group, stream.group_bytes = [], 0

    def _forget(self, stream_id: UUID) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.watched:
            return
        if stream_id in self._derived:
            self.on_idle(stream_id)
        else:
            del self._streams[stream_id], self._by_bytes[stream_id.bytes]
            self._watched_changed()

    def _watched_changed(self) -> None:
        self._on_watched(self.watched)

    def _tell_state(self, stream_id: UUID) -> None:
        stream = self._streams.get(stream_id)
        for channel in stream.channels if stream else ():
            self._say_state(channel)

    def _say_info(self, channel: Channel, live: LiveFormat) -> None:
        derived = self._derived.get(channel.stream_id)
        source_id = channel.stream_id if derived is None else derived.source_id
        about: dict[str, Any] = {
            "stream": str(source_id),
            "role": self._states.get(source_id, {}).get("role", ""),
            "codec": live.codec,
            "width": live.width,
            "height": live.height,
        }
        if derived is not None:
            about["derived"] = True
        channel.viewer.say(op="info", channel=channel.number, **about)

    def _say_state(self, channel: Channel) -> None:
        derived = self._derived.get(channel.stream_id)
        state = self._states.get(channel.stream_id if derived is None else derived.source_id)
        if state is None:
            now_us = self._clock.now_us()
            state = {
                "live": LiveState.CONNECTING.value,
                "cause": "",
                "since_us": now_us,
                "recording": GapReason.PLAN.value,
                "recording_since_us": now_us,
            }
        if derived is not None and state["live"] == LiveState.LIVE.value:
            state = state | derived.pause  # a camera that is away itself says more
        channel.viewer.say(op="state", channel=channel.number, **{name: state[name] for name in _STATE})


def _nobody(_stream_id: UUID) -> None:
    """Nobody wants to know."""
