"""RTSP/1.0 messages (RFC 2326): requests and replies as bytes, and a bounded reader of what a camera sends.

Text is Latin-1 on both sides, so that whatever bytes a camera uses in a realm go back to it unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from storage.errors import SunhallError

LONGEST_HEAD = 16 * 1024
LONGEST_BODY = 64 * 1024
USER_AGENT = "Sunhall"

_HEAD_END = re.compile(rb"\n\r?\n")  # begins with a letter of its own: found ten times as fast
_LINE_END = re.compile(r"\r?\n")
_STATUS_LINE = re.compile(r"RTSP/\d\.\d[ \t]+(\d{3})(?:[ \t]+(.*))?", re.IGNORECASE)
_REQUEST_LINE = re.compile(r"([A-Z_]{3,20})[ \t]+(\S+)[ \t]+RTSP/\d\.\d", re.IGNORECASE)
_BEGINS = re.compile(rb"(?i:RTSP|HTTP)/\d\.|[A-Z_]{3,20} (?i:rtsp|\*|/)")
_BEGINS_PERHAPS = re.compile(rb"(?i:R|RT|RTS|(?:RTSP|HTTP)(?:/\d?)?)|[A-Z_]{1,20}(?: (?i:r|rt|rts)?)?")
_LONGEST_BEGINNING = 25
_UNSHOWN = re.compile(r"[^\x20-\x7e]+")


class Method(StrEnum):
    """Requests that we send, and those that a server may send to us."""

    OPTIONS = "OPTIONS"
    DESCRIBE = "DESCRIBE"
    SETUP = "SETUP"
    PLAY = "PLAY"
    TEARDOWN = "TEARDOWN"
    GET_PARAMETER = "GET_PARAMETER"
    SET_PARAMETER = "SET_PARAMETER"
    ANNOUNCE = "ANNOUNCE"
    REDIRECT = "REDIRECT"


class MalformedMessage(SunhallError):
    """Bytes that are no RTSP message, or one over our bounds. The text names what was wrong, never the bytes."""

    def __init__(self, what: str) -> None:
        super().__init__("rtsp_malformed", what)


class Headers:
    """Header fields in the order of their arrival; names in any case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = [(name.lower(), value) for name, value in fields]

    def get(self, name: str) -> str | None:
        """The first value of `name`."""
        return next((value for known, value in self._fields if known == name.lower()), None)

    def all(self, name: str) -> list[str]:
        """Every value of `name`."""
        return [value for known, value in self._fields if known == name.lower()]


@dataclass(frozen=True, slots=True)
class Response:
    """A reply. `phrase` is as sent: show it through `shown`."""

    status: int
    phrase: str
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Request:
    """What a server asks of us."""

    method: str
    uri: str
    headers: Headers
    body: bytes = b""


Message: TypeAlias = Response | Request


def shown(text: str, longest: int = 80) -> str:
    """Text of a camera for a log or a screen: printable ASCII only, cut at `longest` characters."""
    plain = _UNSHOWN.sub(" ", text[: 4 * longest]).strip()
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def request(method: Method, uri: str, sequence: int, fields: Iterable[tuple[str, str]] = ()) -> bytes:
    """One request without a body. Neither `uri` nor `fields` may hold line ends: whoever builds them sees to that."""
    lines = [f"{method} {uri} RTSP/1.0", f"CSeq: {sequence}", f"User-Agent: {USER_AGENT}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reply(status: int, phrase: str, sequence: str | None, fields: Iterable[tuple[str, str]] = ()) -> bytes:
    """One reply without a body to a server's request. A `sequence` that is no number is left out."""
    lines = [f"RTSP/1.0 {status} {phrase}"]
    if sequence is not None and re.fullmatch(r"[0-9]{1,10}", sequence):
        lines.append(f"CSeq: {sequence}")
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def may_begin(view: memoryview) -> bool:
    """Whether the bytes begin a message, or may when more of them come."""
    if _BEGINS.match(view) is not None:
        return True
    return len(view) < _LONGEST_BEGINNING and _BEGINS_PERHAPS.fullmatch(view) is not None


class MessageReader:
    """Takes messages off the front of a buffer. Between two calls the buffer may only grow, unless bytes were taken.

    The work is linear in the bytes, however they are cut: it remembers how far it looked and how much it waits for.
    """

    __slots__ = ("_looked", "_needed")

    def __init__(self) -> None:
        self._looked = 0
        self._needed = 0

    def take(self, view: memoryview) -> tuple[Message | None, int]:
        """The first message and its length in bytes, or (None, 0) while it is not complete.

        Raises:
            MalformedMessage: the bytes are no message, or it is over our bounds.
        """
        if len(view) < self._needed:
            return None, 0
        end = _HEAD_END.search(view, max(0, self._looked - 3), LONGEST_HEAD)
        if end is None:
            return self._wait_for_head(view)
        head = _parse_head(bytes(view[: end.start()]).decode("latin-1"))
        length = end.end() + _content_length(head.headers)
        if len(view) < length:
            self._needed, self._looked = length, 0
            return None, 0
        self._needed = self._looked = 0
        return _with_body(head, bytes(view[end.end() : length])), length

    def _wait_for_head(self, view: memoryview) -> tuple[None, int]:
        if len(view) >= LONGEST_HEAD:
            raise MalformedMessage(f"a header of over {LONGEST_HEAD} bytes")
        self._looked = len(view)
        return None, 0


def _with_body(head: Message, body: bytes) -> Message:
    if isinstance(head, Response):
        return Response(head.status, head.phrase, head.headers, body)
    return Request(head.method, head.uri, head.headers, body)


def _parse_head(text: str) -> Message:
    first, *lines = _LINE_END.split(text)
    headers = Headers(_fields(lines))
    status = _STATUS_LINE.fullmatch(first.strip())
    if status is not None:
        return Response(int(status[1]), (status[2] or "").strip(), headers)
    asked = _REQUEST_LINE.fullmatch(first.strip())
    if asked is not None:
        return Request(asked[1].upper(), asked[2], headers)
    if first[:5].upper() == "HTTP/":
        raise MalformedMessage("an HTTP answer, not RTSP")
    raise MalformedMessage("a first line that is not of RTSP")


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    """Name and value of each field; folded lines joined, lines without a colon left out."""
    joined: list[list[str]] = []
    for line in lines:
        if line[:1] in (" ", "\t"):
            if joined:
                joined[-1].append(line.strip())
        else:
            joined.append([line])
    pairs = (" ".join(parts).partition(":") for parts in joined)
    return [(name.strip(), value.strip()) for name, colon, value in pairs if colon]


def _content_length(headers: Headers) -> int:
    values = set(headers.all("content-length"))
    if not values:
        return 0
    if len(values) > 1:
        raise MalformedMessage("two different lengths of the body")
    value = values.pop()
    if re.fullmatch(r"[0-9]{1,9}", value) is None:
        raise MalformedMessage("a length of the body that is no number")
    if int(value) > LONGEST_BODY:
        raise MalformedMessage(f"a body of over {LONGEST_BODY} bytes")
    return int(value)
