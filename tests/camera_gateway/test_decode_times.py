"""Decoding times derived from presentation times."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from camera_gateway.decode_times import DecodeTimes, first_presentation_time


def test_without_reordering_both_times_are_the_same() -> None:
    times = DecodeTimes()
    times.prime([900, 4500, 8100, 11700])
    answers = [times.take(900 + index * 3600) for index in range(100)]
    assert [answer.dts for answer in answers] == [index * 3600 for index in range(100)]
    assert all(answer.pts == answer.dts and not answer.jumped for answer in answers)


def test_reordered_pictures_get_even_decoding_times() -> None:
    shown = [0]
    for group in range(0, 40, 4):
        shown += [group + 4, group + 2, group + 1, group + 3]
    times = DecodeTimes()
    times.prime([value * 3600 for value in shown[:4]])
    answers = [times.take(value * 3600) for value in shown]
    assert [answer.dts for answer in answers] == [index * 3600 for index in range(len(shown))]
    assert all(answer.pts >= answer.dts for answer in answers)
    assert sorted(answer.pts for answer in answers) == [(index + 2) * 3600 for index in range(len(shown))]


def test_a_jump_is_told_and_time_goes_on() -> None:
    times = DecodeTimes()
    before = [times.take(index * 3600) for index in range(10)][-1]
    after = times.take(90_000 * 3600)
    assert after.jumped
    assert after.dts == before.dts + 3600
    assert not times.take(90_000 * 3600 + 3600).jumped


def test_a_step_back_of_a_clock_that_was_set_is_a_jump() -> None:
    times = DecodeTimes()
    assert [times.take(400_000 + index * 3600).dts for index in range(10)] == [index * 3600 for index in range(10)]
    back = times.take(200_000)
    assert (back.dts, back.jumped) == (10 * 3600, True)
    assert times.take(203_600).dts == 11 * 3600


def test_another_session_goes_on_whatever_its_clock_says() -> None:
    times = DecodeTimes()
    for index in range(10):
        times.take(index * 3600)
    times.restart()
    first, second = times.take(36_000), times.take(39_600)
    assert (first.dts, first.jumped) == (36_000, True)
    assert (second.dts, second.jumped) == (39_600, False)


def test_reordering_that_shows_late_is_learnt() -> None:
    shown = [0, 1, 2, 3, 4, 5]
    for group in range(5, 45, 4):
        shown += [group + 4, group + 2, group + 1, group + 3]
    times = DecodeTimes()
    times.prime([value * 3600 for value in shown[:4]])
    answers = [times.take(value * 3600) for value in shown]
    assert all(later.dts > earlier.dts for earlier, later in itertools.pairwise(answers))
    assert [answer.pts for answer in answers] == [value * 3600 for value in shown]
    assert all(answer.pts >= answer.dts for answer in answers[14:])


def test_no_picture_is_shown_before_time_begins() -> None:
    times = DecodeTimes()
    assert times.take(7200).pts == 0
    assert times.take(3600).pts == 0


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=60))
def test_decoding_times_always_rise(stamps: list[int]) -> None:
    times = DecodeTimes()
    times.prime(stamps[:4])
    answers = [times.take(stamp).dts for stamp in stamps]
    assert all(later > earlier for earlier, later in itertools.pairwise(answers))
    assert answers[0] >= 0


def test_the_first_picture_comes_one_interval_before_the_next() -> None:
    assert first_presentation_time([3600, 7200, 10800]) == 0
    assert first_presentation_time([14400, 7200, 3600]) == 0
    assert first_presentation_time([]) == 0
