"""Paints what a virtual camera sees: a counter with moving people, its name, its clock, its frame counter, the strip.

The scene is drawn once with Pillow; each frame copies it and places small ready-made patches, which costs about 0.1 ms.
"""

from __future__ import annotations

import colorsys
from datetime import UTC, datetime, timedelta, timezone

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deploy.fonts import font_path
from deploy.virtual_camera import strip

HALL_ZONE = timezone(timedelta(hours=8))
_CLOCK_CHARACTERS = "0123456789-:. #"

Plane = NDArray[np.uint8]


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_path()), size)


def _shade(hue: float, light: float, saturation: float = 0.25) -> tuple[int, int, int]:
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, light, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _scene(width: int, height: int, name: str, number: int) -> Image.Image:
    """The part of the picture that never moves."""
    hue = number * 0.13
    image = Image.new("RGB", (width, height), _shade(hue, 0.62, 0.12))
    draw = ImageDraw.Draw(image)
    floor = height * 62 // 100
    draw.rectangle((0, floor, width, height), fill=_shade(hue + 0.06, 0.42, 0.15))
    for column in range(0, width + 1, width // 8):
        draw.line((column, floor, (column - width // 2) * 2 + width // 2, height), fill=_shade(hue, 0.38), width=1)
    draw.rectangle((width * 8 // 100, height * 30 // 100, width * 92 // 100, height * 36 // 100), fill=_shade(hue, 0.3))
    for desk in range(3):
        left = width * (12 + desk * 28) // 100
        counter = (left, height * 52 // 100, left + width * 22 // 100, height * 68 // 100)
        draw.rectangle(counter, fill=_shade(0.08, 0.45, 0.4))
        screen = (left + width // 20, height * 42 // 100, left + width * 11 // 100, height * 51 // 100)
        draw.rectangle(screen, fill=_shade(0.58, 0.25, 0.5))
    title = _font(height // 13)
    box = draw.textbbox((0, 0), name, font=title)
    place = (width - box[2] - height // 30, height // 40)
    draw.rectangle((place[0] - height // 60, 0, width, box[3] + height // 20), fill=(24, 30, 40))
    draw.text(place, name, font=title, fill=(245, 245, 245))
    return image


def _planes(image: Image.Image) -> tuple[Plane, Plane, Plane]:
    """Limited-range luma and half-size chroma of an RGB picture."""
    frame = av.VideoFrame.from_image(image).reformat(format="yuv420p")  # type: ignore[no-untyped-call]
    return _plane(frame, 0).copy(), _plane(frame, 1).copy(), _plane(frame, 2).copy()


def _plane(frame: av.VideoFrame, index: int) -> Plane:
    plane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def _glyphs(size: int) -> dict[str, Plane]:
    """White characters on black, all of one width."""
    font = _font(size)
    width = max(int(font.getlength(character)) for character in _CLOCK_CHARACTERS) + 1
    glyphs = {}
    for character in _CLOCK_CHARACTERS:
        image = Image.new("L", (width, size * 5 // 4), strip.BLACK)
        ImageDraw.Draw(image).text((0, -size // 10), character, font=font, fill=strip.WHITE)
        glyphs[character] = np.asarray(image, dtype=np.uint8)
    return glyphs


class Painter:
    """Makes the frames of one stream of one camera."""

    def __init__(self, width: int, height: int, name: str, number: int) -> None:
        self.width = width
        self.height = height
        self._number = number
        self._base = _planes(_scene(width, height, name, number))
        self._glyphs = _glyphs(max(12, height // 16))
        self._clear_clock_chroma()

    def _clear_clock_chroma(self) -> None:
        glyph = self._glyphs["0"]
        text_width = glyph.shape[1] * len("2026-01-01 00:00:00.000 #00000")
        top = self.height - glyph.shape[0] - self.height // 40
        for chroma in self._base[1:]:
            chroma[top // 2 : (top + glyph.shape[0] + 1) // 2, : (text_width + self.height // 40 + 1) // 2] = 128
            chroma[: self.width // 40 + 1, : self.width * strip.COLUMNS // strip.CELLS_PER_WIDTH // 2] = 128

    def frame(self, stamp: strip.Stamp) -> av.VideoFrame:
        """The picture for `stamp`; its time is also shown in words, in the hall's zone."""
        frame = av.VideoFrame(self.width, self.height, "yuv420p")
        planes = [_plane(frame, index) for index in range(3)]
        for target, source in zip(planes, self._base, strict=True):
            target[:] = source
        self._people(planes, stamp.time_ms)
        self._clock(planes[0], stamp)
        strip.draw(planes[0], self.width, stamp)
        return frame

    def _people(self, planes: list[Plane], time_ms: int) -> None:
        """Three walkers with different paces; they only ever cross the floor."""
        tall, wide = self.height * 30 // 100, self.width * 5 // 100
        span = self.width + wide
        for index, pace in enumerate((19.0, 31.0, 47.0)):
            phase = (time_ms / 1000 / pace + index * 0.37 + self._number * 0.11) % 1.0
            left = (int(phase * span) - wide) & ~1
            top = (self.height * (40 + index * 6) // 100) & ~1
            start, end = max(0, left), min(self.width, left + wide)
            if end <= start:
                continue
            planes[0][top : top + tall, start:end] = 50 + index * 30
            planes[0][top - tall // 4 : top, start + (end - start) // 4 : end - (end - start) // 4] = 170
            planes[1][top // 2 : (top + tall) // 2, start // 2 : end // 2] = 110 + index * 25
            planes[2][top // 2 : (top + tall) // 2, start // 2 : end // 2] = 150 - index * 25

    def _clock(self, luma: Plane, stamp: strip.Stamp) -> None:
        moment = datetime.fromtimestamp(stamp.time_ms // 1000, UTC).astimezone(HALL_ZONE)
        text = f"{moment:%Y-%m-%d %H:%M:%S}.{stamp.time_ms % 1000:03d} #{stamp.counter:05d}"
        row = np.concatenate([self._glyphs[character] for character in text], axis=1)
        top, left = self.height - row.shape[0] - self.height // 40, self.height // 40
        visible = min(row.shape[1], self.width - left)
        luma[top : top + row.shape[0], left : left + visible] = row[:, :visible]
