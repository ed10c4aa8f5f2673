"""Seeded desktops for tests: text-like marks on flat ground, windows that move, photographs."""

from __future__ import annotations

import numpy as np

from screen_capture.frames import Words

GROUND, INK, WINDOW = 0xF3F3F3, 0x202124, 0xFFFFFF


def office(count: int, width: int, height: int, seed: int) -> list[Words]:
    """`count` pictures of one desktop; each differs from the one before in some of its marks."""
    rng = np.random.default_rng(seed)
    screen = np.full((height, width), GROUND, np.uint32)
    screen[height // 8 : height // 2, width // 8 : width // 2] = WINDOW
    pictures = []
    for _ in range(count):
        screen = screen.copy()
        write(screen, rng)
        pictures.append(screen)
    return pictures


def write(screen: Words, rng: np.random.Generator) -> None:
    """A line of marks with hard and soft edges, as text has, somewhere on the screen."""
    height, width = screen.shape
    top, left = int(rng.integers(0, max(height - 12, 1))), int(rng.integers(0, max(width - 60, 1)))
    marks = rng.choice(np.array([INK, INK, GROUND, WINDOW, 0x7A7B7D, 0xB0B1B3], np.uint32), (12, 60))
    area = screen[top : top + 12, left : left + 60]
    area[:] = marks[: area.shape[0], : area.shape[1]]


def photograph(screen: Words, top: int, left: int, height: int, width: int, seed: int) -> None:
    """A smooth picture with noise and many colours."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width]
    red = (128 + 100 * np.sin(down / 37.0) + rng.normal(0, 9, (height, width))).clip(0, 255)
    green = (128 + 90 * np.cos(across / 53.0) + rng.normal(0, 9, (height, width))).clip(0, 255)
    blue = (down + across) % 256
    coded = red.astype(np.uint32) << 16 | green.astype(np.uint32) << 8 | blue.astype(np.uint32)
    area = screen[top : top + height, left : left + width]
    area[:] = coded[: area.shape[0], : area.shape[1]]
