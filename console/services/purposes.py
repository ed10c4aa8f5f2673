"""调阅事由: why somebody asks for footage, stated once and named in every request for footage after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, insert, select

from console.services.access import Actor, Purpose
from console.services.audit_log import AuditLog
from storage.archive.catalog import Catalog
from storage.archive.tables import purpose
from storage.clock import Clock
from storage.errors import InvalidInput, NotAuthenticated, NotPermitted
from storage.ids import new_id
from storage.model import PurposeCode

REFERENCE_LENGTH = 120
NOTE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Purposes:
    """Purposes of the present session; another session's do not count."""

    catalog: Catalog
    clock: Clock
    audit: AuditLog

    def state(self, actor: Actor, code: PurposeCode, reference: str, note: str) -> Purpose:
        """Put a purpose on record and return it.

        Raises:
            InvalidInput: the reference is empty or too long (`reference_required`, `reference_long`).
        """
        reference = reference.strip()
        if not reference:
            raise InvalidInput("reference_required", "a purpose needs a reference, such as a complaint's number")
        if len(reference) > REFERENCE_LENGTH or len(note) > NOTE_LENGTH:
            raise InvalidInput("reference_long", "the reference or note is too long", limit=REFERENCE_LENGTH)
        if actor.account_id is None:
            raise NotAuthenticated("not_logged_in", "log in first")
        stated = Purpose(new_id(self.clock), code, reference, self.clock.now_us())
        with self.catalog.write() as conn:
            conn.execute(
                insert(purpose).values(
                    id=stated.id,
                    account_id=actor.account_id,
                    session_hash=actor.session_hash,
                    code=code.value,
                    reference=reference,
                    note=note.strip(),
                    created_us=stated.created_us,
                )
            )
            self.audit.record(conn, actor, "purpose_state", f"purpose:{stated.id}", stated.id)
        return stated

    def find(self, actor: Actor, purpose_id: UUID) -> Purpose:
        """The purpose, stated by this account in this session; NotPermitted (`purpose_unknown`) otherwise."""
        with self.catalog.read() as conn:
            row = conn.execute(_of_session(actor).where(purpose.c.id == purpose_id)).mappings().first()
        if row is None:
            raise NotPermitted("purpose_unknown", "state a purpose in this session first")
        return _purpose(row)

    def current(self, actor: Actor) -> Purpose | None:
        """The last purpose stated in this session, if any."""
        with self.catalog.read() as conn:
            return _last(conn, actor)


def _last(conn: Connection, actor: Actor) -> Purpose | None:
    query = _of_session(actor).order_by(purpose.c.created_us.desc(), purpose.c.id.desc()).limit(1)
    row = conn.execute(query).mappings().first()
    return _purpose(row) if row else None


def _of_session(actor: Actor) -> Select[Any]:
    return select(purpose).where(purpose.c.account_id == actor.account_id, purpose.c.session_hash == actor.session_hash)


def _purpose(row: Mapping[Any, Any]) -> Purpose:
    return Purpose(row["id"], PurposeCode(row["code"]), row["reference"], row["created_us"])
