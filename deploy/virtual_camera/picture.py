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
    """The part of the picture that never moves: a wall with window signs, counters with screens, a floor."""
    image = Image.new("RGB", (width, height), _shade(0.11 + number * 0.02, 0.80, 0.18))
    draw = ImageDraw.Draw(image)
    floor = height * 62 // 100
    draw.rectangle((0, floor, width, height), fill=_shade(0.58, 0.52 + number % 3 * 0.03, 0.08))
    for column in range(-width, width * 2, width // 8):
        draw.line((width // 2 + (column - width // 2) // 3, floor, column, height), fill=_shade(0.58, 0.46, 0.08))
    draw.rectangle((0, height * 22 // 100, width, height * 30 // 100), fill=_shade(0.60, 0.28, 0.45))
    sign = _font(height // 18)
    for window in range(1, 4):
        left = width * (12 + (window - 1) * 28) // 100
        _counter(draw, left, height)
        text = f"{number * 3 - 3 + window}号窗口"
        draw.text((left + width * 11 // 100, height * 26 // 100), text, font=sign, fill=(250, 250, 250), anchor="mm")
    _title(draw, width, height, name)
    return image


def _counter(draw: ImageDraw.ImageDraw, left: int, height: int) -> None:
    """A desk, the screen on it and the clerk behind."""

    def box(x0: int, y0: int, x1: int, y1: int) -> tuple[int, int, int, int]:
        """Per cent of the height, from the desk's left edge."""
        return left + x0 * height // 100, y0 * height // 100, left + x1 * height // 100, y1 * height // 100

    draw.ellipse(box(28, 36, 36, 44), fill=_shade(0.07, 0.7, 0.4))
    draw.rectangle(box(26, 44, 39, 54), fill=_shade(0.62, 0.3, 0.4))
    draw.rectangle(box(0, 53, 39, 70), fill=_shade(0.09, 0.5, 0.35))
    draw.rectangle(box(0, 53, 39, 55), fill=_shade(0.09, 0.72, 0.3))
    draw.rectangle(box(5, 42, 18, 51), fill=(32, 38, 48))
    draw.rectangle(box(6, 43, 17, 50), fill=_shade(0.56, 0.62, 0.5))


def _title(draw: ImageDraw.ImageDraw, width: int, height: int, name: str) -> None:
    font = _font(height // 13)
    box = draw.textbbox((0, 0), name, font=font)
    place = (width - box[2] - height // 30, height // 40)
    draw.rectangle((place[0] - height // 60, 0, width, box[3] + height // 20), fill=(24, 30, 40))
    draw.text(place, name, font=font, fill=(245, 245, 245))


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
        ImageDraw.Draw(image).text((width // 2, -size // 10), character, font=font, fill=strip.WHITE, anchor="ma")
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
            left = self.height // 40 // 2
            chroma[top // 2 : (top + glyph.shape[0] + 1) // 2, left : left + (text_width + 1) // 2] = 128
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
            head = wide * 3 // 5
            planes[0][top : top + tall, start:end] = 60 + index * 28
            face = slice(max(0, left + (wide - head) // 2), max(0, min(self.width, left + (wide + head) // 2)))
            planes[0][top - head : top, face] = 165
            planes[1][(top - head) // 2 : top // 2, face.start // 2 : face.stop // 2] = 112
            planes[2][(top - head) // 2 : top // 2, face.start // 2 : face.stop // 2] = 146
            planes[1][top // 2 : (top + tall) // 2, start // 2 : end // 2] = 110 + index * 25
            planes[2][top // 2 : (top + tall) // 2, start // 2 : end // 2] = 150 - index * 25

    def _clock(self, luma: Plane, stamp: strip.Stamp) -> None:
        moment = datetime.fromtimestamp(stamp.time_ms // 1000, UTC).astimezone(HALL_ZONE)
        text = f"{moment:%Y-%m-%d %H:%M:%S}.{stamp.time_ms % 1000:03d} #{stamp.counter:05d}"
        row = np.concatenate([self._glyphs[character] for character in text], axis=1)
        top, left = self.height - row.shape[0] - self.height // 40, self.height // 40
        visible = min(row.shape[1], self.width - left)
        luma[top : top + row.shape[0], left : left + visible] = row[:, :visible]
