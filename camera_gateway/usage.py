"""What this process uses of the machine."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """CPU seconds since the process started, user and system, and the bytes of memory that it holds now."""

    cpu_s: float
    rss_bytes: int


def process_usage() -> ProcessUsage:
    """Cheap enough for every few seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return ProcessUsage(used.ru_utime + used.ru_stime, resident * _PAGE)
