"""Reads our own recorded files back: identity, format, and each whole fragment with its samples.

The bytes may be torn or zero-filled after a crash, or not ours at all: every length is checked before it is used,
nothing is read beyond fixed limits.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

from camera_gateway.audio.flac import is_whole as flac_is_whole
from camera_gateway.fmp4.audio import AUDIO_TRACK, audio_codec
from camera_gateway.fmp4.boxes import BoxSpan, children, find
from camera_gateway.fmp4.h264 import check_size
from camera_gateway.fmp4.h265 import general_codec_string
from camera_gateway.fmp4.nal import sample_is_whole
from camera_gateway.fmp4.writer import IDENTITY_UUID, Identity
from storage.errors import MediaError

MAX_HEADER_BOX = 1 << 20
MAX_FRAGMENT = 64 << 20
_HEAD = struct.Struct(">I4s")
_NON_SYNC_FLAG = 0x0001_0000
_FLAC_SYNC = b"\xff\xf9"
_ZEROS = 64


@dataclass(frozen=True, slots=True)
class FileHead:
    """What stands before the first fragment."""

    identity: Identity
    codec: str  # of the pictures, and after a comma that of the sound
    width: int
    height: int
    timescale: int
    size: int  # bytes up to the first fragment


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """One frame of a fragment; times in the file's timescale."""

    decode_time: int
    duration: int
    offset: int
    size: int
    key: bool


@dataclass(frozen=True, slots=True)
class SoundFacts:
    """One piece of sound of a fragment; times in samples."""

    time: int
    duration: int
    size: int


@dataclass(frozen=True, slots=True)
class FragmentFacts:
    """One whole fragment and where its `moof` starts in the file."""

    start: int
    end: int
    samples: tuple[SampleFacts, ...]
    sound: tuple[SoundFacts, ...] = ()

    @property
    def media(self) -> int:
        """Where the first frame's bytes are; those of the others and of the sound follow."""
        return self.sound_start - sum(sample.size for sample in self.samples)

    @property
    def sound_start(self) -> int:
        """Where the first piece of sound is, if there is any."""
        return self.end - sum(piece.size for piece in self.sound)

    @property
    def decode_time(self) -> int:
        return self.samples[0].decode_time

    @property
    def end_time(self) -> int:
        return self.samples[-1].decode_time + self.samples[-1].duration


def read_head(file: BinaryIO) -> FileHead:
    """Read identity and format from the start of a recorded file.

    Raises:
        MediaError: it is none of our files, or the head is damaged.
    """
    file.seek(0)
    boxes: dict[bytes, bytes] = {}
    for expected in (b"ftyp", b"uuid", b"moov"):
        kind, raw = _read_box(file, MAX_HEADER_BOX)
        if kind != expected:
            raise MediaError("not_our_file", f"a {kind!r} box where {expected!r} belongs")
        boxes[kind] = raw
    codec, width, height = _read_format(boxes[b"moov"])
    mdhd = find(boxes[b"moov"], b"moov", b"trak", b"mdia", b"mdhd")
    timescale = _u32(boxes[b"moov"], mdhd.body + 12, mdhd.end)
    if timescale == 0:
        raise MediaError("timescale_invalid", "a timescale of zero")
    identity = _read_identity(boxes[b"uuid"])
    return FileHead(identity, codec, width, height, timescale, sum(len(raw) for raw in boxes.values()))


def read_fragments(file: BinaryIO, start: int) -> Iterator[FragmentFacts]:
    """The whole fragments from byte `start` on, up to the first that is torn, damaged or of another kind."""
    expected = 0
    while True:
        file.seek(start)
        try:
            facts = _read_fragment(file, start)
        except MediaError:
            return
        if facts.decode_time < expected:
            return
        expected = facts.end_time
        yield facts
        start = facts.end


def read_samples(data: bytes) -> Iterator[tuple[SampleFacts, bytes]]:
    """Each frame of some whole fragments, one fragment after the other.

    Raises:
        MediaError: `fragment_torn`: they are not whole; the frames before that have been given.
    """
    end = 0
    for facts in read_fragments(io.BytesIO(data), 0):
        end = facts.end
        at = facts.media
        for sample in facts.samples:
            yield sample, data[at : at + sample.size]
            at += sample.size
    if end != len(data):
        raise MediaError("fragment_torn", "the fragments end within one")


def _read_fragment(file: BinaryIO, start: int) -> FragmentFacts:
    kind, moof = _read_box(file, MAX_HEADER_BOX)
    if kind != b"moof":
        raise MediaError("fragment_missing", f"a {kind!r} box where a fragment belongs")
    kind, data = _read_box(file, MAX_FRAGMENT)
    if kind != b"mdat":
        raise MediaError("fragment_torn", f"a {kind!r} box after moof")
    first, *more = _track_fragments(moof)
    samples, sound = _read_samples(moof, first), [piece for traf in more for piece in _read_sound(moof, traf)]
    if sum(sample.size for sample in samples) + sum(piece.size for piece in sound) != len(data) - 8:
        raise MediaError("fragment_torn", "the samples do not fill their mdat")
    at = 8
    for sample in samples:
        if not sample_is_whole(data[at : at + sample.size]):
            raise MediaError("fragment_torn", "a sample's NAL lengths do not add up")
        at += sample.size
    for piece in sound:
        if not _sounds_whole(data[at : at + piece.size]):
            raise MediaError("fragment_torn", "a piece of sound is damaged")
        at += piece.size
    return FragmentFacts(start, start + len(moof) + len(data), tuple(samples), tuple(sound))


def _track_fragments(moof: bytes) -> list[BoxSpan]:
    whole = find(moof, b"moof")
    trafs = [child for child in children(moof, whole.body, whole.end) if child.kind == b"traf"]
    if not trafs:
        raise MediaError("fragment_invalid", "a fragment without tracks")
    return trafs


def _run_of(moof: bytes, traf: BoxSpan) -> tuple[int, int, int, bytes]:
    """Time, flags, count and rows of a track's fragment."""
    part = moof[traf.start : traf.end]
    tfdt, trun = find(part, b"traf", b"tfdt"), find(part, b"traf", b"trun")
    if tfdt.end - tfdt.body != 12 or trun.end - trun.body < 12:
        raise MediaError("fragment_invalid", "tfdt or trun has another size than ours")
    (time,) = struct.unpack_from(">Q", part, tfdt.body + 4)
    flags, count = struct.unpack_from(">II", part, trun.body)
    return time, flags, count, part[trun.body + 12 : trun.end]


def _read_samples(moof: bytes, traf: BoxSpan) -> list[SampleFacts]:
    time, flags, count, rows = _run_of(moof, traf)
    if flags != 0x0100_0F01 or count == 0 or len(rows) != 16 * count:
        raise MediaError("fragment_invalid", "trun is not of the form that we write")
    samples: list[SampleFacts] = []
    for duration, size, mark, offset in struct.iter_unpack(">IIIi", rows):
        samples.append(SampleFacts(time, duration, offset, size, not mark & _NON_SYNC_FLAG))
        time += duration
    return samples


def _read_sound(moof: bytes, traf: BoxSpan) -> list[SoundFacts]:
    part = moof[traf.start : traf.end]
    tfhd = find(part, b"traf", b"tfhd")
    time, flags, count, rows = _run_of(moof, traf)
    if _u32(part, tfhd.body + 4, tfhd.end) != AUDIO_TRACK or flags != 0x0301 or len(rows) != 8 * count:
        raise MediaError("fragment_invalid", "a track fragment is not of the form that we write")
    pieces: list[SoundFacts] = []
    for duration, size in struct.iter_unpack(">II", rows):
        pieces.append(SoundFacts(time, duration, size))
        time += duration
    return pieces


def _sounds_whole(piece: bytes) -> bool:
    """False for what a crash may leave. FLAC has a check; AAC neither begins nor ends in a stretch of zeros."""
    if piece[:2] == _FLAC_SYNC:
        return flac_is_whole(piece)
    return any(piece[:_ZEROS]) and any(piece[-_ZEROS:])


def _read_format(moov: bytes) -> tuple[str, int, int]:
    entry = _sample_entry(moov, find(moov, b"moov", b"trak"))
    if entry.end - entry.body < 78:
        raise MediaError("sample_entry_missing", "no sample entry")
    width, height = struct.unpack_from(">HH", moov, entry.body + 24)
    check_size(width, height)
    record = next(children(moov, entry.body + 78, entry.end), None)
    if record is None:
        raise MediaError("decoder_record_missing", "no avcC or hvcC box")
    return _codec_of(entry, moov[record.body : record.end]) + _sound_codec(moov), width, height


def _sample_entry(moov: bytes, trak: BoxSpan) -> BoxSpan:
    part = moov[trak.start : trak.end]
    stsd = find(part, b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    entry = next(children(moov, trak.start + stsd.body + 8, trak.start + stsd.end), None)
    if entry is None:
        raise MediaError("sample_entry_missing", "no sample entry")
    return entry


def _sound_codec(moov: bytes) -> str:
    """The codec of the second track after a comma; nothing when there is none."""
    whole = find(moov, b"moov")
    tracks = [child for child in children(moov, whole.body, whole.end) if child.kind == b"trak"]
    if len(tracks) < 2:
        return ""
    return "," + audio_codec(moov, _sample_entry(moov, tracks[1]))


def _codec_of(entry: BoxSpan, record: bytes) -> str:
    if entry.kind == b"avc1" and len(record) >= 4:
        return f"avc1.{record[1]:02X}{record[2]:02X}{record[3]:02X}"
    if entry.kind == b"hvc1" and len(record) >= 23:
        return general_codec_string(record[1:13])
    raise MediaError("codec_unknown", f"sample entry {entry.kind!r}")


def _read_identity(raw: bytes) -> Identity:
    if raw[8:24] != IDENTITY_UUID.bytes:
        raise MediaError("not_our_file", "the uuid box is not an identity box")
    try:
        facts = json.loads(raw[24:])
        return Identity(
            UUID(facts["segment"]), UUID(facts["stream"]), UUID(facts["run"]), _checked_time(facts["t0_us"])
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MediaError("identity_damaged", "the identity box cannot be read") from error


def _checked_time(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise ValueError("t0_us is no time")
    return value


def _read_box(file: BinaryIO, limit: int) -> tuple[bytes, bytes]:
    head = file.read(8)
    if len(head) < 8:
        raise MediaError("box_truncated", "the file ends in a box header")
    size, kind = _HEAD.unpack(head)
    if not 8 <= size <= limit:
        raise MediaError("box_invalid", f"a {kind!r} box of {size} bytes")
    rest = file.read(size - 8)
    if len(rest) != size - 8:
        raise MediaError("box_truncated", f"a {kind!r} box is cut off")
    return kind, head + rest


def _u32(data: bytes, at: int, end: int) -> int:
    if at + 4 > end:
        raise MediaError("box_truncated", "a field is cut off")
    return int.from_bytes(data[at : at + 4], "big")
