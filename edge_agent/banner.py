"""The notice as a banner on the X11 desktop, held by a process of its own that may die with the display."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

_ANSWER_S = 5.0


class BannerNotice:
    """A `Notice`. Every look raises the banner above other windows; where that fails, it is not visible."""

    def __init__(self, display: str | None = None) -> None:
        """`display`: an X11 display such as ":0" (None: the environment's)."""
        self._display = display
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()

    def show(self, text: str) -> None:
        with self._lock:
            if not self._say(json.dumps({"text": text})):
                self._end()
                self._begin()
                self._say(json.dumps({"text": text}))

    def visible(self) -> bool:
        with self._lock:
            return self._say("")

    def close(self) -> None:
        with self._lock:
            self._end()

    def _say(self, line: str) -> bool:
        """Whether the banner answers that it is visible."""
        if self._process is None or self._process.stdin is None:
            return False
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            answer = self._answers.get(timeout=_ANSWER_S)
        except (OSError, queue.Empty):
            return False
        return answer.strip() == "visible"

    def _begin(self) -> None:
        root = str(Path(__file__).resolve().parent.parent)
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
        if self._display is not None:
            environment["DISPLAY"] = self._display
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge_agent.platform.x11_banner"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                text=True,
            )
        except OSError as error:
            log.warning("banner_not_started", extra={"fields": {"message": str(error)}})
            return
        self._answers = queue.Queue()
        reader = threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True)
        reader.start()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # an unsent line is flushed into a dead process
                    pipe.close()


def _read(source: IO[str] | None, answers: queue.Queue[str]) -> None:
    if source is None:
        return
    with contextlib.suppress(ValueError, OSError):  # closed by `_end`
        for line in source:
            answers.put(line)
    answers.put("gone")
