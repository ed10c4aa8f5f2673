"""The packet source for any camera that libavformat understands, tuned so that it is not slower than it must be.

Why these options (measured, docs/decisions/0021-pyav-source.md): libavformat's log callback and its interrupt callback
take Python's global lock, so logging is off and only opening has a timeout of that kind; reading times out in the
socket. A probe of 5,000 bytes opens in 0.05 s; `nobuffer` would drop the first key frame, so it is not used.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import av
import av.error
import av.logging
from av.container import InputContainer
from av.video.stream import VideoStream

from camera_gateway.decode_times import DecodeTimes, first_presentation_time
from camera_gateway.fmp4.nal import VideoCodec, parse_access_unit, split_annexb
from camera_gateway.fmp4.parameters import ParameterLearner
from camera_gateway.packets import AccessUnit, Engine, SourceFault, SourceInfo, SourceSettings
from storage.clock import US, Clock
from storage.model import GapReason

_CODECS = {"h264": VideoCodec.H264, "hevc": VideoCodec.H265}
_FAST = {"analyzeduration": "0", "probesize": "5000"}
_LONGEST_STEP = 90_000
_HOLD = 4
"""Pictures that are looked at before the first is passed on: to time it, and to see how far they are reordered."""

_REASONS: tuple[tuple[type[BaseException], GapReason, str], ...] = (
    (av.error.HTTPUnauthorizedError, GapReason.AUTHENTICATION, "RTSP 401"),
    (av.error.HTTPForbiddenError, GapReason.AUTHENTICATION, "RTSP 403"),
    (av.error.HTTPNotFoundError, GapReason.NO_MEDIA, "RTSP 404"),
    (av.error.HTTPClientError, GapReason.REFUSED, "RTSP 4xx"),
    (av.error.HTTPServerError, GapReason.REFUSED, "RTSP 5xx"),
    (av.error.ConnectionRefusedError, GapReason.REFUSED, "connection refused"),
    (av.error.InvalidDataError, GapReason.NO_MEDIA, "the answer is no RTSP or no media"),
    (av.error.ExitError, GapReason.UNREACHABLE, "no answer in time"),
    (av.error.TimeoutError, GapReason.UNREACHABLE, "timed out"),
)


@dataclass(slots=True)
class _Picture:
    data: bytes
    pts: int | None
    arrival_us: int
    arrival_s: float


class _ParserDelay:
    """libavformat's parser gives a picture only when the next one begins: one frame interval late (measured)."""

    def __init__(self, interval: int) -> None:
        self._interval = float(interval)
        self._last: int | None = None

    def take(self, dts: int) -> int:
        """How late the picture of this decoding time was given, in microseconds."""
        step = dts - self._last if self._last is not None else 0
        self._last = dts
        if 0 < step < _LONGEST_STEP:
            self._interval += (step - self._interval) / 16
        return round(self._interval * 100 / 9)


class BlockingSource(Protocol):
    """One session that is read in a thread of its own (`LibavSource` puts it behind the packet port)."""

    def open(self, settings: SourceSettings) -> SourceInfo:
        """Connect, and say how the session is read; raises SourceFault."""
        ...

    def units(self) -> Iterator[AccessUnit]:
        """The pictures in decoding order, until `close`; raises SourceFault when the session ends."""
        ...

    def close(self) -> None:
        """Ends `units` soon; from any thread."""
        ...


class PyavSource:
    """One RTSP session through libavformat. Used from one thread; `close` may come from another."""

    def __init__(self, clock: Clock) -> None:
        av.logging.set_level(None)
        self._clock = clock
        self._closing = threading.Event()
        self._container: InputContainer | None = None
        self._stream: VideoStream | None = None

    def open(self, settings: SourceSettings) -> SourceInfo:
        try:
            codec = self._open(settings, _FAST)
        except SourceFault as fault:
            if fault.reason is not GapReason.NO_MEDIA or fault.evidence == "RTSP 404":
                raise
            codec = self._open(settings, {})  # some devices need libavformat's patient defaults
        transport = "tls" if settings.uri.startswith("rtsps:") else settings.transport
        return SourceInfo(Engine.LIBAV, transport, codec)

    def units(self) -> Iterator[AccessUnit]:
        container, stream = self._container, self._stream
        if container is None or stream is None:
            raise SourceFault(GapReason.UNKNOWN, "the source is not open")
        try:
            yield from self._units(container, stream)
        finally:
            self._container = self._stream = None
            container.close()

    def close(self) -> None:
        """Ends `units` after the next picture, or after the read timeout on a silent line."""
        self._closing.set()

    def _open(self, settings: SourceSettings, probing: dict[str, str]) -> VideoCodec:
        options = {
            "rtsp_transport": settings.transport,
            "allowed_media_types": "video",
            "timeout": str(round(settings.read_timeout_s * 1e6)),
            **probing,
        }
        try:
            container = av.open(with_credentials(settings), options=options, timeout=(settings.open_timeout_s, None))
        except (av.error.FFmpegError, OSError) as error:
            # Not chained: libavformat's errors carry the URL with its password.
            raise _opening_fault(error) from None
        try:
            codec = _codec(container)
        except SourceFault:
            container.close()
            raise
        self._container, self._stream = container, container.streams.video[0]
        return codec

    def _units(self, container: InputContainer, stream: VideoStream) -> Iterator[AccessUnit]:
        codec = _CODECS[stream.codec_context.name]
        learner = ParameterLearner(codec)
        learner.describe(stream.codec_context.extradata or b"")
        times = DecodeTimes()
        pictures = self._pictures(container, stream)
        held = list(itertools.islice(pictures, _HOLD))
        if not held:
            return
        _time_first(held)
        times.prime([picture.pts or 0 for picture in held])
        delay = _ParserDelay(times.interval)
        for picture in itertools.chain(held, _with_times(pictures, held[-1].pts or 0)):
            unit = parse_access_unit(codec, split_annexb(picture.data))
            parameters = learner.take(unit)
            if parameters is None or not unit.sample:
                continue
            at = times.take(picture.pts or 0)
            late_us = delay.take(at.dts)
            arrival = (picture.arrival_us - late_us, picture.arrival_s - late_us / US)
            yield AccessUnit(unit.sample, unit.key, at.dts, at.pts, *arrival, parameters, at.jumped)

    def _pictures(self, container: InputContainer, stream: VideoStream) -> Iterator[_Picture]:
        received = False
        try:
            for packet in container.demux(stream):
                if self._closing.is_set():
                    return
                if packet.size == 0:  # the flush packet; a first picture without times is a real one
                    continue
                received = True
                clock = self._clock
                yield _Picture(bytes(packet), packet.pts, clock.now_us(), clock.monotonic())
        except (av.error.FFmpegError, OSError) as error:
            raise _reading_fault(error, received) from None
        if not self._closing.is_set():
            raise SourceFault(GapReason.NETWORK if received else GapReason.NO_MEDIA, "the camera ended the stream")


def _codec(container: InputContainer) -> VideoCodec:
    if not container.streams.video:
        raise SourceFault(GapReason.NO_MEDIA, "the session has no video")
    name = container.streams.video[0].codec_context.name
    codec = _CODECS.get(name)
    if codec is None:
        raise SourceFault(GapReason.NO_MEDIA, f"the codec {name} is not recorded")
    return codec


def with_credentials(settings: SourceSettings) -> str:
    """The URL with user and password, both percent-encoded. Never log it."""
    if not settings.username:
        return settings.uri
    parts = urlsplit(settings.uri)
    user = f"{quote(settings.username, safe='')}:{quote(settings.password, safe='')}"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}@{host}"))


def _with_times(pictures: Iterator[_Picture], last: int) -> Iterator[_Picture]:
    """Give pictures that come without a time the one that follows from those before."""
    interval = 3600
    for picture in pictures:
        if picture.pts is None:
            picture.pts = last + interval
        elif 0 < picture.pts - last < 90_000:
            interval = picture.pts - last
        last = picture.pts
        yield picture


def _time_first(held: list[_Picture]) -> None:
    known = [picture.pts for picture in held if picture.pts is not None]
    first = first_presentation_time(known)
    for index, picture in enumerate(held):
        if picture.pts is None:
            picture.pts = first + index


def _opening_fault(error: BaseException) -> SourceFault:
    for kind, reason, evidence in _REASONS:
        if isinstance(error, kind):
            return SourceFault(reason, evidence)
    return SourceFault(GapReason.UNREACHABLE, _said(error))


def _reading_fault(error: BaseException, received: bool) -> SourceFault:
    if isinstance(error, av.error.TimeoutError | av.error.ExitError):
        evidence = "silence"
    elif isinstance(error, av.error.EOFError):
        evidence = "the camera ended the stream"
    else:
        evidence = _said(error)
    return SourceFault(GapReason.NETWORK if received else GapReason.NO_MEDIA, evidence)


def _said(error: BaseException) -> str:
    """The system's words for an error, without the URL that libavformat adds."""
    return getattr(error, "strerror", None) or type(error).__name__
