"""Bounds of a fuzzing process that libFuzzer does not bound."""

from __future__ import annotations

import resource

MEMORY_BYTES = 2 << 30
"""Address space, of which libraries alone take a few hundred MiB."""


def limit_memory() -> None:
    """An input that takes more raises MemoryError, which is a finding."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
