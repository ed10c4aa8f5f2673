"""Sound in files: each sample once, in its place, without drift, and never in the way of the pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest

from camera_gateway.audio.track import KEPT_BYTES, KEPT_UNITS, MOST_STRETCHES, SoundTrack
from camera_gateway.fmp4.audio import AudioRun
from camera_gateway.packets import AudioCodec, AudioFormat, AudioUnit
from storage.clock import US
from storage.errors import MediaError

AAC_LC = bytes.fromhex("1588")  # 8000 Hz mono
AAC = AudioFormat(AudioCodec.AAC, 8000, 1, AAC_LC)
PCMA = AudioFormat(AudioCodec.PCMA, 8000, 1)
START_US = 1_790_000_000_000_000
PACKET = 160


def packet(number: int, *, late_us: int = 0, time: int | None = None, size: int = PACKET) -> AudioUnit:
    """A G.711 packet of 20 ms; it arrives when its last sample was made, or `late_us` after that."""
    begin = number * PACKET if time is None else time
    arrival_us = START_US + (begin + size) * US // 8000 + late_us
    return AudioUnit(bytes((number % 251,)) * size, begin, arrival_us, arrival_us / US)


def at_us(sample: int) -> int:
    return START_US + sample * US // 8000


def heard(track: SoundTrack, units: Iterable[AudioUnit]) -> None:
    for unit in units:
        track.take(unit)


def declared(runs: Sequence[AudioRun]) -> list[int]:
    """The declared times of all pieces, and of the end."""
    times: list[int] = []
    for run in runs:
        at = run.time
        for duration in run.durations:
            times.append(at)
            at += duration
        times.append(at)
    return times


def test_sound_begins_where_it_arrived_against_the_picture() -> None:
    track = SoundTrack(PCMA)
    heard(track, map(packet, range(10)))
    track.begin_run(at_us(4 * PACKET) - 30_000)  # the first whole packet after it begins 10 ms later
    (run,) = track.runs()
    assert run.time == 80
    assert sum(run.durations) == 7 * PACKET


def test_a_hole_is_a_hole_and_what_follows_is_in_its_place() -> None:
    track = SoundTrack(PCMA)
    track.begin_run(START_US)
    heard(track, [packet(number) for number in (*range(5), *range(8, 12))])
    first, second = track.runs()
    assert (first.time, sum(first.durations)) == (0, 5 * PACKET)
    assert (second.time, sum(second.durations)) == (8 * PACKET, 4 * PACKET)


def test_a_camera_that_counts_by_its_clock_makes_no_holes() -> None:
    track = SoundTrack(PCMA)
    track.begin_run(START_US)
    shaken = [packet(number, time=number * PACKET + (number * 7) % 30) for number in range(100)]
    heard(track, shaken)
    (run,) = track.runs()
    assert sum(run.durations) == 100 * PACKET


def test_files_share_the_sound_between_them() -> None:
    """A file takes what begins before its end, the next one the rest; late sound is kept at the next one's start."""
    track = SoundTrack(PCMA)
    track.begin_run(START_US)
    cut = at_us(10 * PACKET)
    heard(track, map(packet, range(8)))
    heard(track, [packet(11)])  # before packet 9, which the network holds back
    early = track.runs(cut)
    assert sum(map(sum, (run.durations for run in early))) == 8 * PACKET
    track.begin_file(cut)
    (run,) = track.runs()
    assert run.time == PACKET


def test_a_piece_from_before_the_file_loses_no_sample_and_shifts_none() -> None:
    track = SoundTrack(PCMA)
    track.begin_run(START_US)
    heard(track, map(packet, range(6)))
    cut = at_us(6 * PACKET + 100)
    assert sum(track.runs(cut)[0].durations) == 6 * PACKET
    track.begin_file(cut)
    heard(track, map(packet, range(6, 6 + 20)))
    (run,) = track.runs()
    assert run.time == 0
    assert sum(run.durations) == 20 * PACKET - 100  # the samples before the cut are declared away, not left out
    later = packet(26)
    track.take(later)
    (run,) = track.runs()
    assert run.time == 20 * PACKET - 100


def test_times_rise_even_when_whole_pieces_are_late() -> None:
    track = SoundTrack(AAC)
    track.begin_run(START_US)
    first = AudioUnit(b"\x01" * 40, 0, START_US + 128_000, START_US / US + 0.128)
    track.take(first)
    track.runs(START_US + 1)
    track.begin_file(START_US + 500_000)
    for number in range(1, 8):
        arrival_us = START_US + (number + 1) * 128_000
        track.take(AudioUnit(b"\x01" * 40, number * 1024, arrival_us, arrival_us / US))
    times = declared(track.runs())
    assert times[0] == 0
    assert all(before < after for before, after in pairwise(times))
    assert times[-1] == 8 * 1024 - 4000  # the last ones are in their place


def test_ten_thousand_files_show_no_drift() -> None:
    """The camera's clock is 200 ppm fast: each file's first piece stays where it arrived."""
    track = SoundTrack(PCMA)
    track.begin_run(START_US)
    number, boundary, worst = 0, START_US, 0
    for _ in range(10_000):
        boundary += 400_000
        while True:
            begin = number * PACKET
            arrival_us = START_US + (begin + PACKET) * US * 10_000 // 8000 // 10_002
            if arrival_us > boundary + 20_000:
                break
            track.take(AudioUnit(b"\xd5" * PACKET, begin, arrival_us, arrival_us / US))
            number += 1
        track.runs(boundary)
        track.begin_file(boundary)
        pending = track.runs()
        truth = ((number - 1) * PACKET) * US * 10_000 // 8000 // 10_002 + START_US
        place = pending[0].time if pending else 0
        worst = max(worst, abs(place * US // 8000 - max(0, truth - boundary)))
    assert worst <= 20_000  # less than one packet


def test_sound_from_before_the_recording_is_not_in_it() -> None:
    track = SoundTrack(PCMA)
    heard(track, map(packet, range(100)))
    track.begin_run(at_us(60 * PACKET))
    (run,) = track.runs()
    assert run.time == 0
    assert sum(run.durations) == 40 * PACKET


def test_sound_without_pictures_is_bounded_and_counted_only_inside_a_run() -> None:
    track = SoundTrack(PCMA)
    many = [packet(number) for number in range(2 * KEPT_BYTES // PACKET)]
    heard(track, many)
    assert track.lost == 0
    track.begin_run(at_us(len(many) * PACKET))
    heard(track, (packet(len(many) + number) for number in range(KEPT_BYTES // PACKET + 9)))
    assert 0 < track.lost < 20
    assert sum(map(sum, (run.durations for run in track.runs()))) <= KEPT_BYTES


def test_units_of_one_byte_are_bounded_by_their_number() -> None:
    track = SoundTrack(AAC)
    track.begin_run(START_US)
    for number in range(KEPT_UNITS + 100):
        track.take(AudioUnit(b"\x01", number * 1024, START_US + US, 1.0))
    assert track.lost == 100
    assert sum(len(run.pieces) for run in track.runs()) == KEPT_UNITS


def test_sound_full_of_holes_keeps_a_fragment_readable() -> None:
    track = SoundTrack(PCMA)
    track.begin_run(START_US)
    heard(track, (packet(number, time=number * 1000) for number in range(500)))
    runs = track.runs()
    assert len(runs) == MOST_STRETCHES
    assert track.lost == 500 - MOST_STRETCHES
    track.take(packet(0, time=500_000))
    (run,) = track.runs()
    assert run.time == 500_000  # the next fragment goes on in its place


def test_broken_units_are_left_out_and_counted() -> None:
    stereo = SoundTrack(AudioFormat(AudioCodec.PCMU, 8000, 2))
    stereo.begin_run(START_US)
    stereo.take(AudioUnit(b"", 0, START_US, 0.0))
    stereo.take(AudioUnit(b"\x00" * 321, 0, START_US, 0.0))
    assert stereo.lost == 2
    assert stereo.runs() == []


def test_a_clock_step_forgets_what_waits() -> None:
    track = SoundTrack(PCMA)
    track.begin_run(START_US)
    heard(track, map(packet, range(5)))
    stepped = packet(5)
    stepped.arrival_us += 3600 * US
    track.take(stepped)
    assert track.lost == 5
    track.end_run()
    track.begin_run(stepped.arrival_us - 20_000)
    (run,) = track.runs()
    assert (run.time, sum(run.durations)) == (0, PACKET)


@pytest.mark.parametrize(
    ("config", "codec", "frame"),
    [
        ("1588", "mp4a.40.2", 1024),  # LC, 8000 Hz
        ("158c", "mp4a.40.2", 960),  # the same with frames of 960
        ("2b098800", "mp4a.40.5", 2048),  # HE-AAC: a core of 24000 Hz shown as 48000 Hz
    ],
)
def test_aac_configurations(config: str, codec: str, frame: int) -> None:
    rate = 48_000 if frame == 2048 else 8000
    track = SoundTrack(AudioFormat(AudioCodec.AAC, rate, 1, bytes.fromhex(config)))
    assert track.track.codec == codec
    track.begin_run(START_US)
    track.take(AudioUnit(b"\x01\x02", 0, START_US + US, 1.0))
    assert track.runs()[0].durations == [frame]


@pytest.mark.parametrize("config", ["", "15", "f8e85000", "7988", "17f8", "ff" * 70])
def test_aac_that_we_do_not_know_is_refused(config: str) -> None:
    with pytest.raises(MediaError):
        SoundTrack(AudioFormat(AudioCodec.AAC, 8000, 1, bytes.fromhex(config)))


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (8000, 0), (8000, 9), (1 << 20, 1)])
def test_formats_beyond_reason_are_refused(rate: int, channels: int) -> None:
    with pytest.raises(MediaError):
        SoundTrack(AudioFormat(AudioCodec.PCMA, rate, channels))
