"""A hall started as a user starts it: `python -m deploy.hall` in a folder of its own, on free ports."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from deploy.demo.client import HallClient
from deploy.hall.folder import LOOPBACK, HallFolder, Ports
from deploy.hall.node import console_answers
from storage.clock import SystemClock

CLOCK = SystemClock()
T = TypeVar("T")
STARTED = "阳光大厅已启动"
DEMO_PORTS = 120
"""Consecutive ports that a virtual hall of up to 19 cameras needs: control, ONVIF and RTSP, approvals."""


class HallFailed(AssertionError):
    """The hall did not start, or ended; says what it printed."""


def eventually(question: Callable[[], T | None], *, every_s: float = 0.2) -> T:
    """Wait until `question` answers something true, and return it. The suite's timeout ends a wait that never does."""
    while not (answer := question()):
        CLOCK.sleep(every_s)
    return answer


def free_ports(count: int) -> int:
    """The first of `count` consecutive ports of loopback on which nobody listens."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 2
    while True:
        base = random.randrange(20_000 + worker * 5_000, 25_000 + worker * 5_000, 10)  # two workers never meet
        if all(_is_free(base + offset) for offset in range(count)):
            return base


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class RunningHall:
    """A hall node with or without the virtual hall around it."""

    def __init__(self, root: Path, *, demo: bool, cameras: int = 6, pace: float = 4.0) -> None:
        base = free_ports(DEMO_PORTS + 10)
        self.folder = HallFolder(root)
        self.demo_port = base
        self.discovery_port = base + DEMO_PORTS + 2
        self.ports = Ports("127.0.0.1", base + DEMO_PORTS, base + DEMO_PORTS + 1)
        self.url = self.ports.url
        self._demo = demo
        self._cameras = cameras
        self._pace = pace
        self.agent_url = ""
        """Where the counter PC reaches the console; empty: directly."""
        self._process: subprocess.Popen[bytes] | None = None
        self._output = root / "output.txt"
        self.folder.prepare(self.ports, (LOOPBACK,))

    def configure(self, process: str, text: str) -> None:
        """Add TOML to the settings of `console` or `gateway` before a start."""
        path = self.folder.root / "config" / f"{process}.toml"
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")

    def replace_setting(self, process: str, old: str, new: str) -> None:
        """Change a line of the settings of `console` or `gateway` before a start."""
        path = self.folder.root / "config" / f"{process}.toml"
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{path} has no {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def start(self) -> None:
        """Start it and wait for its announcement.

        Raises:
            HallFailed: it ended instead.
        """
        command = [
            sys.executable,
            "-m",
            "deploy.hall.tether",
            str(os.getpid()),
            sys.executable,
            "-m",
            "deploy.hall",
            "--data",
            str(self.folder.root),
            "--port",
            str(self.ports.console),
        ]
        if self._demo:
            command += ["--demo", "--demo-port", str(self.demo_port), "--demo-cameras", str(self._cameras)]
            command += ["--demo-pace", str(self._pace), "--demo-discovery-port", str(self.discovery_port)]
            command += ["--demo-agent-url", self.agent_url]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        eventually(self._announced_or_failed)

    def stop(self) -> int:
        """Ctrl-C once; the exit status."""
        self.send(signal.SIGINT)
        return self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send the launcher a signal, as the terminal does."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """The exit status, when it ends."""
        assert self._process is not None
        return self._process.wait()

    def end(self) -> None:
        """Leave nothing behind, whatever happened before: two signals, as an impatient person would."""
        while self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            CLOCK.sleep(0.5)

    @property
    def output(self) -> str:
        """What the hall printed on its terminal."""
        return self._output.read_text(encoding="utf-8")

    def log(self, name: str) -> str:
        """What a child process logged."""
        return (self.folder.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    @property
    def passwords(self) -> dict[str, str]:
        """The demo's accounts: login to password."""
        state = json.loads((self.folder.root / "demo.json").read_text(encoding="utf-8"))
        passwords: dict[str, str] = state["passwords"]
        return passwords

    @property
    def camera_password(self) -> str:
        """The virtual cameras' password."""
        return (self.folder.root / "virtual-camera" / "password").read_text(encoding="utf-8").strip()

    def client(self, login: str = "", *, purpose: str = "") -> HallClient:
        """A session over the API; `purpose` is a code of 调阅事由."""
        client = HallClient(self.url, self.folder.certificate_authority)
        if login:
            client.login(login, self.passwords[login])
        if purpose:
            client.state_purpose(purpose, "E2E-1")
        return client

    def pid(self, name: str) -> int:
        """The process id of a child: gateway, console, cameras, approvals or counter-pc."""
        return int(eventually(lambda: self._pid_text(name)))

    def kill(self, name: str) -> int:
        """`kill -9` a child, alone; returns the process id that it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_for_new(self, name: str, old: int) -> int:
        """Wait until a child runs under another process id than `old`, and the console also answers."""
        eventually(lambda: self._pid_text(name) not in ("", f"{old}\n"))
        if name == "console":
            eventually(lambda: console_answers(self.folder, self.ports))
        return self.pid(name)

    def change_camera(self, number: int, **changes: Any) -> Any:
        """Ask the virtual camera's control port for trouble (docs/virtual-camera.md)."""
        return _request(self.demo_port, "POST", f"/v1/cameras/{number}", json.dumps(changes))

    def serving(self, window: int) -> Any:
        """The case that the virtual approval platform serves at a window now, or None."""
        return _request(self.demo_port + 99, "GET", f"/v1/windows/{window}")["serving"]

    def _pid_text(self, name: str) -> str:
        try:
            return (self.folder.root / "run" / f"{name}.pid").read_text(encoding="ascii")
        except FileNotFoundError:
            return ""

    def _announced_or_failed(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise HallFailed(f"the hall ended with {self._process.returncode}:\n{self.output}\n{self._tails()}")
        return STARTED in self.output and "Ctrl-C" in self.output

    def _tails(self) -> str:
        logs = sorted(self.folder.logs.glob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in logs)


def _request(port: int, method: str, path: str, body: str = "") -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body=body.encode(), headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status < 400, f"{method} {path}: {answer.status} {content[:200]!r}"
        return json.loads(content)
    finally:
        connection.close()
