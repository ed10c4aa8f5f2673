"""A mark in every picture: camera number, picture number and send time, in an SEI message of our own.

The message is `user_data_unregistered` (H.264 and H.265, payload type 5): our UUID, then decimal digits, so that no
byte needs an escape. Recorders that copy pictures keep it, and `find` reads it back from a recorded sample without
decoding.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol
from uuid import UUID

MARK_UUID = UUID("5a8f1c37-9d42-4e6b-b1c8-73d9a4e25f61").bytes
_FRAME_DIGITS, _TIME_DIGITS, _CAMERA_DIGITS = 10, 16, 5
_SIZE = len(MARK_UUID) + _FRAME_DIGITS + _TIME_DIGITS + _CAMERA_DIGITS
_HEADS = {"h264": bytes((6, 5, _SIZE)), "h265": bytes((39 << 1, 1, 5, _SIZE))}
_STOP = b"\x80"
SEARCHED = 4096
"""Bytes of a sample in which its mark is looked for: parameter sets and other messages may stand before it."""


class Mark(NamedTuple):
    """What a picture says of itself."""

    camera: int
    frame: int
    sent_us: int


class Readable(Protocol):
    """What `find` needs: bytes, bytearray and mmap have it."""

    def find(self, sub: bytes, start: int, end: int, /) -> int: ...

    def __getitem__(self, key: slice, /) -> bytes: ...


def head(codec: str, frame: int, sent_us: int) -> bytes:
    """The first part of the NAL unit: the same for all cameras that send this picture now."""
    return b"%b%b%010d%016d" % (_HEADS[codec], MARK_UUID, frame, sent_us)


def tail(camera: int) -> bytes:
    """The rest of it: the same for all pictures of a camera."""
    return b"%05d" % camera + _STOP


def nal_size(codec: str) -> int:
    """Bytes of the whole NAL unit."""
    return len(_HEADS[codec]) + _SIZE + len(_STOP)


def find(data: Readable, start: int, end: int) -> Mark | None:
    """The mark of the sample at `data[start:end]`, or None when it carries none."""
    at = data.find(MARK_UUID, start, min(end, start + SEARCHED))
    if at < 0:
        return None
    digits = at + len(MARK_UUID)
    text = data[digits : digits + _SIZE - len(MARK_UUID)]
    if len(text) != _SIZE - len(MARK_UUID) or not text.isdigit():
        return None
    frame, sent_us = int(text[:_FRAME_DIGITS]), int(text[_FRAME_DIGITS : _FRAME_DIGITS + _TIME_DIGITS])
    return Mark(int(text[_FRAME_DIGITS + _TIME_DIGITS :]), frame, sent_us)
