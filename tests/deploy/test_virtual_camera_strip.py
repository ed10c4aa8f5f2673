"""The machine strip, its picture, and the packaged font."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFont

from deploy.fonts import font_path
from deploy.virtual_camera.encode import Encoder, VideoShape
from deploy.virtual_camera.picture import Painter
from deploy.virtual_camera.strip import Stamp, crc16, decode, draw, encode, read
from tests.deploy.decoding import decode_units


def test_the_checksum_is_crc16_ccitt_false() -> None:
    assert crc16(b"123456789") == 0x29B1


@given(st.integers(0, 2**42 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**14 - 1))
def test_a_strip_says_what_went_in(time_ms: int, counter: int, camera: int) -> None:
    assert decode(encode(Stamp(time_ms, counter, camera))) == Stamp(time_ms, counter, camera)


@given(st.integers(0, 95))
def test_one_wrong_cell_is_noticed(bit: int) -> None:
    data = bytearray(encode(Stamp(1_795_000_000_123, 4711, 6)))
    data[bit // 8] ^= 0x80 >> bit % 8
    assert decode(bytes(data)) is None


def test_a_known_strip_stays_as_documented() -> None:
    assert encode(Stamp(1_795_222_923_456, 4711, 6)).hex() == "a6687ee7fa300499c006f044"


@pytest.mark.parametrize("width", [1920, 1280, 960, 640, 400, 320])
def test_a_strip_survives_scaling(width: int) -> None:
    stamp = Stamp(1_795_222_923_456, 4711, 6)
    plane = np.zeros((1080, 1920), dtype=np.uint8)
    draw(plane, 1920, stamp)
    scaled = Image.fromarray(plane).resize((width, width * 9 // 16), Image.Resampling.BILINEAR)
    assert read(np.asarray(scaled)) == stamp


@pytest.mark.parametrize(
    "shape",
    [
        VideoShape("h264", 640, 360, 10, 10),
        VideoShape("h264", 960, 540, 12, 12),
        VideoShape("h265", 1280, 720, 15, 5),
        VideoShape("h264", 640, 360, 10, 10, b_frames=2),
    ],
)
def test_a_strip_survives_coding(shape: VideoShape) -> None:
    painter, encoder = Painter(shape.width, shape.height, "1号窗口 正面", 7), Encoder(shape)
    stamps = [Stamp(1_795_222_923_456 + index * 77, index, 7) for index in range(20)]
    units = []
    for index, stamp in enumerate(stamps):
        units += encoder.encode(painter.frame(stamp), index * 9000, key=index % shape.gop == 0)
    pictures = decode_units(shape.codec, units + encoder.flush())
    assert [read(picture) for picture in pictures] == stamps


def test_pictures_differ_by_more_than_the_strip() -> None:
    painter = Painter(640, 360, "大厅", 1)
    first, second = (painter.frame(Stamp(t, 0, 1)).to_ndarray(format="gray") for t in (0, 1000))
    assert (first[100:300] != second[100:300]).any()


def test_the_font_has_all_of_gb2312_and_draws_no_boxes() -> None:
    font = ImageFont.truetype(str(font_path()), 24)
    missing = bytes(font.getmask("\U0010ffff"))
    rows = [*range(1, 4), *range(16, 88)]
    cells = [
        bytes([0xA0 + row, 0xA0 + cell]).decode("gb2312", errors="ignore") for row in rows for cell in range(1, 95)
    ]
    characters = [character for character in cells if character and not character.isspace()]
    assert len(characters) > 6763
    assert [character for character in characters if bytes(font.getmask(character)) == missing] == []
