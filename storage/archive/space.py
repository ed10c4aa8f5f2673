"""Room on the archive's disk: refuse loudly before it is full, warn long before that."""

from __future__ import annotations

import shutil
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from storage.archive.alarms import close_alarm, open_alarm
from storage.archive.catalog import Catalog
from storage.clock import Clock
from storage.errors import StorageFull, Unavailable
from storage.model import AlarmKind

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Usage:
    """A volume's size and free bytes."""

    total_bytes: int
    free_bytes: int


class Volume(Protocol):
    """Port: the file system that recordings are written to."""

    def usage(self) -> Usage:
        """Now. Raises OSError when the volume is gone."""
        ...


class DiskVolume:
    """The file system of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def usage(self) -> Usage:
        usage = shutil.disk_usage(self._folder)
        return Usage(usage.total, usage.free)


class FakeVolume:
    """A volume whose free space the test sets."""

    def __init__(self, total_bytes: int, free_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.free_bytes = free_bytes

    def usage(self) -> Usage:
        return Usage(self.total_bytes, self.free_bytes)


@dataclass(frozen=True, slots=True)
class SpaceRules:
    """When to refuse, and when to warn."""

    reserve_bytes: int = 2 * GIB
    """Never written to: the catalog, logs and deletion itself need room."""
    horizon_s: int = 24 * 3600
    """Warn when the free space, falling as it does now, reaches the reserve within this time."""
    window_s: int = 3600
    """The fall is measured over this time."""
    least_s: int = 600
    """A fall seen for less than this says nothing yet: somebody copied a file."""


class DiskGuard:
    """Admits recordings and raises the two disk alarms. Thread-safe."""

    def __init__(self, volume: Volume, catalog: Catalog, clock: Clock, rules: SpaceRules, subject: str) -> None:
        """`subject` names the volume in alarms, e.g. `gateway:<id>`."""
        self._volume = volume
        self._catalog = catalog
        self._clock = clock
        self._rules = rules
        self._subject = subject
        self._samples: deque[tuple[float, int]] = deque()
        self._alarmed: dict[AlarmKind, bool] = {}
        self._forecast_s: int | None = None
        self._lock = threading.Lock()

    @property
    def forecast_s(self) -> int | None:
        """Seconds until the reserve is reached, as the last `check` saw free space fall (what is written less what
        retention deletes); None: it does not fall, or nobody has looked for long enough."""
        return self._forecast_s

    def admit(self, size_bytes: int) -> None:
        """Return when `size_bytes` more may be written.

        Raises:
            StorageFull: `disk_full`: the reserve would be touched. The recorder ends its run with `disk_full`.
        """
        free = self._volume.usage().free_bytes
        if free - size_bytes < self._rules.reserve_bytes:
            self._set(AlarmKind.DISK_FULL, True, {"free_bytes": free})
            raise StorageFull(
                "disk_full", "the disk's reserve is reached: free some room or lower the quota", free=free
            )

    def check(self) -> None:
        """Measure, and open or close the alarms; call it about once a minute."""
        free = self._volume.usage().free_bytes
        left_s = self._forecast_s = self._seconds_left(free)
        self._set(AlarmKind.DISK_FULL, free < self._rules.reserve_bytes, {"free_bytes": free})
        soon = left_s is not None and left_s < self._rules.horizon_s
        self._set(AlarmKind.DISK_FORECAST, soon, {"free_bytes": free, "seconds_left": left_s or 0})

    def _seconds_left(self, free: int) -> int | None:
        """Seconds until the reserve is reached as free space falls now; None: it does not fall, or too few samples."""
        now = self._clock.monotonic()
        with self._lock:
            self._samples.append((now, free))
            while now - self._samples[0][0] > self._rules.window_s:
                self._samples.popleft()
            since, before = self._samples[0]
        fallen, took = before - free, now - since
        if fallen <= 0 or took < self._rules.least_s:
            return None
        return max(0, int((free - self._rules.reserve_bytes) * took / fallen))

    def _set(self, kind: AlarmKind, on: bool, detail: dict[str, int]) -> None:
        """Write an alarm only when its state changes: a recorder asks often."""
        with self._lock:
            if self._alarmed.get(kind) is on:
                return
            before = self._alarmed.get(kind)
            self._alarmed[kind] = on
        try:
            with self._catalog.write() as conn:
                if on:
                    open_alarm(conn, self._clock, kind, self._subject, detail)
                else:
                    close_alarm(conn, self._clock, kind, self._subject)
        except (Unavailable, StorageFull):
            with self._lock:  # not written: the next look tries again
                if before is None:
                    del self._alarmed[kind]
                else:
                    self._alarmed[kind] = before
            raise
