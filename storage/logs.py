"""Structured log lines: a constant event name with fields, one line each, secrets scrubbed.

Use: `log.info("camera_connected", extra={"fields": {"camera": camera_id, "codec": "h264"}})`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

from storage.clock import Clock

_URL_CREDENTIALS = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/@\s\"']+@", re.IGNORECASE)


def scrub(text: str) -> str:
    """`text` with user names and passwords in URLs (`rtsp://user:secret@host`) replaced by stars."""
    return _URL_CREDENTIALS.sub(r"\1***@", text)


class LineFormatter(logging.Formatter):
    """`2026-11-21T08:00:00.123Z level logger event {"field": "value"}`, always one line."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        fields: dict[str, Any] = getattr(record, "fields", {})
        tail = " " + json.dumps(fields, ensure_ascii=False, default=str) if fields else ""
        line = f"{stamp} {record.levelname.lower()} {record.name} {record.getMessage()}{tail}"
        if record.exc_info:
            line += " " + json.dumps(self.formatException(record.exc_info))
        return scrub(line.replace("\n", "\\n"))


def configure_logging(level: str = "info") -> None:
    """Send all log lines to standard error in our format. Called once, by a process's `main`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it reports each request at info


class RepeatedFault:
    """Counts a fault that repeats and lets it be reported at most once an interval.

    `report(key)` returns how many happened since the last report when it is time to log one, else 0.
    """

    def __init__(self, clock: Clock, interval_s: float = 1.0) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._pending: dict[str, int] = {}
        self._reported_at: dict[str, float] = {}

    def report(self, key: str) -> int:
        self._pending[key] = self._pending.get(key, 0) + 1
        now = self._clock.monotonic()
        last = self._reported_at.get(key)
        if last is not None and now - last < self._interval_s:
            return 0
        self._reported_at[key] = now
        return self._pending.pop(key)
