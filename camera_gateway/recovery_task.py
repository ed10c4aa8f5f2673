"""Takes up what an earlier process left, while recording runs: a restart costs seconds, not the time to salvage."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from camera_gateway.catalog_plan import AlarmChange, CatalogPlan, write_alarms
from camera_gateway.recovery import Found, Leftovers, Recovery, find_leftovers
from storage.archive.catalog import Catalog
from storage.clock import Clock
from storage.errors import StorageFull, Unavailable
from storage.model import AlarmKind

log = logging.getLogger(__name__)

_RETRY_S = 2.0


class LeftoverReport:
    """Says in the alarm `orphan_object` of this gateway what lies in its staging folder and belongs to no stream."""

    def __init__(self, staging: Path, catalog: Catalog, gateway_id: UUID, clock: Clock) -> None:
        self._staging = staging
        self._catalog = catalog
        self._gateway_id = gateway_id
        self._clock = clock

    def write(self) -> None:
        """Look once. A disk that does not answer is no reason not to record. Raises Unavailable, StorageFull."""
        known = CatalogPlan(self._catalog, self._gateway_id, 0, 1).stream_ids()
        try:
            found = find_leftovers(self._staging, known)
        except OSError as error:
            log.error("leftovers_unknown", extra={"fields": {"error": error.strerror}})
            return
        opened = found != Leftovers()
        if opened:
            log.error("leftovers_found", extra={"fields": {"found": str(found)}})
        detail = (("quarantined", str(found.quarantined)), ("unknown_streams", str(found.unknown_streams)))
        change = AlarmChange(AlarmKind.ORPHAN_OBJECT, f"gateway:{self._gateway_id}", opened, detail)
        write_alarms(self._catalog, self._clock, [change])


class RecoveryTask:
    """`look` before anything is recorded; `start` recovers beside it and then calls `done`.

    One worker reports leftovers `always`, and so does each that has just set a file aside.
    """

    def __init__(
        self,
        recovery: Recovery,
        plan: CatalogPlan,
        leftovers: LeftoverReport,
        clock: Clock,
        done: Callable[[], None],
        *,
        always: bool,
    ) -> None:
        self._recovery = recovery
        self._plan = plan
        self._leftovers = leftovers
        self._clock = clock
        self._done = done
        self._always = always
        self._found: list[Found] | None = None  # None: nobody could look yet
        self.looks = 0  # how often it has looked
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recovery", daemon=True)

    def look(self, stop: threading.Event) -> None:
        """See what there is, waiting while the catalog is away: what is found later is this process's own."""
        while not stop.is_set():
            self.looks += 1
            try:
                self._found = self._recovery.find(self._plan.stream_ids())
            except (Unavailable, OSError) as error:
                log.error("recovery_waits", extra={"fields": {"error": str(error)}})
                self._clock.wait(stop, _RETRY_S)
            else:
                return

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What is not taken up by then waits for the next start, and so do the rows of this process."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        if self._found is None:
            return  # asked to stop before that: rows stay held, for they might come before those of an earlier process
        while not self._stopping.is_set():
            try:
                recovered = self._recovery.run(self._found, self._stopping.is_set)
                if recovered.unfinished:
                    return
                if self._always or recovered.quarantined:
                    self._leftovers.write()
            except (Unavailable, StorageFull, OSError) as error:
                log.error("recovery_waits", extra={"fields": {"error": str(error)}})
                self._clock.wait(self._stopping, _RETRY_S)
            else:
                self._done()
                return
