"""The load source as a process of its own, so that its cost is not the recorder's (docs/virtual-camera.md, "Load")."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.virtual_camera import load
from deploy.virtual_camera.journal import Journal
from tests.camera_gateway.hall import REPOSITORY, Hall

FPS = 25
GOP_S = 2.0


def make_media(folder: Path, *, kbit_s: int = 3400) -> Path:
    """The file that all cameras send: 1080p25 H.264, a key frame every two seconds."""
    made = folder / f"load-{kbit_s}.mp4"
    if not made.exists():
        load.make_file(made, kbit_s=kbit_s)
    return made


def bytes_per_second(media: Path) -> float:
    """What one camera sends, without RTP's headers."""
    _shape, units = load.read_file(media)
    return sum(len(nal) + 4 for unit in units for nal in unit.nals) / len(units) * FPS


class LiveSource:
    """`cameras` cameras on ports of the loopback."""

    def __init__(self, media: Path, cameras: int, folder: Path) -> None:
        self.cameras = cameras
        self.urls: list[str] = []
        self._folder = folder
        self._control = 0
        self._process: subprocess.Popen[str] | None = None
        self._arguments = [sys.executable, "-m", "deploy.virtual_camera", "--cameras", str(cameras), "--base-port", "0"]
        self._arguments += ["--fan", str(media), "--json", "--follow-stdin"]

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(
            self._arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self.urls, self._control = ready["urls"], ready["control"]

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.communicate(timeout=20)
            self._process = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def order(self, name: str, cameras: Iterable[int] = (), **more: Any) -> Any:
        """Make trouble: an order of the control port."""
        with socket.create_connection(("127.0.0.1", self._control), 30) as link, link.makefile("rw") as talk:
            talk.write(json.dumps({"op": name, "cameras": list(cameras), **more}) + "\n")
            talk.flush()
            answer = json.loads(talk.readline())
        assert answer["ok"], answer
        return answer

    def journal(self) -> Journal:
        """What was sent so far."""
        path = self._folder / "journal"
        self.order("journal", path=str(path))
        return Journal.read(path)


def use_default_timeout(hall: Hall) -> None:
    """Let silence count as it does by default, and not after the short time of tests."""
    text = hall.settings.read_text(encoding="utf-8")
    assert "read_timeout_s = 2.0\n" in text, "the settings of tests have changed"
    hall.settings.write_text(text.replace("read_timeout_s = 2.0\n", ""), encoding="utf-8")


@contextmanager
def running(media: Path, cameras: int, folder: Path) -> Iterator[LiveSource]:
    """A source that sends until the block ends."""
    source = LiveSource(media, cameras, folder)
    source.start()
    try:
        yield source
    finally:
        source.stop()
