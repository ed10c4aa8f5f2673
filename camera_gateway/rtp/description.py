"""What a session description says of one media stream: all that a depacketiser needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One `m=` section (RFC 8866), reduced to its first payload type that carries media.

    `encoding` is the name from `a=rtpmap` in upper case (`H264`, `H265`, `MPEG4-GENERIC`, `PCMA`, `PCMU`,
    `VND.ONVIF.METADATA`), or that of a static payload type (RFC 3551). `fmtp` has lower-case keys and values as sent.
    """

    kind: str  # video | audio | application
    payload_type: int
    encoding: str
    rate: int  # RTP clock, ticks a second
    channels: int = 1
    control: str = ""  # `a=control` as sent
    fmtp: Mapping[str, str] = field(default_factory=dict)
    direction: str = ""  # recvonly | sendonly | sendrecv | inactive; ONVIF back channels are sendonly
