"""What ingest workers and the API process say to each other: `u32 length | u8 kind | body`, big-endian."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any
from uuid import UUID

from camera_gateway.tap import LiveFormat, LiveUnit
from storage.errors import MediaError

MAX_MESSAGE = 32 << 20
HEAD = struct.Struct(">IB")
_FORMAT = struct.Struct(">16sHHB")
_UNIT = struct.Struct(">16sBQiI")
_UNIT_MESSAGE = struct.Struct(">IB16sBQiI")


class Kind(IntEnum):
    """Kinds of messages; the first group goes from worker to API."""

    HELLO = 1  # {"worker": n}
    STATES = 2  # [{"stream", "role", "live", ...}]
    FORMAT = 3
    UNIT = 4
    DROPPED = 5  # {"stream", "frames"}
    STATS = 6  # WorkerStats as JSON, every few seconds
    INIT = 8  # to a transcoder: an init segment
    FRAGMENT = 9  # to a transcoder: one frame as `moof` and `mdat`
    WATCH = 16  # ["stream id", ...]: all that are watched now
    REFRESH = 17  # {}: read the plan now


def pack(kind: Kind, body: bytes) -> bytes:
    """A message ready to send."""
    return HEAD.pack(len(body) + 1, kind) + body


def pack_json(kind: Kind, value: Any) -> bytes:
    """A message whose body is JSON."""
    return pack(kind, json.dumps(value, separators=(",", ":")).encode())


def pack_format(stream_id: UUID, live: LiveFormat) -> bytes:
    codec = live.codec.encode()
    return pack(Kind.FORMAT, _FORMAT.pack(stream_id.bytes, live.width, live.height, len(codec)) + codec + live.init)


def unpack_format(body: bytes) -> tuple[UUID, LiveFormat]:
    if len(body) < _FORMAT.size:
        raise MediaError("live_message_invalid", "a format message is cut off")
    raw, width, height, length = _FORMAT.unpack_from(body)
    codec = body[_FORMAT.size : _FORMAT.size + length].decode()
    return UUID(bytes=raw), LiveFormat(codec, width, height, body[_FORMAT.size + length :])


def pack_unit(stream_id: UUID, unit: LiveUnit) -> bytes:
    return b"".join(unit_parts(stream_id, unit))


def unit_parts(stream_id: UUID, unit: LiveUnit) -> tuple[bytes, bytes]:
    """A UNIT message in two pieces, the payload not copied."""
    data = unit.data
    length = _UNIT.size + len(data) + 1
    return _UNIT_MESSAGE.pack(
        *(length, Kind.UNIT, stream_id.bytes, unit.key, unit.time, unit.offset, unit.duration)
    ), data


def unpack_unit(body: bytes) -> tuple[UUID, LiveUnit]:
    stream_id, key, time, offset, duration, data = split_unit(memoryview(body))
    return UUID(bytes=stream_id), LiveUnit(key, time, offset, duration, bytes(data))


def split_unit(body: memoryview) -> tuple[bytes, bool, int, int, int, memoryview]:
    """Id, key flag, time, offset, duration and payload of a UNIT message, the payload not copied."""
    if len(body) < _UNIT.size:
        raise MediaError("live_message_invalid", "a frame message is cut off")
    raw, key, time, offset, duration = _UNIT.unpack_from(body)
    return raw, key != 0, time, offset, duration, body[_UNIT.size :]


class MessageReader:
    """Cuts what came over a link into messages and hands each to `take` as (kind, body); bodies are valid during the
    call only."""

    def __init__(self, take: Callable[[int, memoryview], None]) -> None:
        self._take = take
        self._kept = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            MediaError: they are no messages. What `take` raises goes on.
        """
        if self._kept:
            self._kept += data
            with memoryview(self._kept) as view:
                used = self._messages(view)
            del self._kept[:used]
            return
        with memoryview(data) as view:
            used = self._messages(view)
        if used < len(data):
            self._kept += data[used:]

    def _messages(self, view: memoryview) -> int:
        """Hand on all whole messages; returns how many bytes they have."""
        at, end = 0, len(view)
        while end - at >= HEAD.size:
            length, kind = HEAD.unpack_from(view, at)
            if not 0 < length <= MAX_MESSAGE:
                raise MediaError("live_message_invalid", f"a message of {length} bytes")
            after = at + 4 + length
            if after > end:
                break
            with view[at + HEAD.size : after] as body:
                self._take(kind, body)
            at = after
        return at
