"""RTP payloads (RFC 6184, RFC 7798), headers, sender reports and SDP of the virtual cameras."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence

from deploy.virtual_camera.encode import AccessUnit, is_parameter_set, nal_kind

PAYLOAD_TYPE = 96
MAX_PAYLOAD = 1400
_NTP_EPOCH_S = 2_208_988_800
_US = 1_000_000


def payloads(codec: str, unit: AccessUnit, limit: int = MAX_PAYLOAD) -> list[bytes]:
    """The RTP payloads of an access unit, in order; large NAL units are cut into fragments."""
    parts: list[bytes] = []
    for nal in unit.nals:
        parts += [nal] if len(nal) <= limit else _fragments(codec, nal, limit)
    return parts


def _fragments(codec: str, nal: bytes, limit: int) -> list[bytes]:
    skip = 1 if codec == "h264" else 2
    room = limit - skip - 1
    pieces = [nal[start : start + room] for start in range(skip, len(nal), room)]
    kind = nal_kind(codec, nal)
    indicator = bytes([nal[0] & 0x60 | 28]) if codec == "h264" else bytes([nal[0] & 0x81 | 49 << 1, nal[1]])
    last = len(pieces) - 1
    return [
        indicator + bytes([(index == 0) << 7 | (index == last) << 6 | kind]) + piece
        for index, piece in enumerate(pieces)
    ]


def packets(parts: Sequence[bytes], sequence: int, timestamp: int, ssrc: int) -> list[bytes]:
    """RTP packets of one access unit; the last carries the marker."""
    last = len(parts) - 1
    return [
        struct.pack(
            ">BBHII",
            0x80,
            PAYLOAD_TYPE | (0x80 if index == last else 0),
            (sequence + index) & 0xFFFF,
            timestamp & 0xFFFFFFFF,
            ssrc,
        )
        + part
        for index, part in enumerate(parts)
    ]


def interleaved(channel: int, packet: bytes) -> bytes:
    """A packet in RTSP's TCP framing."""
    return struct.pack(">cBH", b"$", channel, len(packet)) + packet


def sender_report(ssrc: int, now_us: int, timestamp: int, packet_count: int, octets: int) -> bytes:
    """An RTCP sender report and source description: `now_us` (UTC) is the moment of RTP time `timestamp`."""
    seconds, fraction = divmod(now_us, _US)
    ntp = (seconds + _NTP_EPOCH_S) & 0xFFFFFFFF, (fraction << 32) // _US
    counts = packet_count & 0xFFFFFFFF, octets & 0xFFFFFFFF
    report = struct.pack(">BBHIIIIII", 0x80, 200, 6, ssrc, *ntp, timestamp & 0xFFFFFFFF, *counts)
    name = b"virtual-camera"
    item = struct.pack(">IBB", ssrc, 1, len(name)) + name + b"\x00"
    item += b"\x00" * (-len(item) % 4)
    return report + struct.pack(">BBH", 0x81, 202, len(item) // 4) + item


def sdp(codec: str, name: str, parameter_sets: Sequence[bytes], fps: int) -> bytes:
    """The session description. Without `parameter_sets` a client must learn them from the stream."""
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        f"s={name}",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        "a=range:npt=now-",
    ]
    lines += [f"m=video 0 RTP/AVP {PAYLOAD_TYPE}", f"a=rtpmap:{PAYLOAD_TYPE} {codec.upper()}/90000"]
    lines += [f"a=fmtp:{PAYLOAD_TYPE} {_format(codec, parameter_sets)}", f"a=framerate:{fps}", "a=control:trackID=0"]
    return ("\r\n".join(line for line in lines if not line.endswith(" ")) + "\r\n").encode()


def _format(codec: str, parameter_sets: Sequence[bytes]) -> str:
    text = [base64.b64encode(nal).decode() for nal in parameter_sets if is_parameter_set(codec, nal)]
    if codec == "h264":
        if not text:
            return "packetization-mode=1"
        profile = next(nal[1:4].hex() for nal in parameter_sets if nal_kind(codec, nal) == 7)
        return f"packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={','.join(text)}"
    return ";".join(f"{key}={value}" for key, value in zip(("sprop-vps", "sprop-sps", "sprop-pps"), text, strict=False))
