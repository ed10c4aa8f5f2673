"""A wall clock that can be stepped for whole processes, by a library that is loaded before them (clock_step.c).

clock = SteppedClock(folder)
process = Popen(..., env=os.environ | clock.environment())
clock.step(3600.0)                    # all of them, at once; monotonic clocks, and so waits, stay as they are
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from storage.clock import US, SystemClock


@cache
def library() -> Path:
    """The preloaded library, built once a session with gcc."""
    made = Path(tempfile.mkdtemp(prefix="sunhall-clock-")) / "clock_step.so"
    source = Path(__file__).with_suffix(".c")
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(made), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return made


class SteppedClock(SystemClock):
    """The machine's clock, with a wall clock that differs from it; the test reads what the processes read."""

    def __init__(self, folder: Path) -> None:
        self._control = folder / "clock-offset"
        self._offset_us = 0
        self._control.write_bytes(bytes(8))

    def environment(self) -> dict[str, str]:
        """What to add to a process's environment."""
        return {"LD_PRELOAD": str(library()), "SUNHALL_CLOCK_CONTROL": str(self._control)}

    def step(self, seconds: float) -> None:
        """The wall clock jumps."""
        self._offset_us += round(seconds * US)
        with self._control.open("r+b") as file:
            file.write(struct.pack("<q", self._offset_us))  # in place: processes have it mapped

    def now_us(self) -> int:
        return super().now_us() + self._offset_us
