"""Order and loss over UDP and TCP, and what receiver reports say."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camera_gateway.packets import SourceFault
from camera_gateway.rtp import rtcp
from camera_gateway.rtp.packet import payload_bounds
from camera_gateway.rtp.tracks import Track
from storage.clock import US
from storage.model import GapReason
from tests.camera_gateway.rtp.senders import SSRC, aggregate, fragments, give, h264, packet, sample, track

NTP_UNIX = 2_208_988_800
NOW_US = 1_795_000_000 * US


def nals(chance: random.Random, count: int) -> list[bytes]:
    return [
        (b"\x65\x88" if index % 8 == 0 else b"\x41\x9a") + chance.randbytes(chance.randrange(1, 1200))
        for index in range(count)
    ]


def packetise(chance: random.Random, units: list[bytes], first: int, stamp: int) -> list[bytes]:
    """Each NAL unit as one packet, fragments of any size, or in an aggregate with a message."""
    made: list[bytes] = []
    for nal in units:
        stamp += 3600
        way = chance.randrange(3)
        if way == 0 or len(nal) < 4:
            payloads = [nal]
        elif way == 1:
            payloads = fragments(nal, chance.randrange(1, len(nal) - 1))
        else:
            payloads = [aggregate((b"\x09\xf0", nal))]
        for at, payload in enumerate(payloads):
            last = at == len(payloads) - 1
            made.append(packet(first + len(made), stamp, payload, marker=last))
    return made


@settings(deadline=None)
@given(st.integers(0, 2**64), st.integers(0, 65535), st.integers(0, 2**32 - 1))
def test_everything_arrives_over_tcp(seed: int, first: int, stamp: int) -> None:
    chance = random.Random(seed)
    units = nals(chance, 24)
    receiver, kept, counters = track(h264())
    for data in packetise(chance, units, first, stamp):
        give(receiver, data)
    receiver.flush()
    assert [unit.data for unit in kept.units] == [sample(nal) for nal in units]
    assert [unit.pts for unit in kept.units] == [index * 3600 for index in range(len(units))]
    assert counters.lost == counters.broken_units == counters.duplicated == counters.ignored == 0


@settings(deadline=None)
@given(
    st.integers(0, 2**64),
    st.integers(0, 65535),
    st.sampled_from((0.0, 0.02, 0.3)),
    st.sampled_from((0.0, 0.05)),
    st.sampled_from((0, 1, 6)),
    st.booleans(),
)
def test_what_arrives_is_a_part_of_what_was_sent(
    seed: int, first: int, loss: float, twice: float, shuffle: int, ordered: bool
) -> None:
    chance = random.Random(seed)
    units = nals(chance, 40)
    sent = packetise(chance, units, first, 77)
    travelling = [
        (index + chance.randrange(shuffle + 1), data)
        for index, data in enumerate(sent)
        if index == 0 or chance.random() >= loss
        for _ in range(2 if chance.random() < twice else 1)
    ]
    if not ordered:
        travelling[1:] = sorted(travelling[1:], key=lambda entry: entry[0])
    else:
        travelling = [(0, data) for _, data in travelling]
    receiver, kept, counters = track(h264(), ordered=ordered)
    for at, (_, data) in enumerate(travelling):
        give(receiver, data, at / 1000)
    receiver.flush()
    wanted = iter(sample(nal) for nal in units)
    assert all(unit.data in wanted for unit in kept.units)  # bit-exact and in order: `in` moves the iterator on
    arrived = {data for _, data in travelling}
    numbers = [index for index, data in enumerate(sent) if data in arrived]
    assert counters.lost == max(numbers) + 1 - len(numbers)
    assert counters.packets == len(numbers)
    assert counters.duplicated == len(travelling) - len(arrived)
    if len(numbers) == len(sent):
        assert len(kept.units) == len(units)


def test_early_packets_wait_for_those_before_them() -> None:
    sent = [packet(65_534 + index, index * 3600, b"\x65\x88" + bytes((index,)), marker=True) for index in range(8)]
    receiver, kept, counters = track(h264(), ordered=False)
    for at in (0, 2, 1, 4, 5, 3, 6, 7):
        give(receiver, sent[at], at / 1000)
    receiver.flush()
    assert [unit.data[-1] for unit in kept.units] == list(range(8))
    assert counters.reordered == 2
    assert counters.lost == 0


def test_a_loss_is_declared_once_and_what_comes_later_is_late() -> None:
    sent = [packet(index, index * 3600, b"\x65\x88" + bytes((index,)), marker=True) for index in range(40)]
    receiver, kept, counters = track(h264(), ordered=False)
    give(receiver, sent[0], 0.0)
    for index in range(2, 10):
        give(receiver, sent[index], index * 0.04)
    assert counters.lost == 1
    give(receiver, sent[1], 0.4)
    give(receiver, sent[1], 0.4)
    give(receiver, sent[10], 0.4)
    receiver.flush()
    assert [unit.data[-1] for unit in kept.units] == [0, *range(2, 11)]
    assert (counters.lost, counters.reordered, counters.duplicated) == (1, 1, 1)


def test_waiting_is_bounded_in_packets_and_ends_with_a_report() -> None:
    receiver, kept, counters = track(h264(), ordered=False)
    give(receiver, packet(0, 0, b"\x65\x88\x00", marker=True))
    for index in range(2, 2 + 257):
        give(receiver, packet(index, index * 3600, b"\x65\x88\x01", marker=True))
    assert counters.lost == 1
    assert counters.packets == 258
    give(receiver, packet(261, 261 * 3600, b"\x65\x88\x01", marker=True))
    receiver.report(0, 0.1)
    assert counters.lost == 1
    receiver.report(0, 0.3)
    assert counters.lost == 3
    assert len(kept.units) > 250


def test_a_stray_packet_is_no_new_session_over_udp() -> None:
    receiver, kept, counters = track(h264(), ordered=False)
    for index in range(10):
        give(receiver, packet(index, index * 3600, b"\x65\x88\x00", marker=True))
        if index == 5:
            give(receiver, packet(999, 5, b"\x65\x88\xff", marker=True, ssrc=9))
    receiver.flush()
    assert [unit.data[-1] for unit in kept.units] == [0] * 10
    assert counters.ignored == 1


def test_two_packets_of_another_source_are_a_new_session_over_udp() -> None:
    receiver, kept, counters = track(h264(), ordered=False)
    for index in range(6):
        give(receiver, packet(index, index * 3600, b"\x65\x88\x00", marker=True))
    for index in range(6):
        give(receiver, packet(60_000 + index, index * 3600, b"\x65\x88\x01", marker=True, ssrc=9))
    receiver.flush()
    assert [unit.data[-1] for unit in kept.units] == [0] * 6 + [1] * 6
    assert [unit.jumped for unit in kept.units].count(True) == 1
    assert (counters.lost, counters.ignored) == (0, 0)


def test_numbers_that_begin_anew_are_no_loss() -> None:
    for ordered in (True, False):
        receiver, kept, counters = track(h264(), ordered=ordered)
        for index in range(12):
            number = index if index < 6 else 30_000 + index
            give(receiver, packet(number, index * 3600, b"\x65\x88\x00", marker=True))
        receiver.flush()
        assert len(kept.units) == 12
        assert counters.lost == 0


def test_padding_sources_and_extension_are_skipped() -> None:
    data = packet(1, 0, b"\x65\x88\x07", marker=True)
    padded = bytes((data[0] | 0x20,)) + data[1:] + b"\0\0\0\4"
    sources = bytes((data[0] | 2,)) + data[1:12] + bytes(8) + data[12:]
    extended = bytes((data[0] | 0x10,)) + data[1:12] + b"\xab\xac\x00\x03" + bytes(12) + data[12:]
    for form in (padded, sources, extended):
        receiver, kept, counters = track(h264())
        give(receiver, form)
        receiver.flush()
        assert [unit.data for unit in kept.units] == [sample(b"\x65\x88\x07")]
        assert counters.ignored == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(11),
        b"\x40" + packet(1, 0, b"\x65\x88")[1:],
        packet(1, 0, b"\x65\x88", kind=97),
        packet(1, 0, b"\x65\x88\x09", first=0xA0),
        packet(1, 0, b"\x65\x88\x00", first=0xA0),
        packet(1, 0, b"\x65\x88", first=0x8F),
        packet(1, 0, b"\x65\x88", first=0x90),
        packet(1, 0, b"\x65\x88\x00\x09", first=0x90),
    ],
)
def test_what_is_no_packet_of_ours_is_ignored_and_counted(data: bytes) -> None:
    receiver, kept, counters = track(h264())
    give(receiver, data)
    receiver.flush()
    assert not kept.units
    assert (counters.ignored, counters.packets) == (1, 0)


def test_empty_packets_keep_their_number() -> None:
    receiver, _, counters = track(h264())
    for index in range(4):
        give(receiver, packet(index, 0, b""))
    assert (counters.lost, counters.packets) == (0, 4)


def test_bounds_of_nothing() -> None:
    assert payload_bounds(memoryview(b"\x80"), 0, 1) is None
    assert payload_bounds(memoryview(packet(1, 0, b"")), 0, 12) == (12, 12)


# -- RTCP --------------------------------------------------------------------------------------------------------------


def sender_report(ntp: int, stamp: int, ssrc: int = SSRC) -> bytes:
    return struct.pack(">BBHIQIII", 0x80, 200, 6, ssrc, ntp, stamp & 0xFFFF_FFFF, 1, 2)


def ntp_of(unix_us: int) -> int:
    return ((unix_us + NTP_UNIX * US) << 32) // US + 1


def control(receiver: Track, data: bytes, now_us: int = NOW_US, now_s: float = 0.0) -> None:
    receiver.take_control(memoryview(b"?" + data), 1, 1 + len(data), now_us, now_s)


def test_a_sender_report_shows_the_clock_of_the_camera() -> None:
    receiver, kept, _ = track(h264())
    control(receiver, sender_report(ntp_of(NOW_US - 75 * US), 2**32 - 3600))
    for index in range(6):
        give(receiver, packet(index, index * 3600 - 3600, b"\x65\x88", marker=True))
    control(receiver, sender_report(ntp_of(NOW_US - 74 * US), 90_000 - 3600) + sender_report(ntp_of(5), 0, ssrc=1))
    receiver.flush()
    assert [(report.camera_us, report.dts, report.arrival_us) for report in kept.reports] == [
        (NOW_US - 75 * US, 0, NOW_US),
        (NOW_US - 74 * US, 90_000, NOW_US),
    ]


@pytest.mark.parametrize("ntp", [0, 1, 5 << 32, 1_795_000_000 << 32])
def test_clocks_that_were_never_set_are_not_told(ntp: int) -> None:
    receiver, kept, _ = track(h264())
    for index in range(6):
        give(receiver, packet(index, index * 3600, b"\x65\x88", marker=True))
    control(receiver, sender_report(ntp, 3600))
    control(receiver, sender_report(ntp_of(NOW_US), 2**31))  # a timestamp from nowhere
    assert not kept.reports


def test_the_second_era_of_ntp() -> None:
    in_2037 = 2_114_380_800 * US
    assert rtcp.unix_us(ntp_of(in_2037) & (1 << 64) - 1, in_2037) == in_2037
    assert rtcp.unix_us(ntp_of(in_2037) & (1 << 64) - 1, NOW_US) is None
    assert rtcp.unix_us(NTP_UNIX << 32, NOW_US) == 0  # a camera that believes in 1970 does have a clock


def test_a_goodbye_ends_the_session() -> None:
    receiver, kept, _ = track(h264())
    for index in range(6):
        give(receiver, packet(index, index * 3600, b"\x65\x88", marker=True))
    control(receiver, struct.pack(">BBHI", 0x81, 203, 1, 99))
    with pytest.raises(SourceFault, match="BYE") as caught:
        control(receiver, sender_report(0, 0) + struct.pack(">BBHI", 0x81, 203, 1, SSRC))
    assert caught.value.reason is GapReason.NETWORK
    assert len(kept.units) == 6


def test_receiver_reports() -> None:
    receiver, _, _ = track(h264())
    empty = receiver.report(0, 0.0)
    assert empty[:4] == b"\x80\xc9\x00\x01"
    control(receiver, sender_report(0x0123_4567_89AB_CDEF, 0), now_s=10.0)
    for index in (*range(65_530, 65_536), *range(2, 12)):  # 0 and 1 are lost
        give(receiver, packet(index, 0, b"\x65\x88"), 10.0)
    control(receiver, sender_report(0x0123_4567_89AB_CDEF, 0), now_s=10.0)
    report = receiver.report(0, 10.5)
    head, own, ssrc, lost, highest, jitter, last, delay = struct.unpack_from(">8I", report)
    assert head == 0x81C9_0007
    assert own != ssrc == SSRC
    assert lost == (2 * 256 // 18) << 24 | 2
    assert highest == 65_536 + 11
    assert (jitter, last, delay) == (0, 0x4567_89AB, 32_768)
    kind, words = report[33], int.from_bytes(report[34:36], "big")
    assert (kind, len(report)) == (202, 32 + 4 + 4 * words)
    assert b"sunhall-" in report
    again = struct.unpack_from(">8I", receiver.report(0, 11.0))
    assert again[3] == 2  # nothing more was lost


def test_jitter_is_that_of_rfc_3550() -> None:
    receiver, _, _ = track(h264())
    jitter, before = 0.0, None
    chance = random.Random(5)
    for index in range(200):
        arrival = index * 0.04 + chance.random() * 0.02
        transit = arrival * 90_000 - index * 3600
        if before is not None:
            jitter += (abs(transit - before) - jitter) / 16
        before = transit
        give(receiver, packet(index, index * 3600, b"\x65\x88", marker=True), arrival)
    assert abs(struct.unpack_from(">8I", receiver.report(0, 8.0))[5] - jitter) <= 1


@given(st.binary(max_size=200))
def test_any_control_packet_is_taken(data: bytes) -> None:
    receiver, _, _ = track(h264())
    control(receiver, data)
    assert receiver.report(0, 0.0)
