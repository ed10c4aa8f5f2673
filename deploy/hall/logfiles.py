"""What a child writes goes to a bounded log file; its error lines also go to the terminal."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

LIMIT_BYTES = 20_000_000
"""A log file that has grown to this size becomes NAME.log.1; the one before that is dropped."""

SHOWN_CHARACTERS = 240

_ERROR_LINE = re.compile(rb"^\S+ (error|critical) ")
"""`storage.logs.LineFormatter`: time, level, logger, event."""


class LogPump:
    """A pipe into a log file: hand `descriptor` to the child, then `close_own_end`."""

    def __init__(self, path: Path, title: str, say: Callable[[str], None]) -> None:
        self._path = path
        self._title = title
        self._say = say
        self._read_end, self.descriptor = os.pipe()
        self._own_end_open = True
        self._thread = threading.Thread(target=self._pump, name=f"log-{path.stem}", daemon=True)

    def __enter__(self) -> LogPump:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_own_end()
        self._thread.join(2.0)

    def close_own_end(self) -> None:
        """Keep only the child's end of the pipe open, so that its death ends the pump."""
        if self._own_end_open:
            self._own_end_open = False
            os.close(self.descriptor)

    def _pump(self) -> None:
        with os.fdopen(self._read_end, "rb") as lines:
            for line in lines:
                self._write(line)
                if _ERROR_LINE.match(line):
                    self._say(f"{self._title}: {_shortened(line)}")

    def _write(self, line: bytes) -> None:
        try:
            if self._path.exists() and self._path.stat().st_size > LIMIT_BYTES:
                self._path.replace(self._path.with_suffix(".log.1"))
            with self._path.open("ab") as log:
                log.write(line)
        except OSError as error:
            # A full disk must not stop the child through a full pipe; the terminal still says what is wrong.
            self._say(f"{self._title}: 无法写日志 {self._path}: {error}")


def _shortened(line: bytes) -> str:
    """A log line for the terminal: without the traceback, which is in the file."""
    text = line.decode("utf-8", "replace").rstrip()
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
