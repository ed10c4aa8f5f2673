"""Workstations (工作电脑): enrolment codes, the list with states, windows served, coverage of a day, revocation."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, update

from console.services.access import Actor
from console.services.audit_log import AuditLog, Detail
from console.services.days import day_span, parse_day
from console.services.hall import require_window
from console.services.halls import hall_clock, hall_row
from console.services.names import clean_name
from console.services.setup import ALPHABET
from console.services.window_map import WORKSTATION, WindowMap, windows_now
from storage.archive.alarms import close_alarm
from storage.archive.catalog import Catalog
from storage.archive.queries import screen_coverage
from storage.archive.tables import coverage, enrolment_code, monitor, workstation
from storage.clock import US, Clock
from storage.errors import Conflict, InvalidInput, NotFound
from storage.model import AlarmKind, CoverageState

MOST_MINUTES = 7 * 24 * 60
NEVER_SEEN = "never_seen"
REVOKED = "revoked"
FIRST_WORD_US = 600 * US
"""How long a freshly enrolled agent may take until its first report."""


@dataclass(frozen=True, slots=True)
class Workstations:
    """What administrators do with workstations; `agents` is what the machines themselves do."""

    catalog: Catalog
    clock: Clock
    audit: AuditLog
    window_map: WindowMap
    silent_us: int

    def make_code(self, actor: Actor, name: str, window_ids: Sequence[UUID], minutes: int) -> dict[str, Any]:
        """A one-time 一次性接入码, shown once; only its hash is kept.

        Raises:
            InvalidInput: name or minutes. NotFound, Conflict: a window.
        """
        cleaned = clean_name(name)
        if not 1 <= minutes <= MOST_MINUTES:
            raise InvalidInput("out_of_range", f"minutes is 1 to {MOST_MINUTES}", least=1, most=MOST_MINUTES)
        code = "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(3))
        now = self.clock.now_us()
        expires = now + minutes * 60 * US
        with self.catalog.write() as conn:
            hall_id = hall_row(conn).id
            numbers: list[int] = [require_window(conn, window_id, open_only=True).number for window_id in window_ids]
            conn.execute(
                insert(enrolment_code).values(
                    code_hash=code_hash(code),
                    hall_id=hall_id,
                    name=cleaned,
                    windows=json.dumps([str(window_id) for window_id in dict.fromkeys(window_ids)]),
                    created_us=now,
                    expires_us=expires,
                    used_us=None,
                    account_id=actor.account_id,
                )
            )
            detail: Detail = {"name": cleaned, "windows": numbers, "minutes": minutes}
            self.audit.record(conn, actor, "enrolment_code_make", f"hall:{hall_id}", None, detail)
        return {"code": code, "expires_us": expires}

    def all(self) -> list[dict[str, Any]]:
        """All workstations in natural order of their names, revoked ones last."""
        with self.catalog.read() as conn:
            return self._shown(conn)

    def add_window(self, actor: Actor, workstation_id: UUID, window_id: UUID, from_us: int | None) -> dict[str, Any]:
        """Say that it serves a window from then on. Raises NotFound, Conflict, InvalidInput."""
        with self.catalog.write() as conn:
            _require(conn, workstation_id)
            map_id = self.window_map.add(conn, actor, WORKSTATION, workstation_id, window_id, from_us=from_us)
            subject, detail = f"workstation:{workstation_id}", {"window": str(window_id)}
            self.audit.record(conn, actor, "workstation_window_add", subject, None, detail)
            entries = windows_now(conn, WORKSTATION, self.clock.now_us()).get(workstation_id, [])
            return next(entry for entry in entries if entry["map_id"] == str(map_id))

    def end_window(self, actor: Actor, workstation_id: UUID, map_id: UUID, to_us: int | None) -> None:
        """Say that it does not serve the window any more. Raises NotFound, Conflict, InvalidInput."""
        with self.catalog.write() as conn:
            self.window_map.end(conn, WORKSTATION, workstation_id, map_id, to_us)
            subject, detail = f"workstation:{workstation_id}", {"map": str(map_id)}
            self.audit.record(conn, actor, "workstation_window_end", subject, None, detail)

    def revoke(self, actor: Actor, workstation_id: UUID) -> None:
        """Refuse its key from now on; what it sent stays. Raises NotFound, Conflict (`workstation_revoked`)."""
        with self.catalog.write() as conn:
            row = _require(conn, workstation_id)
            if row.revoked_us is not None:
                raise Conflict("workstation_revoked", "that workstation is revoked already")
            values = {"revoked_us": self.clock.now_us()}
            conn.execute(update(workstation).where(workstation.c.id == workstation_id).values(**values))
            self.window_map.end_all(conn, WORKSTATION, workstation_id)
            for kind in (AlarmKind.AGENT_SILENT, AlarmKind.AGENT_SPOOL_DROPPED):
                close_alarm(conn, self.clock, kind, f"workstation:{workstation_id}")
            self.audit.record(conn, actor, "workstation_revoke", f"workstation:{workstation_id}")

    def coverage(self, workstation_id: UUID, day: str) -> dict[str, Any]:
        """How each monitor's day of the hall is accounted for. Raises NotFound, InvalidInput."""
        asked = parse_day(day)
        now_us = self.clock.now_us()
        with self.catalog.read() as conn:
            _require(conn, workstation_id)
            span = day_span(asked, hall_clock(conn).zone)
            shown = [
                {
                    "id": str(row.id),
                    "name": row.name,
                    "spans": [asdict(item) for item in screen_coverage(conn, row.id, span, now_us)],
                }
                for row in _monitors(conn, workstation_id)
            ]
        return {"day": asked.isoformat(), "t0_us": span.t0_us, "t1_us": span.t1_us, "now_us": now_us, "monitors": shown}

    def _shown(self, conn: Connection) -> list[dict[str, Any]]:
        now_us = self.clock.now_us()
        windows = windows_now(conn, WORKSTATION, now_us)
        claims = last_claims(conn)
        order = (workstation.c.revoked_us.is_not(None), workstation.c.name_sort, workstation.c.id)
        rows = conn.execute(select(workstation).order_by(*order)).all()
        return [
            {
                **_plain(row),
                "state": state_of(row, claims.get(row.id, ""), now_us, self.silent_us),
                "windows": windows.get(row.id, []),
                "monitors": [
                    {"id": str(item.id), "name": item.name, "width": item.width, "height": item.height}
                    for item in _monitors(conn, row.id)
                ],
            }
            for row in rows
        ]


def code_hash(code: str) -> bytes:
    """What is stored of an enrolment code; dashes and case do not matter."""
    plain = "".join(char for char in code.upper() if char.isalnum())
    return hashlib.sha256(b"sunhall-enrolment:" + plain.encode()).digest()


def seen_us(row: Row[Any]) -> int:
    """When an agent was heard last: when it enrolled, at the latest."""
    return int(row.enrolled_us if row.seen_us is None else row.seen_us)


def never_heard(row: Row[Any]) -> bool:
    """Whether an agent has enrolled and not reported since."""
    return bool(seen_us(row) <= row.enrolled_us)


def patience_us(row: Row[Any], silent_us: int) -> int:
    """How long an agent may be silent: longer before its first report, while somebody still installs it."""
    return max(silent_us, FIRST_WORD_US) if never_heard(row) else silent_us


def state_of(row: Row[Any], claim: str, now_us: int, silent_us: int) -> str:
    """The state of a workstation now: its last claim while it reports, `agent_down` when it is silent."""
    if row.revoked_us is not None:
        return REVOKED
    if now_us - seen_us(row) <= patience_us(row, silent_us):
        return claim or NEVER_SEEN
    return claim if claim == CoverageState.POWERED_OFF.value else CoverageState.AGENT_DOWN.value


def last_claims(conn: Connection) -> dict[UUID, str]:
    """Workstation → the state that its agent claimed last, of its first monitor that has one.

    One look into the index for each monitor: the ledger itself is long.
    """
    newest = (
        select(coverage.c.state)
        .where(coverage.c.monitor_id == monitor.c.id, coverage.c.author == "agent")
        .order_by(coverage.c.t0_us.desc(), coverage.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(monitor.c.workstation_id, newest.label("state")).order_by(monitor.c.name.desc())
    return {row.workstation_id: row.state for row in conn.execute(query) if row.state is not None}


def _plain(row: Row[Any]) -> dict[str, Any]:
    names = (
        "name",
        "hostname",
        "agent_version",
        "seen_us",
        "clock_offset_us",
        "clock_error_us",
        "spool_bytes",
        "spool_segments",
        "revoked_us",
    )
    return {"id": str(row.id), **{name: getattr(row, name) for name in names}}


def _monitors(conn: Connection, workstation_id: UUID) -> Sequence[Any]:
    return conn.execute(
        select(monitor).where(monitor.c.workstation_id == workstation_id).order_by(monitor.c.name)
    ).all()


def _require(conn: Connection, workstation_id: UUID) -> Any:
    row = conn.execute(select(workstation).where(workstation.c.id == workstation_id)).first()
    if row is None:
        raise NotFound("workstation_unknown", "no such workstation")
    return row
