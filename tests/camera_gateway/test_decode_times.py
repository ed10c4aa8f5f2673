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
