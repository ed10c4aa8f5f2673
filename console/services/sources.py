"""Event sources (事件来源): who may send case events, and how their requests are known to be theirs."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, func, insert, select, update

from console.services.access import Actor
from console.services.audit_log import AuditLog, Detail
from console.services.days import zone_of
from console.services.names import clean_name
from console.services.sequences import holes, last_sequence
from storage.archive.alarms import close_alarm
from storage.archive.catalog import Catalog
from storage.archive.tables import case_event, event_source
from storage.clock import Clock
from storage.errors import Conflict, InvalidInput, NotFound
from storage.identity.boxes import SecretBox
from storage.identity.requests import MemoryNonces, SharedSecret, verify_headers
from storage.ids import new_id
from storage.model import AlarmKind

SECRET_BYTES = 32
"""A source's secret is shown as twice as many hexadecimal characters; that text, as ASCII, is the HMAC key."""
_CODE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """A source that has proved who it is. `zone` is None when its times must carry an offset."""

    id: UUID
    code: str
    name: str
    zone: ZoneInfo | None


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """A body and the source that signed it."""

    source: Source
    body: bytes


class Sources:
    """Makes, lists and authenticates event sources. Blocking; thread-safe."""

    def __init__(self, catalog: Catalog, box: SecretBox, clock: Clock, audit: AuditLog) -> None:
        self._catalog = catalog
        self._box = box
        self._clock = clock
        self._audit = audit
        self._nonces = MemoryNonces(clock)  # a repeated batch changes nothing, so this process's memory is enough
        self._nonce_lock = threading.Lock()

    def create(self, actor: Actor, code: str, name: str, timezone: str) -> dict[str, Any]:
        """Add a source; the answer holds its secret, which is shown this once and never again.

        Raises:
            InvalidInput: `source_code_invalid`, `name_empty`, `name_long` or `timezone_unknown`.
            Conflict: `source_exists`.
        """
        if not _CODE.fullmatch(code):
            raise InvalidInput("source_code_invalid", "a code is lower-case letters, digits, dot, dash, underscore")
        if timezone:
            zone_of(timezone)
        secret = secrets.token_hex(SECRET_BYTES)
        source_id = new_id(self._clock)
        with self._catalog.write() as conn:
            if conn.execute(select(event_source.c.id).where(event_source.c.code == code)).first():
                raise Conflict("source_exists", "there is a source of that code", source=code)
            conn.execute(
                insert(event_source).values(
                    id=source_id,
                    code=code,
                    name=clean_name(name),
                    timezone=timezone,
                    secret_box=self._box.seal(secret.encode("ascii"), source_id.bytes),
                    created_us=self._clock.now_us(),
                )
            )
            self._audit.record(conn, actor, "source_create", f"source:{source_id}", detail={"code": code})
            row = conn.execute(select(event_source).where(event_source.c.id == source_id)).one()
            return {"source": _shown(conn, row), "secret": secret}

    def change(
        self, actor: Actor, source_id: UUID, *, name: str | None = None, disabled: bool | None = None
    ) -> dict[str, Any]:
        """Rename a source, stop taking its events or take them again. What it sent stays.

        Raises:
            NotFound: `source_unknown`. InvalidInput: `name_empty` or `name_long`.
        """
        values: dict[str, Any] = {} if name is None else {"name": clean_name(name)}
        with self._catalog.write() as conn:
            known = _require(conn, source_id)
            if disabled is not None and disabled != (known.disabled_us is not None):
                values["disabled_us"] = self._clock.now_us() if disabled else None
            if values:
                conn.execute(update(event_source).where(event_source.c.id == source_id).values(**values))
            if disabled:
                for kind in (AlarmKind.SEQUENCE_HOLE, AlarmKind.SEQUENCE_CONFLICT):
                    close_alarm(conn, self._clock, kind, f"source:{source_id}")
            changed: Detail = {"changed": sorted(values), "disabled": bool(disabled)}
            self._audit.record(conn, actor, "source_change", f"source:{source_id}", detail=changed)
            return _shown(conn, _require(conn, source_id))

    def renew_secret(self, actor: Actor, source_id: UUID) -> dict[str, Any]:
        """Replace a source's secret; the answer holds the new one, which is shown this once and never again.

        Raises:
            NotFound: `source_unknown`.
        """
        secret = secrets.token_hex(SECRET_BYTES)
        with self._catalog.write() as conn:
            row = _require(conn, source_id)
            box = self._box.seal(secret.encode("ascii"), source_id.bytes)
            conn.execute(update(event_source).where(event_source.c.id == source_id).values(secret_box=box))
            self._audit.record(conn, actor, "source_secret_renew", f"source:{source_id}")
            return {"source": _shown(conn, row), "secret": secret}

    def list_all(self) -> list[dict[str, Any]]:
        """Every source with the holes in its sequence."""
        with self._catalog.read() as conn:
            rows = conn.execute(select(event_source).order_by(event_source.c.code)).all()
            return [_shown(conn, row) for row in rows]

    def authenticate(self, headers: Mapping[str, str], method: str, target: str, body: bytes) -> SignedBatch:
        """The source whose secret signed this request.

        Raises:
            NotAuthenticated: see `verify_headers`; a disabled source is unknown.
        """
        found: list[Source] = []

        def find_key(code: str) -> SharedSecret | None:
            row = self._enabled(code)
            if row is None:
                return None
            found.append(Source(row.id, row.code, row.name, ZoneInfo(row.timezone) if row.timezone else None))
            return SharedSecret(self._box.open(bytes(row.secret_box), row.id.bytes))

        verify_headers(headers, method, target, body, find_key, self._seen, self._clock)
        return SignedBatch(found[0], body)

    def _enabled(self, code: str) -> Row[Any] | None:
        with self._catalog.read() as conn:
            return conn.execute(
                select(event_source).where(event_source.c.code == code, event_source.c.disabled_us.is_(None))
            ).first()

    def _seen(self, code: str, nonce: bytes, expires_us: int) -> bool:
        with self._nonce_lock:
            return self._nonces(code, nonce, expires_us)


def _require(conn: Connection, source_id: UUID) -> Row[Any]:
    row = conn.execute(select(event_source).where(event_source.c.id == source_id)).first()
    if row is None:
        raise NotFound("source_unknown", "there is no such source")
    return row


def _shown(conn: Connection, row: Row[Any]) -> dict[str, Any]:
    events = conn.execute(select(func.count()).where(case_event.c.source_id == row.id)).scalar_one()
    return {
        "id": str(row.id),
        "code": row.code,
        "name": row.name,
        "timezone": row.timezone,
        "last_sequence": last_sequence(conn, row.id),
        "holes": [list(hole) for hole in holes(conn, row.id)],
        "events": events,
        "disabled_us": row.disabled_us,
    }
