"""The audit table: who did what, when, from where and for which purpose. Rows are written, never changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select

from console.services.access import Actor
from storage.archive.tables import account, audit, purpose
from storage.clock import Clock
from storage.ids import new_id

Detail = Mapping[str, str | int | bool | list[str] | list[int] | None]


@dataclass(frozen=True, slots=True)
class AuditLog:
    """Writes and lists audit rows.

    `record` belongs in the transaction of what it tells about; for footage it commits before the first byte.
    """

    clock: Clock

    def record(
        self,
        conn: Connection,
        actor: Actor,
        action: str,
        subject: str,
        purpose_id: UUID | None = None,
        detail: Detail | None = None,
    ) -> UUID:
        """Add one row and return its id. `subject` is `kind:id`; `detail` never holds a secret.

        When `purpose_id` is None the purpose stated with the actor's request is taken.
        """
        row = self._row(actor, action, subject, purpose_id, detail)
        conn.execute(insert(audit).values(**row))
        made: UUID = row["id"]
        return made

    def record_all(self, conn: Connection, actor: Actor, action: str, told: Iterable[tuple[str, Detail]]) -> None:
        """One row for each (subject, detail) of the same action, in one statement."""
        rows = [self._row(actor, action, subject, None, detail) for subject, detail in told]
        if rows:
            conn.execute(insert(audit), rows)

    def _row(
        self, actor: Actor, action: str, subject: str, purpose_id: UUID | None, detail: Detail | None
    ) -> dict[str, Any]:
        return {
            "id": new_id(self.clock),
            "at_us": self.clock.now_us(),
            "account_id": actor.account_id,
            "action": action,
            "subject": subject,
            "purpose_id": purpose_id or actor.purpose_id,
            "detail": json.dumps(detail or {}, ensure_ascii=False, sort_keys=True),
            "address": actor.address,
        }

    def page(
        self, conn: Connection, *, before_us: int | None, limit: int, action: str | None, footage_only: bool
    ) -> list[dict[str, Any]]:
        """Rows, newest first; `footage_only` keeps those that were done under a purpose."""
        query = (
            select(audit, account.c.login, account.c.display_name, purpose.c.code, purpose.c.reference)
            .outerjoin(account, audit.c.account_id == account.c.id)
            .outerjoin(purpose, audit.c.purpose_id == purpose.c.id)
            .order_by(audit.c.at_us.desc(), audit.c.id.desc())
            .limit(limit)
        )
        if before_us is not None:
            query = query.where(audit.c.at_us < before_us)
        if action:
            query = query.where(audit.c.action == action)
        if footage_only:
            query = query.where(audit.c.purpose_id.is_not(None))
        return [_row(item) for item in conn.execute(query).mappings()]


def _row(item: Mapping[Any, Any]) -> dict[str, Any]:
    stated = {"code": item["code"], "reference": item["reference"]} if item["code"] else None
    return {
        "id": str(item["id"]),
        "at_us": item["at_us"],
        "login": item["login"],
        "display_name": item["display_name"],
        "action": item["action"],
        "subject": item["subject"],
        "purpose": stated,
        "detail": json.loads(item["detail"] or "{}"),
    }
