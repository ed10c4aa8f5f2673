"""The segment's bytes: what is written is read, what is not exactly that is refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from screen_capture import container
from screen_capture.container import CODEC_LOSSLESS, Composer, Header, Patch, Picture, pack_picture
from screen_capture.decode import encode_png, encode_webp, index_at, picture_at, read_index
from screen_capture.encode import SegmentEncoder, to_rgb
from screen_capture.patches import encode_patch
from storage.errors import MediaError
from tests.screen_capture.desktops import office

T0 = 1_790_000_000_000_000


def segment(count: int = 3) -> bytes:
    screens = office(count=count, width=200, height=150, seed=7)
    encoder = SegmentEncoder(screens[0], T0)
    data = encoder.begin(program="受理平台", staff="A017")
    for number, screen in enumerate(screens[1:], 1):
        data += encoder.add(screen, T0 + number * 5_000_000) or b""
    return data + encoder.end(T0 + count * 5_000_000)


def composed(pictures: list[Picture], width: int = 128, height: int = 64) -> bytes:
    composer = Composer(Header(width, height, pictures[0].t_us))
    data = composer.begin()
    for picture in pictures:
        data += composer.add(picture, pack_picture(picture))
    return data + composer.end(pictures[-1].t_us + 1)


def test_index_says_what_was_written() -> None:
    index = read_index(segment())
    assert [entry.t_us for entry in index.pictures] == [T0, T0 + 5_000_000, T0 + 10_000_000]
    assert (index.width, index.height, index.t0_us, index.t1_us) == (200, 150, T0, T0 + 15_000_000)
    assert (index.pictures[0].program, index.pictures[0].staff) == ("受理平台", "A017")
    assert index_at(index, T0 - 1) is None
    assert index_at(index, T0 + 9_999_999) == 1
    assert index_at(index, T0 + 99_000_000) == 2


def test_pictures_as_png_and_webp_are_exact() -> None:
    picture = picture_at(segment(), 2)
    for coded in (encode_png(picture), encode_webp(picture)):
        assert (np.asarray(Image.open(io.BytesIO(coded)).convert("RGB")) == picture).all()


@pytest.mark.parametrize("index", [-1, 3, 1000])
def test_a_picture_that_is_not_there(index: int) -> None:
    with pytest.raises(MediaError):
        picture_at(segment(), index)


def test_every_cut_is_refused() -> None:
    data = segment()
    for size in range(0, len(data), 13):
        with pytest.raises(MediaError):
            read_index(data[:size])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_flipped_bit_anywhere_is_refused(data: st.DataObject) -> None:
    whole = bytearray(segment(2))
    at = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[at // 8] ^= 1 << at % 8
    with pytest.raises(MediaError):
        picture_at(bytes(whole), 1)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=4096))
def test_noise_is_refused(noise: bytes) -> None:
    for data in (noise, segment(2)[:32] + noise):
        with pytest.raises(MediaError):
            picture_at(data, 0)


def test_a_dead_writers_segment_is_finished_from_its_pictures() -> None:
    whole = segment()
    header, pictures, size = container.salvage(whole[:-200])
    assert header.width == 200
    assert 1 <= len(pictures) <= 3
    body = whole[:size]
    finished = body + container.pack_end(body, pictures[-1].t_us + 1)
    last = len(pictures) - 1
    assert (picture_at(finished, last) == picture_at(whole, last)).all()


def test_a_segment_finished_from_all_its_pictures_is_the_same_file() -> None:
    whole = segment()
    _, pictures, size = container.salvage(whole)
    assert len(pictures) == 3
    assert whole[:size] + container.pack_end(whole[:size], T0 + 15_000_000) == whole


def flat(colour: int, width: int, height: int) -> bytes:
    return encode_patch(to_rgb(np.full((height, width), colour, np.uint32)), CODEC_LOSSLESS)


HOSTILE = {
    "a patch outside the picture": [Patch(1, 0, 2, 1, CODEC_LOSSLESS, flat(1, 128, 64))],
    "an empty patch": [Patch(0, 0, 0, 1, CODEC_LOSSLESS, b"")],
    "patches over each other": [Patch(0, 0, 2, 1, CODEC_LOSSLESS, flat(1, 128, 64))] * 2,
    "an unknown codec": [Patch(0, 0, 2, 1, 9, flat(1, 128, 64))],
    "another size than the patch": [Patch(0, 0, 2, 1, CODEC_LOSSLESS, flat(1, 64, 64))],
    "a hole in the key picture": [Patch(0, 0, 1, 1, CODEC_LOSSLESS, flat(1, 64, 64))],
    "no image at all": [Patch(0, 0, 2, 1, CODEC_LOSSLESS, b"RIFF" + b"\x00" * 60)],
    "no patches": [],
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_well_formed_files_with_hostile_content(name: str) -> None:
    with pytest.raises(MediaError):
        picture_at(composed([Picture(T0, HOSTILE[name])]), 0)


def test_an_extended_webp_never_reaches_the_decoder() -> None:
    target = io.BytesIO()
    frames = [Image.new("RGB", (128, 64), colour) for colour in ("red", "blue")]
    frames[0].save(target, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(MediaError, match="plain"):
        picture_at(composed([Picture(T0, [Patch(0, 0, 2, 1, CODEC_LOSSLESS, target.getvalue())])]), 0)


@pytest.mark.parametrize(("width", "height"), [(0, 1), (1, 0), (16_385, 1), (16_384, 16_384), (2**32 - 1, 2)])
def test_impossible_sizes(width: int, height: int) -> None:
    raw = struct.pack(">8sBBHIIq", b"SHSCREEN", 1, 0, 64, width, height, T0)
    with pytest.raises(MediaError):
        container.parse_header(raw + struct.pack(">I", zlib.crc32(raw)))


def test_a_later_version_is_named_in_the_refusal() -> None:
    raw = struct.pack(">8sBBHIIq", b"SHSCREEN", 2, 0, 64, 10, 10, T0)
    with pytest.raises(MediaError, match="version 2"):
        container.parse_header(raw + struct.pack(">I", zlib.crc32(raw)))


@pytest.mark.parametrize("times", [[T0, T0], [T0, T0 - 1], [T0, T0 + 60_000_001]])
def test_times_must_rise_within_a_minute(times: list[int]) -> None:
    patches = [Patch(0, 0, 2, 1, CODEC_LOSSLESS, flat(1, 128, 64))]
    with pytest.raises(MediaError):
        composed([Picture(t_us, patches) for t_us in times])


def test_a_file_above_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(MediaError, match="at most"):
        read_index(bytes(container.MAX_SEGMENT_BYTES + 1))
