"""Runs a program that must not outlive the process that started it (Linux: PR_SET_PDEATHSIG).

`python -m deploy.hall.tether PARENT_PID PROGRAM ARGUMENT...`: asks the kernel for SIGTERM on the parent's death, then
becomes the program. Where the kernel offers no such thing the program simply runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Become the program named by `arguments[1:]`, tied to the parent process `arguments[0]`."""
    parent = int(arguments[0])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel was asked
            raise SystemExit(1)
    os.execv(arguments[1], arguments[1:])  # noqa: S606 - becoming the program is this module's purpose


if __name__ == "__main__":
    main(sys.argv[1:])
