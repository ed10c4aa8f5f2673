"""Init segments, fragments in both framings, and the random access index at the end of a file.

Files hold fragments of about half a second; viewers get one frame per fragment. Both have one video track with
timescale 90000, movie durations of 0 (which puts browsers into live mode) and true sync flags. Files whose recording
plan asks for sound have a second track (`fmp4.audio`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from camera_gateway.fmp4.audio import AudioRun, AudioTrack, audio_extends, audio_track_box, runs_size, track_fragments
from camera_gateway.fmp4.boxes import box, full_box
from camera_gateway.fmp4.parameters import VideoFormat
from camera_gateway.packets import AccessUnit
from storage.errors import MediaError

TIMESCALE = 90_000
IDENTITY_UUID = UUID("6f0d3a52-9d0b-4c1e-9a51-73756e68616c")
"""User type of the identity box (the last six bytes spell "sunhal")."""

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_SYNC = 0x0200_0000
_NOT_SYNC = 0x0101_0000
_FRAME = struct.Struct(">I4s I4sII I4s I4sIIIII I4sIQ I4sIIii I4s")
_MDAT_HEAD = struct.Struct(">I4s")
_MOOF = 88
"""Bytes of a `moof` with one track and no frames."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a recorded file is, so that the catalog can be rebuilt from the files."""

    segment: UUID
    stream: UUID
    run: UUID
    t0_us: int


def init_segment(video: VideoFormat, identity: Identity | None = None, audio: AudioTrack | None = None) -> bytes:
    """`ftyp`, the identity box if there is one, and `moov`."""
    kinds = box(b"ftyp", b"iso5", struct.pack(">I", 512), b"iso5iso6mp41")
    return kinds + _identity_box(identity) + _moov(video, audio)


def frame_fragment(
    sequence: int, decode_time: int, duration: int, offset: int, key: bool, data: bytes | memoryview
) -> bytes:
    """One frame as `moof` and `mdat`; times in 1/90000 s."""
    head = _FRAME.pack(
        *(104, b"moof", 16, b"mfhd", 0, sequence & 0xFFFFFFFF, 80, b"traf"),
        *(28, b"tfhd", 0x020038, 1, duration, len(data), _SYNC if key else _NOT_SYNC),
        *(20, b"tfdt", 0x0100_0000, decode_time, 24, b"trun", 0x0100_0801, 1, 112, offset),
        *(len(data) + 8, b"mdat"),
    )
    return head + data


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """What `frame_fragment` was made of."""

    decode_time: int
    duration: int
    offset: int
    key: bool
    data: bytes


def split_frame(fragment: bytes) -> LiveFrame:
    """Take a fragment of `frame_fragment` apart.

    Raises:
        MediaError: it is none.
    """
    if len(fragment) < _FRAME.size:
        raise MediaError("live_message_invalid", "a fragment is cut off")
    fields = _FRAME.unpack_from(fragment)
    if fields[1] != b"moof" or fields[-1] != b"mdat":
        raise MediaError("live_message_invalid", "no fragment of one frame")
    duration, flags, decode_time, offset = fields[12], fields[14], fields[18], fields[24]
    return LiveFrame(decode_time, duration, offset, flags == _SYNC, fragment[_FRAME.size :])


def fragment_parts(
    sequence: int, decode_time: int, units: Sequence[AccessUnit], next_dts: int, more: bytes = b"", more_size: int = 0
) -> tuple[list[bytes], int]:
    """Several frames as one `moof` and `mdat`: the pieces to write one after the other, and their size together.

    Nothing is copied but the head. `decode_time` is that of the first frame in the file; a frame lasts until the next,
    the last until `next_dts`. `more` are further track fragments for the `moof`, whose `more_size` bytes the caller
    puts behind the frames.
    """
    samples: list[int] = []
    parts = [b""]
    media = 0
    ends = [unit.dts for unit in units]
    ends.append(next_dts)
    for index, unit in enumerate(units, 1):
        data, dts = unit.data, unit.dts
        size = len(data)
        media += size
        samples += (ends[index] - dts, size, _SYNC if unit.key else _NOT_SYNC, unit.pts - dts)
        parts.append(data)
    parts[0] = _fragment_head(sequence, decode_time, samples, media, more, more_size)
    return parts, len(parts[0]) + media


def sounding_fragment_parts(
    sequence: int, decode_time: int, units: Sequence[AccessUnit], next_dts: int, runs: Sequence[AudioRun]
) -> tuple[list[bytes], int]:
    """`fragment_parts` with sound behind the frames."""
    sound = [piece for run in runs for piece in run.pieces]
    offset = _MOOF + 16 * len(units) + runs_size(runs) + 8 + sum(len(unit.data) for unit in units)
    more, more_size = track_fragments(runs, offset), sum(map(len, sound))
    parts, size = fragment_parts(sequence, decode_time, units, next_dts, more, more_size)
    return parts + sound, size + more_size


def _fragment_head(
    sequence: int, decode_time: int, samples: list[int], media: int, more: bytes, more_size: int
) -> bytes:
    """`moof`, and the head of `mdat`; `samples` holds duration, size, flags and offset of each frame, flat."""
    count = len(samples) // 4
    track = _MOOF - 24 + 16 * count
    moof = 24 + track + len(more)
    head = _head_format(count).pack(
        *(moof, b"moof", 16, b"mfhd", 0, sequence & 0xFFFFFFFF, track, b"traf"),
        *(16, b"tfhd", 0x020000, 1, 20, b"tfdt", 0x0100_0000, decode_time),
        *(20 + 16 * count, b"trun", 0x0100_0F01, count, moof + 8),
        *samples,
    )
    return head + more + _MDAT_HEAD.pack(8 + media + more_size, b"mdat")


@cache
def _head_format(count: int) -> struct.Struct:
    """The layout of `moof` with one track of `count` frames."""
    return struct.Struct(">I4s I4sII I4s I4sII I4sIQ I4sIIi" + "IIIi" * count)


def random_access_index(entries: Sequence[tuple[int, int]]) -> bytes:
    """`mfra` at the end of a file: (decode time, offset of `moof`) of each fragment that starts with a key frame."""
    rows = b"".join(struct.pack(">QQBBB", time, offset, 1, 1, 1) for time, offset in entries)
    tfra = full_box(b"tfra", 1, 0, struct.pack(">III", 1, 0, len(entries)), rows)
    size = 8 + len(tfra) + 16
    return box(b"mfra", tfra, full_box(b"mfro", 0, 0, struct.pack(">I", size)))


def _identity_box(identity: Identity | None) -> bytes:
    if identity is None:
        return b""
    facts = {
        "run": str(identity.run),
        "segment": str(identity.segment),
        "stream": str(identity.stream),
        "t0_us": identity.t0_us,
    }
    return box(b"uuid", IDENTITY_UUID.bytes, json.dumps(facts, sort_keys=True, separators=(",", ":")).encode())


def _moov(video: VideoFormat, audio: AudioTrack | None) -> bytes:
    movie = struct.pack(">IIIIIH", 0, 0, 1000, 0, 0x10000, 0x100) + b"\0" * 10 + _MATRIX + b"\0" * 24
    extends = full_box(b"trex", 0, 0, struct.pack(">IIIII", 1, 1, 0, 0, 0))
    sound = b""
    if audio is not None:
        sound = audio_track_box(audio, _sample_table(audio.entry), _data_information())
        extends += audio_extends()
    return box(
        b"moov",
        full_box(b"mvhd", 0, 0, movie, struct.pack(">I", 2 if audio is None else 3)),
        _track(video),
        sound,
        box(b"mvex", extends),
    )


def _track(video: VideoFormat) -> bytes:
    size = struct.pack(">II", video.width << 16, video.height << 16)
    header = struct.pack(">IIIII", 0, 0, 1, 0, 0) + b"\0" * 16 + _MATRIX + size
    media = box(
        b"mdia",
        full_box(b"mdhd", 0, 0, struct.pack(">IIIIHH", 0, 0, TIMESCALE, 0, 0x55C4, 0)),
        full_box(b"hdlr", 0, 0, struct.pack(">I4s", 0, b"vide"), b"\0" * 12, b"video\0"),
        box(b"minf", full_box(b"vmhd", 0, 1, b"\0" * 8), _data_information(), _sample_table(_entry(video))),
    )
    return box(b"trak", full_box(b"tkhd", 0, 3, header), media)


def _data_information() -> bytes:
    return box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1)))


def _entry(video: VideoFormat) -> bytes:
    return box(
        video.entry,
        b"\0" * 6 + struct.pack(">H", 1) + b"\0" * 16,
        struct.pack(">HHIIIH", video.width, video.height, 0x480000, 0x480000, 0, 1),
        b"\0" * 32 + struct.pack(">Hh", 24, -1),
        box(video.record_type, video.record),
    )


def _sample_table(entry: bytes) -> bytes:
    """The tables of a fragmented file: only the sample entry says anything."""
    none = struct.pack(">I", 0)
    return box(
        b"stbl",
        full_box(b"stsd", 0, 0, struct.pack(">I", 1), entry),
        full_box(b"stts", 0, 0, none),
        full_box(b"stsc", 0, 0, none),
        full_box(b"stsz", 0, 0, none, none),
        full_box(b"stco", 0, 0, none),
    )
