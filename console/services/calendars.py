"""Calendar years: the holidays and 调休 workdays that schedules follow. A year that is not loaded is a plain week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, case, delete, func, insert, or_, select

from console.services.access import Actor
from console.services.audit_log import AuditLog
from console.services.calendar_reading import Reading, checked_days, decode, read_calendar
from console.services.days import FIRST_YEAR, LAST_YEAR
from console.services.halls import hall_row
from console.services.plan_log import CALENDAR, needed_years, note_change
from storage.archive.catalog import Catalog
from storage.archive.tables import account, calendar_day, calendar_year
from storage.clock import Clock
from storage.errors import InvalidInput, NotFound
from storage.model import DayKind
from storage.schedule import SpecialDay

SOURCE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Calendars:
    """Reads and loads calendar years."""

    catalog: Catalog
    clock: Clock
    audit: AuditLog

    def all(self) -> dict[str, Any]:
        """The loaded years, newest first, and those that plans need and nobody has loaded."""
        with self.catalog.read() as conn:
            hall_id = hall_row(conn).id
            return {"years": _years(conn, hall_id), "missing": needed_years(conn, hall_id, self.clock.now_us())}

    def read(self, year: int) -> dict[str, Any]:
        """One year with its days; one that is not loaded has none. Raises InvalidInput (`year_invalid`)."""
        _check_year(year)
        with self.catalog.read() as conn:
            return _shown(conn, hall_row(conn).id, year)

    def parse(self, year: int, text: str | None, data: bytes | None) -> dict[str, Any]:
        """What a pasted text or a file says about the year; nothing is stored. Raises InvalidInput."""
        _check_year(year)
        if (text is None) == (data is None):
            raise InvalidInput("calendar_input", "send either text or a file")
        reading: Reading = read_calendar(decode(data) if data is not None else text or "", year)
        return {
            "days": [_day(one) for _, one in sorted(reading.days.items())],
            "problems": [asdict(problem) for problem in reading.problems],
        }

    def load(self, actor: Actor, year: int, source: str, days: Sequence[SpecialDay]) -> dict[str, Any]:
        """Replace the year's days; the year counts as loaded, with no days too. Raises InvalidInput."""
        _check_year(year)
        told = source.strip()
        if len(told) > SOURCE_LENGTH:
            raise InvalidInput("text_long", f"at most {SOURCE_LENGTH} characters", field="source", most=SOURCE_LENGTH)
        wanted = checked_days(days, year)
        with self.catalog.write() as conn:
            hall_id = hall_row(conn).id
            _remove(conn, hall_id, year, also=[one.day for one in wanted])
            about = {"source": told, "loaded_us": self.clock.now_us(), "account_id": actor.account_id}
            conn.execute(insert(calendar_year).values(hall_id=hall_id, year=year, **about))
            if wanted:
                conn.execute(insert(calendar_day), [_values(hall_id, one) for one in wanted])
            facts = {
                "source": told,
                "holidays": " ".join(str(one.day) for one in wanted if one.kind is DayKind.HOLIDAY),
                "workdays": " ".join(f"{one.day}={one.as_weekday}" for one in wanted if one.kind is DayKind.WORKDAY),
            }
            note_change(conn, self.audit, actor, hall_id, "calendar_load", f"{CALENDAR}:{year}", facts)
            return _shown(conn, hall_id, year)

    def remove(self, actor: Actor, year: int) -> None:
        """Forget a year. Raises NotFound (`calendar_unknown`), InvalidInput."""
        _check_year(year)
        with self.catalog.write() as conn:
            hall_id = hall_row(conn).id
            if not _shown(conn, hall_id, year)["loaded"]:
                raise NotFound("calendar_unknown", "that year is not loaded")
            _remove(conn, hall_id, year, also=[])
            note_change(conn, self.audit, actor, hall_id, "calendar_delete", f"{CALENDAR}:{year}", {"year": year})


def _check_year(year: int) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise InvalidInput("year_invalid", f"a year lies between {FIRST_YEAR} and {LAST_YEAR}")


def _remove(conn: Connection, hall_id: UUID, year: int, also: Sequence[date]) -> None:
    days = calendar_day.c
    mine = or_(days.day.like(f"{year:04d}-%"), days.day.in_([one.isoformat() for one in also]))
    conn.execute(delete(calendar_day).where(days.hall_id == hall_id, mine))
    conn.execute(delete(calendar_year).where(calendar_year.c.hall_id == hall_id, calendar_year.c.year == year))


def _values(hall_id: UUID, one: SpecialDay) -> dict[str, Any]:
    return {"hall_id": hall_id, **_day(one)}


def _day(one: SpecialDay) -> dict[str, Any]:
    return {"day": one.day.isoformat(), "kind": one.kind.value, "as_weekday": one.as_weekday, "name": one.name}


def _years(conn: Connection, hall_id: UUID) -> list[dict[str, Any]]:
    table, days = calendar_year, calendar_day.c
    of_year = func.substr(days.day, 1, 4)
    holidays = func.sum(case((days.kind == DayKind.HOLIDAY.value, 1), else_=0))
    query = select(of_year, holidays, func.count()).where(days.hall_id == hall_id).group_by(of_year)
    counts = {int(row[0]): (int(row[1]), int(row[2])) for row in conn.execute(query)}
    loaded = select(table.c.year, table.c.source, table.c.loaded_us, account.c.display_name)
    loaded = loaded.outerjoin(account, account.c.id == table.c.account_id).where(table.c.hall_id == hall_id)
    return [
        _year(row._mapping, *counts.get(row.year, (0, 0))) for row in conn.execute(loaded.order_by(table.c.year.desc()))
    ]


def _year(row: Mapping[Any, Any], holidays: int, days: int) -> dict[str, Any]:
    about = {name: row[name] for name in ("year", "source", "loaded_us")}
    return {**about, "loaded_by": row["display_name"], "holidays": holidays, "workdays": days - holidays}


def _shown(conn: Connection, hall_id: UUID, year: int) -> dict[str, Any]:
    table, days = calendar_year, calendar_day.c
    row = conn.execute(select(table).where(table.c.hall_id == hall_id, table.c.year == year)).one_or_none()
    query = select(days.day, days.kind, days.as_weekday, days.name).where(days.hall_id == hall_id)
    found = conn.execute(query.where(days.day.like(f"{year:04d}-%")).order_by(days.day)).mappings()
    source = "" if row is None else row.source
    return {"year": year, "loaded": row is not None, "source": source, "days": [dict(one) for one in found]}
