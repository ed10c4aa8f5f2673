"""ISO base media boxes: how to write one, and how to walk a file's top level without trusting it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from storage.errors import MediaError

_HEAD = struct.Struct(">I4s")


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of `kind` around `parts`."""
    body = b"".join(parts)
    return _HEAD.pack(8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box that begins with a version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


@dataclass(frozen=True, slots=True)
class BoxSpan:
    """Where a box lies: `start` of its header, `body` after it, `end` after its last byte."""

    kind: bytes
    start: int
    body: int
    end: int


def children(data: bytes, start: int = 0, end: int | None = None, limit: int = 256) -> Iterator[BoxSpan]:
    """The boxes in data[start:end], at most `limit` of them.

    Raises:
        MediaError: a box is shorter than its header or longer than its parent.
    """
    stop = len(data) if end is None else end
    at = start
    for _ in range(limit):
        if at == stop:
            return
        if at + 8 > stop:
            raise MediaError("box_truncated", "a box header is cut off")
        size, kind = _HEAD.unpack_from(data, at)
        body = at + 8
        if size == 1 and at + 16 <= stop:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            body = at + 16
        if size < body - at or at + size > stop:
            raise MediaError("box_invalid", f"a box of {size} bytes does not fit its parent")
        yield BoxSpan(kind, at, body, at + size)
        at += size
    raise MediaError("box_count", f"more than {limit} boxes in one parent")


def find(data: bytes, *path: bytes) -> BoxSpan:
    """The first box along `path`, from the top of `data` down.

    Raises:
        MediaError: it is not there (`box_missing`), or a box on the way is damaged.
    """
    start, end = 0, len(data)
    span: BoxSpan | None = None
    for kind in path:
        span = next((child for child in children(data, start, end) if child.kind == kind), None)
        if span is None:
            raise MediaError("box_missing", f"no {kind!r} box")
        start, end = span.body, span.end
    if span is None:
        raise MediaError("box_missing", "an empty path names no box")
    return span
