"""The current group of pictures for somebody who begins to watch: partly in memory, partly read back from the file."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from camera_gateway.packets import AccessUnit
from camera_gateway.recorder import segmenter as module
from camera_gateway.recorder.disk import DiskSettings, DiskWriter
from camera_gateway.recorder.segmenter import Segmenter
from camera_gateway.recorder.timing import Timekeeper
from storage.clock import US, SystemClock
from storage.model import RunEnd
from tests.camera_gateway.media import units
from tests.camera_gateway.test_segmenter import STREAM
from tests.fakes.gateway import FakeArchive, FakeGuard, FolderPlacement


class Recorder:
    """A segmenter over a real disk; the disk stands still until `start`."""

    def __init__(self, root: Path, segment_s: float = 60.0) -> None:
        placement = FolderPlacement(root / "placed")
        self.disk = DiskWriter(DiskSettings(root / "staging"), placement, FakeArchive(), FakeGuard(), SystemClock())
        self.segmenter = Segmenter(STREAM, self.disk.channel(STREAM), SystemClock(), segment_s)
        self._keeper = Timekeeper()

    def feed(self, *frames: AccessUnit) -> None:
        for unit in frames:
            self._keeper.take(unit)
            assert self.segmenter.take(unit, self._keeper.line) is None

    def ask(self) -> Answer:
        answer = Answer()
        answer.pending = self.segmenter.group(answer.take)
        return answer


class Answer:
    """What was returned, and what was delivered later."""

    def __init__(self) -> None:
        self.pending: list[AccessUnit] | None = None
        self._read: list[AccessUnit] = []
        self._came = threading.Event()

    def take(self, read: list[AccessUnit]) -> None:
        assert not self._came.is_set(), "delivered twice"
        self._read = read
        self._came.set()

    @property
    def read(self) -> list[AccessUnit]:
        self._came.wait()
        return self._read

    @property
    def whole(self) -> list[tuple[bytes, bool, int, int]]:
        return bare(self.read + (self.pending or []))


def bare(frames: list[AccessUnit]) -> list[tuple[bytes, bool, int, int]]:
    return [(unit.data, unit.key, unit.dts, unit.pts) for unit in frames]


def group_of(frames: tuple[AccessUnit, ...], count: int) -> list[tuple[bytes, bool, int, int]]:
    begin = max(at for at in range(count) if frames[at].key)
    return bare(list(frames[begin:count]))


@contextmanager
def running(recorder: Recorder) -> Iterator[None]:
    recorder.disk.start()
    yield
    recorder.segmenter.end(RunEnd.STOPPED)
    recorder.disk.stop()


@pytest.mark.parametrize("kind", ["h264", "h264b", "h265b"])
def test_at_every_moment_the_group_is_whole_and_nothing_else(tmp_path: Path, kind: str) -> None:
    """Whatever of it is in memory and in the file, also across cuts (a file takes two seconds, a group one)."""
    frames = units(kind, seconds=8)
    recorder = Recorder(tmp_path, segment_s=2)
    answers = []
    with running(recorder):
        for unit in frames:
            recorder.feed(unit)
            answers.append(recorder.ask())
        for count, answer in enumerate(answers, 1):
            assert answer.whole == group_of(frames, count)
    assert sum(bool(answer.read) for answer in answers) > len(answers) // 2
    assert len(list((tmp_path / "placed").iterdir())) >= 3


def test_what_is_on_its_way_to_a_disk_that_stands_still_is_there_when_it_moves(tmp_path: Path) -> None:
    frames = units("h264")
    recorder = Recorder(tmp_path)
    recorder.feed(*frames[:45])
    answer = recorder.ask()
    recorder.feed(*frames[45:])  # comes after it, and is not in it
    with running(recorder):
        assert answer.whole == group_of(frames, 45)


def test_times_and_parameters_are_those_of_the_run(tmp_path: Path) -> None:
    frames = units("h264")
    recorder = Recorder(tmp_path)
    with running(recorder):
        recorder.feed(*frames[:45])
        read = recorder.ask().read
    assert all(unit.parameters is frames[0].parameters for unit in read)
    assert [unit.arrival_us for unit in read] == pytest.approx(
        [unit.arrival_us for unit in frames[25 : 25 + len(read)]], abs=1000
    )


def test_new_parameters_begin_a_group_of_their_own(tmp_path: Path) -> None:
    frames = units("h264")[:40]
    shift = frames[-1].dts + 3600
    others = tuple(
        replace(
            unit,
            dts=unit.dts + shift,
            pts=unit.pts + shift,
            arrival_us=unit.arrival_us + shift * 100 // 9,
            arrival_s=unit.arrival_s + shift / 90_000,
        )
        for unit in units("h264", size="640x360")[:20]
    )
    recorder = Recorder(tmp_path)
    with running(recorder):
        recorder.feed(*frames, *others)
        answer = recorder.ask()
        assert answer.whole == bare(list(others))
        assert {unit.parameters for unit in answer.read} == {others[0].parameters}


def test_without_a_run_there_is_no_group(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    assert recorder.ask().pending is None
    with running(recorder):
        recorder.feed(*units("h264")[:30])
        recorder.segmenter.end(RunEnd.NETWORK)
        assert recorder.ask().pending is None


@pytest.mark.parametrize("fault", ["read", "write"])
def test_a_disk_that_refuses_delivers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    frames = units("h264")

    def refuse(*_arguments: object) -> int:
        raise OSError(5, "input/output error")

    recorder = Recorder(tmp_path)
    recorder.feed(*frames[:40])
    answer = recorder.ask()
    with monkeypatch.context() as patched:
        patched.setattr(os, "pread" if fault == "read" else "write", refuse)
        recorder.disk.start()
        assert answer.read == []
    assert bare(answer.pending or []) == group_of(frames, 40)[-len(answer.pending or []) :]
    recorder.segmenter.end(RunEnd.STOPPED)
    recorder.disk.stop()


def test_a_group_that_is_too_large_is_not_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = units("h264")
    recorder = Recorder(tmp_path)
    with running(recorder):
        recorder.feed(*frames[:45])
        read = recorder.ask().read
        size = sum(len(unit.data) for unit in frames[25:45])
        monkeypatch.setattr(module, "GOP_BYTES", size + 1000)  # what the file adds to it is less than that
        assert bare(recorder.ask().read) == bare(read)
        monkeypatch.setattr(module, "GOP_BYTES", size)
        assert recorder.ask().read == []


def test_the_clock_of_the_group_follows_the_line(tmp_path: Path) -> None:
    """A camera that stamps 25 pictures a second and sends 20: wall time runs faster than media time."""
    first = units("h264", seconds=12)[0]
    frames = tuple(
        replace(
            unit,
            arrival_us=first.arrival_us + (unit.arrival_us - first.arrival_us) * 25 // 20,
            arrival_s=first.arrival_s + (unit.arrival_s - first.arrival_s) * 25 / 20,
        )
        for unit in units("h264", seconds=12)
    )
    recorder = Recorder(tmp_path)
    with running(recorder):
        recorder.feed(*frames[:295])
        read = recorder.ask().read
    assert len(read) > 10
    for unit, true in zip(read, frames[275:], strict=False):
        assert abs(unit.arrival_us - true.arrival_us) < US // 20
