"""The first picture of a camera that is being registered, and its real key-frame interval."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from camera_gateway.api.picture import jpeg_of
from camera_gateway.fmp4.parameters import video_format
from camera_gateway.fmp4.writer import frame_fragment, init_segment
from camera_gateway.packets import AccessUnit, PacketSource, SourceFault, SourceSettings
from storage.clock import Clock
from storage.errors import MediaError

log = logging.getLogger(__name__)

PATIENCE_S = 4.0
"""How long to wait for a second key frame when the device did not declare its interval."""


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
    """Looks at streams through sources that `new_source` makes. Blocking: call it in a thread."""

    def __init__(self, new_source: Callable[[], PacketSource], clock: Clock) -> None:
        self._new_source = new_source
        self._clock = clock

    def look(self, settings: SourceSettings, *, measure_gop: bool) -> FirstLook:
        """Open the stream, take its first key frame as JPEG and, when asked, wait for the next one. Never raises
        for a camera's faults."""
        started = self._clock.monotonic()
        source = self._new_source()
        try:
            source.open(settings)
            return self._watch(source, started, measure_gop)
        except (SourceFault, MediaError) as error:
            log.info("first_look_failed", extra={"fields": {"code": error.code, "evidence": error.message}})
            return FirstLook(None, 0, 0, 0, 0, error.code)
        finally:
            source.close()

    def _watch(self, source: PacketSource, started: float, measure_gop: bool) -> FirstLook:
        seen: FirstLook | None = None
        first_key = 0
        for unit in source.units():
            late = self._clock.monotonic() - started > PATIENCE_S
            if unit.key and seen is None:
                seen, first_key = self._picture(unit, started), unit.dts
            elif unit.key and seen is not None:
                gop_ms = (unit.dts - first_key) // 90
                source.close()
                return FirstLook(seen.picture, seen.picture_ms, gop_ms, seen.width, seen.height)
            if seen is not None and (late or not measure_gop):
                break
        source.close()
        return seen or FirstLook(None, 0, 0, 0, 0, "no_media")

    def _picture(self, unit: AccessUnit, started: float) -> FirstLook:
        video = video_format(unit.parameters)
        media = init_segment(video) + frame_fragment(1, 0, 3600, 0, True, unit.data)
        picture = jpeg_of(media)
        elapsed_ms = round((self._clock.monotonic() - started) * 1000)
        return FirstLook(picture, elapsed_ms, 0, video.width, video.height)
