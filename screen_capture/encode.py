"""Frames to screen segments: unchanged tiles referenced, text and flat tiles exact, photographic tiles lossy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from screen_capture.container import (
    CODEC_LOSSLESS,
    CODEC_LOSSY,
    FLAG_REDUCED,
    MAX_SEGMENT_US,
    TILE,
    Composer,
    Header,
    Patch,
    Picture,
    pack_picture,
)
from screen_capture.frames import Words
from screen_capture.patches import MAX_PATCH_TILES, PHOTO_QUALITY, Pixels, encode_patch
from storage.errors import MediaError

PHOTO_COLOURS = 600
"""A tile with more colours than this is photographic: text, lines and flat areas stay far below."""
REDUCED_QUALITIES = (80, 50, 25, 5)
"""Tried in this order on every tile when a single picture would not fit into a segment."""

TileMap = NDArray[np.bool_]


class SegmentEncoder:
    """Writes one screen segment, front to back. Each call returns bytes to append; nothing written ever changes.

    Holds one picture (4 bytes a pixel) and the index. A new encoder is made for the next segment.
    """

    def __init__(
        self, pixels: Words, t0_us: int, photo_quality: int = PHOTO_QUALITY, longest_us: int = MAX_SEGMENT_US
    ) -> None:
        height, width = pixels.shape
        self._composer = Composer(Header(width, height, t0_us))
        self._first = pixels
        self._last: Words | None = None
        self._photo_quality = photo_quality
        self.last_us = t0_us
        self.latest_us = t0_us + min(longest_us, MAX_SEGMENT_US)
        """The segment spans no time beyond this."""

    @property
    def header(self) -> Header:
        return self._composer.header

    @property
    def pictures(self) -> int:
        return self._composer.pictures

    def begin(self, program: str = "", staff: str = "") -> bytes:
        """Header and key picture.

        Raises:
            MediaError: `picture_too_large`: it does not fit into a segment at the lowest quality.
        """
        everything = np.ones((self.header.rows, self.header.columns), np.bool_)
        head = self._composer.begin()
        picture = Picture(self.header.t0_us, self._patches(self._first, everything), 0, program, staff)
        record = pack_picture(picture)
        if not self._composer.fits(record):
            picture, record = self._reduced(self._first, everything, picture)
        self._last = self._first
        return head + self._composer.add(picture, record)

    def add(self, pixels: Words, t_us: int, program: str = "", staff: str = "") -> bytes | None:
        """The next picture; None when it does not belong into this segment any more (time, size or resolution).

        `pixels` is kept until the next call and must not be changed.
        """
        last = self._last
        if last is None or pixels.shape != last.shape or not self.takes(t_us):
            return None
        picture = Picture(t_us, self._patches(pixels, changed_tiles(last, pixels)), 0, program, staff)
        record = pack_picture(picture)
        if not self._composer.fits(record):
            return None
        self._last, self.last_us = pixels, t_us
        return self._composer.add(picture, record)

    def takes(self, t_us: int) -> bool:
        """Whether a picture at `t_us` may still belong to this segment."""
        return self.last_us < t_us < self.latest_us

    def end(self, t1_us: int) -> bytes:
        """Index and footer. `t1_us` is cut to `latest_us`."""
        return self._composer.end(min(t1_us, self.latest_us))

    def _patches(self, pixels: Words, tiles: TileMap) -> list[Patch]:
        photo = photo_tiles(pixels, tiles)
        exact = [_patch(pixels, box, CODEC_LOSSLESS) for box in rectangles(tiles & ~photo)]
        return exact + [_patch(pixels, box, CODEC_LOSSY, self._photo_quality) for box in rectangles(photo)]

    def _reduced(self, pixels: Words, tiles: TileMap, picture: Picture) -> tuple[Picture, bytes]:
        for quality in REDUCED_QUALITIES:
            patches = [_patch(pixels, box, CODEC_LOSSY, quality) for box in rectangles(tiles)]
            reduced = picture._replace(patches=patches, flags=picture.flags | FLAG_REDUCED)
            record = pack_picture(reduced)
            if self._composer.fits(record):
                return reduced, record
        raise MediaError("picture_too_large", "one picture does not fit into a screen segment")


def changed_tiles(before: Words, after: Words) -> TileMap:
    """Which tiles of two pictures of the same size differ in any pixel."""
    return _any_in_tile(before != after)


def photo_tiles(pixels: Words, tiles: TileMap) -> TileMap:
    """Which of `tiles` are photographic: more than PHOTO_COLOURS colours."""
    photo = np.zeros_like(tiles)
    for row, column in np.argwhere(tiles):
        tile = pixels[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
        photo[row, column] = _colours(tile) > PHOTO_COLOURS
    return photo


def rectangles(tiles: TileMap) -> Iterator[tuple[int, int, int, int]]:
    """(column, row, columns, rows) of rectangles that together are `tiles`, none above MAX_PATCH_TILES."""
    left = tiles.copy()
    rows, columns = left.shape
    for row in range(rows):
        column = 0
        while column < columns:
            if not left[row, column]:
                column += 1
                continue
            box = _grow(left, column, row)
            left[row : row + box[3], column : column + box[2]] = False
            yield box
            column += box[2]


def to_rgb(pixels: Words) -> Pixels:
    """Pixels as (height, width, 3) bytes of red, green, blue."""
    return np.ascontiguousarray(pixels.astype("<u4", copy=False).view(np.uint8).reshape(*pixels.shape, 4)[..., 2::-1])


def _grow(tiles: TileMap, column: int, row: int) -> tuple[int, int, int, int]:
    rows, columns = tiles.shape
    right = column
    while right < columns and tiles[row, right] and right - column < MAX_PATCH_TILES:
        right += 1
    width, bottom = right - column, row + 1
    while bottom < rows and tiles[bottom, column:right].all() and width * (bottom + 1 - row) <= MAX_PATCH_TILES:
        bottom += 1
    return column, row, width, bottom - row


def _any_in_tile(different: NDArray[np.bool_]) -> TileMap:
    height, width = different.shape
    strips = np.logical_or.reduceat(different, np.arange(0, height, TILE), axis=0)
    return np.logical_or.reduceat(strips, np.arange(0, width, TILE), axis=1)


def _colours(tile: Words) -> int:
    flat = np.sort(tile, axis=None)
    return int(np.count_nonzero(flat[1:] != flat[:-1])) + 1


def _patch(pixels: Words, box: tuple[int, int, int, int], codec: int, quality: int = PHOTO_QUALITY) -> Patch:
    column, row, columns, rows = box
    cut = pixels[row * TILE : (row + rows) * TILE, column * TILE : (column + columns) * TILE]
    return Patch(column, row, columns, rows, codec, encode_patch(to_rgb(np.ascontiguousarray(cut)), codec, quality))
