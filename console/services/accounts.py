"""Accounts: who may log in, with which roles. Several roles for one person are allowed, flagged and logged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, update

from console.services.access import Actor
from console.services.audit_log import AuditLog
from console.services.names import clean_name
from console.services.passwords import Passwords, check_password
from console.services.throttle import Throttle
from storage.archive.alarms import close_alarm, open_alarm
from storage.archive.catalog import Catalog
from storage.archive.tables import account, account_role, session
from storage.clock import Clock
from storage.errors import Conflict, InvalidInput, NotAuthenticated, NotFound
from storage.ids import new_id
from storage.model import AlarmKind, Role

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to make; `password_hash` is made outside any transaction, for it is slow on purpose."""

    login: str
    display_name: str
    password_hash: str
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class Accounts:
    """Makes, lists and changes accounts."""

    catalog: Catalog
    clock: Clock
    passwords: Passwords
    audit: AuditLog
    throttle: Throttle

    def prepare(self, login: str, display_name: str, password: str, roles: Iterable[Role]) -> NewAccount:
        """Check an account and hash its password; slow, and before any transaction.

        Raises:
            InvalidInput: login, name, password or roles cannot be taken.
        """
        folded = fold_login(login)
        check_password(password, folded)
        chosen = tuple(sorted(set(roles)))
        if not chosen:
            raise InvalidInput("role_required", "an account needs at least one role")
        return NewAccount(folded, clean_name(display_name), self.passwords.hash(password), chosen)

    def add(self, conn: Connection, actor: Actor, new: NewAccount) -> UUID:
        """Insert a prepared account within the caller's transaction.

        Raises:
            Conflict: the login is taken (`login_taken`).
        """
        taken = conn.execute(select(account.c.id).where(account.c.login == new.login)).first()
        if taken is not None:
            raise Conflict("login_taken", "an account of that login exists", login=new.login)
        account_id = new_id(self.clock)
        conn.execute(
            insert(account).values(
                id=account_id,
                login=new.login,
                display_name=new.display_name,
                password_hash=new.password_hash,
                disabled=False,
                created_us=self.clock.now_us(),
            )
        )
        self.audit.record(
            conn,
            actor,
            "account_create",
            f"account:{account_id}",
            None,
            {"login": new.login, "roles": [role.value for role in new.roles]},
        )
        self._set_roles(conn, actor, account_id, new.roles)
        return account_id

    def create(
        self, actor: Actor, login: str, display_name: str, password: str, roles: Sequence[Role]
    ) -> dict[str, Any]:
        """Make an account; errors as `prepare` and `add`."""
        new = self.prepare(login, display_name, password, roles)
        with self.catalog.write() as conn:
            account_id = self.add(conn, actor, new)
            return self._one(conn, account_id)

    def all(self) -> list[dict[str, Any]]:
        """All accounts, by login."""
        with self.catalog.read() as conn:
            return [_shown(row, _roles_of(conn, row["id"])) for row in _rows(conn)]

    def change(
        self,
        actor: Actor,
        account_id: UUID,
        *,
        display_name: str | None = None,
        disabled: bool | None = None,
        roles: Sequence[Role] | None = None,
        password: str | None = None,
    ) -> dict[str, Any]:
        """Change what is given. New roles, a new password and disabling end the account's sessions.

        Raises:
            NotFound: no such account.
            InvalidInput: a value cannot be taken.
            Conflict: nobody enabled would be system administrator any more (`last_administrator`).
        """
        values: dict[str, Any] = {}
        if display_name is not None:
            values["display_name"] = clean_name(display_name)
        if disabled is not None:
            values["disabled"] = disabled
        if password is not None:
            values["password_hash"] = self._new_hash(account_id, password)
        with self.catalog.write() as conn:
            _must_exist(conn, account_id)
            if values:
                conn.execute(update(account).where(account.c.id == account_id).values(**values))
            if roles is not None:
                self._change_roles(conn, actor, account_id, roles)
            _keep_an_administrator(conn)
            if disabled or password is not None or roles is not None:
                conn.execute(delete(session).where(session.c.account_id == account_id))
            changed = sorted(name for name in (*values, "roles" if roles is not None else "") if name)
            self.audit.record(conn, actor, "account_change", f"account:{account_id}", None, {"changed": changed})
            return self._one(conn, account_id)

    def change_own_password(self, actor: Actor, old: str, new: str) -> None:
        """Change the caller's own password; their other sessions end.

        Raises:
            InvalidInput: the old one is wrong (`wrong_credentials`), or the new one cannot be taken.
            NotAuthenticated: `too_many_attempts` with `retry_s`.
        """
        if actor.account_id is None:
            raise NotAuthenticated("not_logged_in", "log in first")
        self.throttle.attempt(str(actor.account_id))
        with self.catalog.read() as conn:
            stored = conn.execute(select(account.c.password_hash).where(account.c.id == actor.account_id)).scalar_one()
        if not self.passwords.matches(stored, old):
            raise InvalidInput("wrong_credentials", "the old password is wrong")
        self.throttle.forgive(str(actor.account_id))
        fresh = self._new_hash(actor.account_id, new)
        with self.catalog.write() as conn:
            conn.execute(update(account).where(account.c.id == actor.account_id).values(password_hash=fresh))
            others = session.c.token_hash != actor.session_hash
            conn.execute(delete(session).where(session.c.account_id == actor.account_id, others))
            self.audit.record(conn, actor, "password_change", f"account:{actor.account_id}")

    def _new_hash(self, account_id: UUID, password: str) -> str:
        with self.catalog.read() as conn:
            login = conn.execute(select(account.c.login).where(account.c.id == account_id)).scalar()
        if login is None:
            raise NotFound("account_unknown", "no such account")
        check_password(password, login)
        return self.passwords.hash(password)

    def _change_roles(self, conn: Connection, actor: Actor, account_id: UUID, roles: Sequence[Role]) -> None:
        if not roles:
            raise InvalidInput("role_required", "an account needs at least one role")
        conn.execute(delete(account_role).where(account_role.c.account_id == account_id))
        self._set_roles(conn, actor, account_id, tuple(sorted(set(roles))))

    def _set_roles(self, conn: Connection, actor: Actor, account_id: UUID, roles: Sequence[Role]) -> None:
        conn.execute(insert(account_role), [{"account_id": account_id, "role": role.value} for role in roles])
        subject = f"account:{account_id}"
        if len(roles) < 2:
            close_alarm(conn, self.clock, AlarmKind.SEVERAL_ROLES, subject)
            return
        detail = {"roles": " ".join(role.value for role in roles)}
        open_alarm(conn, self.clock, AlarmKind.SEVERAL_ROLES, subject, detail)
        self.audit.record(conn, actor, "several_roles", subject, None, detail)

    def _one(self, conn: Connection, account_id: UUID) -> dict[str, Any]:
        row = conn.execute(select(account).where(account.c.id == account_id)).mappings().one()
        return _shown(row, _roles_of(conn, account_id))


def fold_login(login: str) -> str:
    """The login in lower case.

    Raises:
        InvalidInput: it has other characters than a-z, 0-9, dot, dash and underscore, or 2 to 32 of them.
    """
    folded = login.strip().lower()
    if not _LOGIN.fullmatch(folded):
        raise InvalidInput("login_invalid", "a login is 2 to 32 of a-z, 0-9, dot, dash and underscore")
    return folded


def any_administrator(conn: Connection) -> bool:
    """Whether the first run is over: an enabled system administrator exists."""
    query = (
        select(func.count())
        .select_from(account.join(account_role, account.c.id == account_role.c.account_id))
        .where(account_role.c.role == Role.SYSTEM_ADMIN.value, account.c.disabled.is_(False))
    )
    return bool(conn.execute(query).scalar_one())


def _keep_an_administrator(conn: Connection) -> None:
    if not any_administrator(conn):
        raise Conflict("last_administrator", "the last system administrator cannot be taken away")


def _must_exist(conn: Connection, account_id: UUID) -> None:
    if conn.execute(select(account.c.id).where(account.c.id == account_id)).first() is None:
        raise NotFound("account_unknown", "no such account")


def _rows(conn: Connection) -> Sequence[Any]:
    return conn.execute(select(account).order_by(account.c.login)).mappings().all()


def _roles_of(conn: Connection, account_id: UUID) -> list[str]:
    query = select(account_role.c.role).where(account_role.c.account_id == account_id).order_by(account_role.c.role)
    return [str(role) for role in conn.execute(query).scalars()]


def _shown(row: Any, roles: list[str]) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "login": row["login"],
        "display_name": row["display_name"],
        "disabled": row["disabled"],
        "roles": roles,
        "several_roles": len(roles) > 1,
        "created_us": row["created_us"],
    }
