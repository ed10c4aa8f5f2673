"""The four members of every long-lived part, and how a process starts and stops them.

A part has settings (its constructor's arguments), `start`, `stop` (stop and wait) and a private run. Parts start
bottom-up and stop top-down. The first SIGINT or SIGTERM drains; the second leaves at once, and the log says so.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

log = logging.getLogger(__name__)

PROGRAMMING_ERROR = 70
"""Exit status after an exception that nobody expected (EX_SOFTWARE): the supervisor starts the process again."""


class Part(Protocol):
    """A long-lived part of a process."""

    def start(self) -> None:
        """Begin to work; returns when the part is ready, or raises."""
        ...

    def stop(self) -> None:
        """Stop and wait until nothing of the part runs any more."""
        ...


class StopSignal:
    """Turns the first SIGINT or SIGTERM into an event and the second into an immediate exit (status 130)."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def install(self) -> None:
        """Take over SIGINT and SIGTERM; only from the main thread."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.event.is_set():
            log.warning("second_signal_leaving_now", extra={"fields": {"signal": number}})
            os._exit(130)
        log.info("signal_draining", extra={"fields": {"signal": number}})
        self.event.set()


@contextmanager
def end_on_programming_errors() -> Iterator[None]:
    """While it lasts, a thread that dies of an exception ends the process at once, with status 70.

    Better to start again and recover than to go on half alive. Use: as a decorator of a process's `run`.
    """
    before = threading.excepthook
    threading.excepthook = _leave
    try:
        yield
    finally:
        threading.excepthook = before


def _leave(caught: threading.ExceptHookArgs) -> None:
    if caught.exc_type is SystemExit:
        return
    info = (caught.exc_type, caught.exc_value or caught.exc_type(), caught.exc_traceback)
    log.critical("thread_died", extra={"fields": {"thread": getattr(caught.thread, "name", "")}}, exc_info=info)
    os._exit(PROGRAMMING_ERROR)


def run_parts(parts: Sequence[Part], until: threading.Event) -> None:
    """Start `parts` in order, wait for `until`, stop them in reverse order.

    When one fails to start, those already started are stopped before the error goes on.
    """
    started: list[Part] = []
    try:
        for part in parts:
            part.start()
            started.append(part)
        until.wait()
    finally:
        for part in reversed(started):
            part.stop()
