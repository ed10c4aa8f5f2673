"""The `Transport` and `Session` headers (RFC 2326 12.39, 12.37), as we write them and as cameras answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_TIMEOUT_S = 60.0
_LONGEST_TIMEOUT_S = 86_400
_LONGEST_HEADER = 1024
_LONGEST_SESSION = 256
_SESSION = re.compile(r"[\x21-\x3a\x3c-\x7e]+")
_PAIR = re.compile(r"\s*([0-9]{1,5})\s*(?:-\s*([0-9]{1,5})\s*)?")


def interleaved(channel: int) -> str:
    """Ask for RTP on `channel` of this connection and RTCP on the next."""
    return f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}"


def datagrams(rtp_port: int, rtcp_port: int) -> str:
    """Ask for RTP and RTCP over UDP to these ports of ours."""
    return f"RTP/AVP;unicast;client_port={rtp_port}-{rtcp_port}"


@dataclass(frozen=True, slots=True)
class TransportAnswer:
    """What a camera granted. A header that is missing leaves everything open: `over_tcp` is None then."""

    over_tcp: bool | None = None
    multicast: bool = False
    channels: tuple[int, int] | None = None
    server_ports: tuple[int, int] | None = None


def parse_transport(value: str | None) -> TransportAnswer:
    """Read an answer. Several offers in one header: the first counts. `source` and `destination` are not read:
    datagrams go only to the address that was connected to.
    """
    if not value:
        return TransportAnswer()
    profile, *parts = value[:_LONGEST_HEADER].partition(",")[0].split(";")
    named = _named(parts)
    channels = _pair(named.get("interleaved"), 255)
    return TransportAnswer(
        over_tcp="TCP" in profile.upper() or channels is not None,
        multicast="multicast" in named,
        channels=channels,
        server_ports=_pair(named.get("server_port"), 65_535),
    )


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    """The session's id, and after how many seconds without a word from us the camera ends it."""

    identity: str
    timeout_s: float = field(default=DEFAULT_TIMEOUT_S)


def parse_session(value: str | None) -> SessionAnswer | None:
    """Read `12345678;timeout=60`. None when there is none, or one that cannot be sent back."""
    if not value:
        return None
    identity, *parts = value[:_LONGEST_HEADER].split(";")
    identity = identity.strip()
    if _SESSION.fullmatch(identity) is None or len(identity) > _LONGEST_SESSION:
        return None
    timeout = re.match(r"[0-9]{1,6}", _named(parts).get("timeout", ""))
    seconds = min(int(timeout[0]), _LONGEST_TIMEOUT_S) if timeout is not None else 0
    return SessionAnswer(identity, float(seconds) if seconds else DEFAULT_TIMEOUT_S)


def _named(parts: list[str]) -> Mapping[str, str]:
    pairs = (part.partition("=") for part in parts)
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _pair(text: str | None, highest: int) -> tuple[int, int] | None:
    """`4-5`, or `4`, which means the next one too."""
    match = _PAIR.fullmatch(text or "")
    if match is None:
        return None
    first = int(match[1])
    second = int(match[2]) if match[2] else first + 1
    return (first, second) if first != second and max(first, second) <= highest else None
