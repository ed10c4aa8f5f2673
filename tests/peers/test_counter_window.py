"""The counter PC's desktop as a real window on a real X server."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import mss
import numpy as np
import pytest

from deploy.counter_pc.desktop import Desktop, Task
from deploy.counter_pc.window import DesktopWindow
from deploy.virtual_camera import strip
from storage.clock import SystemClock
from storage.errors import Unavailable
from tests.peers.xvfb import Xvfb

pytestmark = pytest.mark.peer
CLOCK = SystemClock()


@pytest.fixture
def display() -> Iterator[str]:
    with Xvfb(1920, 1080) as server:
        yield server.display


def seen_on(display: str) -> strip.Stamp | None:
    with mss.MSS(display=display) as screen:
        return strip.read(np.asarray(screen.grab(screen.monitors[1]))[..., 1])


def test_a_program_reads_the_time_of_painting_off_the_screen(display: str) -> None:
    task = Task("滁政务〔2026〕第000123号", "个体工商户设立登记", "A023", "工号1003", CLOCK.now_us())
    began_ms = CLOCK.now_us() // 1000
    until = threading.Event()
    window = DesktopWindow(Desktop(3), lambda: task, CLOCK, display)
    thread = threading.Thread(target=window.run, args=(until,))
    thread.start()
    try:
        seen: list[strip.Stamp] = []
        while len(seen) < 3:  # three different pictures: it moves
            stamp = seen_on(display)
            if stamp is not None and stamp not in seen:
                seen.append(stamp)
            CLOCK.sleep(0.1)
    finally:
        until.set()
        thread.join()
    assert all(stamp.camera == 3 for stamp in seen)
    assert began_ms <= seen[0].time_ms < seen[1].time_ms < seen[2].time_ms <= CLOCK.now_us() // 1000


def test_a_missing_display_is_said() -> None:
    window = DesktopWindow(Desktop(3), lambda: None, CLOCK, ":65000")
    with pytest.raises(Unavailable, match=":65000"):
        window.run(threading.Event())
