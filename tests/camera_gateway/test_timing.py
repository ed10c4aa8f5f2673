"""Wall time from media time: smooth, and the same after ten thousand segments as after one."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_gateway.recorder.timing import ArrivalLine, ClockWatch, next_boundary_us
from storage.clock import US


def error_after(line: ArrivalLine, *, seconds: int, rate: float, jitter: random.Random, start_us: int) -> list[int]:
    """Feed one arrival a second from a camera whose clock runs at `rate`; the errors at each minute."""
    errors = []
    for second in range(seconds):
        true_us = start_us + second * US
        media = round(second * US * rate)
        line.add(media, true_us + int(jitter.expovariate(1 / 3000)))
        if second % 60 == 59:
            errors.append(line.wall_us(media) - true_us)
    return errors


@pytest.mark.parametrize("rate", [1.0, 1.0002, 0.9998])
def test_ten_thousand_rotations_do_not_drift(rate: float) -> None:
    errors = error_after(
        ArrivalLine(), seconds=600_000, rate=rate, jitter=random.Random(5), start_us=1_790_000_000 * US
    )
    assert len(errors) == 10_000
    assert max(abs(error) for error in errors) < 25_000
    early, late = sum(errors[:1000]) / 1000, sum(errors[-1000:]) / 1000
    assert abs(late - early) < 2000


def test_a_camera_that_sends_fewer_frames_than_it_stamps_is_followed() -> None:
    line = ArrivalLine()
    for frame in range(25 * 300):
        line.add(frame * 40_000, frame * 47_619)  # stamps 25 a second, sends 21
    assert abs(line.wall_us(7499 * 40_000) - 7499 * 47_619) < 50_000


def test_a_burst_after_a_stall_does_not_move_the_line() -> None:
    line = ArrivalLine()
    for frame in range(25 * 60):
        stalled = 20 * 25 <= frame < 22 * 25
        line.add(frame * 40_000, (22 * US) if stalled else frame * 40_000)
    assert abs(line.wall_us(1499 * 40_000) - 1499 * 40_000) < 20_000


@given(st.lists(st.integers(0, 3 * US), min_size=2, max_size=200), st.integers(0, 10**15))
def test_answers_only_rise(delays: list[int], start_us: int) -> None:
    line = ArrivalLine()
    answers = []
    for index, delay in enumerate(delays):
        line.add(index * 40_000, start_us + index * 40_000 + delay)
        answers.append(line.wall_us(index * 40_000))
    assert all(later > earlier for earlier, later in itertools.pairwise(answers))


def test_a_step_is_noticed_and_slewing_is_not() -> None:
    watch = ClockWatch()
    assert watch.stepped_us(100 * US, 5.0) == 0
    for second in range(1, 100):
        assert watch.stepped_us(100 * US + second * (US + 500), 5.0 + second) == 0
    assert watch.stepped_us(100 * US + 99 * (US + 500) - 7 * US, 104.0) == -7 * US


@given(st.integers(0, 2**52), st.integers(1_000_000, 3_600_000_000), st.integers(0, 2**40))
def test_the_next_boundary_lies_ahead_and_within_one_interval(now: int, interval: int, seed: int) -> None:
    phase = seed % interval
    boundary = next_boundary_us(now, interval, phase)
    assert 0 < boundary - now <= interval
    assert (boundary - phase) % interval == 0
