"""The interleaved byte stream: frames, text and junk, however they are cut."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camera_gateway.packets import SourceFault
from camera_gateway.rtp.demultiplexer import Demultiplexer
from tests.camera_gateway.rtp.senders import (
    PPS,
    SPS,
    aggregate,
    fragments,
    fragments5,
    frame,
    h264,
    h265,
    packet,
    sample,
    track,
)

TEXT = b"RTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n"


class Session:
    """Takes text as an RTSP session would, and keeps what comes on channel 2."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.packets: list[bytes] = []
        self.demultiplexer = Demultiplexer(self.text)
        self.demultiplexer.bind(2, self.take)

    def text(self, view: memoryview) -> int:
        end = bytes(view).find(b"\r\n\r\n")
        if end < 0:
            return 0
        self.texts.append(bytes(view[: end + 4]))
        return end + 4

    def take(self, data: memoryview, start: int, end: int, arrival_us: int, arrival_s: float) -> None:
        self.packets.append(bytes(data[start:end]))

    def feed(self, data: bytes) -> None:
        """As the engine does: from one buffer that is used again."""
        buffer = bytearray(data)
        with memoryview(buffer) as view:
            self.demultiplexer.feed(view, 5, 0.5)
        buffer[:] = bytes(len(buffer))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**20), max_size=12))
def test_frames_and_text_however_they_are_cut(places: list[int]) -> None:
    wanted = [bytes((index,)) * (index * 37 % 301) for index in range(40)]
    stream = TEXT
    for index, data in enumerate(wanted):
        stream += frame(data, 2) + frame(b"nobody", 9) + (TEXT if index % 7 == 0 else b"")
    session = Session()
    for piece in cut(stream, places):
        session.feed(piece)
    assert session.packets == wanted
    assert session.texts == [TEXT] * 7
    assert session.demultiplexer.junk == 0


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**20), max_size=20), st.integers(3, 400), st.integers(0, 65535))
def test_video_however_the_stream_is_cut(places: list[int], size: int, first: int) -> None:
    chance = random.Random(size)
    nals = [
        b"\x65\x88" + chance.randbytes(2000),
        *(b"\x41\x9a" + chance.randbytes(chance.randrange(1, 1500)) for _ in range(9)),
    ]
    stream, sequence = b"", first
    for index, nal in enumerate(nals):
        payloads = [aggregate((SPS, PPS)), *fragments(nal, size)] if nal[0] == 0x65 else fragments(nal, size)
        if len(nal) <= size:
            payloads = [nal]
        for at, payload in enumerate(payloads):
            stream += frame(packet(sequence, index * 3600, payload, marker=at == len(payloads) - 1))
            sequence += 1
        stream += frame(b"\x80\xc8\x00\x01\0\0\0\0", 1) if index % 3 == 0 else b"\r\n"
    receiver, kept, counters = track(h264())
    session = Session()
    session.demultiplexer.bind(0, receiver.take)
    session.demultiplexer.bind(1, receiver.take_control)
    for piece in cut(stream, places):
        session.feed(piece)
    receiver.flush()
    assert [unit.data for unit in kept.units] == [sample(nal) for nal in nals]
    assert [unit.arrival_us for unit in kept.units] == [5] * len(nals)
    assert counters.packets == sequence - first
    assert counters.lost == counters.broken_units == 0


def test_the_fast_path_counts_as_the_slow_one_does() -> None:
    packets = [packet(n, 0, piece) for n, piece in enumerate(fragments(b"\x65\x88" + bytes(9000), 700))]
    fast, _, fast_counters = track(h264())
    slow, _, slow_counters = track(h264())
    session = Session()
    session.demultiplexer.bind(0, fast.take)
    for at in range(0, len(packets), 5):
        for data in packets[at : at + 5]:
            slow.take(memoryview(data), 0, len(data), at, at / 100)
        piece = b"".join(frame(data) for data in packets[at : at + 5])
        session.demultiplexer.feed(memoryview(piece), at, at / 100)
    assert fast_counters == slow_counters
    assert fast.report(0, 1.0) == slow.report(0, 1.0)


@settings(deadline=None)
@given(st.integers(0, 2**64), st.booleans())
def test_the_fast_path_says_what_the_slow_one_says_of_any_packets(seed: int, is_h265: bool) -> None:
    chance = random.Random(seed)
    packets, sequence, stamp, ssrc = [], chance.randrange(65_536), chance.randrange(2**32), 7
    for _ in range(chance.randrange(1, 40)):
        head = chance.choice(
            (b"\x26\x01", b"\x02\x01", b"\x42\x01") if is_h265 else (b"\x65", b"\x41", b"\x67", b"\x06")
        )
        nal = head + chance.choice((b"\x80", b"\x10")) + chance.randbytes(chance.randrange(1, 90))
        payloads = (fragments5 if is_h265 else fragments)(nal, chance.choice((7, 20, 200)))
        if chance.random() < 0.2:
            payloads = [nal]
        stamp += chance.choice((0, 3600, 3600, 3600))
        ssrc += chance.random() < 0.03
        for at, payload in enumerate(payloads):
            sequence += 1
            marker = (at == len(payloads) - 1) != (chance.random() < 0.1)
            first = 0x80 if chance.random() < 0.97 else chance.choice((0xA0, 0x40))
            if chance.random() < 0.96:
                packets.append(packet(sequence, stamp, payload, marker=marker, ssrc=ssrc, first=first))
            if chance.random() < 0.03:
                packets.append(packets[-1] if packets else b"")
    media = h265() if is_h265 else h264()
    slow, slow_kept, slow_counters = track(media)
    for data in packets:
        slow.take(memoryview(data), 0, len(data), 5, 0.5)
    fast, fast_kept, fast_counters = track(media)
    session = Session()
    session.demultiplexer.bind(0, fast.take)
    for piece in cut(b"".join(map(frame, packets)), [chance.randrange(2**20) for _ in range(chance.randrange(9))]):
        session.feed(piece)
    slow.flush()
    fast.flush()
    assert fast_kept.units == slow_kept.units
    assert fast_counters == slow_counters


def test_junk_is_skipped_up_to_the_next_frame_and_counted() -> None:
    session = Session()
    session.feed(
        frame(b"one", 2)
        + b"\x00\x01\x02 junk \xff"
        + frame(b"two", 2)
        + b"\x07RTSP/1.0 200 OK\r\n\r\n"
        + frame(b"six", 2)
    )
    assert session.packets == [b"one", b"two", b"six"]
    assert session.texts == [b"RTSP/1.0 200 OK\r\n\r\n"]
    assert session.demultiplexer.junk == 11


def test_endless_junk_and_endless_text_are_refused() -> None:
    session = Session()
    for _ in range(32):
        session.feed(bytes(8192))
    with pytest.raises(SourceFault, match="neither"):
        session.feed(bytes(8192))
    session = Session()
    for _ in range(32):
        session.feed(b"A" * 8192)
    with pytest.raises(SourceFault, match="endless"):
        session.feed(b"A")


def test_a_text_handler_may_bind_channels() -> None:
    kept: list[bytes] = []

    def answered(view: memoryview) -> int:
        demultiplexer.bind(4, lambda data, start, end, _us, _s: kept.append(bytes(data[start:end])))
        return len(TEXT)

    demultiplexer = Demultiplexer(answered)
    demultiplexer.feed(memoryview(frame(b"early", 4) + TEXT + frame(b"late", 4)), 0, 0.0)
    assert kept == [b"late"]
