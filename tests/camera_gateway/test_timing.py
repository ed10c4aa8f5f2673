"""Wall time from media time: smooth, and the same after ten thousand segments as after one."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_gateway.packets import AccessUnit
from camera_gateway.recorder.ports import FragmentNote, SegmentStart
from camera_gateway.recorder.segmenter import Segmenter
from camera_gateway.recorder.timing import ArrivalLine, ClockWatch, Timekeeper, next_boundary_us
from storage.clock import US, FakeClock
from storage.model import RunEnd
from tests.camera_gateway.media import units


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


def plain_line(arrivals: list[tuple[int, int]]) -> tuple[float, float, int, int]:
    """The same line by the words of docs/decisions/0022 alone: slope, offset, and the origin."""
    origin = arrivals[0]
    points: list[tuple[int, int]] = []
    second: list[tuple[int, int]] = []
    since = origin[0]
    for media, wall in arrivals:
        if media - since >= US:
            points.append(min(second, key=lambda point: point[1] - point[0]))
            second, since = [], media
        second.append((media - origin[0], wall - origin[1]))
    points = points[-60:]
    if len(points) < 4:
        return 1.0, float(min(y - x for x, y in [*points, *second])), *origin
    x, y = (sum(point[axis] for point in points) / len(points) for axis in (0, 1))
    slope = sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
    slope = min(max(slope, 0.5), 2.0)
    return slope, y - slope * x, *origin


@given(
    st.lists(st.tuples(st.integers(1000, 400_000), st.integers(0, 200_000)), min_size=1, max_size=300),
    st.integers(0, 10**12),
    st.integers(10**15, 2 * 10**15),
)
def test_the_line_is_the_one_that_is_written_down(steps: list[tuple[int, int]], media: int, wall: int) -> None:
    line, arrivals = ArrivalLine(), []
    for step, delay in steps:
        media, wall = media + step, wall + step
        arrivals.append((media, wall + delay))
        line.add(*arrivals[-1])
    slope, offset, media0, wall0 = plain_line(arrivals)
    for at in (media0, media, media + 10 * US):
        assert abs(line.place_us(at) - (wall0 + offset + slope * (at - media0))) < 2


class Cuts:
    """A sink that only keeps where files begin and end."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []

    def begin(self, start: SegmentStart) -> None:
        self.starts.append(start.t0_us)

    def write(self, parts: list[bytes], size: int, note: FragmentNote) -> None:
        return

    def read_back(self, limit: int, deliver: Callable[[bytes], None]) -> None:
        raise AssertionError("nobody watches")

    def finish(self, t1_us: int) -> None:
        self.ends.append(t1_us)

    def open_run(self, stream_id: UUID, run_id: UUID, t0_us: int) -> None:
        return

    def close_run(self, run_id: UUID, t1_us: int, end: RunEnd, detail: str) -> None:
        return


@pytest.mark.parametrize("rate", [1.0, 0.9998])
def test_ten_thousand_files_join_and_the_last_begins_where_it_should(rate: float) -> None:
    """Two pictures a second, a file a second: whatever rounding or carrying there were would add up."""
    chance, cuts, start_us = random.Random(7), Cuts(), 1_790_000_000 * US
    segmenter, keeper = Segmenter(UUID(int=77), cuts, FakeClock(), 1.0), Timekeeper()
    sets, late = units("h264")[0].parameters, []
    for number in range(20_000):
        true_us = start_us + number * US // 2
        dts = round(number * 45_000 * rate)
        arrival_us = true_us + int(chance.expovariate(1 / 3000))
        unit = AccessUnit(b"\0\0\0\1A", True, dts, dts, arrival_us, arrival_us / US, sets)
        assert keeper.take(unit) is None
        before = len(cuts.starts)
        assert segmenter.take(unit, keeper.line) is None
        if len(cuts.starts) > before:
            late.append(cuts.starts[-1] - true_us)
    assert len(cuts.starts) >= 9_990
    assert cuts.starts[1:] == cuts.ends
    assert max(abs(error) for error in late) < 25_000
    assert abs(sum(late[-1000:]) - sum(late[:1000])) / 1000 < 2000


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
