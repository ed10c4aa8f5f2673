"""Is this picture another one? An exact test over every pixel outside the ignored rectangles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from screen_capture.frames import Words


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle in pixels of one monitor; parts outside the picture count for nothing."""

    left: int
    top: int
    width: int
    height: int


def fill(pixels: Words, rectangles: Sequence[Rectangle], colour: int = 0) -> None:
    """Paint `rectangles` solid into `pixels`, in place."""
    for box in rectangles:
        top, left = max(box.top, 0), max(box.left, 0)
        pixels[top : max(box.top + box.height, 0), left : max(box.left + box.width, 0)] = colour


def digest(pixels: Words, ignored: Sequence[Rectangle] = ()) -> bytes:
    """xxh3 (128 bits) of the size and of every pixel, the ignored rectangles (a taskbar clock) taken as black."""
    seen = pixels
    if ignored:
        seen = pixels.copy()
        fill(seen, ignored)
    state = xxhash.xxh3_128(f"{pixels.shape[1]}x{pixels.shape[0]}:".encode())
    state.update(np.ascontiguousarray(seen).data.cast("B"))
    return state.digest()


def is_uniform(pixels: Words) -> bool:
    """Whether the whole picture is one colour: a blanked or protected screen, which is no evidence of anything."""
    return bool((pixels == pixels[0, 0]).all())
