"""Starting and stopping as a user does it: one Ctrl-C, two of them, and a second start of the same hall."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.hall import HallFailed, RunningHall, eventually

NODE = ("gateway", "console")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[RunningHall]:
    running = RunningHall(tmp_path / "data", demo=True, cameras=2)
    try:
        yield running
    finally:
        running.end()


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_signal_drains_everything_and_the_next_start_finds_all_done(demo: RunningHall) -> None:
    demo.start()
    names = ("cameras", *NODE, "approvals", "counter-pc")
    pids = [demo.pid(name) for name in names]
    passwords = demo.passwords
    assert all(password in demo.output for password in passwords.values())
    assert demo.stop() == 0
    assert "已停止" in demo.output
    assert not any(runs(pid) for pid in pids)

    demo.start()
    assert demo.passwords == passwords
    assert "已登记" not in demo.output
    with demo.client("dating") as client:
        assert len(client.get("/api/devices")["devices"]) == 2
        assert len(client.get("/api/workstations")["workstations"]) == 1
    assert demo.stop() == 0


def test_a_second_signal_leaves_at_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    hall = RunningHall(tmp_path / "data", demo=False)
    hall.start()
    pids = [hall.pid(name) for name in NODE]
    hall.send(signal.SIGINT)
    hall.send(signal.SIGINT)
    assert hall.wait() in (0, 130)  # 0: it had drained before the second signal came
    eventually(lambda: not any(runs(pid) for pid in pids))


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    first = RunningHall(tmp_path / "first", demo=False)
    try:
        first.start()
        second = RunningHall(tmp_path / "second", demo=False)
        second.replace_setting("console", f"port = {second.ports.console}", f"port = {first.ports.console}")
        with pytest.raises(HallFailed, match=rf"{first.ports.console}.*config"):
            second.start()
    finally:
        first.end()
