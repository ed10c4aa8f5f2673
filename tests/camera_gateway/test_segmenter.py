"""Runs and files: where they begin, where they are cut, and that no frame is lost between them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from camera_gateway.fmp4.parameters import ParameterSets
from camera_gateway.packets import AccessUnit
from camera_gateway.recorder.segmenter import Segmenter
from camera_gateway.recorder.timing import Timekeeper
from storage.clock import US, FakeClock
from storage.model import GapReason, RunEnd
from tests.camera_gateway.media import MemorySink, packets, picture_hashes, stream_facts, transport_stream, units

STREAM = UUID(int=0x0192_0000_0000_7000_8000_0000_0000_0000)


def record(frames: Iterable[AccessUnit], *, segment_s: float = 60.0, end: bool = True) -> MemorySink:
    sink = MemorySink()
    segmenter = Segmenter(STREAM, sink, FakeClock(), segment_s)
    feed(segmenter, frames)
    if end:
        segmenter.end(RunEnd.STOPPED)
    return sink


def feed(segmenter: Segmenter, frames: Iterable[AccessUnit]) -> list[GapReason]:
    keeper = Timekeeper()
    faults: list[GapReason] = []
    for unit in frames:
        broken = keeper.take(unit)
        if broken is not None:
            segmenter.end(broken.end, broken.detail)
        fault = segmenter.take(unit, keeper.line)
        if fault is not None:
            faults.append(fault.reason)
    return faults


@pytest.mark.parametrize("kind", ["h264", "h264b", "h265", "h265b"])
def test_ffmpeg_reads_back_every_picture(kind: str, tmp_path: Path) -> None:
    sink = record(units(kind))
    made = tmp_path / "made.mp4"
    made.write_bytes(sink.files[0])

    found = packets(made)
    assert len(found) == len(units(kind)) == sink.notes[0][-1].frames
    times = [int(packet["dts"]) for packet in found]
    assert times == sorted(set(times))
    assert [("K" in packet["flags"]) for packet in found] == [unit.key for unit in units(kind)]
    assert picture_hashes(made) == picture_hashes(transport_stream(kind))
    facts = stream_facts(made)
    assert (facts["width"], facts["height"]) == (320, 180)
    assert facts["codec_tag_string"] == ("avc1" if kind.startswith("h264") else "hvc1")


def test_files_of_a_run_join_without_a_hole(tmp_path: Path) -> None:
    frames = units("h264", seconds=12)
    sink = record(frames, segment_s=4)

    assert len(sink.files) >= 3
    assert sink.ends == [RunEnd.STOPPED]
    starts = [start.t0_us for start in sink.starts]
    assert starts[1:] == sink.finished[:-1]
    counts = []
    for index, content in enumerate(sink.files):
        path = tmp_path / f"{index}.mp4"
        path.write_bytes(content)
        found = packets(path)
        counts.append(len(found))
        assert "K" in found[0]["flags"]
        assert int(found[0]["dts"]) == 0
    assert sum(counts) == len(frames)


def test_cuts_fall_on_the_first_key_frame_after_the_cameras_own_boundary() -> None:
    sink = record(units("h264", seconds=12), segment_s=4)
    phase = STREAM.int % (4 * US)
    for start in sink.starts[1:]:
        late_us = (start.t0_us - phase) % (4 * US)
        assert late_us < 1 * US  # a key frame comes each second


def test_a_fragment_is_at_most_half_a_second_even_between_far_key_frames() -> None:
    sink = record(units("h264", seconds=8, gop=200))
    times = [note.decode_time for note in sink.notes[0]] + [sink.notes[0][-1].media_duration]
    assert len(times) > 14
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 45_000


def test_a_run_is_on_the_disk_with_its_first_frame() -> None:
    frames = units("h264")
    sink = record(frames[:2], end=False)
    assert [(note.frames, note.media_duration) for note in sink.notes[0]] == [(1, frames[1].dts)]


def test_a_camera_of_one_picture_a_second_loses_no_more_than_the_last() -> None:
    frames = [replace(unit, dts=n * 90_000, pts=n * 90_000, key=n == 0) for n, unit in enumerate(units("h264")[:10])]
    sink = record(frames, end=False)
    assert [note.frames for note in sink.notes[0]] == list(range(1, 10))


def test_recording_waits_for_a_key_frame() -> None:
    frames = units("h264")
    sink = record(frames[5:])
    assert sink.notes[0][-1].frames == len(frames) - 25


def test_new_parameter_sets_begin_a_new_run_without_a_gap() -> None:
    first = units("h264")
    shift = first[-1].dts + 3600
    second = [_later(unit, shift) for unit in units("h264", size="640x360")]
    sink = record([*first, *second])
    assert sink.ends == [RunEnd.PARAMETERS, RunEnd.STOPPED]
    assert [(start.width, start.height) for start in sink.starts] == [(320, 180), (640, 360)]
    assert sink.starts[1].t0_us == sink.finished[0]
    assert sum(notes[-1].frames for notes in sink.notes) == len(first) + len(second)


def test_new_parameter_sets_after_a_pause_begin_where_the_last_frame_ends() -> None:
    """The encoder took two seconds to change its size: as within a run, its last picture lasts until the next."""
    frames = units("h264")
    late = [_later(unit, frames[-1].dts + 2 * 90_000) for unit in units("h264", size="640x360")]
    sink = record([*frames, *late])
    assert sink.ends == [RunEnd.PARAMETERS, RunEnd.STOPPED]
    assert sink.starts[1].t0_us == sink.finished[0]
    assert sink.finished[0] - sink.starts[0].t0_us == pytest.approx(6 * US, abs=US / 5)


def test_new_parameter_sets_without_a_key_frame_are_a_gap() -> None:
    frames = units("h264")
    shift = frames[-1].dts + 3600
    second = [_later(unit, shift) for unit in units("h264", size="640x360")]
    missed = [replace(unit, key=False) for unit in second[:25]]
    sink = record([*frames, *missed, *second[25:]])
    assert sink.ends == [RunEnd.NO_MEDIA, RunEnd.STOPPED]
    assert sink.starts[1].t0_us - sink.finished[0] == pytest.approx(US, abs=US / 5)


def _later(unit: AccessUnit, shift: int) -> AccessUnit:
    return replace(
        unit,
        dts=unit.dts + shift,
        pts=unit.pts + shift,
        arrival_us=unit.arrival_us + shift * 100 // 9,
        arrival_s=unit.arrival_s + shift / 90_000,
    )


def test_parameter_sets_that_cannot_be_read_are_a_fault_and_not_a_crash() -> None:
    unit = units("h264")[0]
    damaged = replace(unit, parameters=ParameterSets(unit.parameters.codec, (), (b"\x67\x42",), (b"\x68",)))
    sink = MemorySink()
    assert feed(Segmenter(STREAM, sink, FakeClock()), [damaged]) == [GapReason.NO_MEDIA]
    assert sink.files == []


def test_a_wall_clock_step_ends_the_run() -> None:
    frames = list(units("h264"))
    stepped = [replace(unit, arrival_us=unit.arrival_us + 30 * US) for unit in frames[50:]]
    sink = record([*frames[:50], *stepped])
    assert sink.ends == [RunEnd.CLOCK_STEP, RunEnd.STOPPED]
    assert sink.starts[1].t0_us - sink.finished[0] == pytest.approx(30 * US, abs=US)


def test_a_jump_of_the_cameras_timestamps_ends_the_run() -> None:
    frames = list(units("h264"))
    frames[50] = replace(frames[50], jumped=True)
    assert record(frames).ends == [RunEnd.NETWORK, RunEnd.STOPPED]


def test_a_full_ring_ends_the_run_and_recording_comes_back_by_itself() -> None:
    sink = MemorySink()
    segmenter = Segmenter(STREAM, sink, FakeClock())
    frames = units("h264")
    assert feed(segmenter, frames[:40]) == []
    sink.refuse["write"] = GapReason.DISK_SLOW
    assert feed(segmenter, frames[40:]) == [GapReason.DISK_SLOW]
    assert segmenter.recording
    assert sink.ends == [RunEnd.DISK_SLOW]
    assert len(sink.starts) == 2
    kept_us = sink.notes[0][-1].t1_us  # the fragment that was refused is in the gap, not in the file's time
    assert sink.finished[0] == kept_us
    assert [event[2] for event in sink.events if event[0] == "close"] == [kept_us]


def test_no_room_for_a_new_file_ends_the_run_at_the_cut() -> None:
    sink = MemorySink()
    segmenter = Segmenter(STREAM, sink, FakeClock(), 2)
    frames = units("h264", seconds=12)
    feed(segmenter, frames[:10])
    sink.refuse["begin"] = GapReason.DISK_FULL
    assert feed(segmenter, frames[10:150]) == [GapReason.DISK_FULL]
    assert sink.ends == [RunEnd.DISK_FULL]
    assert len(sink.finished) >= 1
