"""Takes the byte stream of an RTSP connection apart: interleaved frames to their tracks, text to the session."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from camera_gateway.packets import SourceFault
from storage.model import GapReason

Take: TypeAlias = Callable[[memoryview, int, int, int, float], None]
TakeFrames: TypeAlias = Callable[[memoryview, int, int, int, float], int]

_DOLLAR = 36
_BEGINS = re.compile(rb"\$|RTSP/")  # stops at the first of them: junk costs its own length, not that of what follows
_MOST_TEXT = 256 << 10  # an incomplete message that is longer is none
_MOST_JUNK = 256 << 10  # bytes in a row that are neither frames nor text


class Demultiplexer:
    """RFC 2326 10.12. Frames of channels that nobody bound are skipped.

    `on_text` gets what begins like an RTSP message, and returns how many bytes it used: 0 when the message is not
    complete yet. Other bytes between frames are skipped up to what looks like a frame or a message, and counted in
    `junk`.
    """

    def __init__(self, on_text: Callable[[memoryview], int]) -> None:
        self.junk = 0
        self._on_text = on_text
        self._takes: list[Take | None] = [None] * 256
        self._frames: list[TakeFrames | None] = [None] * 256
        self._rest = b""
        self._junk_run = 0

    def bind(self, channel: int, take: Take) -> None:
        """Send the frames of `channel` (0 to 255) to `take`.

        The `take` of a video track is known by its owner's `take_frames`, which reads many frames in one call.
        """
        self._takes[channel] = take
        owner = getattr(take, "__self__", None)
        is_track = owner is not None and take == getattr(owner, "take", None)
        self._frames[channel] = getattr(owner, "take_frames", None) if is_track else None

    def feed(self, view: memoryview, arrival_us: int, arrival_s: float) -> None:
        """Take what arrived. The view is used during the call only.

        Raises:
            SourceFault: the bytes are no RTSP, or a track refused its packets.
        """
        if self._rest:
            # One copy of what came. Finishing the cut frame alone costs more: it takes five calls instead of none.
            view = memoryview(b"".join((self._rest, view)))
            self._rest = b""
        at = self._take_all(view, arrival_us, arrival_s)
        if at < len(view):
            self._rest = view[at:].tobytes()

    def _take_all(self, view: memoryview, arrival_us: int, arrival_s: float) -> int:
        at, limit = 0, len(view)
        frames, takes = self._frames, self._takes
        while limit - at >= 4:
            if view[at] != _DOLLAR:
                used = self._take_other(view, at)
                if not used:
                    return at
                at += used
                continue
            channel = view[at + 1]
            whole = frames[channel]
            if whole is not None:
                reached = whole(view, at, limit, arrival_us, arrival_s)
                if reached == at:
                    return at
                at = reached
                self._junk_run = 0
                continue
            end = at + 4 + (view[at + 2] << 8 | view[at + 3])
            if end > limit:
                return at
            take = takes[channel]
            if take is not None:
                take(view, at + 4, end, arrival_us, arrival_s)
                self._junk_run = 0
            at = end
        return at

    def _take_other(self, view: memoryview, at: int) -> int:
        """Text, or junk; how many bytes are done with."""
        first = view[at]
        if 65 <= first <= 90:  # a method or "RTSP/1.0" begins with a capital letter
            used = self._on_text(view[at:])
            if used <= 0 and len(view) - at > _MOST_TEXT:
                raise SourceFault(GapReason.NETWORK, "the camera sent an endless RTSP message", unreadable=True)
            if used > 0:
                self._junk_run = 0
            return max(used, 0)
        if first in (10, 13):
            return 1  # empty lines between messages are allowed
        found = _BEGINS.search(view, at + 1)
        skipped = found.start() - at if found is not None else max(len(view) - at - 4, 1)
        self.junk += skipped
        self._junk_run += skipped
        if self._junk_run > _MOST_JUNK:
            raise SourceFault(GapReason.NETWORK, "what the camera sent is neither RTSP nor RTP", unreadable=True)
        return skipped
