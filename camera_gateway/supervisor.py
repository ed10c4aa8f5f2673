"""The light parent of the gateway: starts ingest workers and the API process, restarts them, stops them.

It imports nothing heavy. Children hold three things of it: the read end of a pipe, so that they drain when it dies; the
write end of another, on which they beat, so that it notices one that hangs; and the gateway's lock, so that a new
gateway waits until the last child of an old one is gone.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage.clock import Clock
from storage.errors import ConfigurationError

log = logging.getLogger(__name__)

BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Waits before a child is started again: at once the first time, as each second of it is a second of footage."""
WRONG_SETTINGS = 2
_DRAIN_S = 20.0
_LOCK_S = 30.0
_STEADY_S = 60.0
_TICK_S = 0.1
HANG_S = 10.0
"""A child that does not beat for so long hangs, and is killed: it costs its share only until it is back."""
FIRST_BEAT_S = 60.0
BEAT_VARIABLE = "SUNHALL_BEAT_FD"


class GatewayLock:
    """At most one gateway works on a data folder; inherited by children through their file descriptors."""

    def __init__(self, path: Path, clock: Clock) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._path = path
        self._clock = clock

    def take(self, stop: threading.Event) -> None:
        """Wait for the lock.

        Raises:
            ConfigurationError: another gateway has kept it for 30 s (`gateway_running`), or we are asked to stop.
        """
        deadline = self._clock.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if self._clock.monotonic() > deadline or self._clock.wait(stop, 0.2):
                    raise ConfigurationError(
                        "gateway_running", f"another gateway works on this data folder (lock {self._path})"
                    ) from error
            else:
                return


@dataclass(frozen=True, slots=True)
class Program:
    """A child: its arguments after the supervisor's command, and how long it waits for the others to start first."""

    name: str
    arguments: Sequence[str]
    after_s: float = 0.0


@dataclass(slots=True)
class _Child:
    name: str
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None
    beats: int = -1  # descriptor on which it beats
    beat_by: float = 0.0  # when its next beat is due at the latest
    started_at: float = 0.0
    failures: int = 0
    restart_at: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Keeps `programs` running until asked to stop."""

    programs: Sequence[Program]
    lock: GatewayLock
    clock: Clock
    command: Sequence[str] = (sys.executable, "-m", "camera_gateway.main")
    hang_s: float = HANG_S
    first_beat_s: float = FIRST_BEAT_S
    _children: list[_Child] = field(default_factory=list)
    _refused: bool = False

    def run(self, stop: threading.Event) -> int:
        """Returns the exit status when all children are gone: after `stop`, or when one refused its settings."""
        now = self.clock.monotonic()
        self._children = [
            _Child(program.name, list(program.arguments), restart_at=now + program.after_s) for program in self.programs
        ]
        try:
            while not stop.is_set():
                for child in self._children:
                    self._tend(child)
                if self._refused:
                    return WRONG_SETTINGS
                self.clock.wait(stop, _TICK_S)
        finally:
            self._stop_all()
        return 0

    def _tend(self, child: _Child) -> None:
        now = self.clock.monotonic()
        if child.process is not None:
            status = child.process.poll()
            if status is None:
                self._listen(child, child.process, now)
                return
            self._note_end(child, status, now)
        if now >= child.restart_at:
            child.process = self._spawn(child)
            child.started_at, child.beat_by = now, now + self.first_beat_s

    def _listen(self, child: _Child, process: subprocess.Popen[bytes], now: float) -> None:
        """Take its beats; kill it when they stay out, for a process that hangs does not end by itself."""
        try:
            if os.read(child.beats, 4096):
                child.beat_by = now + self.hang_s
        except BlockingIOError:
            pass
        if now > child.beat_by:
            log.error("child_hangs", extra={"fields": {"child": child.name, "pid": process.pid}})
            process.kill()
            child.beat_by = now + self.hang_s

    def _note_end(self, child: _Child, status: int, now: float) -> None:
        if now - child.started_at > _STEADY_S:
            child.failures = 0
        wait_s = BACKOFF_S[min(child.failures, len(BACKOFF_S) - 1)]
        child.failures += 1
        child.restart_at = now + wait_s
        self._close_pipe(child)
        child.process = None
        # Trying again does not mend a wrong setting; one that worked before is a fault of the moment.
        self._refused = self._refused or (status == WRONG_SETTINGS and child.failures == 1)
        log.error("child_ended", extra={"fields": {"child": child.name, "status": status, "restart_s": wait_s}})

    def _spawn(self, child: _Child) -> subprocess.Popen[bytes]:
        # Two arenas: each thread would otherwise keep a heap of its own.
        child.beats, beating = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2", BEAT_VARIABLE: str(beating)}
        try:
            process = subprocess.Popen(
                [*self.command, *child.arguments],
                stdin=subprocess.PIPE,
                pass_fds=(self.lock.descriptor, beating),
                env=environment,
            )
        finally:
            os.close(beating)
        log.info("child_started", extra={"fields": {"child": child.name, "pid": process.pid}})
        return process

    def _stop_all(self) -> None:
        running = [child for child in self._children if child.process is not None]
        for child in running:
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline = self.clock.monotonic() + _DRAIN_S
        for child in running:
            self._await_end(child, deadline)

    def _await_end(self, child: _Child, deadline: float) -> None:
        process = child.process
        if process is None:
            return
        try:
            process.wait(max(0.1, deadline - self.clock.monotonic()))
        except subprocess.TimeoutExpired:
            log.error("child_killed", extra={"fields": {"child": child.name}})
            process.kill()
            process.wait()
        self._close_pipe(child)

    def _close_pipe(self, child: _Child) -> None:
        if child.process is not None and child.process.stdin is not None:
            child.process.stdin.close()
        if child.beats >= 0:
            os.close(child.beats)
            child.beats = -1


class Pulse:
    """In a child: tells the supervisor each second that what counts still turns. `beat` rises while it does."""

    def __init__(self, beat: Callable[[], int], clock: Clock) -> None:
        self._beat = beat
        self._clock = clock
        self._descriptor = int(os.environ.get(BEAT_VARIABLE, "-1"))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        if self._descriptor >= 0:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._descriptor >= 0:
            self._thread.join()

    def _run(self) -> None:
        before = -1
        while not self._clock.wait(self._stopping, 1.0):
            beat = self._beat()
            if beat != before:
                before = beat
                self._write()

    def _write(self) -> None:
        try:
            os.write(self._descriptor, b"\0")
        except BlockingIOError:
            return  # the supervisor is busy; what lies in the pipe is beat enough
        except OSError as error:
            log.warning("beat_unheard", extra={"fields": {"error": error.strerror}})


def follow_parent(stop: threading.Event) -> None:
    """In a child: set `stop` when the supervisor is gone (its end of our standard input closes)."""

    def watch() -> None:
        while os.read(0, 4096):
            continue
        stop.set()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
