"""The supervised grabber against a real X server that is killed, restarted and resized, and against a hanging child."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest

from screen_capture.change import is_uniform
from screen_capture.frames import GrabFailed
from screen_capture.supervised import SupervisedGrabber
from tests.peers.xvfb import Xvfb

pytestmark = pytest.mark.peer


def test_a_real_window_is_grabbed_exactly() -> None:
    with Xvfb() as server:
        grabber = SupervisedGrabber(server.display)
        try:
            server.background("#204060")
            [monitor] = grabber.monitors()
            assert (monitor.name, monitor.width, monitor.height) == ("screen", 800, 600)
            empty = grabber.grab(monitor).words()
            assert is_uniform(empty)
            assert empty[0, 0] == 0x204060
            server.window("HELLO", "#fefefe", "400x200+50+40")
            shown = grabber.grab(monitor).words()
            assert (shown[40:240, 50:450] != 0x204060).all()
            assert len(np.unique(shown[40:240, 50:450])) > 1
            shown[40:240, 50:450] = 0x204060
            assert is_uniform(shown)
        finally:
            grabber.close()


def test_the_display_server_is_killed_and_restarted() -> None:
    with Xvfb() as server:
        grabber = SupervisedGrabber(server.display)
        try:
            [monitor] = grabber.monitors()
            grabber.grab(monitor)
            server.kill()
            for _ in range(3):
                with pytest.raises(GrabFailed) as caught:
                    grabber.monitors()
                assert caught.value.code == "no_display"
            server.start()
            assert grabber.monitors() == [monitor]
            assert grabber.grab(monitor).width == 800
        finally:
            grabber.close()


def test_the_child_is_killed_and_replaced() -> None:
    with Xvfb() as server:
        grabber = SupervisedGrabber(server.display)
        try:
            [monitor] = grabber.monitors()
            first = grabber.child_pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            with pytest.raises(GrabFailed):
                grabber.grab(monitor)
            assert grabber.grab(monitor).height == 600
            assert grabber.child_pid != first
        finally:
            grabber.close()


def test_the_resolution_shrinks() -> None:
    with Xvfb() as server:
        grabber = SupervisedGrabber(server.display)
        try:
            [before] = grabber.monitors()
            server.resize(640, 480)
            [after] = grabber.monitors()
            assert (after.name, after.width, after.height) == (before.name, 640, 480)
            assert grabber.grab(after).width == 640
        finally:
            grabber.close()


def test_two_monitors_are_grabbed_apart() -> None:
    with Xvfb(800, 480) as server:
        server.split()
        server.background("#204060")
        server.window("RIGHT", "#fefefe", "100x100+600+40")
        grabber = SupervisedGrabber(server.display)
        try:
            left, right = grabber.monitors()
            assert (left.name, left.left, left.width) == ("screen", 0, 400)
            assert (right.left, right.width) == (400, 400)
            assert is_uniform(grabber.grab(left).words())
            assert (grabber.grab(right).words()[40:140, 200:300] != 0x204060).all()
        finally:
            grabber.close()


def test_the_display_server_hangs_and_goes_on() -> None:
    with Xvfb() as server:
        grabber = SupervisedGrabber(server.display, timeout_s=1.0)
        try:
            [monitor] = grabber.monitors()
            server.freeze()
            with pytest.raises(GrabFailed) as caught:
                grabber.grab(monitor)
            assert caught.value.code == "grab_hung"
            server.thaw()
            grabber = SupervisedGrabber(server.display, timeout_s=20.0)
            assert grabber.grab(monitor).width == 800
        finally:
            server.thaw()
            grabber.close()


def test_no_display_at_all() -> None:
    grabber = SupervisedGrabber(":9987")
    with pytest.raises(GrabFailed) as caught:
        grabber.monitors()
    assert caught.value.code == "no_display"
    grabber.close()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("import time; time.sleep(600)", "grab_hung"),
        ("raise SystemExit(3)", "no_display"),
        ("print('no reply at all', flush=True)", "no_display"),
        ("import sys; sys.stdout.buffer.write(b'\\xff' * 64)", "no_display"),
    ],
)
def test_a_child_that_hangs_dies_or_babbles(script: str, code: str) -> None:
    grabber = SupervisedGrabber(timeout_s=0.5, command=(sys.executable, "-c", script))
    for _ in range(2):
        with pytest.raises(GrabFailed) as caught:
            grabber.monitors()
        assert caught.value.code == code
        assert grabber.child_pid is None


@pytest.mark.parametrize(
    "head",
    [
        '{"monitors": 5, "payload": 0}',
        '{"payload": 0}',
        '{"monitors": [{"name": "a", "left": 0, "top": 0, "width": 99999, "height": 1}], "payload": 0}',
        '{"monitors": [{}], "payload": 0}',
    ],
)
def test_monitors_described_badly(head: str) -> None:
    script = f"import sys, struct; h = {head!r}.encode(); sys.stdout.buffer.write(struct.pack('>I', len(h)) + h)"
    grabber = SupervisedGrabber(timeout_s=5, command=(sys.executable, "-c", script))
    with pytest.raises(GrabFailed) as caught:
        grabber.monitors()
    assert caught.value.code == "grab_failed"


def test_mirrors_count_once_and_equal_names_are_told_apart() -> None:
    head = (
        '{"monitors": ['
        '{"name": "A", "left": 0, "top": 0, "width": 10, "height": 10},'
        '{"name": "B", "left": 0, "top": 0, "width": 10, "height": 10},'
        '{"name": "A", "left": 10, "top": 0, "width": 10, "height": 10}], "payload": 0}'
    )
    script = (
        f"import sys, struct; h = {head!r}.encode();"
        "sys.stdout.buffer.write(struct.pack('>I', len(h)) + h); sys.stdout.flush(); sys.stdin.read()"
    )
    grabber = SupervisedGrabber(timeout_s=5, command=(sys.executable, "-c", script))
    assert [monitor.name for monitor in grabber.monitors()] == ["A", "A-2"]
    grabber.close()
