"""Text is exact whatever happened before, photographs are close, and nothing grows beyond its bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screen_capture.change import Rectangle, digest, fill, is_uniform
from screen_capture.container import FLAG_REDUCED, MAX_SEGMENT_BYTES, parse_header, parse_picture
from screen_capture.decode import picture_at, read_index
from screen_capture.encode import SegmentEncoder, photo_tiles, rectangles, to_rgb
from screen_capture.frames import Frame, Words
from screen_capture.patches import MAX_PATCH_TILES
from storage.errors import MediaError
from tests.screen_capture.desktops import office, photograph, write

T0 = 1_790_000_000_000_000
SECOND = 1_000_000


def encode(pictures: list[Words]) -> bytes:
    encoder = SegmentEncoder(pictures[0], T0)
    data = encoder.begin()
    for number, picture in enumerate(pictures[1:], 1):
        more = encoder.add(picture, T0 + number * SECOND)
        assert more is not None
        data += more
    return data + encoder.end(T0 + len(pictures) * SECOND)


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    seed=st.integers(0, 2**32 - 1),
    edits=st.lists(st.sampled_from(["write", "window", "scroll", "none"]), max_size=8),
)
def test_text_is_exact_after_any_edits(width: int, height: int, seed: int, edits: list[str]) -> None:
    rng = np.random.default_rng(seed)
    screen = office(1, width, height, seed)[0]
    pictures = [screen]
    for edit in edits:
        screen = screen.copy()
        if edit == "write":
            write(screen, rng)
        elif edit == "window":
            screen[: height // 2, : width // 3] = rng.integers(0, 1 << 24)
        elif edit == "scroll":
            screen = np.ascontiguousarray(np.roll(screen, 7, axis=0))
        pictures.append(screen)
    data = encode(pictures)
    for number, picture in enumerate(pictures):
        assert (picture_at(data, number) == to_rgb(picture)).all()


def test_text_beside_a_photograph_stays_exact_and_the_photograph_stays_close() -> None:
    screen = office(1, 640, 384, 3)[0]
    photograph(screen, 64, 128, 192, 256, seed=5)
    photo = photo_tiles(screen, np.ones((6, 10), np.bool_))
    assert photo.sum() == 12
    shown = picture_at(encode([screen]), 0).astype(int)
    wanted = to_rgb(screen).astype(int)
    pixels = np.kron(photo, np.ones((64, 64), np.bool_)).astype(bool)
    assert (shown[~pixels] == wanted[~pixels]).all()
    assert 0 < np.abs(shown[pixels] - wanted[pixels]).mean() < 12


def test_only_changed_tiles_are_written_again() -> None:
    before = office(1, 1280, 720, 9)[0]
    after = before.copy()
    after[300:310, 400:500] = 0x0000FF
    encoder = SegmentEncoder(before, T0)
    key = encoder.begin()
    more = encoder.add(after, T0 + SECOND)
    assert more is not None
    assert len(more) < len(key) / 4
    data = key + more + encoder.end(T0 + 2 * SECOND)
    patches = parse_picture(data, read_index(data).pictures[1], parse_header(data)).patches
    assert sum(patch.columns * patch.rows for patch in patches) == 2
    assert (picture_at(data, 1) == to_rgb(after)).all()


def test_a_segment_ends_after_a_minute_and_at_another_resolution() -> None:
    encoder = SegmentEncoder(office(1, 200, 100, 1)[0], T0)
    encoder.begin()
    assert encoder.add(office(1, 100, 200, 1)[0], T0 + SECOND) is None
    assert encoder.add(office(1, 200, 100, 2)[0], T0 + 59 * SECOND) is not None
    assert encoder.add(office(1, 200, 100, 3)[0], T0 + 60 * SECOND) is None
    assert encoder.add(office(1, 200, 100, 3)[0], T0 + 59 * SECOND) is None


def test_a_picture_that_cannot_fit_exactly_is_reduced_and_says_so() -> None:
    rng = np.random.default_rng(4)
    palette = rng.integers(0, 1 << 24, 500, dtype=np.uint32)
    screen = palette[rng.integers(0, 500, (2160, 3840))]
    encoder = SegmentEncoder(screen, T0)
    data = encoder.begin()
    assert encoder.add(screen[::-1].copy(), T0 + SECOND) is None
    data += encoder.end(T0 + SECOND)
    assert len(data) <= MAX_SEGMENT_BYTES
    picture = parse_picture(data, read_index(data).pictures[0], parse_header(data))
    assert picture.flags & FLAG_REDUCED
    assert picture_at(data, 0).shape == (2160, 3840, 3)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_rectangles_cover_exactly_the_tiles(rows: int, columns: int, seed: int) -> None:
    tiles = np.random.default_rng(seed).random((rows, columns)) < 0.5
    covered = np.zeros((rows, columns), int)
    for column, row, width, height in rectangles(tiles):
        assert width * height <= MAX_PATCH_TILES
        covered[row : row + height, column : column + width] += 1
    assert (covered == tiles).all()


def test_one_changed_pixel_is_a_change_but_not_under_the_clock() -> None:
    before = office(1, 300, 200, 2)[0]
    clock = [Rectangle(250, 180, 50, 20)]
    for row, column, changed in [(0, 0, True), (179, 299, True), (180, 250, False), (199, 299, False)]:
        after = before.copy()
        after[row, column] ^= 1
        assert digest(after) != digest(before)
        assert (digest(after, clock) != digest(before, clock)) is changed


def test_the_same_pixels_at_another_size_are_a_change() -> None:
    pixels = np.zeros((10, 20), np.uint32)
    assert digest(pixels) != digest(np.zeros((20, 10), np.uint32))


def test_rectangles_beyond_the_picture_fill_what_there_is() -> None:
    pixels = np.full((10, 10), 7, np.uint32)
    fill(pixels, [Rectangle(-5, -5, 7, 7), Rectangle(8, 8, 100, 100), Rectangle(-9, -9, 2, 2)])
    assert (pixels == 0).sum() == 8
    assert is_uniform(np.full((3, 3), 5, np.uint32))
    assert not is_uniform(pixels)


def test_the_fourth_byte_of_a_pixel_does_not_matter() -> None:
    assert (Frame(1, 1, b"\x01\x02\x03\xff").words() == Frame(1, 1, b"\x01\x02\x03\x00").words()).all()
    assert to_rgb(Frame(1, 1, b"\x01\x02\x03\xff").words()).tolist() == [[[3, 2, 1]]]


def test_a_frame_whose_size_does_not_fit_its_bytes() -> None:
    with pytest.raises(MediaError):
        Frame(2, 2, b"\x00" * 15).words()
