"""Finding the way back after bytes that are neither a message nor a packet."""

from __future__ import annotations

import re
from collections.abc import Collection

_CANDIDATE = re.compile(rb"\$|RTSP/\d\.\d ", re.IGNORECASE)
_FRAME_HEAD = 4


def next_start(view: memoryview, channels: Collection[int]) -> int:
    """Where, behind the first byte, a reply or a packet of one of these channels may begin; the length if nowhere."""
    for candidate in _CANDIDATE.finditer(view, 1):
        at = candidate.start()
        if view[at] != ord("$") or _may_be_packet(view, at, channels):
            return at
    return len(view)


def _may_be_packet(view: memoryview, at: int, channels: Collection[int]) -> bool:
    """A channel that is bound, and version 2 of RTP or RTCP behind it, as far as the bytes are there."""
    if at + 1 < len(view) and view[at + 1] not in channels:
        return False
    return at + _FRAME_HEAD >= len(view) or view[at + _FRAME_HEAD] >> 6 == 2
