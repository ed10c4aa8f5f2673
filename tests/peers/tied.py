"""Servers that end with the process that started them, however that ends: a dead test worker leaves none behind."""

from __future__ import annotations


def tied(*command: str, signal: str = "KILL") -> list[str]:
    """The command under `setpriv` (util-linux): the kernel sends it `signal` when the thread that started it is gone.

    Start it from a thread that lives as long as it should: the one that runs the tests.
    """
    return ["setpriv", "--pdeathsig", signal, *command]
