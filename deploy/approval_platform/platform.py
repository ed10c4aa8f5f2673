"""The platform at work: as time passes, cases are called, accepted, evaluated and decided at its windows."""

from __future__ import annotations

import heapq
import logging
import random
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from deploy.approval_platform.outbox import Outbox, Sender
from deploy.approval_platform.script import CASES_A_SHIFT, Planned, PlannedCase, Window, written
from storage.clock import Clock
from storage.errors import Unavailable

log = logging.getLogger(__name__)

TICK_S = 0.2
LONGEST_WAIT_S = 10.0


class Platform:
    """Plays the windows. `advance` does what is due; `serving` is what a window's PC shows. Thread-safe."""

    def __init__(
        self, windows: Sequence[int], outbox: Outbox, clock: Clock, *, pace: float = 1.0, seed: int = 1
    ) -> None:
        self._clock = clock
        self._outbox = outbox
        self._lock = threading.Lock()
        self._windows = [Window(number, random.Random(f"{seed}/{number}"), pace) for number in windows]
        self._calls_us: dict[int, int] = {}
        self._serving: dict[int, PlannedCase] = {}
        self._planned: list[tuple[int, int, Planned]] = []
        self._tie = 0

    def advance(self) -> int:
        """Everything that happened until now goes into the outbox; how many events that were."""
        now_us = self._clock.now_us()
        with self._lock:
            for window in self._windows:
                self._work(window, now_us)
            due: list[dict[str, Any]] = []
            while self._planned and self._planned[0][0] <= now_us:
                item = heapq.heappop(self._planned)[2]
                event = written(item, 0)
                del event["sequence"]
                due.append(event)
            if due:
                self._outbox.add(due)
        return len(due)

    def serving(self, number: int) -> dict[str, Any] | None:
        """The case at a window now, or None."""
        now_us = self._clock.now_us()
        with self._lock:
            case = self._serving.get(number)
        if case is None or not case.called_us <= now_us < case.left_us:
            return None
        return {
            "case_number": case.number,
            "item_code": case.item_code,
            "item": case.item,
            "ticket": case.ticket,
            "staff": case.staff,
            "since_us": case.called_us,
        }

    def _work(self, window: Window, now_us: int) -> None:
        """Call the next citizen when it is time. A platform that was stopped for long does not catch up."""
        due_us = self._calls_us.get(window.number, now_us)
        if due_us > now_us:
            return
        if not window.staff or window.served >= CASES_A_SHIFT:
            window.served = 0
            self._plan(window.sign_on(now_us))
        case = window.next_case(now_us, self._outbox.counters)
        self._serving[window.number] = case
        self._calls_us[window.number] = case.left_us + window.pause_us()
        self._plan(case.events)

    def _plan(self, events: Iterable[Planned]) -> None:
        for event in events:
            self._tie += 1
            heapq.heappush(self._planned, (event.at_us, self._tie, event))


class Feed:
    """A part: one thread that lets the platform work and sends what is in the outbox, with back-off."""

    def __init__(self, platform: Platform, outbox: Outbox, sender: Sender, clock: Clock) -> None:
        self._platform = platform
        self._outbox = outbox
        self._sender = sender
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="approval-feed")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop and wait; what was not taken stays in the outbox."""
        self._stopping.set()
        self._thread.join()

    def run_once(self) -> int:
        """Play until now and send one batch; how many events were delivered. Raises Unavailable."""
        self._platform.advance()
        return self._outbox.deliver(self._sender)

    def _run(self) -> None:
        wait_s, next_try = TICK_S, 0.0
        while not self._stopping.is_set():
            self._platform.advance()
            if self._clock.monotonic() >= next_try:
                try:
                    self._outbox.deliver(self._sender)
                    wait_s = TICK_S
                except Unavailable as error:
                    wait_s = min(wait_s * 2, LONGEST_WAIT_S)
                    log.warning("events_wait", extra={"fields": {"code": error.code, "message": error.message}})
                next_try = self._clock.monotonic() + wait_s
            self._clock.wait(self._stopping, TICK_S)
