"""Logins: opaque tokens whose hash alone is stored, with an end, an idle limit and a throttle before them."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from console.services.access import ANONYMOUS, Actor
from console.services.audit_log import AuditLog
from console.services.passwords import Passwords
from console.services.throttle import Throttle, address_key
from storage.archive.catalog import Catalog
from storage.archive.tables import account, account_role, hall, session
from storage.clock import US, Clock
from storage.errors import NotAuthenticated
from storage.model import Role

SEEN_STEP_US = 60 * US
"""`seen_us` is written at most once a minute and session: reading is not writing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a session lives, in microseconds."""

    life_us: int
    idle_us: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """Logs in and out, and turns cookies into actors."""

    catalog: Catalog
    clock: Clock
    passwords: Passwords
    throttle: Throttle
    audit: AuditLog
    limits: Limits

    def login(self, login: str, password: str, address: str) -> tuple[str, Actor]:
        """The new session's token (for the cookie, stored nowhere) and its actor.

        Raises:
            NotAuthenticated: `wrong_credentials`, or `too_many_attempts` with `retry_s`.
        """
        folded = login.strip().lower()[:64]
        account_key, peer_key = f"account:{folded}", address_key(address)
        self.throttle.attempt(account_key, peer_key)
        with self.catalog.read() as conn:
            found = conn.execute(select(account).where(account.c.login == folded)).first()
        fits = self.passwords.matches(found.password_hash if found else None, password)
        if found is None or not fits or found.disabled:
            self._record_failure(found, address)
            raise NotAuthenticated("wrong_credentials", "login or password is wrong")
        self.throttle.forgive(account_key)
        self.throttle.undo(peer_key)
        return self._open(found, address)

    def logout(self, actor: Actor) -> None:
        """End the actor's present session."""
        with self.catalog.write() as conn:
            conn.execute(delete(session).where(session.c.token_hash == actor.session_hash))
            self.audit.record(conn, actor, "logout", f"account:{actor.account_id}")

    def resolve(self, token: str, address: str) -> Actor:
        """The actor of a cookie; anonymous when it names no live session."""
        return self.resolve_hash(_hash(token), address)

    def resolve_hash(self, session_hash: bytes, address: str) -> Actor:
        """The actor of a session by its cookie's hash."""
        now = self.clock.now_us()
        with self.catalog.read() as conn:
            row = _live_session(conn, session_hash, now, self.limits.idle_us)
            if row is None:
                return replace(ANONYMOUS, address=address)
            actor = _actor(conn, row, address)
        if now - row.seen_us >= SEEN_STEP_US:
            with self.catalog.write() as conn:
                conn.execute(update(session).where(session.c.token_hash == session_hash).values(seen_us=now))
        return actor

    def forget_expired(self) -> int:
        """Remove sessions that ended; returns how many."""
        now = self.clock.now_us()
        ended = or_(session.c.expires_us <= now, session.c.seen_us <= now - self.limits.idle_us)
        with self.catalog.write() as conn:
            return conn.execute(delete(session).where(ended)).rowcount

    def _open(self, found: Row[Any], address: str) -> tuple[str, Actor]:
        token, csrf, now = secrets.token_urlsafe(32), secrets.token_urlsafe(24), self.clock.now_us()
        with self.catalog.write() as conn:
            conn.execute(
                insert(session).values(
                    token_hash=_hash(token),
                    account_id=found.id,
                    csrf=csrf,
                    created_us=now,
                    seen_us=now,
                    expires_us=now + self.limits.life_us,
                    address=address,
                )
            )
            row = _live_session(conn, _hash(token), now, self.limits.idle_us)
            if row is None:
                raise NotAuthenticated("wrong_credentials", "the account was disabled at this moment")
            actor = _actor(conn, row, address)
            self.audit.record(conn, actor, "login", f"account:{found.id}")
        return token, actor

    def _record_failure(self, found: Row[Any] | None, address: str) -> None:
        nobody = replace(ANONYMOUS, address=address)
        subject = f"account:{found.id}" if found else "account:unknown"
        with self.catalog.write() as conn:
            self.audit.record(conn, nobody, "login_failed", subject)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _live_session(conn: Connection, session_hash: bytes, now: int, idle_us: int) -> Row[Any] | None:
    query = (
        select(session, account.c.login, account.c.display_name)
        .join(account, account.c.id == session.c.account_id)
        .where(
            session.c.token_hash == session_hash,
            session.c.expires_us > now,
            session.c.seen_us > now - idle_us,
            account.c.disabled.is_(False),
        )
    )
    return conn.execute(query).first()


def _actor(conn: Connection, row: Row[Any], address: str) -> Actor:
    roles = conn.execute(select(account_role.c.role).where(account_role.c.account_id == row.account_id)).scalars()
    return Actor(
        account_id=row.account_id,
        login=row.login,
        display_name=row.display_name,
        roles=frozenset(Role(role) for role in roles),
        hall_id=conn.execute(select(hall.c.id).order_by(hall.c.created_us)).scalar(),
        address=address,
        session_hash=bytes(row.token_hash),
        csrf=row.csrf,
    )
