"""The port between a camera and everything behind it: access units with their times and parameter sets.

A source pushes. It lives in the thread of a `Reactor`, and calls its listener there: `EngineSource` by our own RTSP
engine, `LibavSource` for devices that only libavformat understands, `FakeSource` in tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.fmp4.parameters import ParameterSets
from storage.errors import SunhallError
from storage.model import GapReason

MEDIA_RATE = 90_000
"""Ticks a second of `dts` and `pts`."""


class AudioCodec(StrEnum):
    """The audio that we record, as the catalog names it."""

    AAC = "aac"
    PCMA = "pcma"  # G.711 A-law
    PCMU = "pcmu"  # G.711 µ-law


class Engine(StrEnum):
    """What reads a camera."""

    RTSP = "rtsp"  # our own
    LIBAV = "libav"  # libavformat, for odd devices


# Not frozen: one is made for each picture of each camera, and a frozen dataclass takes four times as long to make.
@dataclass(slots=True)
class AccessUnit:
    """One coded picture as it arrived. Nobody changes one that was handed on.

    `data` is the sample: NAL units with four-byte lengths, without parameter sets and delimiters. `dts` and `pts`
    are in 1/90000 s and never negative; `dts` rises from unit to unit. `arrival_us` is wall time, `arrival_s`
    monotonic time of the same instant. `parameters` is the same object from unit to unit until they change.
    """

    data: bytes
    key: bool
    dts: int
    pts: int
    arrival_us: int
    arrival_s: float
    parameters: ParameterSets
    jumped: bool = False  # the camera's timestamps jumped before this unit; `dts` goes on, time was lost


@dataclass(slots=True)
class AudioUnit:
    """One piece of coded audio: an AAC access unit, or some G.711 bytes (one a sample and channel).

    `time` is in samples from the first unit of the session, never negative and rising; a hole is lost audio.
    """

    data: bytes
    time: int
    arrival_us: int
    arrival_s: float


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What a session carries as audio. `config` is AAC's AudioSpecificConfig (ISO/IEC 14496-3), else empty."""

    codec: AudioCodec
    rate: int  # samples a second
    channels: int
    config: bytes = b""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """The camera's own clock, from an RTCP sender report of its video (RFC 3550 6.4.1).

    `camera_us` is the camera's wall clock in Unix microseconds at media time `dts` (1/90000 s, the scale of
    `AccessUnit.dts`); `arrival_us` is ours when the report came.
    """

    camera_us: int
    dts: int
    arrival_us: int


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """How an opened session is read. `note` says why, when the engine is not the first choice."""

    engine: Engine
    transport: str  # tcp | udp | tls
    codec: VideoCodec
    audio: AudioFormat | None = None  # only when audio was wanted
    note: str = ""
    metadata: bool = False  # ONVIF metadata comes with it; only when it was wanted


@dataclass(slots=True)
class SourceCounters:
    """What a session has seen so far. Counted by the source, read by anyone."""

    packets: int = 0
    bytes: int = 0
    lost: int = 0  # RTP packets that never came
    reordered: int = 0
    duplicated: int = 0
    broken_units: int = 0  # access units left out because a piece of them was lost
    ignored: int = 0  # packets that were no RTP of this session


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How to reach one camera stream. `uri` carries no credentials; `password` is never logged or shown."""

    uri: str
    username: str = ""
    password: str = field(default="", repr=False)
    transport: str = "tcp"  # tcp | udp; rtsps URIs are TLS
    codec: VideoCodec | None = None  # what the catalog expects; None: as the camera says
    audio: bool = False  # whether the audio track is asked for at all
    metadata: bool = False  # whether the ONVIF metadata track is asked for
    engine: Engine | None = None  # None: ours first, libav when ours cannot read the device
    open_timeout_s: float = 5.0
    read_timeout_s: float = 5.0

    def __repr__(self) -> str:
        host = self.uri.partition("://")[2].partition("/")[0]  # some makers put name and password into the path
        return f"SourceSettings(host={host!r}, transport={self.transport!r})"


class SourceFault(SunhallError):
    """A camera stream cannot be had any more; `reason` is the gap's reason and `evidence` says what was seen.

    `unreadable` says that the device answers but our engine does not understand it (a message against the rules, a
    codec or packetisation that it does not know): another engine may.
    """

    def __init__(self, reason: GapReason, evidence: str, *, unreadable: bool = False) -> None:
        super().__init__(reason.value, evidence)
        self.reason = reason
        self.evidence = evidence
        self.unreadable = unreadable


class SourceListener(Protocol):
    """Takes what a source has; called in the reactor's thread only."""

    def opened(self, info: SourceInfo) -> None:
        """The camera plays; units follow."""
        ...

    def unit(self, unit: AccessUnit) -> None:
        """The next picture in decoding order."""
        ...

    def audio(self, unit: AudioUnit) -> None:
        """The next piece of audio."""
        ...

    def metadata(self, document: bytes, arrival_us: int) -> None:
        """A whole ONVIF metadata document (XML, at most 256 KiB). Hostile: parse it with care."""
        ...

    def sender_report(self, report: SenderReport) -> None:
        """What the camera's clock shows."""
        ...

    def failed(self, fault: SourceFault) -> None:
        """The session is over, or could not be opened. The last call; nothing is left open."""
        ...


class PacketSource(Protocol):
    """One session with one camera stream."""

    counters: SourceCounters

    def start(self, settings: SourceSettings, listener: SourceListener) -> None:
        """Begin to connect; returns at once. What follows comes to the listener."""
        ...

    def close(self) -> None:
        """End the session in good manners; the listener is not called any more. Harmless when repeated."""
        ...
