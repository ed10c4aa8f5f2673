"""Coded rectangles: the only place that calls WebP, in both directions, with its limits."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from screen_capture.container import CODEC_LOSSLESS, CODEC_LOSSY
from storage.errors import MediaError

Pixels = NDArray[np.uint8]
"""(height, width, 3) red, green, blue."""

MAX_PATCH_TILES = 64
"""Tiles in one patch: bounds the memory of the WebP coder (a quarter of a megapixel), whatever the screen does."""
PHOTO_QUALITY = 80
_LOSSLESS_EFFORT = 20
_LOSSLESS_METHOD = 1
_LOSSY_METHOD = 4


def encode_patch(pixels: Pixels, codec: int, quality: int = PHOTO_QUALITY) -> bytes:
    """`pixels` as one WebP image, exact for CODEC_LOSSLESS, at `quality` (1 to 100) for CODEC_LOSSY."""
    target = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if codec == CODEC_LOSSLESS:
        image.save(target, "WEBP", lossless=True, quality=_LOSSLESS_EFFORT, method=_LOSSLESS_METHOD)
    else:
        image.save(target, "WEBP", quality=quality, method=_LOSSY_METHOD)
    return target.getvalue()


def decode_patch(data: bytes, codec: int, width: int, height: int) -> Pixels:
    """The pixels of a patch that must be exactly `width` x `height`.

    Only a plain still image of the stated coding is taken: its own header is read before the decoder sees it, so
    animations, nested chunks and other sizes never reach it.

    Raises:
        MediaError: the bytes are something else.
    """
    if _stated_size(data, codec) != (width, height):
        raise MediaError("patch_damaged", f"a patch is no plain {width} x {height} WebP image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
                pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombWarning) as error:
        raise MediaError("patch_damaged", "a patch cannot be decoded") from error
    if pixels.shape != (height, width, 3):
        raise MediaError("patch_damaged", "a patch decodes to another size")
    return pixels


def _stated_size(data: bytes, codec: int) -> tuple[int, int] | None:
    """Width and height from a simple-format WebP header (RFC 9649, 2.5 and 2.6); None when it is anything else."""
    if len(data) < 25 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    if struct.unpack_from("<I", data, 4)[0] + 8 != len(data):
        return None
    if codec == CODEC_LOSSLESS and data[12:16] == b"VP8L" and data[20] == 0x2F:
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if codec == CODEC_LOSSY and len(data) >= 30 and data[12:16] == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None
