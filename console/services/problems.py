"""What is wrong now: open alarms, and cameras and gateways whose states say so; and the counts of the board."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, func, select

from console.services.cameras import GATEWAY_SILENT, Cameras
from console.services.days import day_of, day_span
from console.services.halls import hall_clock
from console.services.workstations import REVOKED, Workstations
from storage.archive.catalog import Catalog
from storage.archive.tables import account, alarm, case, channel, device, event_source, stream, workstation
from storage.clock import Clock
from storage.model import AlarmKind, CoverageState, DerivedState, LiveState

PLANNED = frozenset({DerivedState.RECORDED.value, DerivedState.PENDING.value, "plan", "maintenance", "privacy_pause"})
"""Recording states that are no problem."""
MOST_ALARMS = 1000
"""Open alarms that are listed, the oldest first: a source that names windows at random must not fill the page."""
_NAMED: Mapping[str, tuple[Table, str]] = {
    "camera": (channel, "name"),
    "device": (device, "name"),
    "workstation": (workstation, "name"),
    "account": (account, "login"),
    "source": (event_source, "name"),
}
_LINKS = {
    "camera": "/cameras/{id}",
    "device": "/cameras",
    "workstation": "/workstations",
    "window_code": "/hall",
    "account": "/accounts",
    "source": "/sources",
    "calendar": "/plans",
}


@dataclass(frozen=True, slots=True)
class Problems:
    """The list of problems and the board's counts."""

    catalog: Catalog
    clock: Clock
    cameras: Cameras
    workstations: Workstations

    def all(self) -> list[dict[str, Any]]:
        """Problems, the oldest first."""
        cameras = self.cameras.all()
        with self.catalog.read() as conn:
            query = select(alarm).where(alarm.c.closed_us.is_(None)).order_by(alarm.c.opened_us).limit(MOST_ALARMS)
            rows = conn.execute(query).mappings().all()
            found = [_of_alarm(conn, row) for row in rows]
        told = {(item["kind"], item["subject"]) for item in found}
        known = {item["subject"] for item in found}
        derived = [item for item in _of_cameras(cameras) if (item["kind"], item["subject"]) not in told]
        found += [item for item in derived if item["subject"] not in known]
        return sorted(found, key=lambda item: (item["since_us"], item["id"]))

    def counts(self) -> dict[str, Any]:
        """The numbers of the status board."""
        cameras, workstations = self.cameras.all(), self.workstations.all()
        now_us = self.clock.now_us()
        with self.catalog.read() as conn:
            today = day_span(day_of(now_us, zone := hall_clock(conn).zone), zone)
            seen = (case.c.id >= _first_id(today.t0_us), case.c.id < _first_id(today.t1_us))
            cases_today = conn.execute(select(func.count()).select_from(case).where(*seen)).scalar_one()
        serving = [item for item in workstations if item["state"] != REVOKED]
        return {
            "now_us": now_us,
            "cameras": {
                "total": len(cameras),
                "live": _count(cameras, lambda item: item["live"]["state"] == LiveState.LIVE.value),
                "recorded": _count(cameras, lambda item: item["recording"]["state"] == DerivedState.RECORDED.value),
            },
            "workstations": {
                "total": len(serving),
                "reporting": _count(serving, lambda item: item["state"] != CoverageState.AGENT_DOWN.value),
                "silent": _count(serving, lambda item: item["state"] == CoverageState.AGENT_DOWN.value),
            },
            "cases_today": cases_today,
            "problems": len(self.all()),
        }


def _first_id(at_us: int) -> UUID:
    """The smallest UUIDv7 made at that moment: ids are in order of time, so a day of cases is a stretch of the key."""
    return UUID(int=at_us // 1000 << 80)


def _count(items: list[dict[str, Any]], fits: Callable[[dict[str, Any]], bool]) -> int:
    return sum(1 for item in items if fits(item))


def _of_alarm(conn: Connection, row: Mapping[Any, Any]) -> dict[str, Any]:
    subject, name = _subject(conn, row["subject"])
    detail = json.loads(row["detail"] or "{}")
    return {
        "id": str(row["id"]),
        "kind": row["kind"],
        "subject": subject,
        "name": name,
        "since_us": row["opened_us"],
        "count": row["count"],
        "cause": str(detail.get("cause") or detail.get("reason") or ""),
        "detail": row["detail"] or "{}",
        "link": _link(subject, row["kind"]),
    }


def _subject(conn: Connection, subject: str) -> tuple[str, str]:
    """The subject (a stream's is its camera) and the name to show for it."""
    kind, _, text = subject.partition(":")
    try:
        subject_id = UUID(text)
    except ValueError:  # a code or a name, not an id
        return subject, text
    if kind == "stream":
        camera_id = conn.execute(select(stream.c.channel_id).where(stream.c.id == subject_id)).scalar()
        return _subject(conn, f"camera:{camera_id}") if camera_id else (subject, "")
    if kind not in _NAMED:
        return subject, ""
    table, column = _NAMED[kind]
    return subject, conn.execute(select(table.c[column]).where(table.c.id == subject_id)).scalar() or ""


def _link(subject: str, kind: str) -> str:
    owner, _, subject_id = subject.partition(":")
    if kind == AlarmKind.SEVERAL_ROLES:
        return "/accounts"
    return _LINKS.get(owner, "").format(id=subject_id)


def _of_cameras(cameras: list[dict[str, Any]]) -> list[dict[str, Any]]:
    silent = [item for item in cameras if item["recording"]["cause"] == GATEWAY_SILENT]
    found = [_gateway(silent)] if silent else []
    for item in cameras:
        state = item["recording"]
        if state["state"] in PLANNED or state["cause"] == GATEWAY_SILENT:
            continue
        found.append(_camera(item, state))
    return found


def _camera(item: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    subject = f"camera:{item['id']}"
    return {
        "id": subject,
        "kind": AlarmKind.CAMERA_OFFLINE.value,
        "subject": subject,
        "name": item["name"],
        "since_us": state["since_us"],
        "count": 1,
        "cause": state["state"],
        "detail": json.dumps({"cause": state["cause"]}, ensure_ascii=False),
        "link": _link(subject, ""),
    }


def _gateway(silent: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": GATEWAY_SILENT,
        "kind": GATEWAY_SILENT,
        "subject": "hall",
        "name": "",
        "since_us": min(item["recording"]["since_us"] for item in silent),
        "count": len(silent),
        "cause": GATEWAY_SILENT,
        "detail": "{}",
        "link": "/cameras",
    }
