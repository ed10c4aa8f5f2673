"""A hall with windows, sources and events in a real SQLite catalog, for tests of cases, visits and media."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Table, func, insert, select

from console.services.access import Actor
from console.services.audit_log import AuditLog
from console.services.binding import VisitBinder
from console.services.case_keeper import CaseKeeper
from console.services.cases import Cases
from console.services.intake import Intake
from console.services.sources import SignedBatch, Source, Sources
from storage.archive.catalog import Catalog
from storage.archive.migrate import migrate
from storage.archive.tables import account, account_role, event_source, hall, service_period, service_window
from storage.clock import US, FakeClock
from storage.identity.boxes import SecretBox
from storage.ids import new_id
from storage.model import Role

ZONE = "Asia/Shanghai"
TODAY = "2026-11-20"  # a Friday
INTAKE = "/intake/v1/events"


def at_us(text: str, day: str = TODAY, zone: str = ZONE) -> int:
    """Microseconds of a wall time of the hall, `09:30:00`."""
    return round(datetime.fromisoformat(f"{day}T{text}").replace(tzinfo=ZoneInfo(zone)).timestamp() * US)


@dataclass
class CaseWorld:
    """The services around one catalog, with a clock that stands at ten o'clock of a working day."""

    catalog: Catalog
    clock: FakeClock
    hall_id: UUID
    windows: dict[int, UUID]
    admin: Actor
    sources: Sources
    binder: VisitBinder
    intake: Intake
    cases: Cases
    secrets: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, url: str, *, now: str = "10:00:00") -> CaseWorld:
        """Migrate the catalog at `url` and furnish a hall with windows 1 to 4."""
        migrate(url)
        clock = FakeClock(at_us(now))
        catalog = Catalog.open(url, clock)
        hall_id, account_id = new_id(clock), new_id(clock)
        windows = {number: new_id(clock) for number in range(1, 5)}
        with catalog.write() as conn:
            conn.execute(insert(hall).values(id=hall_id, name="滁州市政务服务中心", timezone=ZONE, created_us=0))
            for weekday in range(1, 6):
                for from_minute, to_minute in ((540, 720), (780, 1020)):
                    conn.execute(
                        insert(service_period).values(
                            id=new_id(clock),
                            hall_id=hall_id,
                            weekday=weekday,
                            from_minute=from_minute,
                            to_minute=to_minute,
                        )
                    )
            conn.execute(insert(account).values(id=account_id, login="admin", display_name="管理员", created_us=0))
            conn.execute(insert(account_role).values(account_id=account_id, role=Role.SYSTEM_ADMIN.value))
        admin = Actor(account_id, "admin", "管理员", frozenset({Role.SYSTEM_ADMIN}), hall_id, "127.0.0.1")
        binder = VisitBinder(catalog, clock)
        world = cls(
            catalog,
            clock,
            hall_id,
            {},
            admin,
            Sources(catalog, SecretBox(secrets.token_bytes(32)), clock, AuditLog(clock)),
            binder,
            Intake(catalog, clock, binder),
            Cases(catalog),
        )
        for number in windows:
            world.add_window(number)
        return world

    @classmethod
    def at(cls, folder: Path) -> CaseWorld:
        """A world in a SQLite file of the folder."""
        return cls.make(f"sqlite:///{folder / 'catalog.sqlite'}")

    @property
    def keeper(self) -> CaseKeeper:
        return CaseKeeper(self.catalog, self.clock, self.binder)

    def add_window(self, number: int) -> UUID:
        """Another service window."""
        self.windows[number] = new_id(self.clock)
        with self.catalog.write() as conn:
            conn.execute(
                insert(service_window).values(
                    id=self.windows[number],
                    hall_id=self.hall_id,
                    number=number,
                    name=f"{number}号窗口",
                    name_sort=f"{number:012}号窗口",
                    created_us=0,
                )
            )
        return self.windows[number]

    def add_source(self, code: str = "approval", timezone: str = ZONE) -> Source:
        """A source whose times may lack an offset."""
        made = self.sources.create(self.admin, code, f"审批系统 {code}", timezone)
        self.secrets[code] = made["secret"]
        return Source(UUID(made["source"]["id"]), code, "", ZoneInfo(timezone) if timezone else None)

    def send(self, source: Source, *events: dict[str, Any]) -> dict[str, Any]:
        """Take the events as if the source had signed them."""
        return self.intake.take(SignedBatch(source, json.dumps(list(events), ensure_ascii=False).encode()))

    def visits(self, number: str) -> list[dict[str, Any]]:
        """The visits of the first case found by that number."""
        found = self.cases.search(number)
        visits: list[dict[str, Any]] = self.cases.read(UUID(found[0]["id"]))["visits"]
        return visits

    def count(self, table: Table, *where: Any) -> int:
        """Rows of a table."""
        with self.catalog.read() as conn:
            return int(conn.execute(select(func.count()).select_from(table).where(*where)).scalar_one())


def source_row_secret(world: CaseWorld, source: Source) -> bytes:
    """The sealed secret as it stands in the catalog."""
    with world.catalog.read() as conn:
        return bytes(conn.execute(select(event_source.c.secret_box).where(event_source.c.id == source.id)).scalar_one())


def event(sequence: int, kind: str, at: str, number: str | None = None, **more: Any) -> dict[str, Any]:
    """An event of today as a source writes it; `at` is a wall time of the hall with its offset added."""
    fields: dict[str, Any] = {"sequence": sequence, "kind": kind, "at": f"{TODAY}T{at}+08:00"}
    if number is not None:
        fields["case_number"] = number
    return fields | more
