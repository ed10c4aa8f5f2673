"""What a session needs of the RTP half: tracks that take packets."""

from __future__ import annotations

from typing import Protocol

from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.packets import AudioFormat, SourceCounters, SourceListener, SourceSettings
from camera_gateway.rtp.description import MediaDescription


class Take(Protocol):
    """Takes the packet `data[start:end]`, which is valid during the call only."""

    def __call__(self, data: memoryview, start: int, end: int, arrival_us: int, arrival_s: float, /) -> None: ...


class Track(Protocol):
    """One medium: RTP and RTCP packets in, units to the listener, receiver reports out (camera_gateway/rtp)."""

    def take(self, data: memoryview, start: int, end: int, arrival_us: int, arrival_s: float, /) -> None: ...
    def take_control(self, data: memoryview, start: int, end: int, arrival_us: int, arrival_s: float, /) -> None: ...
    def report(self, now_us: int, now_s: float, /) -> bytes: ...
    def flush(self) -> None: ...
    def described(self) -> VideoCodec | AudioFormat | None: ...


class MakeTrack(Protocol):
    """Makes the track of a medium.

    Raises:
        SourceFault: the medium cannot be recorded; the text names its codec.
    """

    def __call__(
        self,
        media: MediaDescription,
        settings: SourceSettings,
        listener: SourceListener,
        counters: SourceCounters,
        /,
        *,
        ordered: bool,
    ) -> Track: ...
