"""From what a device's media service says to channels with a main stream and a substream. No network here."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_MAX_TEXT = 128
_SUB_AREA = 640 * 360
_CODECS = {"H264": "h264", "H265": "h265", "HEVC": "h265"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """A profile that can be recorded: it has a video source and an H.264 or H.265 encoder."""

    token: str
    source_token: str
    source_name: str
    codec: str
    width: int
    height: int
    fps_milli: int
    gop_ms: int
    bitrate_kbit: int
    ptz: bool

    @property
    def area(self) -> int:
        """Pixels a picture."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Choice:
    """The streams chosen for one channel."""

    source_token: str
    name: str
    ptz: bool
    main: Encoding
    sub: Encoding | None


def clean(value: object, longest: int = _MAX_TEXT) -> str:
    """Text from a device: one line, no control characters, at most `longest` characters."""
    text = "" if value is None else str(value)
    kept = "".join(character for character in text if unicodedata.category(character)[0] != "C")
    return kept.strip()[:longest]


def whole(value: object) -> int:
    """A number from a device as a whole one that is not negative; 0 when it is none."""
    try:
        number = float(str(value))
    except ValueError:
        return 0
    return int(number) if math.isfinite(number) and 0 <= number < 2**31 else 0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _fps_milli(value: object) -> int:
    try:
        number = float(str(value))
    except ValueError:
        return 0
    return round(number * 1000) if math.isfinite(number) and 0 < number <= 1000 else 0


def _encoding(
    token: object, source: Mapping[str, Any], encoder: Mapping[str, Any], gop: object, *, ptz: bool
) -> Encoding | None:
    codec = _CODECS.get(str(encoder.get("Encoding") or "").upper().replace(".", ""))
    if codec is None or not token:
        return None
    size, rate = _mapping(encoder.get("Resolution")), _mapping(encoder.get("RateControl"))
    fps_milli = _fps_milli(rate.get("FrameRateLimit"))
    return Encoding(
        token=clean(token),
        source_token=clean(source.get("SourceToken")),
        source_name=clean(source.get("Name")),
        codec=codec,
        width=whole(size.get("Width")),
        height=whole(size.get("Height")),
        fps_milli=fps_milli,
        gop_ms=whole(gop) * 1_000_000 // fps_milli if fps_milli else 0,
        bitrate_kbit=whole(rate.get("BitrateLimit")),
        ptz=ptz,
    )


def read_media2(profiles: Iterable[object]) -> list[Encoding]:
    """The usable profiles of Media2's GetProfiles; profiles without source or encoder are skipped."""
    found = []
    for item in profiles:
        profile = _mapping(item)
        parts = _mapping(profile.get("Configurations"))
        source, encoder = _mapping(parts.get("VideoSource")), _mapping(parts.get("VideoEncoder"))
        if source and encoder:
            ptz = parts.get("PTZ") is not None
            found.append(_encoding(profile.get("token"), source, encoder, encoder.get("GovLength"), ptz=ptz))
    return [encoding for encoding in found if encoding is not None]


def read_media1(profiles: Iterable[object]) -> list[Encoding]:
    """The usable profiles of Media1's GetProfiles. An H.265 stream may be listed as H264 here, or without encoder."""
    found = []
    for item in profiles:
        profile = _mapping(item)
        source = _mapping(profile.get("VideoSourceConfiguration"))
        encoder = _mapping(profile.get("VideoEncoderConfiguration"))
        if source and encoder:
            gop = _mapping(encoder.get("H264")).get("GovLength")
            ptz = profile.get("PTZConfiguration") is not None
            found.append(_encoding(profile.get("token"), source, encoder, gop, ptz=ptz))
    return [encoding for encoding in found if encoding is not None]


def choose(encodings: Iterable[Encoding]) -> list[Choice]:
    """Main and substream for each video source, in the device's order.

    The main stream is the largest (the first of equals). The substream is a smaller one: H.264 before H.265, because
    browsers can play it, then nearest to 640×360.
    """
    by_source: dict[str, list[Encoding]] = {}
    for encoding in encodings:
        by_source.setdefault(encoding.source_token, []).append(encoding)
    return [_choose_one(token, group) for token, group in by_source.items()]


def _choose_one(token: str, group: list[Encoding]) -> Choice:
    main = max(group, key=lambda encoding: encoding.area)
    smaller = [encoding for encoding in group if encoding.area < main.area]
    sub = min(smaller, key=_sub_rank, default=None)
    return Choice(token, main.source_name, any(encoding.ptz for encoding in group), main, sub)


def _sub_rank(encoding: Encoding) -> tuple[bool, float]:
    return encoding.codec != "h264", abs(math.log(max(1, encoding.area) / _SUB_AREA))
