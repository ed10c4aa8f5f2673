"""The only module that reads the machine's clock. Everything that waits or expires takes a `Clock`."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

US = 1_000_000
"""Microseconds in a second: wall-clock times in model, wire and SQL are integer microseconds UTC."""


class Clock(Protocol):
    """Wall time, monotonic time and the ways to wait."""

    def now_us(self) -> int:
        """Wall clock, integer microseconds since 1970-01-01T00:00:00Z."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step back; for durations and deadlines only."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Block until `event` is set or the time has passed; true when it is set."""
        ...

    async def sleep_async(self, seconds: float) -> None:
        """Suspend this task."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)

    async def sleep_async(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class FakeClock:
    """A clock that stands still until somebody sleeps or calls `advance`: its sleep moves the time."""

    wall_us: int = 1_790_000_000 * US
    elapsed: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now_us(self) -> int:
        return self.wall_us

    def monotonic(self) -> float:
        return self.elapsed

    def advance(self, seconds: float) -> None:
        """Both clocks move on together."""
        self.wall_us += round(seconds * US)
        self.elapsed += seconds

    def step_wall(self, seconds: float) -> None:
        """Only the wall clock jumps, as when an administrator corrects it."""
        self.wall_us += round(seconds * US)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if not event.is_set():
            self.sleep(seconds)
        return event.is_set()

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)
