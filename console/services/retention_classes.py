"""Keeping classes (保存期限类别): how long recordings of some cameras are kept beyond the hall's own days, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, update

from console.services.access import Actor
from console.services.audit_log import AuditLog
from console.services.halls import hall_row
from console.services.names import clean_name, natural_key
from console.services.plan_log import note_change
from storage.archive.catalog import Catalog
from storage.archive.tables import recording_plan, retention_class
from storage.clock import Clock
from storage.errors import Conflict, InvalidInput, NotFound
from storage.ids import new_id

MOST_DAYS = 3660
BASIS_LENGTH = 500


@dataclass(frozen=True, slots=True)
class ClassChange:
    """What to set; None leaves a value as it is."""

    name: str | None = None
    days: int | None = None
    basis: str | None = None


@dataclass(frozen=True, slots=True)
class RetentionClasses:
    """Reads and changes keeping classes."""

    catalog: Catalog
    clock: Clock
    audit: AuditLog

    def all(self) -> list[dict[str, Any]]:
        """All classes in natural order, with how many cameras are in each."""
        with self.catalog.read() as conn:
            return _shown(conn, hall_row(conn).id)

    def create(self, actor: Actor, wanted: ClassChange) -> dict[str, Any]:
        """Make a class. Raises InvalidInput, Conflict (`retention_class_exists`)."""
        class_id, values = new_id(self.clock), _checked(wanted)
        if not {"name", "days"} <= values.keys():
            raise InvalidInput("retention_class_incomplete", "a keeping class needs a name and days")
        with self.catalog.write() as conn:
            hall_id = hall_row(conn).id
            _require_free(conn, hall_id, values["name"], None)
            row = {"id": class_id, "hall_id": hall_id, "created_us": self.clock.now_us(), "basis": "", **values}
            conn.execute(insert(retention_class).values(**row))
            return self._noted(conn, actor, hall_id, class_id, "retention_class_create")

    def change(self, actor: Actor, class_id: UUID, wanted: ClassChange) -> dict[str, Any]:
        """Change what is given. Raises NotFound (`retention_class_unknown`), InvalidInput, Conflict."""
        values = _checked(wanted)
        with self.catalog.write() as conn:
            hall_id = hall_row(conn).id
            _require(conn, hall_id, class_id)
            if "name" in values:
                _require_free(conn, hall_id, values["name"], class_id)
            if values:
                conn.execute(update(retention_class).where(retention_class.c.id == class_id).values(**values))
            return self._noted(conn, actor, hall_id, class_id, "retention_class_change")

    def remove(self, actor: Actor, class_id: UUID) -> None:
        """Delete one that no camera is in. Raises NotFound, Conflict (`retention_class_in_use`)."""
        with self.catalog.write() as conn:
            hall_id = hall_row(conn).id
            _require(conn, hall_id, class_id)
            shown = next(one for one in _shown(conn, hall_id) if one["id"] == str(class_id))
            if shown["cameras"]:
                raise Conflict("retention_class_in_use", "cameras are in this class", cameras=shown["cameras"])
            conn.execute(delete(retention_class).where(retention_class.c.id == class_id))
            facts = {"name": shown["name"], "days": shown["days"]}
            note_change(
                conn, self.audit, actor, hall_id, "retention_class_delete", f"retention_class:{class_id}", facts
            )

    def _noted(self, conn: Connection, actor: Actor, hall_id: UUID, class_id: UUID, action: str) -> dict[str, Any]:
        shown = next(one for one in _shown(conn, hall_id) if one["id"] == str(class_id))
        facts = {name: shown[name] for name in ("name", "days", "basis")}
        note_change(conn, self.audit, actor, hall_id, action, f"retention_class:{class_id}", facts)
        return shown


def _checked(wanted: ClassChange) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if wanted.name is not None:
        name = clean_name(wanted.name)
        values |= {"name": name, "name_sort": natural_key(name)}
    if wanted.days is not None:
        if not 1 <= wanted.days <= MOST_DAYS:
            raise InvalidInput("out_of_range", f"days is 1 to {MOST_DAYS}", field="days", least=1, most=MOST_DAYS)
        values["days"] = wanted.days
    if wanted.basis is not None:
        basis = wanted.basis.strip()
        if len(basis) > BASIS_LENGTH:
            raise InvalidInput("text_long", f"at most {BASIS_LENGTH} characters", field="basis", most=BASIS_LENGTH)
        values["basis"] = basis
    return values


def _require(conn: Connection, hall_id: UUID, class_id: UUID) -> None:
    query = select(retention_class.c.id).where(retention_class.c.id == class_id)
    if conn.execute(query.where(retention_class.c.hall_id == hall_id)).first() is None:
        raise NotFound("retention_class_unknown", "no such keeping class")


def _require_free(conn: Connection, hall_id: UUID, name: str, but: UUID | None) -> None:
    query = select(retention_class.c.id).where(retention_class.c.hall_id == hall_id, retention_class.c.name == name)
    known = conn.execute(query).scalar_one_or_none()
    if known is not None and known != but:
        raise Conflict("retention_class_exists", "there is a class of that name")


def _shown(conn: Connection, hall_id: UUID) -> list[dict[str, Any]]:
    owner = recording_plan.c.retention_class_id
    cameras = {row[0]: row[1] for row in conn.execute(select(owner, func.count()).group_by(owner))}
    table = retention_class
    query = select(table).where(table.c.hall_id == hall_id).order_by(table.c.name_sort, table.c.id)
    return [
        {"id": str(row.id), "name": row.name, "days": row.days, "basis": row.basis, "cameras": cameras.get(row.id, 0)}
        for row in conn.execute(query)
    ]
