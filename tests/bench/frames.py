"""Which pictures are in a recorded file? The source's marks are read from the samples; nothing is decoded.

    marks(path) -> [Mark(camera, frame, sent_us) | None, ...]      one a sample, in the order of the file
    first_mark(path) -> Mark | None                                of its first whole picture
    compare(expected, found) -> Difference(missing, doubled, reordered, unmarked)

Reads any fragmented MP4 (ours, ffmpeg's, a part file with a torn end) with a parser of its own, so that the code under
test does not check itself. Only the first bytes of each sample are touched: about 2 µs a picture.
"""

from __future__ import annotations

import itertools
import mmap
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.virtual_camera.marks import Mark, find

_HEAD = struct.Struct(">I4s")
_TFHD_FIELDS = ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4), (0x20, 4))
_DEFAULT_SIZE = 0x10
_TRUN_FIELDS = ((0x100, 4), (0x200, 4), (0x400, 4), (0x800, 4))
_SIZES = 0x200


@dataclass(frozen=True, slots=True)
class Difference:
    """How what was found differs from what was sent."""

    missing: tuple[int, ...]
    doubled: int
    reordered: int
    unmarked: int

    @property
    def none(self) -> bool:
        """Every picture once and in order."""
        return not (self.missing or self.doubled or self.reordered or self.unmarked)


def marks(path: Path) -> list[Mark | None]:
    """The marks of the video samples of a fragmented MP4 file in file order; None for a sample without one. A torn end
    is left out, as a player leaves it out; so is an empty file."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return [find(data, start, end) for start, end in _samples(data)]


def first_mark(path: Path) -> Mark | None:
    """The mark of the first whole picture; None while there is none, or when it has no mark."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return next((find(data, start, end) for start, end in _samples(data)), None)


def compare(expected: Iterable[range], found: Sequence[Mark | None]) -> Difference:
    """Compare the numbers that should be there with the marks of one camera, in the order of its recordings."""
    numbers = [mark.frame for mark in found if mark is not None]
    there = set(numbers)
    missing = tuple(number for part in expected for number in part if number not in there)
    reordered = sum(late < early for early, late in itertools.pairwise(numbers))
    return Difference(missing, len(numbers) - len(there), reordered, len(found) - len(numbers))


def _samples(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Where each video sample lies."""
    video = 1
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"moov":
            video = _video_track(data, start, end)
        elif kind == b"moof":
            yield from (span for span in _fragment(data, start, end, video) if span[1] <= len(data))


def _boxes(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start of the body and end of each whole box."""
    while start + 8 <= end:
        size, kind = _HEAD.unpack_from(data, start)
        body = start + 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        if size < body - start or start + size > end:
            return
        yield kind, body, start + size
        start += size


def _inside(data: mmap.mmap, start: int, end: int, *path: bytes) -> tuple[int, int] | None:
    """The body of the first box along `path`."""
    for wanted in path:
        found = next(((body, stop) for kind, body, stop in _boxes(data, start, end) if kind == wanted), None)
        if found is None:
            return None
        start, end = found
    return start, end


def _video_track(data: mmap.mmap, start: int, end: int) -> int:
    """The number of the first video track."""
    for kind, body, stop in _boxes(data, start, end):
        handler = _inside(data, body, stop, b"mdia", b"hdlr") if kind == b"trak" else None
        if handler and data[handler[0] + 8 : handler[0] + 12] == b"vide":
            head = _inside(data, body, stop, b"tkhd")
            if head:
                at = head[0] + (20 if data[head[0]] == 1 else 12)
                return int.from_bytes(data[at : at + 4], "big")
    return 1


def _fragment(data: mmap.mmap, start: int, end: int, video: int) -> Iterator[tuple[int, int]]:
    for kind, body, stop in _boxes(data, start, end):
        if kind != b"traf":
            continue
        base, size = start - 8, 0
        for inner, at, until in _boxes(data, body, stop):
            if inner == b"tfhd":
                track, base, size = _track_head(data, at, base)
                if track != video:
                    break
            elif inner == b"trun":
                yield from _run(data, at, until, base, size)


def _track_head(data: mmap.mmap, at: int, base: int) -> tuple[int, int, int]:
    """Track number, base of the data offsets, default sample size."""
    flags, track = struct.unpack_from(">II", data, at)
    at, size = at + 8, 0
    for flag, width in _TFHD_FIELDS:
        if not flags & flag:
            continue
        if flag == 1:
            (base,) = struct.unpack_from(">Q", data, at)
        elif flag == _DEFAULT_SIZE:
            (size,) = struct.unpack_from(">I", data, at)
        at += width
    return track, base, size


def _run(data: mmap.mmap, at: int, end: int, base: int, size: int) -> Iterator[tuple[int, int]]:
    flags, samples = struct.unpack_from(">II", data, at)
    at += 8
    if flags & 1:
        base += struct.unpack_from(">i", data, at)[0]
        at += 4
    at += 4 if flags & 4 else 0
    width = sum(bytes_ for flag, bytes_ in _TRUN_FIELDS if flags & flag)
    offset = 4 if flags & 0x100 else 0
    for _ in range(samples):
        if at + width > end:
            return
        if flags & _SIZES:
            (size,) = struct.unpack_from(">I", data, at + offset)
        yield base, base + size
        base += size
        at += width
