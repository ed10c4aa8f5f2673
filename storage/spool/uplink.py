"""Sends the outbox to the console, one segment after the other, idempotently, and for ever.

A segment leaves the outbox only when the console has it (201, 200) or says that it can never take it (409, 413, 422:
set aside, on record). Everything else is waited out: no connection, 5xx, 401, 403, 404, 429, 503, and 422
`segment_future`, when our clock is ahead. `Retry-After` paces us, after a success too.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
from dataclasses import dataclass

from storage.clock import Clock
from storage.errors import ObjectDamaged, StorageError, Unavailable
from storage.spool.client import Answer, ConsoleClient
from storage.spool.outbox import Outbox, Stored

log = logging.getLogger(__name__)

_TAKEN = (200, 201)
_NEVER = {409: "segment_conflict", 413: "segment_refused", 422: "segment_refused"}
DRAIN_S = 5.0
_NOT_YET = frozenset({"segment_future"})


@dataclass
class Backoff:
    """Waits that double from `first_s` to `longest_s`, each spread by half, so that 200 agents do not come at once."""

    first_s: float = 1.0
    longest_s: float = 60.0
    random: random.Random | None = None
    failures: int = 0

    def next_s(self) -> float:
        """How long to wait after one more failure."""
        full = min(self.first_s * 2.0 ** min(self.failures, 30), self.longest_s)
        self.failures += 1
        return full * (self.random or random).uniform(0.5, 1.0)

    def reset(self) -> None:
        self.failures = 0


class Uplink:
    """A long-lived part: one thread that uploads."""

    def __init__(self, outbox: Outbox, client: ConsoleClient, clock: Clock, backoff: Backoff) -> None:
        self._outbox = outbox
        self._client = client
        self._clock = clock
        self._backoff = backoff
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop after trying, for at most DRAIN_S, to send what waits."""
        self._stop.set()
        self._thread.join()
        began = self._clock.monotonic()
        while self._clock.monotonic() - began < DRAIN_S:
            try:
                if self._outbox.next_due() is None or self.run_once() > 0:
                    return
            except StorageError as error:
                log.warning("uplink_spool_failed", extra={"fields": {"code": error.code}})
                return

    def run_once(self) -> float:
        """Send one segment; how long to wait before the next, in seconds.

        Raises:
            StorageError: the spool's index or disk refused.
        """
        due = self._outbox.next_due()
        if due is None:
            return 1.0
        try:
            body = self._outbox.body(due.meta.id, due.sha256)
        except ObjectDamaged:
            self._outbox.lose(due.meta.id, "spool_corrupt")
            return 0.0
        try:
            answer = self._client.request("PUT", f"/agent/v1/segments/{due.meta.id}", body, segment_headers(due))
        except Unavailable as error:
            log.info("uplink_console_away", extra={"fields": {"code": error.code}})
            return self._backoff.next_s()
        return self._settle(due, answer)

    def _settle(self, due: Stored, answer: Answer) -> float:
        if answer.status in _TAKEN:
            self._outbox.acknowledge(due.meta.id)
            self._backoff.reset()
            return answer.retry_after_s() or 0.0
        fields = {"segment": due.meta.id, "status": answer.status, "code": answer.error_code}
        if answer.status in _NEVER and answer.error_code not in _NOT_YET:
            log.error("uplink_segment_refused", extra={"fields": fields})
            self._outbox.lose(due.meta.id, _NEVER[answer.status])
            return 0.0
        log.warning("uplink_not_taken_now", extra={"fields": fields})
        self._outbox.failed(due.meta.id)
        return max(self._backoff.next_s(), answer.retry_after_s() or 0.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                wait_s = self.run_once()
            except StorageError as error:
                log.warning("uplink_spool_failed", extra={"fields": {"code": error.code}})
                wait_s = self._backoff.next_s()
            if wait_s > 0:
                self._clock.wait(self._stop, wait_s)


def segment_headers(due: Stored) -> dict[str, str]:
    """What the console wants to know before it reads the body (docs/interfaces.md, section 7)."""
    facts = {
        "monitor": due.meta.monitor,
        "width": due.meta.width,
        "height": due.meta.height,
        "t0_us": due.meta.t0_us,
        "t1_us": due.t1_us,
        "pictures": list(due.pictures),
        "sha256": due.sha256.hex(),
    }
    raw = base64.b64encode(json.dumps(facts, separators=(",", ":")).encode()).decode()
    return {"X-Sunhall-Segment": raw, "Content-Type": "application/octet-stream"}
