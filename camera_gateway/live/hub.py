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

_QUEUE_LIMIT = 20_000
_HEAD = struct.Struct(">HBB")
_INIT, _FRAGMENT = 0, 1
_KEY = 1


@dataclass(slots=True, eq=False)
class Channel:
    """One stream on one viewer's socket."""

    number: int
    stream_id: UUID
    keys_only: bool
    viewer: Viewer
    waiting: bool = True  # for a key frame
    started: bool = False  # a frame of this format was sent, so that one left out is a loss
    dropped: int = 0


class Viewer:
    """The outgoing side of one socket: messages in order, with a budget for media."""

    def __init__(self) -> None:
        self.channels: dict[int, Channel] = {}
        self._queue: deque[str | bytes] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()

    def say(self, **message: Any) -> None:
        """Queue a control message."""
        self._put(json.dumps(message, separators=(",", ":")))

    def send_init(self, channel: Channel, live: LiveFormat) -> None:
        self._put(_HEAD.pack(channel.number, _INIT, 0) + live.init)

    def send_frame(self, channel: Channel, key: bool, data: bytes) -> None:
        """Queue a frame, or drop it: after a drop only a key frame goes on, and the viewer is told the count."""
        if channel.keys_only and not key:
            return
        if (channel.waiting and not key) or self._bytes > VIEWER_BYTES:
            channel.dropped += channel.started
            channel.waiting = True
            return
        if channel.dropped:
            self.say(op="dropped", channel=channel.number, frames=channel.dropped)
            channel.dropped = 0
        channel.waiting, channel.started = False, True
        self._put(_HEAD.pack(channel.number, _FRAGMENT, _KEY if key else 0) + data)

    @property
    def behind(self) -> bool:
        """Whether so much waits for this viewer that its small talk is left unanswered."""
        return self._bytes > 2 * VIEWER_BYTES or len(self._queue) > _QUEUE_LIMIT

    async def next(self) -> str | bytes:
        """The next message to send."""
        while not self._queue:
            self._ready.clear()
            await self._ready.wait()
        message = self._queue.popleft()
        self._bytes -= len(message)
        return message

    def _put(self, message: str | bytes) -> None:
        self._queue.append(message)
        self._bytes += len(message)
        self._ready.set()


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


class Hub:
    """Streams, their viewers and what workers said of them. `on_watched` is told whenever the watched set changes."""

    def __init__(self, clock: Clock, on_watched: Callable[[frozenset[UUID]], None]) -> None:
        self._clock = clock
        self._on_watched = on_watched
        self._streams: dict[UUID, _Stream] = {}
        self._states: dict[UUID, dict[str, Any]] = {}

    # --- viewers -----------------------------------------------------------------------------------------------------
    def subscribe(self, viewer: Viewer, number: int, stream_id: UUID, *, keys_only: bool = False) -> None:
        """Send the stream on that channel: info, state, init, the cached group of pictures, then frames."""
        self.unsubscribe(viewer, number)
        channel = Channel(number, stream_id, keys_only, viewer)
        viewer.channels[number] = channel
        stream = self._streams.setdefault(stream_id, _Stream())
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
        stream = self._streams.setdefault(stream_id, _Stream())
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
        """All streams that somebody watches."""
        return frozenset(key for key, stream in self._streams.items() if stream.watched)

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
            stream = self._streams.get(stream_id)
            for channel in stream.channels if stream else ():
                self._say_state(channel)
        return told

    def take_format(self, stream_id: UUID, live: LiveFormat) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.group, stream.group_bytes = [], 0
        stream.format = live
        for channel in stream.channels:
            self._say_info(channel, live)
            channel.viewer.send_init(channel, live)
            channel.waiting, channel.started = True, False

    def take_unit(self, stream_id: UUID, unit: LiveUnit) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.format is None:
            return
        stream.sequence += 1
        data = frame_fragment(stream.sequence, unit.time, unit.duration, unit.offset, unit.key, unit.data)
        self._cache(stream, unit.key, data)
        for channel in stream.channels:
            channel.viewer.send_frame(channel, unit.key, data)
        if unit.key and stream.waiting:
            waiting, stream.waiting = stream.waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(stream.format.init + data)

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

    # --- inside ------------------------------------------------------------------------------------------------------
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
        if stream is not None and not stream.watched:
            del self._streams[stream_id]
            self._watched_changed()

    def _watched_changed(self) -> None:
        self._on_watched(self.watched)

    def _say_info(self, channel: Channel, live: LiveFormat) -> None:
        role = self._states.get(channel.stream_id, {}).get("role", "")
        channel.viewer.say(
            op="info",
            channel=channel.number,
            stream=str(channel.stream_id),
            role=role,
            codec=live.codec,
            width=live.width,
            height=live.height,
        )

    def _say_state(self, channel: Channel) -> None:
        state = self._states.get(channel.stream_id)
        if state is None:
            now_us = self._clock.now_us()
            state = {
                "live": LiveState.CONNECTING.value,
                "cause": "",
                "since_us": now_us,
                "recording": GapReason.PLAN.value,
                "recording_since_us": now_us,
            }
        names = ("live", "cause", "since_us", "recording", "recording_since_us")
        channel.viewer.say(op="state", channel=channel.number, **{name: state[name] for name in names})
