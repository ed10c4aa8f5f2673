"""The virtual hall around a real hall node: cameras before it; set-up, approvals and a counter PC after it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.demo.setup import PEOPLE, WINDOWS, WORKSTATION_WINDOW, DemoSetup, DemoState, VirtualDevice
from deploy.hall.children import Child, Program
from deploy.hall.folder import HallFolder, Ports
from deploy.hall.node import port_answers, require_free
from deploy.hall.summary import table
from storage.clock import Clock
from storage.errors import SunhallError
from storage.files import write_atomic
from storage.lifecycle import Part

CAMERAS = 6
SERVED_WINDOWS = (1, 2)
WORKSTATION = f"{WORKSTATION_WINDOW}号窗口电脑"
PLATFORM_STEP = 99
"""The approval platform answers at the cameras' control port plus this."""

ALL = tuple(range(1, WINDOWS + 1))
VIEWS: dict[int, tuple[Sequence[int], str]] = {
    1: ((1,), "front"),
    2: ((2,), "front"),
    3: (ALL, "panorama"),
    4: ((1,), "overhead"),
    5: ((1, 2), "panorama"),
    6: (ALL, "outdoor"),
}
"""What each camera of the virtual hall sees: windows and role. Cameras after the sixth see window 2."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How large and how fast the virtual hall is; the defaults are what `DEMO=1 make run` shows."""

    base_port: int = 18000
    cameras: int = CAMERAS
    pace: float = 1.0
    discovery_port: int = 3702
    agent_url: str = ""  # where the counter PC reaches the console; empty: as everybody else does


class DemoHall:
    """Makes the parts of the virtual hall."""

    def __init__(
        self, folder: HallFolder, ports: Ports, options: DemoOptions, clock: Clock, say: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._options = options
        self._clock = clock
        self._say = say
        self._state = DemoState.load(folder.root / "demo.json", options.base_port)
        self._base_url = ports.url
        self._base_port = self._state.base_port
        self._platform_port = self._base_port + PLATFORM_STEP

    def check_ports(self) -> None:
        """Look that the virtual hall's ports are free.

        Raises:
            ConfigurationError: one is taken.
        """
        cameras = range(1, self._options.cameras + 1)
        wanted = {"虚拟摄像头控制口": self._base_port, "虚拟审批平台": self._platform_port}
        wanted |= {f"{number}号虚拟摄像头 ONVIF": self._base_port + number for number in cameras}
        wanted |= {f"{number}号虚拟摄像头 RTSP": self._base_port + 100 + number for number in cameras}
        remedy = "换一个数据目录和起始端口:DATA=data2 DEMO_PORT=19000"
        require_free({title: ("127.0.0.1", port) for title, port in wanted.items()}, remedy)

    def before(self) -> list[Part]:
        """What runs before the gateway: the cameras."""
        command = [sys.executable, "-m", "deploy.virtual_camera", "--cameras", str(self._options.cameras)]
        command += ["--base-port", str(self._base_port), "--data", str(self._folder.root / "virtual-camera")]
        command += ["--discovery-port", str(self._options.discovery_port)]
        return [self._child("cameras", "虚拟摄像头", command, self._base_port)]

    def after(self) -> list[Part]:
        """What follows the console: the set-up, the approval platform, the counter PC."""
        setup = DemoSetup(self._base_url, self._folder.certificate_authority, self._state)
        platform = [sys.executable, "-m", "deploy.approval_platform", "--intake", self._base_url]
        platform += ["--ca", str(self._folder.certificate_authority), "--source", "approval"]
        platform += ["--secret-file", str(self._secret_file), "--port", str(self._platform_port)]
        platform += ["--windows", ",".join(map(str, SERVED_WINDOWS)), "--pace", str(self._options.pace)]
        platform += ["--data", str(self._folder.root / "approval-platform")]
        counter = [sys.executable, "-m", "deploy.counter_pc", "run", "--agent", str(self._agent_settings)]
        counter += ["--platform", f"http://127.0.0.1:{self._platform_port}", "--window", str(WORKSTATION_WINDOW)]
        return [
            _Step(lambda: self._prepare(setup)),
            self._child("approvals", "虚拟审批平台", platform, self._platform_port),
            Child(
                Program("counter-pc", "虚拟工作电脑", counter, ready=lambda: True),
                self._folder.root,
                self._clock,
                self._say,
            ),
        ]

    def announcement(self) -> list[str]:
        """The accounts, for the terminal."""
        rows = [(name, login, self._state.passwords[login]) for login, name, _ in PEOPLE]
        return ["虚拟大厅的账户(密码随机生成,只在本机有效):", *table(("角色", "账户", "密码"), rows)]

    @property
    def _secret_file(self) -> Path:
        return self._folder.root / "keys" / "approval-source.secret"

    @property
    def _agent_settings(self) -> Path:
        return self._folder.root / "config" / "agent.toml"

    def _child(self, name: str, title: str, command: Sequence[str], port: int) -> Child:
        program = Program(name, title, command, ready=port_answers("127.0.0.1", port))
        return Child(program, self._folder.root, self._clock, self._say)

    def _prepare(self, setup: DemoSetup) -> None:
        """Everything a user would do in the browser before the hall works."""
        setup.first_run(self._folder.waiting_code() or "")
        for name in setup.register_cameras(self._devices()):
            self._say(f"已登记虚拟摄像头:{name}")
        write_atomic(self._secret_file, setup.event_source().encode(), mode=0o600)
        if not self._agent_settings.exists():
            write_atomic(self._agent_settings, self._agent_text().encode(), mode=0o600)
        code = setup.enrolment_code(WORKSTATION, WORKSTATION_WINDOW)
        if code is not None:
            self._enrol(code)

    def _devices(self) -> list[VirtualDevice]:
        answer = _get_json(f"http://127.0.0.1:{self._base_port}/v1/cameras")
        return [_device(facts) for facts in answer["cameras"]]

    def _agent_text(self) -> str:
        return f"""# Settings of the virtual counter PC's agent. `sunhall-agent check --config THIS-FILE` explains them.
folder = {json.dumps(str(self._folder.root / "counter-pc"))}

[notice]
# Nobody sits at a virtual PC: the notice stands in a file.
kind = "console"
"""

    def _enrol(self, code: str) -> None:
        command = [sys.executable, "-m", "deploy.counter_pc", "enrol", "--agent", str(self._agent_settings)]
        command += ["--console", self._options.agent_url or self._base_url, "--code", code]
        command += ["--ca", str(self._folder.certificate_authority), "--window", str(WORKSTATION_WINDOW)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise SunhallError("demo_enrol_failed", f"虚拟工作电脑接入失败:\n{done.stderr.strip()}")
        self._say(f"已接入工作电脑:{WORKSTATION}")


class _Step:
    """A part that does one thing at start and has nothing to stop."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work

    def start(self) -> None:
        self._work()

    def stop(self) -> None:
        """Nothing runs."""


def _device(facts: dict[str, Any]) -> VirtualDevice:
    windows, role = VIEWS.get(int(facts["number"]), ((2,), "panorama"))
    return VirtualDevice(
        str(facts["name"]),
        str(facts["host"]),
        int(facts["onvif_port"]),
        str(facts["username"]),
        str(facts["password"]),
        windows,
        role,
    )


def _get_json(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10.0) as answer:
            return json.load(answer)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SunhallError("demo_no_answer", f"{url}: {error}") from error
