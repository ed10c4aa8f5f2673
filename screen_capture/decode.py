"""Any picture of a screen segment as pixels, PNG or WebP. Every error is a MediaError; input is never trusted."""

from __future__ import annotations

import bisect
import io

import numpy as np
from PIL import Image

from screen_capture.container import (
    TILE,
    Header,
    Patch,
    Picture,
    PictureEntry,
    SegmentIndex,
    parse_header,
    parse_index,
    parse_picture,
)
from screen_capture.patches import Pixels, decode_patch
from storage.errors import MediaError

__all__ = ["PictureEntry", "SegmentIndex", "encode_png", "encode_webp", "index_at", "picture_at", "read_index"]


def read_index(data: bytes) -> SegmentIndex:
    """What a segment holds: `pictures` (each begins with `t_us`), `width`, `height`, `t0_us`, `t1_us`.

    Checks the whole file's checksum. Raises MediaError when the bytes are not exactly a segment as it was written.
    """
    return parse_index(data)


def index_at(index: SegmentIndex, t_us: int) -> int | None:
    """The number of the picture in force at `t_us`, the last one taken at or before it; None before the first."""
    position = bisect.bisect_right([entry.t_us for entry in index.pictures], t_us)
    return position - 1 if position else None


def picture_at(data: bytes, index: int) -> Pixels:
    """Picture number `index` (0 is the key picture) as an array (height, width, 3) of red, green, blue.

    Only those patches are decoded that nothing later covers. Raises MediaError: damaged bytes, or no such picture.
    """
    entries = parse_index(data).pictures
    if not 0 <= index < len(entries):
        raise MediaError("no_such_picture", f"the segment has pictures 0 to {len(entries) - 1}, not {index}")
    header = parse_header(data)
    pictures = [parse_picture(data, entry, header) for entry in entries[: index + 1]]
    visible = _visible(pictures, header)
    canvas = np.zeros((header.height, header.width, 3), np.uint8)
    for patch in visible:
        _paint(canvas, patch)
    return canvas


def encode_png(picture: Pixels) -> bytes:
    """`picture` as PNG: bit-exact."""
    target = io.BytesIO()
    Image.fromarray(picture).save(target, "PNG", compress_level=3)
    return target.getvalue()


def encode_webp(picture: Pixels, quality: int | None = None) -> bytes:
    """`picture` as WebP: bit-exact without `quality`, else lossy at 1 to 100 for thumbnails.

    Raises:
        MediaError: wider or higher than WebP allows (16,383).
    """
    if max(picture.shape[:2]) > 16_383:
        raise MediaError("picture_size", "WebP holds at most 16383 pixels a side: use PNG")
    target = io.BytesIO()
    image = Image.fromarray(picture)
    if quality is None:
        image.save(target, "WEBP", lossless=True, quality=20, method=1)
    else:
        image.save(target, "WEBP", quality=quality, method=2)
    return target.getvalue()


def _visible(pictures: list[Picture], header: Header) -> list[Patch]:
    """The patches of `pictures` that still show in the last one, in painting order.

    Raises:
        MediaError: the first picture leaves a tile open, so the group is not self-contained.
    """
    open_tiles = np.ones((header.rows, header.columns), np.bool_)
    visible: list[Patch] = []
    for picture in reversed(pictures):
        for patch in picture.patches:
            area = open_tiles[patch.row : patch.row + patch.rows, patch.column : patch.column + patch.columns]
            if area.any():
                visible.append(patch)
                area[:] = False
    if open_tiles.any():
        raise MediaError("screen_segment_damaged", "damaged screen segment: the key picture has holes")
    return visible[::-1]


def _paint(canvas: Pixels, patch: Patch) -> None:
    height, width = canvas.shape[:2]
    top, left = patch.row * TILE, patch.column * TILE
    bottom = min(top + patch.rows * TILE, height)
    right = min(left + patch.columns * TILE, width)
    canvas[top:bottom, left:right] = decode_patch(patch.data, patch.codec, right - left, bottom - top)
