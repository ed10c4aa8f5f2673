"""What the platform has to send: numbered, kept in a file until the console has taken it, sent in order.

The file is written before anything is sent and after every answer, so a number is never used for two events, and an
event that got no answer is sent again (which is harmless)."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import httpx

from deploy.approval_platform.script import Counters
from storage.clock import Clock
from storage.errors import ConfigurationError, Unavailable
from storage.files import write_atomic
from storage.identity.requests import SharedSecret, sign_headers

log = logging.getLogger(__name__)

INTAKE_PATH = "/intake/v1/events"
BATCH = 200


class Sender(Protocol):
    """Delivers a batch."""

    def send(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        """The console's answer. Raises Unavailable: try the same again later."""
        ...


class HttpSender:
    """Signs and posts batches to a console."""

    def __init__(self, base_url: str, source: str, secret: str, clock: Clock, client: httpx.Client) -> None:
        self._url = base_url.rstrip("/") + INTAKE_PATH
        self._source = source
        self._signer = SharedSecret(secret.encode("ascii"))
        self._clock = clock
        self._client = client

    def send(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        body = json.dumps(events, ensure_ascii=False).encode()
        headers = sign_headers(self._signer, self._source, "POST", INTAKE_PATH, body, self._clock)
        try:
            answer = self._client.post(self._url, content=body, headers=headers | {"Content-Type": "application/json"})
            if answer.status_code != 200:
                raise Unavailable("intake_refused", f"the console answered {answer.status_code}: {answer.text[:200]}")
            taken: dict[str, Any] = answer.json()
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            raise Unavailable("console_away", f"the console does not answer: {error}") from error
        return taken


class Outbox:
    """Numbers events and keeps them until they are taken. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigurationError (`outbox_damaged`) when the file in `folder` is not what was written."""
        self._path = folder / "outbox.json"
        self._lock = threading.Lock()
        self._pending: list[dict[str, Any]] = []
        self.sequence = 0
        self.counters = Counters()
        folder.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            self._load()

    @property
    def pending(self) -> int:
        """Events that were not taken yet."""
        with self._lock:
            return len(self._pending)

    def add(self, events: list[dict[str, Any]]) -> None:
        """Number the events and keep them."""
        with self._lock:
            for event in events:
                self.sequence += 1
                self._pending.append({"sequence": self.sequence, **event})
            self._save()

    def deliver(self, sender: Sender) -> int:
        """Send one batch, oldest first; returns how many were delivered. Raises Unavailable: they stay."""
        with self._lock:
            batch = self._pending[:BATCH]
        if not batch:
            return 0
        answer = sender.send(batch)
        for rejection in answer["rejected"]:
            log.error("event_rejected", extra={"fields": rejection})
        with self._lock:
            del self._pending[: len(batch)]
            self._save()
        return len(batch)

    def _save(self) -> None:
        state = {"sequence": self.sequence, "counters": asdict(self.counters), "pending": self._pending}
        write_atomic(self._path, json.dumps(state, ensure_ascii=False).encode())

    def _load(self) -> None:
        try:
            state = json.loads(self._path.read_text(encoding="utf-8"))
            self.sequence = int(state["sequence"])
            self.counters = Counters(**state["counters"])
            self._pending = list(state["pending"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError("outbox_damaged", f"{self._path} cannot be read: move it away") from error
