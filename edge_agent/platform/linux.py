"""Linux with X11."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from edge_agent.platform.base import Session
from storage.clock import Clock
from storage.errors import ConfigurationError
from storage.model import CoverageState

_MACHINE_ID = Path("/etc/machine-id")
_UPTIME = Path("/proc/uptime")


class LinuxPlatform:
    """Debian, Ubuntu, UOS, Kylin with an X11 session. Lock screens are not recognised yet (docs/agent.md)."""

    def __init__(self, clock: Clock, display: str | None = None) -> None:
        """`display`: the X11 display that the settings name, None for the environment's."""
        self._clock = clock
        self._display = display

    def hostname(self) -> str:
        return socket.gethostname()

    def machine_id(self) -> str:
        try:
            raw = _MACHINE_ID.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            raw = self.hostname()
        return hashlib.sha256(f"sunhall-agent:{raw}".encode()).hexdigest()

    def session(self) -> Session:
        if self._display or os.environ.get("DISPLAY"):
            if os.environ.get("XDG_SESSION_TYPE") == "wayland" and not self._display:
                return Session(CoverageState.UNSUPPORTED, "wayland")
            return Session()
        if os.environ.get("WAYLAND_DISPLAY"):
            return Session(CoverageState.UNSUPPORTED, "wayland")
        return Session(CoverageState.NO_SESSION, "no_display")

    def suspended_s(self) -> float:
        """The system's uptime counts sleep and its monotonic clock does not, so their difference is the sleep."""
        try:
            uptime = float(_UPTIME.read_text(encoding="ascii").split()[0])
        except (OSError, ValueError, IndexError):
            return 0.0
        return uptime - self._clock.monotonic()

    def default_folder(self) -> Path:
        base = os.environ.get("XDG_DATA_HOME")
        return (Path(base) if base else Path.home() / ".local" / "share") / "sunhall-agent"

    def lock(self, path: Path) -> Callable[[], None]:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            _lock_whole(descriptor)
        except OSError as error:
            os.close(descriptor)
            message = f"an agent already runs on {path.parent}: stop it first"
            raise ConfigurationError("agent_running", message) from error

        def release() -> None:
            with contextlib.suppress(OSError):
                os.close(descriptor)

        return release


def _lock_whole(descriptor: int) -> None:
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
