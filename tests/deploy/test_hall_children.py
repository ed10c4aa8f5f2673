"""The launcher's children: restarted after a crash, drained on stop, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.hall.children import Child, Program
from storage.clock import SystemClock
from storage.errors import Unavailable

CLOCK = SystemClock()

COUNTING = """
import pathlib, signal, sys, time
runs = pathlib.Path(sys.argv[1])
runs.write_text(runs.read_text() + "run " if runs.exists() else "run ")
signal.signal(signal.SIGTERM, lambda *_: (runs.write_text(runs.read_text() + "drained "), sys.exit(0)))
print("2026-11-21T00:00:00 error program it_hurts", flush=True)
print("2026-11-21T00:00:00 info program all_well", flush=True)
while True:
    time.sleep(0.05)
"""


def eventually(question: Callable[[], bool]) -> None:
    """Wait until `question` is true; the suite's own timeout ends a wait that never does."""
    while not question():
        CLOCK.sleep(0.02)


def runs_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with what the launcher expects in it."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "run").mkdir()
    return tmp_path


def counting_child(folder: Path, said: list[str]) -> tuple[Child, Path]:
    runs = folder / "runs"
    program = Program(
        "program", "程序", [sys.executable, "-c", COUNTING, str(runs)], ready=lambda: "run" in runs_of(runs)
    )
    return Child(program, folder, CLOCK, said.append), runs


def test_a_stop_drains_the_program_and_its_errors_reach_the_terminal(data: Path) -> None:
    said: list[str] = []
    child, runs = counting_child(data, said)
    child.start()
    eventually(lambda: any("it_hurts" in line for line in said))
    child.stop()
    assert runs_of(runs) == "run drained "
    assert child.pid is None
    log = (data / "logs" / "program.log").read_text()
    assert "it_hurts" in log
    assert "all_well" in log
    assert not any("all_well" in line for line in said)


def test_a_crash_is_reported_and_followed_by_a_restart(data: Path) -> None:
    said: list[str] = []
    child, runs = counting_child(data, said)
    child.start()
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    eventually(lambda: runs_of(runs) == "run run ")
    eventually(lambda: child.pid not in (None, first))
    eventually(lambda: runs_of(data / "run" / "program.pid") == f"{child.pid}\n")
    child.stop()
    assert any("意外退出" in line for line in said)


def test_a_program_that_never_comes_up_is_not_tried_again(data: Path) -> None:
    program = Program("broken", "坏程序", [sys.executable, "-c", "raise SystemExit(2)"], ready=lambda: False)
    with pytest.raises(Unavailable, match=r"broken\.log"):
        Child(program, data, CLOCK, lambda _line: None).start()


def test_killing_takes_the_helpers_of_a_program_with_it(data: Path) -> None:
    note = data / "helper"
    source = (
        "import pathlib, subprocess, sys, time\n"
        "helper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path(sys.argv[1]).write_text(str(helper.pid))\n"
        "time.sleep(600)\n"
    )
    program = Program("parent", "父程序", [sys.executable, "-c", source, str(note)], ready=lambda: bool(runs_of(note)))
    child = Child(program, data, CLOCK, lambda _line: None)
    child.start()
    helper = int(note.read_text())
    child.kill()
    eventually(lambda: not alive(helper))
    child.stop()


def test_a_program_does_not_outlive_a_killed_launcher(data: Path) -> None:
    note = data / "pid"
    launcher = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'deploy.hall.tether', str(os.getpid()),\n"
        "    sys.executable, '-c', 'import os, sys, time; open(sys.argv[1], \"w\").write(str(os.getpid())); '\n"
        "    'time.sleep(600)', sys.argv[1]])\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", launcher, str(note)]) as process:
        eventually(lambda: bool(runs_of(note)))
        program = int(note.read_text())
        process.kill()
        eventually(lambda: not alive(program))
