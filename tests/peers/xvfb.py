"""A real X server without a screen (Debian `xvfb`) and a real window in it (Debian `tk`)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType


class Xvfb:
    """An Xvfb on a display number of its own choosing. Use as a context; `kill` and `start` again in between.

    Debian packages: xvfb, tk (wish), x11-xserver-utils (xsetroot, xrandr).
    """

    def __init__(self, width: int = 800, height: int = 600) -> None:
        self.size = (width, height)
        self.display = ""
        self._server: subprocess.Popen[bytes] | None = None
        self._windows: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Xvfb:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start the server; on the same display as before when there was one. Returns when it answers."""
        read_end, write_end = os.pipe()
        width, height = self.size
        wanted = [self.display] if self.display else []
        command = ["Xvfb", *wanted, "-displayfd", str(write_end), "-screen", "0", f"{width}x{height}x24"]
        self._server = subprocess.Popen(
            [*command, "-nolisten", "tcp", "-noreset"], pass_fds=(write_end,), stderr=subprocess.DEVNULL
        )
        os.close(write_end)
        with os.fdopen(read_end) as answer:
            number = answer.readline().strip()  # blocks until the server is ready or gone
        if not number:
            raise RuntimeError("Xvfb did not start: install the Debian package xvfb")
        self.display = f":{number}"

    def kill(self) -> None:
        """End the server as a crash does (SIGKILL), and with it every window."""
        if self._server is not None:
            self._server.send_signal(signal.SIGKILL)
            self._server.wait()
            self._server = None
            number = self.display.removeprefix(":")
            for left in (Path(f"/tmp/.X{number}-lock"), Path(f"/tmp/.X11-unix/X{number}")):
                left.unlink(missing_ok=True)
        for window in self._windows:
            window.kill()
            with contextlib.suppress(BrokenPipeError):
                window.communicate()
        self._windows.clear()

    def freeze(self) -> None:
        """The server hangs: it keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def split(self) -> None:
        """Make two monitors side by side out of the one: `screen` on its output, and one without an output."""
        width, height = self.size
        half = width // 2
        self._run("xrandr", "--setmonitor", "LEFT", f"{half}/100x{height}/100+0+0", "screen")
        self._run("xrandr", "--setmonitor", "RIGHT", f"{half}/100x{height}/100+{half}+0", "none")

    def window(self, text: str, colour: str = "#ffffff", place: str = "400x200+50+40") -> None:
        """Open a real window with `text`; returns when it is on the screen."""
        script = (
            f"wm overrideredirect . 1; wm geometry . {place}; . configure -bg {colour};"
            f"label .a -text {{{text}}} -font {{Helvetica 24}} -bg {colour}; pack .a;"
            "update; puts shown; flush stdout"
        )
        window = subprocess.Popen(
            ["wish"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"DISPLAY": self.display},
        )
        if window.stdin is None or window.stdout is None:
            raise RuntimeError("wish has no pipes")
        self._windows.append(window)
        window.stdin.write(script.encode() + b"\n")
        window.stdin.flush()
        if window.stdout.readline().strip() != b"shown":
            raise RuntimeError("wish opened no window: install the Debian package tk")

    def background(self, colour: str) -> None:
        """Paint the root window."""
        self._run("xsetroot", "-solid", colour)

    def resize(self, width: int, height: int) -> None:
        """Change to a smaller resolution while clients are connected."""
        mode = f"{width}x{height}"
        self._run("xrandr", "--newmode", mode, "0", *(str(width), "0", "0", "0"), *(str(height), "0", "0", "0"))
        self._run("xrandr", "--addmode", "screen", mode)
        self._run("xrandr", "--output", "screen", "--mode", mode)

    def _signal(self, number: signal.Signals) -> None:
        if self._server is not None:
            self._server.send_signal(number)

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True, env=os.environ | {"DISPLAY": self.display}, capture_output=True, timeout=30)
