"""What agents do: enrol with a one-time code, report, and hand over screen segments."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select, update

from console.services.access import ANONYMOUS
from console.services.audit_log import AuditLog
from console.services.halls import hall_clock, hall_row
from console.services.names import natural_key
from console.services.throttle import Throttle, address_key
from console.services.window_map import WORKSTATION, WindowMap
from console.services.workstations import code_hash
from screen_capture.decode import read_index
from storage.archive.alarms import close_alarm, is_open, open_alarm
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest, ensure_monitor
from storage.archive.objects import ObjectStore
from storage.archive.tables import enrolment_code, service_window, workstation
from storage.clock import US, Clock
from storage.errors import Conflict, InvalidInput, NotAuthenticated
from storage.ids import new_id
from storage.model import AlarmKind, CoverageSpan, ScreenSegment

AHEAD_US = 300 * US
"""How far into the future a claim may reach: as far as a signed request's time may be off."""
MOST_MONITORS = 16
MOST_CLAIMED_US = 4000 * 86_400 * US
"""All claims of one report together; each day of a claim becomes a row."""
DETAIL_LENGTH = 500
"""Of a claim's detail so much is kept; a long error text is no reason to refuse the claim."""


@dataclass(frozen=True, slots=True)
class MonitorFacts:
    """A monitor as its agent names and measures it."""

    name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an agent says when it enrols."""

    code: str
    public_key: bytes
    machine_id: str
    hostname: str
    version: str
    monitors: Sequence[MonitorFacts]


@dataclass(frozen=True, slots=True)
class Claim:
    """A stretch of a monitor's time in one state, as the agent says."""

    monitor: str
    t0_us: int
    t1_us: int
    state: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """An agent's report about itself and its monitors' time."""

    version: str
    monitors: Sequence[MonitorFacts]
    coverage: Sequence[Claim]
    spool_bytes: int
    spool_segments: int
    spool_dropped: int
    clock_offset_us: int | None
    clock_error_us: int | None


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What an agent announces of a segment beside its bytes."""

    monitor: str
    width: int
    height: int
    t0_us: int
    t1_us: int
    pictures: Sequence[int]
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Pace:
    """What agents are told: seconds between looks at the screen and between reports."""

    interval_s: float
    report_s: float


@dataclass(frozen=True, slots=True)
class Agents:
    """The agents' side of the console."""

    catalog: Catalog
    clock: Clock
    ingest: Ingest
    store: ObjectStore
    audit: AuditLog
    window_map: WindowMap
    throttle: Throttle
    pace: Pace

    def enrol(self, asked: Enrolment, address: str) -> dict[str, Any]:
        """Use up a code: workstation, monitors and windows in one transaction.

        Raises:
            NotAuthenticated: `enrolment_code_invalid` (wrong, expired or used), `too_many_attempts`.
            Conflict: `key_enrolled`: that key belongs to a workstation, as on a copied disk.
            InvalidInput: the key or the monitors cannot be taken.
        """
        key = address_key(address)
        if len(asked.public_key) != 32 or not 0 <= len(asked.monitors) <= MOST_MONITORS:
            raise InvalidInput("enrolment_invalid", "an enrolment has an Ed25519 key of 32 bytes and a few monitors")
        self.throttle.attempt(key)
        with self.catalog.write() as conn:
            answer = self._enrol(conn, asked, address)
        self.throttle.undo(key)
        return answer

    def report(self, workstation_id: UUID, report: Report) -> dict[str, Any]:
        """Take a report; claims that were taken before are harmless.

        Raises:
            InvalidInput: a claim about an unknown monitor, in the future, or in a state that no agent may claim.
        """
        now = self.clock.now_us()
        spans = self._checked(report, now)
        with self.catalog.write() as conn:
            monitors = {
                item.name: ensure_monitor(conn, self.clock, workstation_id, item.name, item.width, item.height)
                for item in report.monitors
            }
            conn.execute(update(workstation).where(workstation.c.id == workstation_id).values(**_facts(report, now)))
            self._alarms(conn, workstation_id, report)
            settings = self._settings(conn)
        for name, claims in spans.items():
            self.ingest.record_coverage(monitors[name], claims)
        return {"now_us": self.clock.now_us(), "pace_s": self.pace.report_s, "settings": settings}

    def take_segment(self, workstation_id: UUID, segment_id: UUID, header: SegmentHeader, data: bytes) -> bool:
        """Check, store and commit a screen segment; false when it was committed before.

        Raises:
            MediaError: the bytes are no screen segment. InvalidInput: `segment_mismatch` with what was announced.
            Conflict: `segment_conflict`, with an alarm. ObjectDamaged: `hash_mismatch`.
        """
        _compare(header, data)
        segment = ScreenSegment(
            id=segment_id,
            workstation_id=workstation_id,
            monitor=header.monitor,
            t0_us=header.t0_us,
            t1_us=header.t1_us,
            pictures=len(header.pictures),
            size_bytes=len(data),
            sha256=header.sha256,
        )
        if header.t1_us > self.clock.now_us() + AHEAD_US:
            raise InvalidInput("segment_future", "the segment ends in the future: check the clocks")
        return self.ingest.take_screen(self.store, segment, header.pictures, data)

    def _enrol(self, conn: Connection, asked: Enrolment, address: str) -> dict[str, Any]:
        now = self.clock.now_us()
        used = (
            update(enrolment_code)
            .where(
                enrolment_code.c.code_hash == code_hash(asked.code),
                enrolment_code.c.used_us.is_(None),
                enrolment_code.c.expires_us > now,
            )
            .values(used_us=now)
        )
        if conn.execute(used).rowcount != 1:
            raise NotAuthenticated("enrolment_code_invalid", "the code is wrong, used or expired: ask for a new one")
        same = select(workstation.c.id).where(workstation.c.public_key == asked.public_key)
        if conn.execute(same).first() is not None:
            raise Conflict("key_enrolled", "this key is enrolled already: give the machine a key of its own")
        code = conn.execute(select(enrolment_code).where(enrolment_code.c.code_hash == code_hash(asked.code))).one()
        workstation_id = self._insert(conn, asked, code, now)
        for item in asked.monitors:
            ensure_monitor(conn, self.clock, workstation_id, item.name, item.width, item.height)
        for window_id in self._still_open(conn, json.loads(code.windows)):
            self.window_map.add(conn, ANONYMOUS, WORKSTATION, workstation_id, window_id)
        detail = {"hostname": asked.hostname}
        nobody = replace(ANONYMOUS, address=address)
        self.audit.record(conn, nobody, "workstation_enrol", f"workstation:{workstation_id}", None, detail)
        return {"workstation_id": str(workstation_id), "name": code.name, "settings": self._settings(conn)}

    def _insert(self, conn: Connection, asked: Enrolment, code: Any, now: int) -> UUID:
        workstation_id = new_id(self.clock)
        conn.execute(
            insert(workstation).values(
                id=workstation_id,
                hall_id=code.hall_id,
                name=code.name,
                name_sort=natural_key(code.name),
                public_key=asked.public_key,
                machine_id=asked.machine_id,
                hostname=asked.hostname,
                agent_version=asked.version,
                enrolled_us=now,
                seen_us=now,
                spool_bytes=0,
                spool_segments=0,
            )
        )
        return workstation_id

    def _still_open(self, conn: Connection, window_ids: Sequence[str]) -> list[UUID]:
        wanted = [UUID(text) for text in window_ids]
        query = select(service_window.c.id).where(
            service_window.c.id.in_(wanted), service_window.c.retired_us.is_(None)
        )
        return list(conn.execute(query.order_by(service_window.c.number)).scalars())

    def _checked(self, report: Report, now: int) -> dict[str, list[CoverageSpan]]:
        if len(report.monitors) > MOST_MONITORS:
            raise InvalidInput("too_many_monitors", f"at most {MOST_MONITORS} monitors", most=MOST_MONITORS)
        if sum(claim.t1_us - claim.t0_us for claim in report.coverage if claim.t1_us > claim.t0_us) > MOST_CLAIMED_US:
            raise InvalidInput("coverage_long", "the claims are about more than eleven years: check the clocks")
        spans: dict[str, list[CoverageSpan]] = {item.name: [] for item in report.monitors}
        for claim in report.coverage:
            if claim.monitor not in spans:
                raise InvalidInput(
                    "monitor_unknown", "a claim names a monitor that the report does not", monitor=claim.monitor
                )
            if claim.t1_us > now + AHEAD_US:
                raise InvalidInput("coverage_future", "a claim reaches into the future: check the clocks")
            spans[claim.monitor].append(
                CoverageSpan(claim.t0_us, claim.t1_us, claim.state, claim.detail[:DETAIL_LENGTH])
            )
        return {name: claims for name, claims in spans.items() if claims}

    def _alarms(self, conn: Connection, workstation_id: UUID, report: Report) -> None:
        subject = f"workstation:{workstation_id}"
        close_alarm(conn, self.clock, AlarmKind.AGENT_SILENT, subject)
        dropped = AlarmKind.AGENT_SPOOL_DROPPED
        if report.spool_dropped and not is_open(conn, dropped, subject):
            open_alarm(conn, self.clock, dropped, subject, {"dropped": report.spool_dropped})
        if not report.spool_dropped:
            close_alarm(conn, self.clock, dropped, subject)

    def _settings(self, conn: Connection) -> dict[str, Any]:
        """What agents obey; `version` changes whenever anything in it does."""
        hall = hall_row(conn)
        clock = hall_clock(conn)
        told: dict[str, Any] = {
            "interval_s": self.pace.interval_s,
            "service_periods": [asdict(period) for period in clock.periods],
            "timezone": clock.timezone,
            "notice": {"version": hall.notice_version, "text": hall.notice_staff},
        }
        return {"version": zlib.crc32(json.dumps(told, sort_keys=True).encode()), **told}


def _facts(report: Report, now: int) -> dict[str, Any]:
    return {
        "seen_us": now,
        "agent_version": report.version,
        "spool_bytes": report.spool_bytes,
        "spool_segments": report.spool_segments,
        "clock_offset_us": report.clock_offset_us,
        "clock_error_us": report.clock_error_us,
    }


def _compare(header: SegmentHeader, data: bytes) -> None:
    if hashlib.sha256(data).digest() != header.sha256:
        raise InvalidInput("segment_mismatch", "the bytes received are not those announced")
    index = read_index(data)
    found = (index.width, index.height, index.t0_us, index.t1_us, [entry.t_us for entry in index.pictures])
    told = (header.width, header.height, header.t0_us, header.t1_us, list(header.pictures))
    if found != told:
        raise InvalidInput("segment_mismatch", "the segment's header does not fit its bytes")
