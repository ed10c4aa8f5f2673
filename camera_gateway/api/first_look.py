"""The first picture of a camera that is being registered, and its real key-frame interval."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from camera_gateway.api.picture import jpeg_of
from camera_gateway.fmp4.parameters import video_format
from camera_gateway.fmp4.writer import frame_fragment, init_segment
from camera_gateway.packets import (
    AccessUnit,
    AudioUnit,
    PacketSource,
    SenderReport,
    SourceFault,
    SourceInfo,
    SourceSettings,
)
from camera_gateway.reactor import Reactor
from storage.clock import Clock
from storage.errors import MediaError
from storage.model import GapReason

log = logging.getLogger(__name__)

PATIENCE_S = 4.0
"""How long to wait for a second key frame when the device did not declare its interval."""
LONGEST_S = 15.0
"""When to give up on a device that neither plays nor fails."""
_TURN_S = 0.2


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What was seen; `picture` is None when no picture came, and `cause` says why (a gap reason's value)."""

    picture: bytes | None
    picture_ms: int
    gop_ms: int  # 0: not measured
    width: int
    height: int
    cause: str = ""


class Looker:
    """Looks at streams through sources that `new_source` makes, each look in a short reactor of its own.

    Blocking: call it in a thread.
    """

    def __init__(self, new_source: Callable[[Reactor], PacketSource], clock: Clock) -> None:
        self._new_source = new_source
        self._clock = clock

    def look(self, settings: SourceSettings, *, measure_gop: bool) -> FirstLook:
        """Open the stream, take its first key frame as JPEG and, when asked, wait for the next one. Never raises
        for a camera's faults."""
        reactor = Reactor(self._clock)
        source = self._new_source(reactor)
        eye = _Eye(self._clock, measure_gop)
        try:
            source.start(settings, eye)
            while not eye.satisfied():
                reactor.turn(_TURN_S)
        finally:
            source.close()
            linger(reactor, self._clock)
            reactor.close()
        return eye.seen()


def linger(reactor: Reactor, clock: Clock) -> None:
    """Let a closed source take its leave of the camera, for at most a second."""
    until = clock.monotonic() + 1.0
    while reactor.watching and clock.monotonic() < until:
        reactor.turn(_TURN_S)


class _Eye:
    """Listens until enough was seen."""

    def __init__(self, clock: Clock, measure_gop: bool) -> None:
        self._clock = clock
        self._measure_gop = measure_gop
        self._started = clock.monotonic()
        self._fault: SourceFault | None = None
        self._first: AccessUnit | None = None
        self._second: AccessUnit | None = None
        self._first_ms = 0

    def satisfied(self) -> bool:
        """Whether the look is over."""
        elapsed_s = self._clock.monotonic() - self._started
        if self._fault is not None or self._second is not None or elapsed_s > LONGEST_S:
            return True
        return self._first is not None and (not self._measure_gop or elapsed_s > PATIENCE_S)

    def seen(self) -> FirstLook:
        """What came of it; decodes the picture."""
        if self._first is None:
            fault = self._fault or SourceFault(GapReason.NO_MEDIA, "no key frame came")
            return _blind(fault.code, fault.evidence)
        started = self._clock.monotonic()
        try:
            video = video_format(self._first.parameters)
            picture = jpeg_of(init_segment(video) + frame_fragment(1, 0, 3600, 0, True, self._first.data))
        except MediaError as error:
            return _blind(error.code, error.message)
        picture_ms = self._first_ms + round((self._clock.monotonic() - started) * 1000)
        gop_ms = (self._second.dts - self._first.dts) // 90 if self._second is not None else 0
        return FirstLook(picture, picture_ms, gop_ms, video.width, video.height)

    def opened(self, info: SourceInfo) -> None:
        if info.note:
            log.info("first_look_note", extra={"fields": {"engine": info.engine.value, "note": info.note}})

    def unit(self, unit: AccessUnit) -> None:
        if not unit.key:
            return
        if self._first is None:
            self._first = unit
            self._first_ms = round((self._clock.monotonic() - self._started) * 1000)
        elif self._second is None:
            self._second = unit

    def audio(self, unit: AudioUnit) -> None:
        """Not looked at."""

    def metadata(self, document: bytes, arrival_us: int) -> None:
        """Not looked at."""

    def sender_report(self, report: SenderReport) -> None:
        """Not looked at."""

    def failed(self, fault: SourceFault) -> None:
        self._fault = fault


def _blind(code: str, evidence: str) -> FirstLook:
    log.info("first_look_failed", extra={"fields": {"code": code, "evidence": evidence}})
    return FirstLook(None, 0, 0, 0, 0, code)
