"""A peer does not outlive the process that started it, even when that is killed outright."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from storage.clock import SystemClock

PARENT = """
import subprocess, sys
from tests.peers.tied import tied
child = subprocess.Popen(tied("sleep", "600"))
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_a_tied_server_ends_with_a_killed_parent() -> None:
    clock = SystemClock()
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdin is not None
    with parent.stdin, parent.stdout:
        child = Path(f"/proc/{int(parent.stdout.readline())}/cmdline")
        for _ in range(100):
            if b"sleep" in child.read_bytes().split(b"\0")[0]:
                break
            clock.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
        parent.wait(20)
    for _ in range(400):
        if not child.exists() or not child.read_bytes():
            return
        clock.sleep(0.05)
    raise AssertionError("the child outlived its parent")
