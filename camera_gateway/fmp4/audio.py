"""The sound track of a file: its sample entry (AAC as `mp4a`, FLAC as `fLaC`) and its part of a fragment.

Times of sound are in samples from the file's first picture. There is no edit list: VLC ignores those of fragmented
files.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from camera_gateway.fmp4.boxes import BoxSpan, box, children, full_box
from storage.errors import MediaError

AUDIO_TRACK = 2
_SYNC = 0x0200_0000
_LONGEST_CONFIG = 64
_ENTRY_SIZE = 28  # of an audio sample entry before its boxes
_CONFIG_AT = 4 + 5 + 3 + 5 + 13 + 5  # in `esds`: version, ES descriptor, decoder configuration, the config's own head
_TAIL_SIZE = 6  # the sync layer configuration behind it
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """What an init segment and a player need to know of the sound. `rate` is the track's timescale too."""

    codec: str  # RFC 6381
    rate: int
    entry: bytes  # the whole sample entry


@dataclass(slots=True)
class AudioRun:
    """Pieces of sound without a hole between them. `time` is that of the first, in samples from the file's start."""

    time: int
    durations: list[int]
    pieces: list[bytes]


def aac_track(rate: int, channels: int, config: bytes) -> AudioTrack:
    """AAC with its AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).

    Raises:
        MediaError: the configuration is no AAC that we know (`audio_config_invalid`).
    """
    kind = _Config(config).kind
    information = b"\x05" + _length(config) + config
    decoder = struct.pack(">BB3xII", 0x40, 0x15, 0, 0) + information
    stream = (
        struct.pack(">HB", AUDIO_TRACK, 0) + b"\x04" + _length(decoder) + decoder + b"\x06" + _length(b"\x02") + b"\x02"
    )
    esds = full_box(b"esds", 0, 0, b"\x03" + _length(stream) + stream)
    return AudioTrack(f"mp4a.40.{kind}", rate, _entry(b"mp4a", rate, channels, esds))


def aac_frame_samples(rate: int, config: bytes) -> int:
    """The samples of one AAC access unit, in 1/`rate` s: 1024 or 960 of the core coder, doubled by SBR.

    Raises:
        MediaError: the configuration is no AAC that we know (`audio_config_invalid`).
    """
    facts = _Config(config)
    return max(1, facts.frame * rate // facts.rate)


def flac_track(rate: int, channels: int, stream_info: bytes) -> AudioTrack:
    """FLAC with its STREAMINFO (Encapsulation of FLAC in ISO Base Media File Format, 1.0)."""
    last_block = bytes((0x80, 0, 0, len(stream_info)))
    return AudioTrack("flac", rate, _entry(b"fLaC", rate, channels, full_box(b"dfLa", 0, 0, last_block + stream_info)))


def audio_codec(data: bytes, entry: BoxSpan) -> str:
    """The codec of a sample entry that we wrote, as RFC 6381 names it.

    Raises:
        MediaError: it is no such entry.
    """
    if entry.kind == b"fLaC":
        return "flac"
    if entry.kind != b"mp4a" or entry.end - entry.body < _ENTRY_SIZE:
        raise MediaError("codec_unknown", f"sample entry {entry.kind!r}")
    esds = next(children(data, entry.body + _ENTRY_SIZE, entry.end), None)
    if esds is None or esds.kind != b"esds" or esds.end - esds.body <= _CONFIG_AT:
        raise MediaError("decoder_record_missing", "no esds box")
    config = data[esds.body + _CONFIG_AT : esds.end - _TAIL_SIZE]
    return f"mp4a.40.{_Config(config).kind}"


def audio_track_box(track: AudioTrack, sample_table: bytes, data_information: bytes) -> bytes:
    """`trak` of the sound; the sample table is that of a fragmented file."""
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    header = struct.pack(">IIIII", 0, 0, AUDIO_TRACK, 0, 0) + b"\0" * 8 + struct.pack(">HHHH", 0, 0, 0x100, 0)
    media = box(
        b"mdia",
        full_box(b"mdhd", 0, 0, struct.pack(">IIIIHH", 0, 0, track.rate, 0, 0x55C4, 0)),
        full_box(b"hdlr", 0, 0, struct.pack(">I4s", 0, b"soun"), b"\0" * 12, b"sound\0"),
        box(b"minf", full_box(b"smhd", 0, 0, b"\0" * 4), data_information, sample_table),
    )
    return box(b"trak", full_box(b"tkhd", 0, 3, header, matrix, b"\0" * 8), media)


def audio_extends() -> bytes:
    """`trex` of the sound."""
    return full_box(b"trex", 0, 0, struct.pack(">IIIII", AUDIO_TRACK, 1, 0, 0, _SYNC))


def runs_size(runs: Sequence[AudioRun]) -> int:
    """Bytes that `track_fragments` will make of these runs."""
    return sum(8 + 16 + 20 + 20 + 8 * len(run.pieces) for run in runs)


def track_fragments(runs: Sequence[AudioRun], data_offset: int) -> bytes:
    """A `traf` for each run; their pieces lie one after the other `data_offset` bytes behind the `moof`'s start."""
    made: list[bytes] = []
    for run in runs:
        rows = zip(run.durations, map(len, run.pieces), strict=True)
        made.append(
            box(
                b"traf",
                full_box(b"tfhd", 0, 0x020000, struct.pack(">I", AUDIO_TRACK)),
                full_box(b"tfdt", 1, 0, struct.pack(">Q", run.time)),
                full_box(
                    *(b"trun", 0, 0x0301, struct.pack(">Ii", len(run.pieces), data_offset)),
                    *(struct.pack(">II", duration, size) for duration, size in rows),
                ),
            )
        )
        data_offset += sum(map(len, run.pieces))
    return b"".join(made)


def _entry(kind: bytes, rate: int, channels: int, description: bytes) -> bytes:
    shown_rate = rate if rate < 1 << 16 else 0
    return box(
        kind,
        *(b"\0" * 6, struct.pack(">H", 1), b"\0" * 8),
        struct.pack(">HHHHI", channels, 16, 0, 0, shown_rate << 16),
        description,
    )


def _length(part: bytes) -> bytes:
    """The size of an MPEG-4 descriptor, always in four bytes as all readers like it."""
    return struct.pack(">I", 0x8080_8000 | len(part))


class _Config:
    """What we need of an AudioSpecificConfig: the first object type, the core's rate and its frame length."""

    def __init__(self, config: bytes) -> None:
        if not 2 <= len(config) <= _LONGEST_CONFIG:
            raise MediaError("audio_config_invalid", f"an AudioSpecificConfig of {len(config)} bytes")
        self._bits = int.from_bytes(config, "big")
        self._left = 8 * len(config)
        self.kind = self._object_type()
        self.rate = self._rate()
        self._take(4)  # channel configuration
        core = self.kind
        if core in (5, 29):  # SBR, PS: the extension's rate, then the core
            self._rate()
            core = self._object_type()
        if core not in (1, 2, 3, 4):
            raise MediaError("audio_config_invalid", f"audio object type {core} is no AAC that we record")
        self.frame = 960 if self._take(1) else 1024

    def _object_type(self) -> int:
        kind = self._take(5)
        return 32 + self._take(6) if kind == 31 else kind

    def _rate(self) -> int:
        index = self._take(4)
        rate = self._take(24) if index == 15 else _RATES[index] if index < len(_RATES) else 0
        if rate == 0:
            raise MediaError("audio_config_invalid", "no sampling rate in the AudioSpecificConfig")
        return rate

    def _take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise MediaError("audio_config_invalid", "an AudioSpecificConfig is cut off")
        return self._bits >> self._left & (1 << count) - 1
