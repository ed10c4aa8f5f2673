"""The ring of a stream on standby reaches back far enough, begins with a key frame, and is bounded."""

from __future__ import annotations

from camera_gateway.packets import AccessUnit
from camera_gateway.pre_roll import PreRoll, PreRollMemory
from tests.camera_gateway.ingest_rig import IngestRig


def frames(first: int, count: int) -> list[AccessUnit]:
    return [IngestRig.unit(index) for index in range(first, first + count)]


def filled(ring: PreRoll, units: list[AccessUnit]) -> PreRoll:
    for unit in units:
        unit.arrival_s = unit.dts / 90_000
        ring.add(unit)
    return ring


def test_it_reaches_at_least_as_far_back_as_asked_in_whole_groups() -> None:
    kept = filled(PreRoll(3.0, PreRollMemory(1 << 30)), frames(0, 260)).take()
    assert kept[0].key
    assert 3.0 <= kept[-1].arrival_s - kept[0].arrival_s < 4.1
    assert [unit.dts for unit in kept] == sorted(unit.dts for unit in kept)


def test_what_comes_before_a_key_frame_is_of_no_use() -> None:
    ring = filled(PreRoll(3.0, PreRollMemory(1 << 30)), frames(5, 10))
    assert ring.take() == []
    assert ring.newest_group() == []


def test_taking_empties_it() -> None:
    ring = filled(PreRoll(3.0, PreRollMemory(1 << 30)), frames(0, 30))
    assert len(ring.newest_group()) == 5
    assert len(ring.take()) == 30
    assert ring.take() == []


def test_bytes_are_bounded_and_the_oldest_group_goes_first() -> None:
    units = frames(0, 100)
    size = sum(len(unit.data) for unit in units[25:])
    kept = filled(PreRoll(1000.0, PreRollMemory(size)), units).take()
    assert kept == units[25:]


def test_rings_share_their_memory_and_a_ring_that_is_gone_gives_its_share_back() -> None:
    units = frames(0, 100)
    memory = PreRollMemory(2 * sum(len(unit.data) for unit in units))
    first, second = PreRoll(1000.0, memory), PreRoll(1000.0, memory)
    third = PreRoll(1000.0, memory)
    share = memory.share
    assert len(filled(first, units).take()) < 100
    del third
    assert memory.share > share
    assert len(filled(second, units).take()) == 100
