"""The interface to the operating system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from storage.model import CoverageState


@dataclass(frozen=True, slots=True)
class Session:
    """Whether the screen may be looked at now. `obstacle` is None when it may, else what the coverage says."""

    obstacle: CoverageState | None = None
    detail: str = ""


class Platform(Protocol):
    """Asked from one thread; no call blocks for longer than a moment; none raises but as stated."""

    def hostname(self) -> str:
        """The machine's name."""
        ...

    def machine_id(self) -> str:
        """Names this installation: another value on a cloned or newly installed machine. Not the system's own id,
        which is to stay confidential, but a hash of it."""
        ...

    def session(self) -> Session:
        """Is somebody logged in at a desktop that can be captured, not locked and not secured?"""
        ...

    def suspended_s(self) -> float:
        """Seconds that the machine has slept since it was started; only differences mean anything."""
        ...

    def default_folder(self) -> Path:
        """Where the agent keeps its data when the settings do not say."""
        ...

    def lock(self, path: Path) -> Callable[[], None]:
        """Hold `path` for this process until the returned function is called or the process ends.

        Raises:
            ConfigurationError: `agent_running`: another process holds it.
        """
        ...
