"""Tells the console how this workstation is: coverage, spool, clock; and brings back what the console wants."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from edge_agent import __version__
from edge_agent.clock_probe import ClockOffset, measure_offset
from edge_agent.pushed import PushedStore
from screen_capture.frames import Monitor
from storage.clock import US, Clock
from storage.errors import StorageError, Unavailable
from storage.spool.client import Answer, ConsoleClient, NotDelivered
from storage.spool.ledger import Ledger, LedgerRow
from storage.spool.outbox import Outbox
from storage.spool.uplink import Backoff

log = logging.getLogger(__name__)

CLOCK_EVERY_S = 300.0
CLOCK_STEP_US = 2 * US
AHEAD_US = 60 * US
"""Rows that end later than this by the console's clock wait: our clock is ahead, and the console would refuse them."""
_TARGET = "/agent/v1/report"


class Reporter:
    """A long-lived part: one thread that reports."""

    def __init__(
        self,
        client: ConsoleClient,
        outbox: Outbox,
        ledger: Ledger,
        pushed: PushedStore,
        monitors: Callable[[], list[Monitor]],
        clock: Clock,
        interval_s: float,
        backoff: Backoff,
    ) -> None:
        self._client = client
        self._outbox = outbox
        self._ledger = ledger
        self._pushed = pushed
        self._monitors = monitors
        self._clock = clock
        self._interval_s = interval_s
        self._backoff = backoff
        self._offset: ClockOffset | None = None
        self._measured_at: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop, with one last report so that the console knows of an orderly shutdown."""
        self._stop.set()
        self._thread.join()
        try:
            self.run_once()
        except (Unavailable, StorageError) as error:
            log.info("last_report_failed", extra={"fields": {"code": error.code}})

    def run_once(self) -> float:
        """One report; how many seconds until the next.

        Raises:
            Unavailable: the console is away or did not take it; nothing is lost.
            StorageError: the spool's index refused.
        """
        self._measure_clock()
        rows = self._ledger.take(self._now_there_us() + AHEAD_US)
        try:
            answer = self._client.request_json("POST", _TARGET, self._report(rows))
        except NotDelivered:
            self._ledger.release(rows)
            raise
        pace_s = self._settle(answer, rows)
        return 0.0 if len(rows) >= 500 else pace_s

    def _settle(self, answer: Answer, rows: list[LedgerRow]) -> float:
        if answer.status == 200 and isinstance(answer.body, dict):
            self._ledger.confirm(rows)
            self._pushed.offer(answer.body.get("settings"))
            pace = answer.body.get("pace_s")
            self._interval_s = min(max(float(pace), 1.0), 600.0) if isinstance(pace, int | float) else self._interval_s
            return self._interval_s
        if answer.status in (400, 422) and answer.error_code != "coverage_future" and rows:
            self._send_halves(answer, rows)
            return self._interval_s
        self._measured_at = None  # perhaps our clock is wrong: ask again
        raise Unavailable(
            "report_not_taken", f"the console answered {answer.status} {answer.error_code}", status=answer.status
        )

    def _send_halves(self, refused: Answer, rows: list[LedgerRow]) -> None:
        """The console refuses something in these rows: find the row, put it on record, go on with the others."""
        if len(rows) == 1:
            row = rows[0]
            detail = f"{refused.error_code}: {row.monitor} {row.t0_us} {row.t1_us} {row.state}"
            log.error("coverage_refused", extra={"fields": {"code": refused.error_code, "monitor": row.monitor}})
            self._outbox.index.note(self._clock.now_us(), "coverage_refused", detail)
            self._ledger.confirm(rows)
            return
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]):
            self._settle(self._client.request_json("POST", _TARGET, self._report(half)), half)

    def _report(self, rows: list[LedgerRow]) -> dict[str, Any]:
        usage = self._outbox.usage()
        known = {monitor.name: monitor for monitor in self._monitors()}
        names = sorted(set(known) | {row.monitor for row in rows})
        sizes = {name: (known[name].width, known[name].height) if name in known else (0, 0) for name in names}
        report: dict[str, Any] = {
            "version": __version__,
            "monitors": [{"name": name, "width": sizes[name][0], "height": sizes[name][1]} for name in names],
            "coverage": [
                {"monitor": r.monitor, "t0_us": r.t0_us, "t1_us": r.t1_us, "state": r.state, "detail": r.detail}
                for r in rows
            ],
            "spool": {"bytes": usage.bytes, "segments": usage.segments, "dropped": usage.dropped},
        }
        if self._offset is not None:
            report["clock"] = {"offset_us": self._offset.offset_us, "error_us": self._offset.error_us}
        return report

    def _measure_clock(self) -> None:
        now = self._clock.monotonic()
        if self._measured_at is not None and now - self._measured_at < CLOCK_EVERY_S:
            return
        measured = measure_offset(self._client, self._clock)
        self._measured_at = now
        before, self._offset = self._offset, measured
        if before is not None and abs(before.offset_us - measured.offset_us) > CLOCK_STEP_US:
            step_s = (measured.offset_us - before.offset_us) / US
            self._outbox.index.note(self._clock.now_us(), "clock_offset_step", f"{step_s:.3f} s")

    def _now_there_us(self) -> int:
        return self._clock.now_us() + (self._offset.offset_us if self._offset is not None else 0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                wait_s = self.run_once()
                self._backoff.reset()
            except (Unavailable, StorageError) as error:
                log.info("report_failed", extra={"fields": {"code": error.code, "message": error.message}})
                wait_s = self._backoff.next_s()
            self._clock.wait(self._stop, wait_s)
