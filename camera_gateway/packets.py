"""The port between a camera and everything behind it: access units with their times and parameter sets.

`PacketSource` is implemented by `camera_gateway.pyav_source` (libavformat) and by `camera_gateway.fake_source`;
an RTSP engine of our own will implement the same port.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.fmp4.parameters import ParameterSets
from storage.errors import SunhallError
from storage.model import GapReason

MEDIA_RATE = 90_000
"""Ticks a second of `dts` and `pts`."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture as it arrived.

    `data` is the sample: NAL units with four-byte lengths, without parameter sets and delimiters. `dts` and `pts`
    are in 1/90000 s and never negative; `dts` rises from unit to unit. `arrival_us` is wall time, `arrival_s`
    monotonic time of the same instant.
    """

    data: bytes
    key: bool
    dts: int
    pts: int
    arrival_us: int
    arrival_s: float
    parameters: ParameterSets
    jumped: bool = False  # the camera's timestamps jumped before this unit; `dts` goes on, time was lost


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How to reach one camera stream. `uri` carries no credentials; `password` is never logged or shown."""

    uri: str
    username: str = ""
    password: str = ""
    transport: str = "tcp"  # tcp | udp
    codec: VideoCodec | None = None  # what the catalog expects; None: as the camera says
    open_timeout_s: float = 5.0
    read_timeout_s: float = 5.0

    def __repr__(self) -> str:
        return f"SourceSettings(uri={self.uri!r}, transport={self.transport!r})"


class SourceFault(SunhallError):
    """A camera stream cannot be had any more; `reason` is the gap's reason and `evidence` says what was seen."""

    def __init__(self, reason: GapReason, evidence: str) -> None:
        super().__init__(reason.value, evidence)
        self.reason = reason
        self.evidence = evidence


class PacketSource(Protocol):
    """One session with one camera stream."""

    def open(self, settings: SourceSettings) -> None:
        """Connect and begin to play.

        Raises:
            SourceFault: with the reason and the evidence.
        """
        ...

    def units(self) -> Iterator[AccessUnit]:
        """The access units, in decoding order, until the session breaks.

        Raises:
            SourceFault: the session broke; a source never ends without one unless it was closed.
        """
        ...

    def close(self) -> None:
        """End the session; may be called from another thread, and more than once."""
        ...
