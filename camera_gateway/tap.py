"""Where live viewers drink from: keeps the current group of pictures of a stream and passes units on when watched."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from camera_gateway.fmp4.parameters import ParameterSets, VideoFormat, video_format
from camera_gateway.fmp4.writer import init_segment
from camera_gateway.packets import AccessUnit
from storage.errors import MediaError

GOP_BYTES = 4 << 20
"""A group of pictures larger than this is not cached: a new viewer waits for the next key frame."""


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
    """One per stream. `offer` is called by the ingest thread, `watch` and `unwatch` by the link's."""

    def __init__(self, stream_id: UUID, outlet: LiveOutlet) -> None:
        self._stream_id = stream_id
        self._outlet = outlet
        self._lock = threading.Lock()
        self._watched = False
        self._parameters: ParameterSets | None = None
        self._format: LiveFormat | None = None
        self._gop: list[LiveUnit] = []
        self._gop_bytes = 0
        self._last_dts = 0
        self._time = 0
        self._interval = 3600

    def watch(self) -> None:
        """Somebody watches now: send the format and the cached group at once."""
        with self._lock:
            self._watched = True
            if self._format is not None:
                self._outlet.send_format(self._stream_id, self._format)
                for unit in self._gop:
                    self._outlet.send_unit(self._stream_id, unit)

    def unwatch(self) -> None:
        """Nobody watches any more."""
        with self._lock:
            self._watched = False

    def offer(self, unit: AccessUnit, wall_us: int) -> None:
        """Take a frame from the camera."""
        step = unit.dts - self._last_dts
        if 0 < step < 90_000:
            self._interval = step
        self._last_dts = unit.dts
        self._time = max(wall_us * 9 // 100, self._time + 1)
        live = LiveUnit(unit.key, self._time, unit.pts - unit.dts, 4 * self._interval, unit.data)
        with self._lock:
            if unit.key:
                self._start_group(unit.parameters)
            if self._format is None or unit.parameters != self._parameters:
                return
            self._cache(live)
            if self._watched:
                self._outlet.send_unit(self._stream_id, live)

    def reset(self) -> None:
        """The session ended: old pictures are not shown as live."""
        with self._lock:
            self._gop, self._gop_bytes = [], 0

    def _start_group(self, parameters: ParameterSets) -> None:
        self._gop, self._gop_bytes = [], 0
        if parameters == self._parameters:
            return
        try:
            video: VideoFormat = video_format(parameters)
        except MediaError:
            self._format = None
            return
        self._parameters = parameters
        self._format = LiveFormat(video.codec, video.width, video.height, init_segment(video))
        if self._watched:
            self._outlet.send_format(self._stream_id, self._format)

    def _cache(self, unit: LiveUnit) -> None:
        if unit.key or self._gop:
            self._gop_bytes += len(unit.data)
            self._gop.append(unit)
        if self._gop_bytes > GOP_BYTES:
            self._gop, self._gop_bytes = [], 0
