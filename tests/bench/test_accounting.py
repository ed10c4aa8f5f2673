"""The accounts of the soak: a hole, an overlap and a silent loss are found, and nothing else is."""

from __future__ import annotations

from deploy.virtual_camera.journal import Journal
from deploy.virtual_camera.marks import Mark
from tests.bench.accounting import Found, partition, unexplained
from tests.bench.frames import compare


def test_rows_side_by_side_have_neither_holes_nor_overlaps() -> None:
    found = partition([(20, 30), (0, 10), (10, 20)], 0, 30)
    assert (found.holes, found.overlaps) == ((), ())


def test_holes_and_overlaps_are_told_apart() -> None:
    found = partition([(0, 10), (8, 20), (25, 40), (26, 30)], -5, 50)
    assert found.holes == ((-5, 0), (20, 25), (40, 50))
    assert found.overlaps == ((8, 10), (26, 30))


def test_rows_outside_the_time_do_not_count() -> None:
    found = partition([(-100, 5), (5, 100), (200, 300), (7, 7)], 0, 50)
    assert (found.holes, found.overlaps) == ((), ())


def _marks(numbers: list[int]) -> list[Mark | None]:
    return [Mark(1, number, 0) for number in numbers]


def test_pictures_in_files_are_compared_with_pictures_sent() -> None:
    found = Found(1)
    found.take(_marks([0, 1, 2, 3]))
    found.take([*_marks([4, 6]), None, Mark(2, 7, 0)])
    found.take(_marks([6, 7]))
    assert found.ranges == [range(5), range(6, 7), range(6, 8)]
    assert (found.count, found.doubled(), found.strange) == (8, 1, 2)
    assert found.missing([range(10)]) == [5, 8, 9]


def test_a_missing_picture_is_explained_only_by_a_gap_of_its_time() -> None:
    journal = Journal(1)
    journal.times_us[0].extend(range(0, 1000, 10))
    gaps = [(100, 200), (150, 160), (500, 520)]
    assert unexplained(journal, 1, [5, 9, 10, 18, 20, 21, 50, 60], gaps, 0) == [5, 9, 21, 60]
    assert unexplained(journal, 1, [9, 21, 60], gaps, 10) == [60]


def test_frames_compare_names_each_fault() -> None:
    marks = [*_marks([1, 2, 2, 5, 4]), None]
    found = compare([range(1, 6)], marks)
    assert (found.missing, found.doubled, found.reordered, found.unmarked) == ((3,), 1, 1, 1)
    assert not found.none
    assert compare([range(1, 3)], _marks([1, 2])).none
