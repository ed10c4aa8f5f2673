"""The same desktop as a real window on an X display: `ffplay` shows the raw frames that this program paints."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from threading import Event

from deploy.counter_pc.desktop import Desktop, Task
from storage.clock import Clock
from storage.errors import Unavailable

FRAME_INTERVAL_S = 0.5


class DesktopWindow:
    """A borderless window over the whole of an X display."""

    def __init__(self, desktop: Desktop, task: Callable[[], Task | None], clock: Clock, display: str) -> None:
        self._desktop = desktop
        self._task = task
        self._clock = clock
        self._display = display

    def run(self, until: Event) -> None:
        """Show the desktop until `until` is set.

        Raises:
            Unavailable: ffplay is not installed, or it ended (no such display).
        """
        player = self._open()
        if player.stdin is None:
            raise Unavailable("no_pipe", "ffplay was started without a pipe")
        try:
            while not until.is_set():
                player.stdin.write(self._desktop.picture(self._task(), self._clock.now_us()).tobytes())
                player.stdin.flush()
                self._clock.wait(until, FRAME_INTERVAL_S)
        except BrokenPipeError as error:
            raise Unavailable("window_ended", f"ffplay ended: is there a display {self._display}?") from error
        finally:
            player.kill()
            player.wait()
            with suppress(BrokenPipeError):  # what it had not read yet
                player.stdin.close()

    def _open(self) -> subprocess.Popen[bytes]:
        size = f"{self._desktop.width}x{self._desktop.height}"
        options = "-hide_banner -loglevel error -fflags nobuffer -flags low_delay -sync ext -noborder -left 0 -top 0"
        source = (
            f"-f rawvideo -pixel_format rgb24 -video_size {size} -framerate 25 -probesize 32 -analyzeduration 0 -i -"
        )
        try:
            return subprocess.Popen(
                ["ffplay", *options.split(), *source.split()],
                stdin=subprocess.PIPE,
                env={**os.environ, "DISPLAY": self._display, "SDL_VIDEODRIVER": "x11", "SDL_RENDER_DRIVER": "software"},
            )
        except FileNotFoundError as error:
            raise Unavailable("no_ffplay", "ffplay is missing: install the Debian package ffmpeg") from error
