"""`python -m deploy.hall`: run a hall node from this tree. This is what `make run` calls."""

from __future__ import annotations

import argparse
import fcntl
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from deploy.demo.hall import DemoHall, DemoOptions
from deploy.hall.children import Child
from deploy.hall.folder import LOOPBACK, HallFolder, Ports
from deploy.hall.node import console_program, gateway_program, require_free
from storage.clock import Clock, SystemClock
from storage.errors import ConfigurationError, SunhallError
from storage.lifecycle import Part, StopSignal, run_parts

PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


class Announcement:
    """The last thing started: says where the hall is and how to begin."""

    def __init__(
        self, folder: HallFolder, ports: Ports, say: Callable[[str], None], more: Callable[[], list[str]]
    ) -> None:
        self._folder = folder
        self._ports = ports
        self._say = say
        self._more = more

    def start(self) -> None:
        lines = [
            "",
            "阳光大厅已启动 · Sunhall is running",
            f"  网址        {self._ports.url}",
            f"  本地证书    {self._folder.certificate_authority}",
            f"  密钥校验码  SHA-256 {self._folder.fingerprint()}",
        ]
        code = self._folder.waiting_code()
        if code is not None:
            lines.append(f"  初始化码    {code}   (首次打开网页时填写,只能用一次)")
        lines += [f"  运行日志    {self._folder.logs}", "", *self._more()]
        self._say("\n".join([*lines, "按 Ctrl-C 停止;再按一次立即结束", ""]))

    def stop(self) -> None:
        self._say("正在停止……(再按一次 Ctrl-C 立即结束)")


class HallSignals(StopSignal):
    """The second signal also ends the children, which do not hear the terminal themselves."""

    def __init__(self, children: Sequence[Child], say: Callable[[str], None]) -> None:
        super().__init__()
        self._children = children
        self._say = say

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.event.is_set():
            self._say("立即结束")
            for child in reversed(self._children):
                child.kill()
        super()._on_signal(number, frame)


def hold_folder(folder: HallFolder) -> IO[str]:
    """Lock the data folder for this process; the lock ends with it.

    Raises:
        ConfigurationError: another hall runs in this folder.
    """
    lock = (folder.root / "run" / "hall.lock").open("w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ConfigurationError("hall_running", f"数据目录 {folder.root} 已有一个大厅在运行,请先停止它") from error
    return lock


def migrate(folder: HallFolder) -> None:
    """Bring the catalog to this version's schema, with the console's own command.

    Raises:
        ConfigurationError: it failed; what it said is on the terminal.
    """
    command = [sys.executable, "-m", "console.main", "migrate", "--config", str(folder.console_settings)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ConfigurationError("migrate_failed", f"数据目录升级失败:\n{done.stderr.strip()}")


def run(folder: HallFolder, ports: Ports, demo: DemoOptions | None, clock: Clock, say: Callable[[str], None]) -> None:
    """Run the hall until a signal.

    Raises:
        SunhallError: a port is taken, or a part did not start; the message says which and where to look.
    """
    require_free({"网页服务": (ports.host, ports.console), "摄像头网关": ("127.0.0.1", ports.gateway)})
    node = [Child(make(folder, ports), folder.root, clock, say) for make in (gateway_program, console_program)]
    parts: list[Part] = [*node, Announcement(folder, ports, say, list)]
    if demo is not None:
        hall = DemoHall(folder, ports, demo, clock, say)
        hall.check_ports()
        parts = [*hall.before(), *node, *hall.after(), Announcement(folder, ports, say, hall.announcement)]
    signals = HallSignals([part for part in parts if isinstance(part, Child)], say)
    signals.install()
    migrate(folder)
    run_parts(parts, signals.event)
    say("已停止")


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 after a drain, 1 when a part fails to start, 2 for wrong settings, 130 after a second signal."""
    parser = argparse.ArgumentParser(prog="python -m deploy.hall", description="Run a hall node: gateway and console.")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the data folder (default: data)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on, at the first start only")
    parser.add_argument("--port", type=int, default=8443, help="port of the web page, at the first start only")
    parser.add_argument("--gateway-port", type=int, help="port of the gateway's own API (default: port + 1)")
    parser.add_argument("--demo", action="store_true", help="add a virtual hall: cameras, a counter PC, approvals")
    parser.add_argument("--demo-port", type=int, default=18000, help="demo: first port of the virtual hall")
    parser.add_argument("--demo-cameras", type=int, default=6, help="demo: how many cameras")
    parser.add_argument("--demo-pace", type=float, default=1.0, help="demo: how fast the counters work")
    parser.add_argument("--demo-discovery-port", type=int, default=3702, help="demo: WS-Discovery port")
    parser.add_argument("--demo-agent-url", default="", help="demo: where the counter PC reaches the console")
    options = parser.parse_args(arguments)

    demo = None
    if options.demo:
        demo = DemoOptions(
            options.demo_port,
            options.demo_cameras,
            options.demo_pace,
            options.demo_discovery_port,
            options.demo_agent_url,
        )
    folder = HallFolder(options.data.absolute())
    subnets = (*PRIVATE_NETWORKS, LOOPBACK) if demo else PRIVATE_NETWORKS
    wanted = Ports(options.host, options.port, options.gateway_port or options.port + 1)
    try:
        ports = folder.prepare(wanted, subnets)
        if ports.console != options.port:
            _say(f"注意:端口以 {folder.console_settings} 中的 {ports.console} 为准")
        with hold_folder(folder):
            run(folder, ports, demo, SystemClock(), _say)
    except ConfigurationError as error:
        _say(f"sunhall: {error}")
        return 2
    except SunhallError as error:
        _say(f"sunhall: {error}")
        return 1
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
