"""Fuzz targets of the RTSP client: replies, whole sessions, descriptions, challenges."""

from __future__ import annotations

import random
import zlib

from camera_gateway.packets import (
    AccessUnit,
    AudioUnit,
    SenderReport,
    SourceCounters,
    SourceFault,
    SourceInfo,
    SourceSettings,
)
from camera_gateway.rtsp import sdp
from camera_gateway.rtsp.authentication import Credentials, parse_challenges
from camera_gateway.rtsp.messages import MessageReader
from camera_gateway.rtsp.session import MOST_OUTPUT, Session
from camera_gateway.rtsp.transport import parse_session, parse_transport

_URI = "rtsp://192.0.2.10:554/live/ch1"
_PASSWORD = "never-in-clear"


class _Deaf:
    """A listener that takes everything."""

    def opened(self, info: SourceInfo) -> None: ...
    def unit(self, unit: AccessUnit) -> None: ...
    def audio(self, unit: AudioUnit) -> None: ...
    def metadata(self, document: bytes, arrival_us: int) -> None: ...
    def sender_report(self, report: SenderReport) -> None: ...
    def failed(self, fault: SourceFault) -> None: ...


def rtsp_messages(data: bytes) -> None:
    """What a camera answers or asks, message by message."""
    reader, view = MessageReader(), memoryview(data)
    while True:
        message, length = reader.take(view)
        if message is None:
            return
        for name in ("transport", "session"):
            value = message.headers.get(name)
            parse_transport(value)
            parse_session(value)
        view = view[length:]


def rtsp_session(data: bytes) -> None:
    """All that a camera says in a session, cut at random, over the connection and with datagrams."""
    chance = random.Random(zlib.crc32(data))
    _play(data, chance, datagrams=False)
    _play(data, chance, datagrams=True)


def session_description(data: bytes) -> None:
    """A description, and the URLs that follow from it."""
    description = sdp.parse(data)
    base = sdp.base_url(_URI, [description.control])
    for medium in description.media:
        url = sdp.resolve(base, medium.control)
        _check(url.isascii() and len(url.split()) == 1, "a URL that breaks the request line")


def digest_challenge(data: bytes) -> None:
    """The `WWW-Authenticate` fields of a refusal."""
    credentials = Credentials("admin", _PASSWORD, lambda: "0a4f113b")
    credentials.take(parse_challenges(data.decode("latin-1").splitlines()))
    header = credentials.header("DESCRIBE", _URI) or ""
    _check("\r" not in header and "\n" not in header, "a header of two lines")
    _check(_PASSWORD not in header, "a password in clear")


def _play(data: bytes, chance: random.Random, *, datagrams: bool) -> None:
    settings = SourceSettings(
        _URI, "admin", _PASSWORD, transport="udp" if datagrams else "tcp", audio=True, metadata=True
    )
    ports = (lambda index: (5000 + 2 * index, 5001 + 2 * index)) if datagrams else None
    session = Session(settings, _Deaf(), SourceCounters(), lambda: "0a4f113b", ports)
    session.begin()
    at = now = 0
    while at < len(data):
        length = chance.choice((1, 7, 100, 4096))
        session.feed(memoryview(data)[at : at + length], now, now / 1e6)
        if datagrams:
            session.feed_rtp(chance.randrange(3), memoryview(data)[at : at + length], now, now / 1e6)
            session.feed_rtcp(chance.randrange(3), memoryview(data)[at : at + length], now, now / 1e6)
        at, now = at + length, now + 40_000
        if chance.randrange(8) == 0:
            session.keep_alive()
            session.reports(now, now / 1e6)
        _check_output(session.take_output())
    session.flush()
    session.end()
    _check_output(session.take_output())


def _check_output(output: bytes) -> None:
    """Only whole messages and frames, and no password."""
    _check(len(output) <= MOST_OUTPUT + 4096, "too much to send")
    _check(_PASSWORD.encode() not in output, "a password in clear")
    view = memoryview(output)
    while view:
        if view[0] == ord("$"):
            view = view[4 + int.from_bytes(view[2:4], "big") :]
            continue
        message, length = MessageReader().take(view)
        _check(message is not None, "half a message")
        view = view[length:]


def _check(holds: bool, finding: str) -> None:
    if not holds:
        raise AssertionError(finding)
