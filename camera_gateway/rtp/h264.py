"""H.264 over RTP (RFC 6184): single NAL units, STAP-A and FU-A."""

from __future__ import annotations

import base64
import binascii

from camera_gateway.fmp4.nal import VideoCodec, is_clean_recovery_point, split_annexb
from camera_gateway.packets import SourceCounters, SourceListener, SourceSettings
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtp.receiver import refusal
from camera_gateway.rtp.video import DELIMITER, DROP, KEEP, KEY, PPS, PREFIX, SLICE, SPS, VideoTrack

_ROLES = (
    *(DROP, SLICE, SLICE, SLICE, SLICE, KEY, PREFIX, SPS, PPS, DELIMITER),
    *(DROP, DROP, DROP, DROP, PREFIX, KEEP, KEEP, KEEP, KEEP, KEEP, KEEP, KEEP, KEEP, KEEP),  # 10 to 23
    *(DROP,) * 8,  # 24 to 31 are RTP's own, or reserved
)
_SEI, _STAP_A, _FU_A = 6, 24, 28
_INTERLEAVED = {25: "STAP-B", 26: "MTAP16", 27: "MTAP24", 29: "FU-B"}


class H264Track(VideoTrack):
    """The video of most cameras.

    Raises:
        SourceFault: from the constructor or `take`: interleaved packetisation, which no camera was seen to use.
    """

    __slots__ = ()

    codec = VideoCodec.H264
    fragment_bytes = 2

    def __init__(
        self,
        media: MediaDescription,
        settings: SourceSettings,
        listener: SourceListener,
        counters: SourceCounters,
        *,
        ordered: bool,
    ) -> None:
        super().__init__(media, settings, listener, counters, ordered=ordered)
        if media.fmtp.get("packetization-mode", "0").strip() == "2":
            raise refusal("interleaved H.264 (packetization-mode 2)")
        self._describe(decode_sets(media.fmtp.get("sprop-parameter-sets", "")))

    def _read(self, data: memoryview, at: int, end: int) -> None:
        first = data[at]
        kind = first & 31
        if kind == _FU_A:
            if end - at > 2:
                self._read_fragment(first, data, at, end)
        elif kind == _STAP_A:
            self._read_aggregate(data, at + 1, end)
        elif kind in _INTERLEAVED:
            raise refusal(f"interleaved H.264 ({_INTERLEAVED[kind]})")
        else:
            self._read_nal(data, at, end)

    def _read_fragment(self, first: int, data: memoryview, at: int, end: int) -> None:
        head = data[at + 1]
        kind = head & 31
        fragment = bytes((first, kind))
        if head < 0x80:
            self._more(fragment, head > 0x3F, data, at + 2, end)
            return
        self._open(_ROLES[kind], bytes((first & 0xE0 | kind,)), fragment, data, at + 2, end)
        if head & 0x40:
            self._close()

    def _read_aggregate(self, data: memoryview, at: int, end: int) -> None:
        while at + 2 < end:
            size = data[at] << 8 | data[at + 1]
            at += 2
            if size == 0 or at + size > end:
                self._break()
                return
            self._read_nal(data, at, at + size)
            at += size

    def _read_nal(self, data: memoryview, at: int, end: int) -> None:
        kind = data[at] & 31
        if kind == 0:
            self._read_annexb(data[at:end].tobytes())
            return
        role = _ROLES[kind]
        self._whole(role, end - at > 1 and data[at + 1] > 127, data, at, end)
        if kind == _SEI and is_clean_recovery_point(data[at : at + 4].tobytes()):
            self._key = True

    def _read_annexb(self, packet: bytes) -> None:
        """Some old cameras put start codes before their NAL units (NAL type 0 is none)."""
        if packet.startswith((b"\0\0\0\1", b"\0\0\1")):
            for nal in split_annexb(packet):
                if nal[0] & 31:
                    self._read_nal(memoryview(nal), 0, len(nal))

    def _role_of(self, nal: bytes) -> int:
        return _ROLES[nal[0] & 31]


def decode_sets(text: str) -> list[bytes]:
    """The NAL units of a comma-separated list in base 64; what is damaged is left out."""
    found = []
    for item in text.split(","):
        try:
            nal = base64.b64decode(item.strip() + "=" * (-len(item.strip()) % 4))
        except (binascii.Error, ValueError):
            continue
        if nal.startswith((b"\0\0\0\1", b"\0\0\1")):  # some cameras write the start code too
            nal = nal[nal.index(1) + 1 :]
        if nal:
            found.append(nal)
    return found
