"""Session descriptions (RFC 8866) as cameras write them, and the URLs that they point at (RFC 2326 C.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

from camera_gateway.rtp.description import MediaDescription
from storage.errors import SunhallError

MOST_MEDIA = 32
LONGEST_LINE = 16 * 1024
LONGEST_URL = 2048
_MOST_ATTRIBUTES = 256

_LINES = re.compile(r"[\r\n\0]+")
_SCHEME = re.compile(r"rtsps?://", re.IGNORECASE)
_URL = re.compile(r"([a-z][a-z0-9+.-]*://)([^/?#]*)([^?#]*)([^#]*)", re.IGNORECASE)
"""Scheme, authority, path, query. Nothing is refused: `urllib` raises for what cameras send."""
_URL_SAFE = "!#$%&'()*+,-./:;=?@[]_~"
_STATIC: dict[int, tuple[str, int]] = {
    0: ("PCMU", 8000),
    3: ("GSM", 8000),
    4: ("G723", 8000),
    8: ("PCMA", 8000),
    9: ("G722", 8000),
    10: ("L16", 44100),
    11: ("L16", 44100),
    14: ("MPA", 90000),
    18: ("G729", 8000),
    26: ("JPEG", 90000),
    32: ("MPV", 90000),
    33: ("MP2T", 90000),
    34: ("H263", 90000),
}
"""RFC 3551 table 4 and 5: name and clock of the static payload types that cameras use."""
_NO_MEDIA = frozenset({"RTX", "RED", "ULPFEC", "FLEXFEC-03", "TELEPHONE-EVENT", "CN"})
"""Payload types that only accompany another one."""
_PLAIN = frozenset({"RTP/AVP", "RTP/AVPF", "RTP/AVP/TCP", "TCP/RTP/AVP", "RTP/AVP/UDP"})
_DIRECTIONS = frozenset({"recvonly", "sendonly", "sendrecv", "inactive"})
_HIGHEST_RATE = 1_000_000


class MalformedDescription(SunhallError):
    """A description that names no media, or is over our bounds."""

    def __init__(self, what: str) -> None:
        super().__init__("sdp_malformed", what)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """What a camera offers: its media in its order, and `a=control` of the whole session as sent."""

    control: str
    media: tuple[MediaDescription, ...]


@dataclass(slots=True)
class _Section:
    """One `m=` section while it is read."""

    kind: str
    protocol: str
    formats: list[str]
    control: str = ""
    direction: str = ""
    maps: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    fmtp: dict[int, dict[str, str]] = field(default_factory=dict)
    attributes: int = 0


def parse(body: bytes) -> SessionDescription:
    """Read a description. Lines that we do not understand are passed over: they may be of any kind.

    Raises:
        MalformedDescription: it names no media, more than 32, or has a line of over 16 KiB.
    """
    control, sections = "", list[_Section]()
    for line in _LINES.split(body.decode("utf-8", "replace")):
        kind, _, value = line.strip().partition("=")
        if len(value) > LONGEST_LINE:
            raise MalformedDescription(f"a line of over {LONGEST_LINE} characters")
        if kind.strip().lower() == "m":
            sections.append(_section(value))
        elif kind.strip().lower() == "a" and sections:
            _take_attribute(sections[-1], value)
        elif kind.strip().lower() == "a" and not control:
            control = _control(value)
        if len(sections) > MOST_MEDIA:
            raise MalformedDescription(f"more than {MOST_MEDIA} media")
    if not sections:
        raise MalformedDescription("no media at all")
    return SessionDescription(control, tuple(_described(section) for section in sections))


def base_url(request_url: str, named: Iterable[str]) -> str:
    """What relative controls are relative to: the first of `named` that is an RTSP URL, else what was asked for.

    Callers name the session's own control, Content-Base and Content-Location, in the order in which the common
    clients believe them. Cameras send some of these without a scheme.
    """
    whole = (url for url in named if _SCHEME.match(url.strip()))
    return clean_url(next(whole, request_url))


def resolve(base: str, control: str) -> str:
    """The URL to ask for a medium. Cameras expect the control behind the base after one slash (behind a query too),
    as all common clients do, and not what RFC 3986 makes of it.
    """
    control = control.strip()
    if control in ("", "*"):
        return base
    if _SCHEME.match(control):
        return clean_url(control)
    parts = _URL.match(base)
    if parts is not None and len(parts[3]) > 1 and control.startswith(parts[3].rstrip("/") + "/"):
        return clean_url(parts[1] + parts[2] + control)
    return clean_url(base.rstrip("/") + "/" + control.lstrip("/"))


def clean_url(url: str) -> str:
    """A URL fit for a request line: no credentials, no fragment, only printable ASCII, at most 2048 characters."""
    url = url.strip()[:LONGEST_URL]
    parts = _URL.match(url)
    if parts is not None:
        url = parts[1].lower() + parts[2].rpartition("@")[2] + parts[3] + parts[4]
    return quote(url.partition("#")[0], safe=_URL_SAFE)[:LONGEST_URL]


def _section(value: str) -> _Section:
    """`video 0 RTP/AVP 96 97`: kind, port, protocol, formats."""
    words = value.split()
    kind = words[0].lower() if words else ""
    return _Section(kind, words[2].upper() if len(words) > 2 else "", words[3:])


def _control(value: str) -> str:
    name, _, text = value.partition(":")
    return text.strip() if name.strip().lower() == "control" else ""


def _take_attribute(section: _Section, value: str) -> None:
    section.attributes += 1
    if section.attributes > _MOST_ATTRIBUTES:
        return
    name, _, text = value.partition(":")
    name, text = name.strip().lower(), text.strip()
    if name == "control":
        section.control = section.control or text
    elif name in _DIRECTIONS:
        section.direction = name
    elif name in ("rtpmap", "fmtp"):
        _take_format(section, name, text)


def _take_format(section: _Section, name: str, text: str) -> None:
    number, _, rest = text.partition(" ")
    payload_type = _number(number, 127)
    if payload_type is None:
        return
    if name == "fmtp":
        section.fmtp.setdefault(payload_type, {}).update(_parameters(rest))
    elif rest.strip():
        section.maps[payload_type] = _map(section.kind, rest.strip())


def _map(kind: str, text: str) -> tuple[str, int, int]:
    """`H264/90000` or `MPEG4-GENERIC/16000/2`: name, clock and channels, with what the kind usually has."""
    words = [word.strip() for word in text.split("/")]
    rate = _number(words[1], _HIGHEST_RATE) if len(words) > 1 else None
    channels = _number(words[2], 255) if len(words) > 2 else None
    return words[0].upper(), rate or (8000 if kind == "audio" else 90_000), channels or 1


def _parameters(text: str) -> dict[str, str]:
    """`a=b; c=d;` with keys in lower case; a word without a value has an empty one."""
    pairs = (part.partition("=") for part in text.split(";", _MOST_ATTRIBUTES) if part.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _described(section: _Section) -> MediaDescription:
    payload_type, (encoding, rate, channels) = _chosen(section)
    if section.protocol not in _PLAIN:
        encoding = section.protocol or "NONE"  # encrypted, or no RTP at all: nobody will know this name
    return MediaDescription(
        kind=section.kind,
        payload_type=payload_type,
        encoding=encoding,
        rate=rate,
        channels=channels,
        control=section.control,
        fmtp=section.fmtp.get(payload_type, {}),
        direction=section.direction,
    )


def _chosen(section: _Section) -> tuple[int, tuple[str, int, int]]:
    """The first payload type that carries media. One that only `a=rtpmap` names serves when `m=` has no number."""
    listed = [number for word in section.formats if (number := _number(word, 127)) is not None]
    for number in listed or section.maps:
        known = section.maps.get(number) or _static(number)
        if known is not None and known[0] not in _NO_MEDIA:
            return number, known
    return (listed[0] if listed else 0), ("", 90_000, 1)


def _static(number: int) -> tuple[str, int, int] | None:
    known = _STATIC.get(number)
    return (*known, 2 if number == 10 else 1) if known is not None else None


def _number(text: str, highest: int) -> int | None:
    text = text.strip()
    if re.fullmatch("[0-9]{1,7}", text) is None:
        return None
    return int(text) if int(text) <= highest else None
