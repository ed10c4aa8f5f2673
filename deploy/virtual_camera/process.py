"""A virtual hall in a process of its own, for tests and the demo: starts, says where it is, takes orders, stops.

with VirtualHall(demo_hall(2, password="a b/c")) as hall:
    camera = hall.camera(1)
    print(camera.onvif_port, camera.stream("main").url)
    hall.change(1, online=False)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from deploy.virtual_camera.plan import DevicePlan, to_json
from storage.errors import Unavailable

_ROOT = Path(__file__).resolve().parents[2]
_STOP_TIMEOUT_S = 10.0
_CALL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class RunningStream:
    """One stream: `uri` as ONVIF tells it, `url` with user and password in it, percent-encoded."""

    channel: int
    role: str
    uri: str
    url: str
    codec: str
    width: int
    height: int
    fps: int
    gop: int
    live: bool


@dataclass(frozen=True, slots=True)
class RunningCamera:
    """One device, ready to be asked."""

    number: int
    name: str
    serial: str
    host: str
    onvif_port: int
    rtsp_port: int
    onvif_url: str
    username: str
    password: str
    streams: tuple[RunningStream, ...]

    def stream(self, role: str, channel: int = 1) -> RunningStream:
        """The stream with this role (`main` or `sub`)."""
        return next(stream for stream in self.streams if stream.role == role and stream.channel == channel)


def _camera(facts: dict[str, Any]) -> RunningCamera:
    login = f"{quote(facts['username'], safe='')}:{quote(facts['password'], safe='')}"
    streams = tuple(
        RunningStream(url=item["uri"].replace("rtsp://", f"rtsp://{login}@", 1), **item) for item in facts["streams"]
    )
    names = ("number", "name", "serial", "host", "onvif_port", "rtsp_port", "onvif_url", "username", "password")
    return RunningCamera(streams=streams, **{name: facts[name] for name in names})


class VirtualHall:
    """A context manager around `python -m deploy.virtual_camera`. It stops when this process goes away, too."""

    def __init__(
        self,
        devices: tuple[DevicePlan, ...],
        *,
        base_port: int = 0,
        discovery_port: int = 0,
        data: Path | None = None,
    ) -> None:
        self._devices = devices
        self._base_port = base_port
        self._discovery_port = discovery_port
        self._data = data or Path(tempfile.gettempdir()) / "sunhall-virtual-camera"
        self._process: subprocess.Popen[str] | None = None
        self._control = ""
        self.cameras: tuple[RunningCamera, ...] = ()

    @property
    def pid(self) -> int:
        """The process, for measuring it."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start and wait for the ready line.

        Raises:
            Unavailable: it ended instead (a port is taken, a codec is missing).
        """
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as plan:
            plan.write(to_json(self._devices))
            plan.flush()
            options = ["--plan", plan.name, "--data", str(self._data), "--json", "--follow-stdin"]
            options += ["--base-port", str(self._base_port), "--discovery-port", str(self._discovery_port)]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.virtual_camera", *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=_ROOT,
            )
            assert self._process.stdout is not None  # noqa: S101 - asked for above
            line = self._process.stdout.readline()
        if not line:
            raise Unavailable("virtual_hall_failed", f"the virtual hall ended with status {self._process.wait()}")
        facts = json.loads(line)
        self._control = f"http://127.0.0.1:{facts['control']}/v1/cameras"
        self.cameras = tuple(_camera(item) for item in facts["cameras"])

    def stop(self) -> None:
        """Stop and wait."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def camera(self, number: int) -> RunningCamera:
        """The device with this number."""
        return next(camera for camera in self.cameras if camera.number == number)

    def change(self, number: int, **changes: object) -> dict[str, Any]:
        """Give orders: `online`, `onvif` (on, 404, refused), `password`, `clock_offset_s`, `paused`; its state."""
        return self._ask(f"{self._control}/{number}", json.dumps(changes).encode())

    def state(self, number: int) -> dict[str, Any]:
        """What the device says of itself: online, players, failed_logins, …"""
        cameras = self._ask(self._control, None)["cameras"]
        found: dict[str, Any] = next(item for item in cameras if item["number"] == number)
        return found

    def _ask(self, url: str, body: bytes | None) -> dict[str, Any]:
        with urllib.request.urlopen(url, data=body, timeout=_CALL_TIMEOUT_S) as answer:  # noqa: S310 - our own http URL
            facts: dict[str, Any] = json.load(answer)
        return facts
