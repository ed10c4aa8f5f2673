"""Files made to hurt: right checksums over wrong content give an error of ours or a picture of the stated size."""

from __future__ import annotations

import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screen_capture import container
from screen_capture.container import MAX_SEGMENT_BYTES, salvage
from screen_capture.decode import picture_at, read_index
from screen_capture.encode import SegmentEncoder, to_rgb
from storage.errors import MediaError
from tests.screen_capture.desktops import office, photograph

T0 = 1_790_000_000_000_000


def body_of(seed: int, count: int = 3) -> tuple[bytes, list[np.ndarray[tuple[int, ...], np.dtype[np.uint32]]]]:
    """Header and pictures of an unfinished segment, and what they show."""
    screens = office(count, 200, 150, seed)
    for screen in screens:
        photograph(screen, 64, 64, 64, 64, seed)
    encoder = SegmentEncoder(screens[0], T0)
    data = encoder.begin()
    for number, screen in enumerate(screens[1:], 1):
        data += encoder.add(screen, T0 + number) or b""
    return data, list(screens)


def resealed(body: bytes, t1_us: int) -> bytes:
    """An index and a footer as a forger would make them: all checksums right, whatever the pictures say."""
    entries, at = [], 32
    while at + 8 <= len(body):
        length = struct.unpack_from(">I", body, at)[0] + 12
        if at + length > len(body) or length < 20:
            break
        t_us = struct.unpack_from(">q", body, at + 8)[0]
        entries.append(struct.pack(">qIIHH", t_us, at, length, 0, 0))
        at += length
    index = struct.pack(">qI", t1_us, len(entries)) + b"".join(entries)
    record = struct.pack(">IBBH", len(index), 2, 0, 0) + index
    whole = body[:at] + record + struct.pack(">I", zlib.crc32(record))
    return whole + struct.pack(">II8s", at, zlib.crc32(struct.pack(">I", at), zlib.crc32(whole)), b"SHSCREND")


def forged(body: bytes, seeded: random.Random) -> bytes:
    """`body` with some bytes of one picture changed and that record's own checksum made right again."""
    raw = bytearray(body)
    starts, at = [], 32
    while at < len(raw):
        starts.append(at)
        at += struct.unpack_from(">I", raw, at)[0] + 12
    start = seeded.choice(starts)
    length = struct.unpack_from(">I", raw, start)[0]
    for _ in range(seeded.randrange(1, 6)):
        where = start + 8 + seeded.randrange(min(length, seeded.choice([24, 80, length])))
        raw[where] = seeded.choice([0, 1, 0x7F, 0x80, 0xFF, seeded.randrange(256)])
    crc = zlib.crc32(raw[start : start + 8 + length])
    struct.pack_into(">I", raw, start + 8 + length, crc)
    return bytes(raw)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_forged_pictures_give_our_error_or_a_picture(seed: int) -> None:
    seeded = random.Random(seed)
    body, _ = body_of(seed % 5)
    data = resealed(forged(body, seeded), T0 + 1000)
    for number in range(3):
        try:
            picture = picture_at(data, number)
        except MediaError:
            continue
        assert picture.shape == (150, 200, 3)


def test_the_forger_of_these_tests_makes_readable_files() -> None:
    body, screens = body_of(1)
    data = resealed(body, T0 + 1000)
    assert data == body + container.pack_end(body, T0 + 1000)
    assert len(read_index(data).pictures) == len(screens)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_cut_unfinished_segment_keeps_its_whole_pictures(data: st.DataObject) -> None:
    body, screens = body_of(2, count=5)
    cut = data.draw(st.integers(0, len(body)))
    try:
        _, pictures, size = salvage(body[:cut])
    except MediaError:
        assert cut < 32
        return
    assert size <= cut
    if not pictures:
        return
    finished = body[:size] + container.pack_end(body[:size], T0 + 1000)
    shown, wanted = picture_at(finished, len(pictures) - 1), to_rgb(screens[len(pictures) - 1])
    assert np.array_equal(shown[:64], wanted[:64])
    assert np.array_equal(shown[:, :64], wanted[:, :64])


@given(st.binary(max_size=2000))
def test_salvaging_noise_gives_our_error(noise: bytes) -> None:
    with pytest.raises(MediaError):
        salvage(noise)


def test_a_patch_that_claims_a_huge_image_is_refused_before_it_is_decoded() -> None:
    bits = struct.pack("<I", (16_383 - 1) | (16_383 - 1) << 14)
    chunk = b"VP8L" + struct.pack("<I", 5 + 20) + b"\x2f" + bits + b"\x00" * 20
    chunk += b"\x00" * (len(chunk) % 2)
    webp = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    header = container.pack_header(container.Header(128, 64, T0))
    patch = container.Patch(0, 0, 2, 1, container.CODEC_LOSSLESS, webp)
    body = header + container.pack_picture(container.Picture(T0, [patch]))
    with pytest.raises(MediaError, match="plain 128 x 64"):
        picture_at(body + container.pack_end(body, T0 + 1), 0)


def test_many_pictures_of_nothing_stay_cheap() -> None:
    body, _ = body_of(3, count=1)
    empty = [container.pack_picture(container.Picture(T0 + n, [])) for n in range(1, 1024)]
    body += b"".join(empty)
    data = body + container.pack_end(body, T0 + 2000)
    assert len(data) < MAX_SEGMENT_BYTES
    assert np.array_equal(picture_at(data, 1023), picture_at(data, 0))


def test_lower_photo_quality_costs_fewer_bytes_and_leaves_text_exact() -> None:
    screen = office(1, 640, 384, 3)[0]
    photograph(screen, 64, 128, 192, 256, seed=5)
    fine, coarse = (SegmentEncoder(screen, T0, quality) for quality in (80, 50))
    full, less = fine.begin(), coarse.begin()
    assert len(less) < 0.8 * len(full)
    shown = picture_at(less + coarse.end(T0 + 1), 0)
    assert np.array_equal(shown[:64], to_rgb(screen)[:64])
