"""Watches over silent agents: the server says `agent_down`, for the silent one cannot."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from console.services.days import in_service
from console.services.halls import hall_clock
from console.services.workstations import last_claims, never_heard, patience_us, seen_us
from storage.archive.alarms import is_open, open_alarm
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest
from storage.archive.tables import monitor, workstation
from storage.clock import US, Clock
from storage.errors import NotFound
from storage.model import AlarmKind, CoverageState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SilenceWatch:
    """Finds agents that say nothing: the server writes `agent_down`, for the silent one cannot."""

    catalog: Catalog
    clock: Clock
    ingest: Ingest
    silent_us: int

    def run_once(self) -> int:
        """Write silence and raise alarms; returns how many agents are silent without explanation."""
        now = self.clock.now_us()
        try:
            with self.catalog.read() as conn:
                clock = hall_clock(conn)
                silent = self._silent(conn, now)
        except NotFound:  # the first run is not over
            return 0
        serving = in_service(now, clock.zone, clock.periods)
        for row, monitors in silent:
            for monitor_id in monitors:
                self.ingest.mark_silence(monitor_id, now)
            if serving or never_heard(row):  # whoever installs an agent may do so out of hours
                self._alarm(row.id, seen_us(row))
        return len(silent)

    def _silent(self, conn: Connection, now: int) -> list[tuple[Row[Any], list[UUID]]]:
        claims = last_claims(conn)
        rows = conn.execute(select(workstation).where(workstation.c.revoked_us.is_(None))).all()
        found = []
        for row in rows:
            off = claims.get(row.id) == CoverageState.POWERED_OFF.value
            if off or now - seen_us(row) <= patience_us(row, self.silent_us):
                continue
            monitors = conn.execute(select(monitor.c.id).where(monitor.c.workstation_id == row.id)).scalars()
            found.append((row, list(monitors)))
        return found

    def _alarm(self, workstation_id: UUID, last_us: int) -> None:
        subject = f"workstation:{workstation_id}"
        with self.catalog.read() as conn:
            if is_open(conn, AlarmKind.AGENT_SILENT, subject):
                return
        with self.catalog.write() as conn:
            open_alarm(conn, self.clock, AlarmKind.AGENT_SILENT, subject, {"seen_us": last_us})
        log.warning("agent_silent", extra={"fields": {"workstation": workstation_id, "seen_us": last_us}})


def interval_of(silent_us: int) -> float:
    """Seconds between two looks for silence: half of what counts as silent."""
    return max(1.0, silent_us / US / 2)
