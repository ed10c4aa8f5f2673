"""CPU time and memory of a process with all its descendants, and of the machine beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.clock import Clock

_TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Usage:
    """What a set of processes used: CPU seconds so far (ended children included) and PSS bytes now."""

    cpu_s: float
    pss_bytes: int
    processes: int


@dataclass(frozen=True, slots=True)
class Steady:
    """Means over a stretch of time."""

    cores: float
    pss_mib: float
    pss_max_mib: float
    others_cores: float
    """What the rest of the machine used meanwhile, without `beside`."""
    beside_cores: float
    """What the processes beside used."""


def tree(pid: int) -> list[int]:
    """A process and all its descendants that run now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += children.get(one, [])
    return found


def usage(pids: Sequence[int]) -> Usage:
    """CPU and PSS of these processes; those that ended meanwhile are left out."""
    pss = [(cpu_s(pid), pss_bytes(pid)) for pid in pids]
    alive = [(cpu, memory) for cpu, memory in pss if cpu >= 0]
    return Usage(sum(cpu for cpu, _ in alive), sum(memory for _, memory in alive), len(alive))


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of its children that ended; -1 when it has ended itself."""
    fields = _stat(pid)
    return sum(int(field) for field in fields[11:15]) / _TICKS if fields else -1.0


def pss_bytes(pid: int) -> int:
    """Its proportional share of memory; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def command(pid: int) -> list[str]:
    """Its command line; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def open_files(pid: int) -> list[str]:
    """Paths that its descriptors lead to."""
    found: list[str] = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except FileNotFoundError:
            continue
    return found


def busy_s() -> float:
    """CPU seconds that all cores together were at work since the machine started."""
    user, nice, system, _idle, _iowait, *rest = Path("/proc/stat").read_text(encoding="utf-8").split()[1:9]
    return sum(map(int, (user, nice, system, *rest[:2]))) / _TICKS


def steady(
    pids: Callable[[], Sequence[int]], beside: Sequence[int], seconds: float, clock: Clock, each: Callable[[], object]
) -> Steady:
    """Watch processes for that long; `beside` (the source, this program) is no disturbance. `each` runs every 5 s."""
    before, all_before, beside_before = usage(pids()).cpu_s, busy_s(), _total(beside)
    started = clock.monotonic()
    memory: list[int] = []
    while clock.monotonic() - started < seconds:
        clock.sleep(min(5.0, max(0.1, seconds - (clock.monotonic() - started))))
        each()
        if len(memory) * 10 <= clock.monotonic() - started:
            memory.append(usage(pids()).pss_bytes)
    took = clock.monotonic() - started
    used = usage(pids()).cpu_s - before
    helped = _total(beside) - beside_before
    others = max(0.0, busy_s() - all_before - used - helped)
    return Steady(used / took, sum(memory) / len(memory) / MIB, max(memory) / MIB, others / took, helped / took)


def _total(pids: Sequence[int]) -> float:
    return sum(max(0.0, cpu_s(pid)) for pid in pids)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
