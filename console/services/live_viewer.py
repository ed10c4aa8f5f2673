"""The outgoing side of a browser's live socket: messages in order, with a budget for media (interfaces, section 5)."""

from __future__ import annotations

import asyncio
import json
import struct
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

HEAD = struct.Struct(">HBB")
INIT, FRAGMENT = 0, 1
KEY = 1

CHANNEL_BYTES = 1 << 20
LEAST_BYTES = 4 << 20
"""Media may wait for one viewer up to the larger of this and `CHANNEL_BYTES` a channel; then frames are dropped."""
CONTROL_BYTES = 1 << 20
"""A viewer that lets so many bytes of control messages wait is not reading at all: its socket is closed."""


class StreamKey(NamedTuple):
    """A stream as it is, or what the gateway makes of it."""

    stream_id: UUID
    transcode: bool


@dataclass(slots=True, eq=False)
class Channel:
    """One stream on one viewer's socket."""

    number: int
    stream: StreamKey
    keys_only: bool
    viewer: Viewer
    waiting: bool = True  # for a key frame
    dropped: int = 0


class Viewer:
    """Messages that wait to be sent to one browser. Belongs to one event loop; nothing here waits but `next`."""

    def __init__(self) -> None:
        self.channels: dict[int, Channel] = {}
        self._queue: deque[str | bytes] = deque()
        self._media_bytes = 0
        self._control_bytes = 0
        self._ready = asyncio.Event()

    @property
    def stuck(self) -> bool:
        """Whether so much control waits that the browser cannot be reading."""
        return self._control_bytes > CONTROL_BYTES

    @property
    def waiting_bytes(self) -> int:
        """Bytes of media that wait."""
        return self._media_bytes

    @property
    def _budget(self) -> int:
        return max(LEAST_BYTES, CHANNEL_BYTES * len(self.channels))

    def say(self, **message: Any) -> None:
        """Queue a control message."""
        text = json.dumps(message, separators=(",", ":"))
        self._control_bytes += len(text)
        self._put(text)

    def send_init(self, channel: Channel, init: bytes) -> None:
        """Queue an init segment; frames before the next key frame do not fit it."""
        channel.waiting = True
        self._send(channel, INIT, 0, init)

    def send_group(self, channel: Channel, group: list[tuple[bool, bytes]]) -> None:
        """Queue the group of pictures that a subscription starts with, or nothing of it when much waits already."""
        if self._media_bytes > self._budget:
            return  # the next key frame begins it
        for key, payload in group:
            if key or not (channel.waiting or channel.keys_only):
                channel.waiting = False
                self._send(channel, FRAGMENT, KEY if key else 0, payload)

    def send_frame(self, channel: Channel, key: bool, payload: bytes) -> None:
        """Queue a frame, or drop it: after a drop only a key frame goes on, and the viewer is told the count."""
        if channel.keys_only and not key:
            return
        if channel.waiting and not key:
            channel.dropped += channel.dropped > 0
            return
        if self._media_bytes > self._budget:
            channel.waiting = True
            channel.dropped += 1
            return
        if channel.dropped:
            self.say(op="dropped", channel=channel.number, frames=channel.dropped)
            channel.dropped = 0
        channel.waiting = False
        self._send(channel, FRAGMENT, KEY if key else 0, payload)

    def forget(self, number: int) -> None:
        """Drop the media that wait on a channel: nobody wants them, and the next stream there must not meet them."""
        kept = deque(item for item in self._queue if isinstance(item, str) or HEAD.unpack_from(item)[0] != number)
        self._queue = kept
        self._media_bytes = sum(len(item) for item in kept if isinstance(item, bytes))

    async def next(self) -> str | bytes:
        """The next message to send."""
        while not self._queue:
            self._ready.clear()
            await self._ready.wait()
        message = self._queue.popleft()
        if isinstance(message, str):
            self._control_bytes -= len(message)
        else:
            self._media_bytes -= len(message)
        return message

    def _send(self, channel: Channel, kind: int, flags: int, payload: bytes) -> None:
        message = HEAD.pack(channel.number, kind, flags) + payload
        self._media_bytes += len(message)
        self._put(message)

    def _put(self, message: str | bytes) -> None:
        self._queue.append(message)
        self._ready.set()
