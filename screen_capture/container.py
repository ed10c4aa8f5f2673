"""The bytes of a screen segment, version 1: header, pictures, index, footer (docs/screen-segment.md).

Everything is written front to back, so a segment whose writer died can be finished from its pictures alone.
Nothing here knows how pixels are coded; `encode` and `decode` do.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from storage.errors import MediaError

VERSION = 1
TILE = 64
"""Side of a tile in pixels; the last row and column of tiles may be cut by the picture's edge."""
MAX_SEGMENT_BYTES = 4 * 1024 * 1024
"""A whole segment, header to footer."""
MAX_SEGMENT_US = 60_000_000
"""From the first picture to `t1_us`."""
MAX_SIDE = 16_384
MAX_PIXELS = 1 << 26
"""Area of a picture: two 8K monitors; bounds what a hostile header can make a reader allocate."""
MAX_PICTURES = 1024
MAX_TEXT = 512
"""Bytes of UTF-8 in `program` and in `staff`."""

CODEC_LOSSLESS = 1
CODEC_LOSSY = 2

FLAG_REDUCED = 1
"""Picture flag: the picture would not fit exactly, so its text was coded lossily."""

_MAGIC = b"SHSCREEN"
_END_MAGIC = b"SHSCREND"
_HEADER = struct.Struct(">8sBBHIIq")
_HEADER_SIZE = _HEADER.size + 4
_RECORD = struct.Struct(">IBBH")
_CRC = struct.Struct(">I")
_PICTURE = struct.Struct(">qBBHHH")
_PATCH = struct.Struct(">HHHHBBHI")
_INDEX = struct.Struct(">qI")
_ENTRY = struct.Struct(">qIIHH")
_FOOTER = struct.Struct(">II8s")

_TYPE_PICTURE = 1
_TYPE_INDEX = 2


class Header(NamedTuple):
    """What every picture of a segment shares. Sizes in pixels, `t0_us` is the first picture's time."""

    width: int
    height: int
    t0_us: int

    @property
    def columns(self) -> int:
        return -(-self.width // TILE)

    @property
    def rows(self) -> int:
        return -(-self.height // TILE)


class Patch(NamedTuple):
    """A rectangle of tiles (not pixels) with its coded bytes."""

    column: int
    row: int
    columns: int
    rows: int
    codec: int
    data: bytes


class Picture(NamedTuple):
    """The change from the picture before it; the first picture of a segment covers every tile."""

    t_us: int
    patches: Sequence[Patch]
    flags: int = 0
    program: str = ""
    staff: str = ""


class PictureEntry(NamedTuple):
    """A row of the index: when, where in the file, which program was in front and who sat there (may be empty)."""

    t_us: int
    offset: int
    length: int
    program: str
    staff: str


class SegmentIndex(NamedTuple):
    """What a segment holds, without its pixels. `t1_us`: until when the last picture is known to have been shown."""

    pictures: list[PictureEntry]
    width: int
    height: int
    t0_us: int
    t1_us: int


def check_size(width: int, height: int) -> None:
    """Raises MediaError `picture_size`: a side is 0 or above MAX_SIDE, or the area is above MAX_PIXELS."""
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE) or width * height > MAX_PIXELS:
        raise MediaError("picture_size", f"no picture may be {width} x {height}", width=width, height=height)


# --- writing ----------------------------------------------------------------------------------------------------------
def pack_header(header: Header) -> bytes:
    """The first bytes of a segment."""
    check_size(header.width, header.height)
    raw = _HEADER.pack(_MAGIC, VERSION, 0, TILE, header.width, header.height, header.t0_us)
    return raw + _CRC.pack(zlib.crc32(raw))


def pack_picture(picture: Picture) -> bytes:
    """One picture record, to be appended after the header or after the picture before it."""
    program, staff = _text(picture.program), _text(picture.staff)
    parts = [
        _PICTURE.pack(picture.t_us, picture.flags, 0, len(program), len(staff), len(picture.patches)),
        program,
        staff,
    ]
    for patch in picture.patches:
        parts.append(_PATCH.pack(*patch[:5], 0, 0, len(patch.data)))
    parts.extend(patch.data for patch in picture.patches)
    return _record(_TYPE_PICTURE, b"".join(parts))


class Composer:
    """Keeps what the index and the footer need while a segment is written front to back."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.size = 0
        self._crc = 0
        self._entries: list[PictureEntry] = []

    @property
    def pictures(self) -> int:
        return len(self._entries)

    def begin(self) -> bytes:
        """The header's bytes."""
        return self._written(pack_header(self.header))

    def fits(self, record: bytes) -> bool:
        """Whether the segment stays within MAX_SEGMENT_BYTES and MAX_PICTURES with one more picture."""
        room = MAX_SEGMENT_BYTES - end_size(self.pictures + 1) - self.size
        return len(record) <= room and self.pictures < MAX_PICTURES

    def add(self, picture: Picture, record: bytes) -> bytes:
        """`record`, the packed form of `picture`, counted in."""
        self._entries.append(PictureEntry(picture.t_us, self.size, len(record), picture.program, picture.staff))
        return self._written(record)

    def end(self, t1_us: int) -> bytes:
        """Index and footer.

        Raises:
            MediaError: there is no picture, or the times contradict each other.
        """
        _check_times(self.header, [entry.t_us for entry in self._entries], t1_us)
        offset = self.size
        index = self._written(_pack_index(self._entries, t1_us))
        return index + _FOOTER.pack(offset, zlib.crc32(_CRC.pack(offset), self._crc), _END_MAGIC)

    def _written(self, data: bytes) -> bytes:
        self.size += len(data)
        self._crc = zlib.crc32(data, self._crc)
        return data


def pack_end(body: bytes, t1_us: int) -> bytes:
    """The index and the footer for `body`, the header and whole picture records of a segment whose writer died.

    Raises:
        MediaError: `body` is no header with at least one picture, or `t1_us` is not after the last picture.
    """
    composer = Composer(parse_header(body))
    composer.begin()
    for picture, offset, length in _pictures(body, len(body)):
        composer.add(picture, body[offset : offset + length])
    return composer.end(t1_us)


def end_size(pictures: int) -> int:
    """An upper bound of the bytes that `pack_end` adds for so many pictures."""
    return 64 + pictures * (_ENTRY.size + 2 * MAX_TEXT)


def _record(kind: int, body: bytes) -> bytes:
    head = _RECORD.pack(len(body), kind, 0, 0)
    return head + body + _CRC.pack(zlib.crc32(body, zlib.crc32(head)))


def _text(value: str) -> bytes:
    raw = value.encode("utf-8")
    return raw if len(raw) <= MAX_TEXT else raw[:MAX_TEXT].decode("utf-8", "ignore").encode("utf-8")


def _pack_index(entries: Sequence[PictureEntry], t1_us: int) -> bytes:
    parts = [_INDEX.pack(t1_us, len(entries))]
    for entry in entries:
        program, staff = _text(entry.program), _text(entry.staff)
        parts.append(_ENTRY.pack(entry.t_us, entry.offset, entry.length, len(program), len(staff)))
        parts.extend((program, staff))
    return _record(_TYPE_INDEX, b"".join(parts))


# --- reading ----------------------------------------------------------------------------------------------------------
def parse_header(data: bytes) -> Header:
    """The header at the start of `data`; MediaError when there is none that we can read."""
    if len(data) < _HEADER_SIZE or not data.startswith(_MAGIC):
        raise MediaError("no_screen_segment", "these bytes are no screen segment")
    _, version, _, tile, width, height, t0_us = _HEADER.unpack_from(data)
    if _CRC.unpack_from(data, _HEADER.size)[0] != zlib.crc32(data[: _HEADER.size]):
        raise _damaged("header checksum")
    if version != VERSION or tile != TILE:
        raise MediaError("screen_segment_version", f"version {version} with tiles of {tile} px is not known here")
    check_size(width, height)
    return Header(width, height, t0_us)


def parse_index(data: bytes) -> SegmentIndex:
    """The index of a whole segment; every byte of the file is covered by the checksum tested here.

    Raises:
        MediaError: the bytes are damaged, cut, of another version, or contradict themselves.
    """
    if len(data) > MAX_SEGMENT_BYTES:
        raise MediaError("screen_segment_too_large", f"a screen segment has at most {MAX_SEGMENT_BYTES} bytes")
    header = parse_header(data)
    index_offset = _checked_footer(data)
    _, body, end = _parse_record(data, index_offset, len(data) - _FOOTER.size, _TYPE_INDEX)
    if end != len(data) - _FOOTER.size:
        raise _damaged("bytes between index and footer")
    t1_us, entries = _parse_entries(body)
    expected = _HEADER_SIZE
    for entry in entries:
        if entry.offset != expected:
            raise _damaged("index offsets")
        expected += entry.length
    if expected != index_offset:
        raise _damaged("index lengths")
    _check_times(header, [entry.t_us for entry in entries], t1_us)
    return SegmentIndex(entries, header.width, header.height, header.t0_us, t1_us)


def parse_picture(data: bytes, entry: PictureEntry, header: Header) -> Picture:
    """The picture that `entry` points at, with every rectangle inside the picture and none over another."""
    picture, end = _parse_picture(data, entry.offset, entry.offset + entry.length)
    if end != entry.offset + entry.length or picture.t_us != entry.t_us:
        raise _damaged("a picture differs from its index")
    _check_patches(picture.patches, header)
    return picture


def salvage(data: bytes) -> tuple[Header, list[Picture], int]:
    """What can be read of a segment that was never finished: header, whole pictures, bytes they take.

    Raises:
        MediaError: not even the header is there.
    """
    header = parse_header(data)
    pictures: list[Picture] = []
    end = _HEADER_SIZE
    try:
        for picture, offset, length in _pictures(data, len(data)):
            pictures.append(picture)
            end = offset + length
    except MediaError:
        pass  # the torn tail, or the index of a finished segment: what came before it stands
    return header, pictures, end


def _checked_footer(data: bytes) -> int:
    if len(data) < _HEADER_SIZE + _FOOTER.size:
        raise _damaged("too short")
    body_end = len(data) - _FOOTER.size
    index_offset, crc, magic = _FOOTER.unpack_from(data, body_end)
    if magic != _END_MAGIC:
        raise _damaged("no footer: the segment was never finished or is cut")
    if crc != zlib.crc32(_CRC.pack(index_offset), zlib.crc32(memoryview(data)[:body_end])):
        raise _damaged("file checksum")
    return int(index_offset)


def _parse_record(data: bytes, offset: int, limit: int, kind: int) -> tuple[int, bytes, int]:
    """(flags, body, end) of the record of `kind` at `offset`, wholly before `limit`."""
    body_at = offset + _RECORD.size
    if offset < _HEADER_SIZE or body_at + _CRC.size > limit:
        raise _damaged("a record is cut")
    length, found, flags, _ = _RECORD.unpack_from(data, offset)
    end = body_at + length + _CRC.size
    if found != kind or end > limit:
        raise _damaged("a record is cut or of another type")
    if _CRC.unpack_from(data, body_at + length)[0] != zlib.crc32(memoryview(data)[offset : body_at + length]):
        raise _damaged("record checksum")
    return flags, bytes(data[body_at : body_at + length]), end


def _pictures(data: bytes, limit: int) -> Iterator[tuple[Picture, int, int]]:
    """(picture, offset, length) of each picture record up to `limit`; MediaError at the first that is none."""
    offset = _HEADER_SIZE
    while offset < limit:
        picture, end = _parse_picture(data, offset, limit)
        yield picture, offset, end - offset
        offset = end


def _parse_picture(data: bytes, offset: int, limit: int) -> tuple[Picture, int]:
    _, body, end = _parse_record(data, offset, limit, _TYPE_PICTURE)
    if len(body) < _PICTURE.size:
        raise _damaged("a picture is cut")
    t_us, flags, _, program_size, staff_size, count = _PICTURE.unpack_from(body)
    at = _PICTURE.size
    program, at = _parse_text(body, at, program_size)
    staff, at = _parse_text(body, at, staff_size)
    if at + count * _PATCH.size > len(body):
        raise _damaged("a patch table is cut")
    heads = [_PATCH.unpack_from(body, at + position * _PATCH.size) for position in range(count)]
    return Picture(t_us, _parse_patches(body, heads, at + count * _PATCH.size), flags, program, staff), end


def _parse_patches(body: bytes, heads: list[tuple[int, ...]], at: int) -> list[Patch]:
    patches = []
    for column, row, columns, rows, codec, _, _, size in heads:
        if at + size > len(body):
            raise _damaged("a patch is cut")
        patches.append(Patch(column, row, columns, rows, codec, body[at : at + size]))
        at += size
    if at != len(body):
        raise _damaged("bytes after the last patch")
    return patches


def _parse_text(body: bytes, at: int, size: int) -> tuple[str, int]:
    if size > MAX_TEXT or at + size > len(body):
        raise _damaged("a text is too long")
    try:
        return body[at : at + size].decode("utf-8"), at + size
    except UnicodeDecodeError as error:
        raise _damaged("a text is no UTF-8") from error


def _parse_entries(body: bytes) -> tuple[int, list[PictureEntry]]:
    if len(body) < _INDEX.size:
        raise _damaged("the index is cut")
    t1_us, count = _INDEX.unpack_from(body)
    if not 1 <= count <= MAX_PICTURES:
        raise _damaged("picture count")
    entries, at = [], _INDEX.size
    for _ in range(count):
        if at + _ENTRY.size > len(body):
            raise _damaged("the index is cut")
        t_us, offset, length, program_size, staff_size = _ENTRY.unpack_from(body, at)
        program, at = _parse_text(body, at + _ENTRY.size, program_size)
        staff, at = _parse_text(body, at, staff_size)
        entries.append(PictureEntry(t_us, offset, length, program, staff))
    if at != len(body):
        raise _damaged("bytes after the index")
    return t1_us, entries


def _check_times(header: Header, times: Sequence[int], t1_us: int) -> None:
    if not times or len(times) > MAX_PICTURES or times[0] != header.t0_us:
        raise _damaged("the first picture is not at t0")
    if any(later <= earlier for earlier, later in zip(times, [*times[1:], t1_us], strict=True)):
        raise _damaged("picture times do not rise")
    if t1_us - header.t0_us > MAX_SEGMENT_US:
        raise _damaged("longer than a segment may be")


def _check_patches(patches: Sequence[Patch], header: Header) -> None:
    taken = [bytearray(header.columns) for _ in range(header.rows)]
    for patch in patches:
        right, bottom = patch.column + patch.columns, patch.row + patch.rows
        if not (patch.columns and patch.rows and right <= header.columns and bottom <= header.rows):
            raise _damaged("a patch outside the picture")
        if patch.codec not in (CODEC_LOSSLESS, CODEC_LOSSY):
            raise MediaError("screen_segment_codec", f"codec {patch.codec} is not known here")
        for row in range(patch.row, bottom):
            if any(taken[row][patch.column : right]):
                raise _damaged("patches over each other")
            taken[row][patch.column : right] = b"\x01" * patch.columns


def _damaged(what: str) -> MediaError:
    return MediaError("screen_segment_damaged", f"damaged screen segment: {what}")
