"""Where live viewers drink from: passes a stream's units on while somebody watches, the current group first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from camera_gateway.fmp4.parameters import ParameterSets, VideoFormat, video_format
from camera_gateway.fmp4.writer import init_segment
from camera_gateway.packets import AccessUnit
from storage.errors import MediaError

GOP_BYTES = 4 << 20
"""A group of pictures larger than this is not cached: a new viewer waits for the next key frame."""


Recent = Callable[[Callable[[list[AccessUnit]], None]], list[AccessUnit] | None]
"""Gives the newest units of the current group, and delivers those before them later, in the reactor's thread."""

WallTime = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class LiveUnit:
    """One frame for viewers: `time` is its Unix wall time in 1/90000 s, `duration` and `offset` likewise."""

    key: bool
    time: int
    offset: int
    duration: int
    data: bytes


@dataclass(frozen=True, slots=True)
class LiveFormat:
    """What a viewer needs before the first frame."""

    codec: str
    width: int
    height: int
    init: bytes


class LiveOutlet(Protocol):
    """Port: takes what watched streams send, never blocks."""

    def send_format(self, stream_id: UUID, live: LiveFormat) -> None: ...

    def send_unit(self, stream_id: UUID, unit: LiveUnit) -> None: ...


class Tap:
    """One per stream; lives in the reactor of its worker.

    A stream that is recorded keeps no pictures here: the group that a first viewer needs is on the disk. `watch` asks
    `recent` for it: a call that returns the newest units and delivers those before them later, or None when there is
    no such thing; a stream that nobody records is opened because somebody watches, and begins with a key frame.
    """

    def __init__(self, stream_id: UUID, outlet: LiveOutlet) -> None:
        self._stream_id = stream_id
        self._outlet = outlet
        self.watched = False
        self._parameters: ParameterSets | None = None
        self._format: LiveFormat | None = None
        self._late: list[tuple[AccessUnit, int]] | None = None  # what came while the group is awaited
        self._open = False  # units go on: the viewer has a key frame
        self._request = 0
        self._last_dts = 0
        self._time = 0
        self._interval = 3600

    def watch(self, recent: Recent | None, wall_us: WallTime) -> None:
        """Somebody watches from now on; `wall_us` gives the wall time of a `dts` of this session."""
        self.watched, self._open, self._late = True, False, None
        self._request += 1
        request = self._request
        newest = recent(lambda units: self._group(request, units, wall_us)) if recent is not None else None
        if newest is not None:
            self._late = [(unit, wall_us(unit.dts)) for unit in newest]

    def unwatch(self) -> None:
        """Nobody watches any more."""
        self.reset()
        self.watched = False
        self._format = self._parameters = None

    def offer(self, unit: AccessUnit, wall_us: int) -> None:
        """A frame of a watched stream from the camera."""
        if unit.key:
            self._late = None
            self._open = self._set_format(unit.parameters)
        elif self._late is not None:
            self._late.append((unit, wall_us))
            return
        if self._open and unit.parameters is self._parameters:
            self._send(unit, wall_us)

    def reset(self) -> None:
        """The session ended: what follows begins with a key frame."""
        self._request += 1
        self._open, self._late = False, None

    def _group(self, request: int, units: list[AccessUnit], wall_us: WallTime) -> None:
        """The group of pictures so far, from the disk."""
        late, self._late = self._late, None
        if request != self._request or late is None:
            return  # a key frame or a new session was quicker
        group = [(unit, wall_us(unit.dts)) for unit in units] + late
        if not group or not group[0][0].key or not self._set_format(group[0][0].parameters):
            return
        self._open = True
        for unit, at_us in group:
            self._send(unit, at_us)

    def _send(self, unit: AccessUnit, wall_us: int) -> None:
        step = unit.dts - self._last_dts
        if 0 < step < 90_000:
            self._interval = step
        self._last_dts = unit.dts
        self._time = max(wall_us * 9 // 100, self._time + 1)
        live = LiveUnit(unit.key, self._time, unit.pts - unit.dts, 4 * self._interval, unit.data)
        self._outlet.send_unit(self._stream_id, live)

    def _set_format(self, parameters: ParameterSets) -> bool:
        """Tell viewers of new parameter sets; false when they cannot be understood."""
        if parameters is self._parameters:
            return self._format is not None
        self._parameters, known = parameters, self._format
        try:
            video: VideoFormat = video_format(parameters)
        except MediaError:
            self._format = None
            return False
        self._format = LiveFormat(video.codec, video.width, video.height, init_segment(video))
        if self._format != known:
            self._outlet.send_format(self._stream_id, self._format)
        return True
