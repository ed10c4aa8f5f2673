"""The supervisor with real children: one that dies or hangs is started again, and the others never notice."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from camera_gateway.supervisor import GatewayLock, Program, Supervisor
from storage.clock import SystemClock

CLOCK = SystemClock()

CHILD = """
import sys, threading
from camera_gateway.supervisor import Pulse, follow_parent
from storage.clock import SystemClock
stop, beats = threading.Event(), iter(range(1 << 60))
follow_parent(stop)
def beat():
    with open(sys.argv[2], "a") as told:
        told.write(f"{sys.argv[1]} {__import__('os').getpid()}\\n")
    return 0 if sys.argv[1] == "stuck" else next(beats)
Pulse(beat, SystemClock()).start()
stop.wait()
"""


@contextmanager
def supervised(root: Path, *names: str) -> Iterator[Callable[[str], list[int]]]:
    """Children by these names under a supervisor; gives the pids that beat so far under a name, in order."""
    told = root / "told"
    told.touch()
    programs = [Program(name, (name, str(told))) for name in names]
    command = (sys.executable, "-c", CHILD)
    lock = GatewayLock(root / "gateway.lock", CLOCK)
    supervisor = Supervisor(programs, lock, CLOCK, command, hang_s=4.0, first_beat_s=15.0)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: supervisor.run(stop))
    thread.start()

    def pids(name: str) -> list[int]:
        lines = [line.split() for line in told.read_text(encoding="utf-8").splitlines()]
        return list(dict.fromkeys(int(line[1]) for line in lines if line[0] == name))

    try:
        yield pids
    finally:
        stop.set()
        thread.join()
        os.close(lock.descriptor)


def wait(what: Callable[[], bool]) -> None:
    deadline = CLOCK.monotonic() + 40
    while not what():
        assert CLOCK.monotonic() < deadline, "it did not happen"
        CLOCK.sleep(0.05)


def test_a_child_that_dies_is_started_again_and_the_other_goes_on(tmp_path: Path) -> None:
    with supervised(tmp_path, "one", "two") as pids:
        wait(lambda: bool(pids("one") and pids("two")))
        os.kill(pids("one")[0], signal.SIGKILL)
        wait(lambda: len(pids("one")) == 2)
        assert len(pids("two")) == 1


def test_a_child_that_is_stopped_in_its_tracks_is_killed_and_started_again(tmp_path: Path) -> None:
    with supervised(tmp_path, "one", "two") as pids:
        wait(lambda: bool(pids("one") and pids("two")))
        os.kill(pids("one")[0], signal.SIGSTOP)
        wait(lambda: len(pids("one")) == 2)
        with pytest.raises(ProcessLookupError):
            os.kill(pids("one")[0], 0)
        assert len(pids("two")) == 1


def test_a_child_whose_loop_does_not_turn_is_killed_though_its_other_threads_run(tmp_path: Path) -> None:
    with supervised(tmp_path, "stuck") as pids:
        wait(lambda: len(pids("stuck")) == 2)
