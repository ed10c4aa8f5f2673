"""H.265 over RTP (RFC 7798): single NAL units, aggregation packets and fragmentation units."""

from __future__ import annotations

from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.packets import SourceCounters, SourceListener, SourceSettings
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtp.h264 import decode_sets
from camera_gateway.rtp.receiver import refusal
from camera_gateway.rtp.video import DELIMITER, DROP, KEEP, KEY, PPS, PREFIX, SLICE, SPS, VPS, VideoTrack

_ROLES = (
    *(SLICE,) * 16,  # 0 to 15
    *(KEY,) * 6,  # 16 to 21: BLA, IDR, CRA
    *(SLICE,) * 10,  # 22 to 31 are reserved for slices
    *(VPS, SPS, PPS, DELIMITER),
    *(DROP, DROP, DROP),  # 36 to 38: ends, filler
    *(PREFIX, KEEP),  # SEI before and behind the picture
    *(KEEP,) * 7,  # 41 to 47
    *(DROP,) * 16,  # 48 to 63 are RTP's own, or unspecified
)
_AGGREGATE, _FRAGMENT, _PACI = 48, 49, 50
_HEAD = 2


class H265Track(VideoTrack):
    """The video of newer cameras.

    Raises:
        SourceFault: from the constructor or `take`: decoding order numbers or PACI packets, which no camera was seen
            to use.
    """

    __slots__ = ()

    codec = VideoCodec.H265
    fragment_bytes = 3

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
        for name in ("sprop-max-don-diff", "sprop-depack-buf-nalus"):
            if media.fmtp.get(name, "0").strip().lstrip("0"):
                raise refusal(f"interleaved H.265 ({name})")
        for name in ("sprop-vps", "sprop-sps", "sprop-pps"):
            self._describe(decode_sets(media.fmtp.get(name, "")))

    def _read(self, data: memoryview, at: int, end: int) -> None:
        kind = data[at] >> 1 & 63
        if end - at <= _HEAD:
            return
        if kind == _FRAGMENT:
            if end - at > _HEAD + 1:
                self._read_fragment(data, at, end)
        elif kind == _AGGREGATE:
            self._read_aggregate(data, at + _HEAD, end)
        elif kind == _PACI:
            raise refusal("H.265 in PACI packets")
        else:
            self._read_nal(data, at, end)

    def _read_fragment(self, data: memoryview, at: int, end: int) -> None:
        head = data[at + 2]
        kind = head & 63
        fragment = bytes((data[at], data[at + 1], kind))
        if head < 0x80:
            self._more(fragment, head > 0x3F, data, at + 3, end)
            return
        start = bytes((data[at] & 0x81 | kind << 1, data[at + 1]))
        self._open(_ROLES[kind], start, fragment, data, at + 3, end)
        if head & 0x40:
            self._close()

    def _read_aggregate(self, data: memoryview, at: int, end: int) -> None:
        while at + 2 < end:
            size = data[at] << 8 | data[at + 1]
            at += 2
            if size <= _HEAD or at + size > end:
                self._break()
                return
            self._read_nal(data, at, at + size)
            at += size

    def _read_nal(self, data: memoryview, at: int, end: int) -> None:
        self._whole(_ROLES[data[at] >> 1 & 63], data[at + 2] > 127, data, at, end)

    def _role_of(self, nal: bytes) -> int:
        return _ROLES[nal[0] >> 1 & 63]
