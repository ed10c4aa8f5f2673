"""What ingest workers and the API process say to each other: `u32 length | u8 kind | body`, big-endian."""

from __future__ import annotations

import json
import struct
from enum import IntEnum
from typing import Any
from uuid import UUID

from camera_gateway.tap import LiveFormat, LiveUnit
from storage.errors import MediaError

MAX_MESSAGE = 32 << 20
HEAD = struct.Struct(">IB")
_FORMAT = struct.Struct(">16sHHB")
_UNIT = struct.Struct(">16sBQiI")


class Kind(IntEnum):
    """Kinds of messages; the first group goes from worker to API."""

    HELLO = 1  # {"worker": n}
    STATES = 2  # [{"stream", "role", "live", ...}]
    FORMAT = 3
    UNIT = 4
    DROPPED = 5  # {"stream", "frames"}
    STATS = 6  # WorkerStats as JSON, every few seconds
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
    head = _UNIT.pack(stream_id.bytes, unit.key, unit.time, unit.offset, unit.duration)
    return HEAD.pack(len(head) + len(unit.data) + 1, Kind.UNIT) + head + unit.data


def unpack_unit(body: bytes) -> tuple[UUID, LiveUnit]:
    if len(body) < _UNIT.size:
        raise MediaError("live_message_invalid", "a frame message is cut off")
    raw, key, time, offset, duration = _UNIT.unpack_from(body)
    return UUID(bytes=raw), LiveUnit(bool(key), time, offset, duration, body[_UNIT.size :])
