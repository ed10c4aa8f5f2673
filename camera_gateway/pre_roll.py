"""The last seconds of a stream that is on standby, so that a recording can begin before its cause."""

from __future__ import annotations

from collections import deque
from weakref import WeakSet

from camera_gateway.packets import AccessUnit


class PreRollMemory:
    """What all rings of a worker may hold together; each has an equal share. Lives in one reactor."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rings: WeakSet[PreRoll] = WeakSet()

    def join(self, ring: PreRoll) -> None:
        """A ring takes part as long as it lives."""
        self._rings.add(ring)

    @property
    def share(self) -> int:
        """Bytes that one ring may hold now."""
        return self._max_bytes // max(len(self._rings), 1)


class PreRoll:
    """Whole groups of pictures that reach at least `seconds` back, within its share of the memory.

    Over that the oldest group of pictures goes, and the recording begins later than wished.
    """

    def __init__(self, seconds: float, memory: PreRollMemory) -> None:
        self.seconds = seconds
        self._memory = memory
        memory.join(self)
        self._groups: deque[list[AccessUnit]] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0

    def add(self, unit: AccessUnit) -> None:
        """The newest unit; those before the first key frame are of no use."""
        if unit.key:
            self._groups.append([])
            self._sizes.append(0)
        if not self._groups:
            return
        self._groups[-1].append(unit)
        self._sizes[-1] += len(unit.data)
        self._bytes += len(unit.data)
        while self._too_much(unit):
            self._groups.popleft()
            self._bytes -= self._sizes.popleft()

    def take(self) -> list[AccessUnit]:
        """All that is kept, in order; nothing is kept afterwards."""
        units = [unit for group in self._groups for unit in group]
        self.clear()
        return units

    def newest_group(self) -> list[AccessUnit]:
        """The group of pictures that goes on now; empty before the first key frame."""
        return list(self._groups[-1]) if self._groups else []

    def clear(self) -> None:
        """The session ended, or a clock jumped: what is kept does not go on."""
        self._groups.clear()
        self._sizes.clear()
        self._bytes = 0

    def _too_much(self, unit: AccessUnit) -> bool:
        """Whether the groups after the oldest reach far enough, or the bytes are too many."""
        if self._bytes > self._memory.share:
            return True
        return len(self._groups) > 1 and unit.arrival_s - self._groups[1][0].arrival_s >= self.seconds
