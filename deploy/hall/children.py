"""Child processes of a hall: started bottom-up, restarted when they crash, drained top-down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.hall.logfiles import LogPump
from storage.clock import Clock
from storage.errors import Unavailable

DRAIN_S = 25.0
"""How long a child may take to drain before it is killed."""

READY_S = 90.0
"""How long a child may take until it answers."""

LONGEST_BACKOFF_S = 30.0


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: `ready` is asked until it answers true; `name` also names the log file."""

    name: str
    title: str  # what the terminal calls it
    arguments: Sequence[str]
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """One program, kept running from `start` to `stop`.

    A crash is reported and followed by a restart after 1, 2, 4 … 30 s; a run of a minute resets the wait.
    `data` is the hall's data folder: its process id is in run/NAME.pid, what it says in logs/NAME.log.
    """

    def __init__(self, program: Program, data: Path, clock: Clock, say: Callable[[str], None]) -> None:
        self.program = program
        self._log_path = data / "logs" / f"{program.name}.log"
        self._pid_path = data / "run" / f"{program.name}.pid"
        self._clock = clock
        self._say = say
        self._stopping = threading.Event()
        self._was_ready = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.RLock()  # a signal handler may come while this very thread holds it
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_running, name=f"child-{program.name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process id, or none while it is not running."""
        with self._lock:
            return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the program and wait until it is ready.

        Raises:
            Unavailable: it ended, or was not ready within 90 s; the message names the log file.
        """
        self._thread.start()
        deadline = self._clock.monotonic() + READY_S
        while not self.program.ready():
            if self._ended.is_set():
                self.stop()
                raise Unavailable("child_ended", f"{self.program.title} 启动失败,原因见 {self._log_path}")
            if self._clock.monotonic() > deadline:
                self.stop()
                raise Unavailable("child_not_ready", f"{self.program.title} 长时间未就绪,日志见 {self._log_path}")
            self._clock.sleep(0.1)
        self._was_ready.set()

    def stop(self) -> None:
        """Ask the program to drain, wait, and kill it when that takes too long."""
        self._stopping.set()
        self._signal(signal.SIGTERM)
        self._thread.join(DRAIN_S)
        if self._thread.is_alive():
            self._say(f"{self.program.title} 未能按时退出,强制结束")
            self.kill()
            self._thread.join()

    def kill(self) -> None:
        """End the program and everything it started, at once."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def _keep_running(self) -> None:
        backoff = 1.0
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            status = self._run_once()
            if self._stopping.is_set():
                return
            if not self._was_ready.is_set():
                self._ended.set()  # it never came up: a fault of the settings is not mended by trying again
                return
            backoff = 1.0 if self._clock.monotonic() - began > 60.0 else min(backoff * 2, LONGEST_BACKOFF_S)
            self._say(f"{self.program.title} 意外退出(状态 {status}),{backoff:.0f} 秒后重新启动;日志 {self._log_path}")
            self._clock.wait(self._stopping, backoff)

    def _run_once(self) -> int:
        tethered = [sys.executable, "-m", "deploy.hall.tether", str(os.getpid()), *self.program.arguments]
        with LogPump(self._log_path, self.program.title, self._say) as pump:
            with self._lock:
                self._process = subprocess.Popen(
                    tethered,
                    stdin=subprocess.DEVNULL,
                    stdout=pump.descriptor,
                    stderr=pump.descriptor,
                    env={**os.environ, **self.program.environment},
                    start_new_session=True,  # Ctrl-C reaches the children only through us, in our order
                )
            self._pid_path.write_text(f"{self._process.pid}\n", encoding="ascii")
            if self._stopping.is_set():
                self._signal(signal.SIGTERM)
            pump.close_own_end()
            status = self._process.wait()
            self._pid_path.unlink(missing_ok=True)
            self._signal(signal.SIGKILL, whole_group=True)  # helpers that it left behind
            return status

    def _signal(self, number: signal.Signals, *, whole_group: bool = False) -> None:
        with self._lock:
            if self._process is None:
                return
            try:
                if whole_group or number is signal.SIGKILL:
                    os.killpg(self._process.pid, number)
                elif self._process.poll() is None:
                    self._process.send_signal(number)
            except ProcessLookupError:
                return
