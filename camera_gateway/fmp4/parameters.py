"""Parameter sets as one value: what a decoder must know before the first picture."""

from __future__ import annotations

from dataclasses import dataclass

from camera_gateway.fmp4 import h264, h265
from camera_gateway.fmp4.nal import ParsedUnit, VideoCodec, parse_access_unit, split_annexb
from storage.errors import MediaError

_MAX_SETS = 16


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """The parameter sets in force. Equal values mean that no new init segment is needed."""

    codec: VideoCodec
    vps: tuple[bytes, ...]
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What an init segment and a player need, derived from parameter sets."""

    codec: str  # RFC 6381
    width: int
    height: int
    entry: bytes  # b"avc1" or b"hvc1"
    record_type: bytes  # b"avcC" or b"hvcC"
    record: bytes


def video_format(sets: ParameterSets) -> VideoFormat:
    """Build the decoder configuration.

    Raises:
        MediaError: the sets are incomplete or damaged.
    """
    if not sets.sps or not sets.pps or (sets.codec is VideoCodec.H265 and not sets.vps):
        raise MediaError("parameter_sets_incomplete", "the camera has not sent all its parameter sets")
    if sets.codec is VideoCodec.H264:
        sps = h264.parse_sps(sets.sps[0])
        record = h264.avcc(sets.sps, sets.pps)
        return VideoFormat(h264.codec_string(sets.sps[0]), sps.width, sps.height, b"avc1", b"avcC", record)
    wide = h265.parse_sps(sets.sps[0])
    record = h265.hvcc(sets.vps, sets.sps, sets.pps)
    return VideoFormat(h265.codec_string(sets.sps[0]), wide.width, wide.height, b"hvc1", b"hvcC", record)


class ParameterLearner:
    """Keeps the parameter sets of a stream: first from its description, then from the stream itself."""

    def __init__(self, codec: VideoCodec) -> None:
        self.codec = codec
        self._sets: ParameterSets | None = None
        self._pending = ParameterSets(codec, (), (), ())

    def describe(self, extradata: bytes) -> None:
        """Take the sets of a session description, in Annex B form; bytes of another form are ignored."""
        self._learn(parse_access_unit(self.codec, split_annexb(extradata)))

    def take(self, unit: ParsedUnit) -> ParameterSets | None:
        """Learn from an access unit; the sets in force, or None while they are incomplete."""
        if unit.sps or unit.pps or unit.vps:
            self._learn(unit)
        return self._sets

    def _learn(self, unit: ParsedUnit) -> None:
        old = self._pending
        new = ParameterSets(
            self.codec,
            (unit.vps or old.vps)[:_MAX_SETS],
            (unit.sps or old.sps)[:_MAX_SETS],
            (unit.pps or old.pps)[:_MAX_SETS],
        )
        if new == old:
            return
        self._pending = new
        if new.sps and new.pps and (new.vps or self.codec is VideoCodec.H264):
            self._sets = new
