"""An operating system in memory, for tests and for trying states that are hard to bring about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_agent.platform.base import Session
from storage.errors import ConfigurationError


class FakePlatform:
    """Says what it was told to say."""

    def __init__(self, folder: Path, machine: str = "fake-machine") -> None:
        self.folder = folder
        self.machine = machine
        self.present = Session()
        self.slept_s = 0.0
        self._held: set[Path] = set()

    def hostname(self) -> str:
        return "counter-pc"

    def machine_id(self) -> str:
        return self.machine

    def session(self) -> Session:
        return self.present

    def suspended_s(self) -> float:
        return self.slept_s

    def default_folder(self) -> Path:
        return self.folder

    def lock(self, path: Path) -> Callable[[], None]:
        if path in self._held:
            raise ConfigurationError("agent_running", f"an agent already runs on {path.parent}: stop it first")
        self._held.add(path)
        return lambda: self._held.discard(path)
