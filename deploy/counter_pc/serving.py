"""Asks the virtual approval platform which case its window serves now (docs/interfaces.md, section 12)."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx

from deploy.counter_pc.desktop import Task
from storage.clock import Clock

log = logging.getLogger(__name__)

ASK_EVERY_S = 0.5


class ServingNow:
    """What is being served at one window; the last answer holds while the platform is away."""

    def __init__(self, platform: str, window: int, clock: Clock) -> None:
        self._http = httpx.Client(base_url=platform, timeout=2.0, trust_env=False)
        self._path = f"/v1/windows/{window}"
        self._clock = clock
        self._asked_at = float("-inf")
        self._task: Task | None = None

    def __call__(self) -> Task | None:
        now = self._clock.monotonic()
        if now - self._asked_at >= ASK_EVERY_S:
            self._asked_at = now
            self._ask()
        return self._task

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def _ask(self) -> None:
        try:
            serving = self._http.get(self._path).raise_for_status().json()["serving"]
            self._task = None if serving is None else _task(serving)
        except (httpx.HTTPError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            log.warning("approval_platform_away", extra={"fields": {"message": str(error)}})


def _task(serving: dict[str, Any]) -> Task:
    return Task(
        str(serving["case_number"]),
        str(serving["item"]),
        str(serving["ticket"]),
        str(serving["staff"]),
        int(serving["since_us"]),
    )
