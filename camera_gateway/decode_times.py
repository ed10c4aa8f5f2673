"""Decoding times from presentation times: RTP carries only the latter, and some cameras jump.

Cameras with B-frames send pictures out of presentation order. The deriver keeps the last few presentation times in
order; the smallest of them is the decoding time. How many are needed is learnt when one comes out too late.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from itertools import pairwise

_MAX_DEPTH = 16
_JUMP = 10 * 90_000
"""A step forward of more than this (1/90000 s) between neighbours is a jump, not a pause."""
_BACK = 90_000
"""A step back of more than this, and of more than four intervals, is a jump: pictures are not reordered so far."""


# Not frozen: one is made for each picture.
@dataclass(slots=True)
class Times:
    """Both times in 1/90000 s, re-based to rise from 0, and whether the source jumped just before."""

    dts: int
    pts: int
    jumped: bool


class DecodeTimes:
    """Derives times for one session, in decoding order."""

    def __init__(self) -> None:
        self._depth = 0
        self._window: list[int] = []
        self._last_pts: int | None = None
        self._last_dts = -1
        self._base = 0
        self._interval = 3600
        self._delay = 0
        self._restarted = False

    def prime(self, first: list[int]) -> None:
        """Look at the first few presentation times, before `take` gets them, to see how far pictures are reordered."""
        ordered = sorted(set(first))
        steps = [later - earlier for earlier, later in pairwise(ordered)]
        self._interval = min([step for step in steps if step < 90_000], default=3600)
        self._depth = max((sum(1 for other in first[:at] if other > pts) for at, pts in enumerate(first)), default=0)

    @property
    def interval(self) -> int:
        """The time between two pictures as far as it is known, in 1/90000 s."""
        return self._interval

    def take(self, pts: int) -> Times:
        """The times of the next picture in decoding order; `pts` is as the source says."""
        dts = self.plain(pts)
        return Times(dts, dts, False) if dts >= 0 else self._take(pts)

    def plain(self, pts: int) -> int:
        """The time of a picture that is shown when it is decoded, and did not jump; -1: ask `take`, nothing happened.

        That is nearly every picture of nearly every camera, and this is called for each of them.
        """
        last = self._last_pts
        if self._depth or last is None or not 0 < pts - last < 90_000 or self._restarted:
            return -1
        shown = pts + self._base
        interval = shown - self._last_dts
        if interval <= 0:
            return -1
        self._last_pts = pts
        self._interval = interval
        self._last_dts = shown
        return shown

    def restart(self) -> None:
        """The next picture is the first of another session: its time says nothing relative to those before."""
        self._restarted = self._last_pts is not None

    def decoded_at(self, pts: int) -> int:
        """When a picture of this presentation time would be decoded if none were reordered, in the scale of `dts`."""
        return pts + self._base - self._delay

    def _take(self, pts: int) -> Times:
        jumped = False
        if not self._depth:
            self._window = [self._last_dts]
        if self._last_pts is None:
            self._delay = self._depth * self._interval
            self._base = self._depth * self._interval - pts
            self._window = [index * self._interval for index in range(self._depth)]
        elif self._restarted or not -max(_BACK, 4 * self._interval) <= pts - self._last_pts <= _JUMP:
            jumped, self._restarted = True, False
            self._base = self._last_dts + self._interval - pts
            self._window.clear()
        self._last_pts = pts
        shown = max(pts + self._base, 0)  # the first picture may be shown after others; never before time begins
        return Times(self._decode_time(shown), shown, jumped)

    def _decode_time(self, shown: int) -> int:
        if shown <= self._last_dts and self._depth < _MAX_DEPTH:
            self._depth += 1
        insort(self._window, shown)
        del self._window[: -(self._depth + 1)]
        wanted = min(self._window[0], shown)
        dts = max(wanted, self._last_dts + 1)
        if self._last_dts >= 0 and 0 < dts - self._last_dts < 90_000:
            self._interval = dts - self._last_dts
        self._last_dts = dts
        return dts


def first_presentation_time(following: list[int]) -> int:
    """The time of a first picture that came without one: one interval before the earliest of those that follow."""
    ordered = sorted(set(following))
    if not ordered:
        return 0
    intervals = [later - earlier for earlier, later in pairwise(ordered)]
    return ordered[0] - min(intervals, default=3600)
