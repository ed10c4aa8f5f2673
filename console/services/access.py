"""Who may do what: one table, one function, deny by default.

Every route and every socket message names an `Action`; `authorise` alone decides. The table below is the one of
docs/interfaces.md, section 10, and a test walks every route with every role against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from storage.errors import NotAuthenticated, NotPermitted
from storage.model import PurposeCode, Role


class Action(StrEnum):
    """What a caller wants to do. A route without one is refused by a test."""

    SESSION_USE = "session_use"
    PURPOSE_STATE = "purpose_state"
    TIME_READ = "time_read"
    ACCOUNTS_MANAGE = "accounts_manage"
    HALL_MANAGE = "hall_manage"
    SOURCES_MANAGE = "sources_manage"
    AUDIT_READ_ALL = "audit_read_all"
    HALL_READ = "hall_read"
    PROBLEMS_READ = "problems_read"
    AUDIT_READ = "audit_read"
    CAMERAS_READ = "cameras_read"
    CAMERAS_MANAGE = "cameras_manage"
    PLANS_READ = "plans_read"
    PLANS_MANAGE = "plans_manage"
    WORKSTATIONS_MANAGE = "workstations_manage"
    WINDOWS_MANAGE = "windows_manage"
    WORKSTATIONS_READ = "workstations_read"
    SOURCES_READ = "sources_read"
    LIVE_VIEW = "live_view"
    CASES_READ = "cases_read"
    FOOTAGE_VIEW = "footage_view"


@dataclass(frozen=True, slots=True)
class Purpose:
    """A 调阅事由 on record, stated by the caller in the present session."""

    id: UUID
    code: PurposeCode
    reference: str
    created_us: int


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller: an account with its roles and hall, or nobody (`account_id` is None)."""

    account_id: UUID | None = None
    login: str = ""
    display_name: str = ""
    roles: frozenset[Role] = frozenset()
    hall_id: UUID | None = None
    address: str = ""
    session_hash: bytes = field(default=b"", repr=False)
    csrf: str = field(default="", repr=False)
    purpose: Purpose | None = None

    @property
    def purpose_id(self) -> UUID | None:
        """The id of the purpose stated with this request, for the audit row."""
        return self.purpose.id if self.purpose else None


ANONYMOUS = Actor()
"""Nobody: what a request without a valid session is."""

_EVERYBODY = frozenset(Role)
_NO_PURPOSE: frozenset[PurposeCode] | None = None
_ANY_PURPOSE = frozenset(PurposeCode)
_REVIEW_PURPOSES = _ANY_PURPOSE - {PurposeCode.COMMISSIONING}
_Rule = Mapping[Role, frozenset[PurposeCode] | None]


def _without_purpose(*roles: Role) -> _Rule:
    return MappingProxyType(dict.fromkeys(roles, _NO_PURPOSE))


RULES: Mapping[Action, _Rule] = MappingProxyType(
    {
        Action.SESSION_USE: _without_purpose(*_EVERYBODY),
        Action.PURPOSE_STATE: _without_purpose(*_EVERYBODY),
        Action.TIME_READ: _without_purpose(*_EVERYBODY),
        Action.ACCOUNTS_MANAGE: _without_purpose(Role.SYSTEM_ADMIN),
        Action.HALL_MANAGE: _without_purpose(Role.SYSTEM_ADMIN),
        Action.SOURCES_MANAGE: _without_purpose(Role.SYSTEM_ADMIN),
        Action.AUDIT_READ_ALL: _without_purpose(Role.SYSTEM_ADMIN),
        Action.HALL_READ: _without_purpose(*_EVERYBODY),
        Action.PROBLEMS_READ: _without_purpose(*_EVERYBODY),
        Action.AUDIT_READ: _without_purpose(Role.AUDITOR, Role.SYSTEM_ADMIN),
        Action.CAMERAS_READ: _without_purpose(*_EVERYBODY),
        Action.CAMERAS_MANAGE: _without_purpose(Role.HALL_ADMIN),
        Action.PLANS_READ: _without_purpose(*_EVERYBODY),
        Action.PLANS_MANAGE: _without_purpose(Role.HALL_ADMIN),
        Action.WORKSTATIONS_MANAGE: _without_purpose(Role.HALL_ADMIN),
        Action.WINDOWS_MANAGE: _without_purpose(Role.HALL_ADMIN),
        Action.WORKSTATIONS_READ: _without_purpose(*_EVERYBODY),
        Action.SOURCES_READ: _without_purpose(Role.AUDITOR, Role.SYSTEM_ADMIN),
        Action.LIVE_VIEW: MappingProxyType(
            {Role.SUPERVISOR: _ANY_PURPOSE, Role.HALL_ADMIN: frozenset({PurposeCode.COMMISSIONING})}
        ),
        Action.CASES_READ: _without_purpose(Role.SUPERVISOR, Role.AUDITOR),
        Action.FOOTAGE_VIEW: MappingProxyType({Role.SUPERVISOR: _REVIEW_PURPOSES, Role.AUDITOR: _REVIEW_PURPOSES}),
    }
)
"""Action → role → the purposes that open it (None: none is needed). What is not here is refused."""

FOOTAGE_ACTIONS = frozenset({Action.LIVE_VIEW, Action.FOOTAGE_VIEW})
"""Actions that need a purpose and an audit row before the first byte."""


def authorise(actor: Actor, action: Action, *, hall_id: UUID | None, purpose: PurposeCode | None) -> None:
    """Return when `actor` may do `action` in the hall `hall_id`; the only decision there is.

    Raises:
        NotAuthenticated: nobody is logged in (`not_logged_in`).
        NotPermitted: no role of the actor has the action (`not_permitted`), the hall is another one
            (`other_hall`), a purpose is missing (`purpose_required`) or does not open it (`purpose_not_allowed`).
    """
    if actor.account_id is None:
        raise NotAuthenticated("not_logged_in", "log in first")
    granted = _granted(actor, action)
    if not granted:
        raise NotPermitted("not_permitted", f"no role of this account has {action.value}", action=action.value)
    if hall_id is None or hall_id != actor.hall_id:
        raise NotPermitted("other_hall", "this account belongs to another hall", action=action.value)
    if any(purposes is None for purposes in granted):
        return
    if purpose is None:
        raise NotPermitted("purpose_required", "state a purpose first (X-Sunhall-Purpose)", action=action.value)
    if not any(purposes is not None and purpose in purposes for purposes in granted):
        raise NotPermitted("purpose_not_allowed", "this purpose does not open it", purpose=purpose.value)


def may_ever(actor: Actor, action: Action) -> bool:
    """Whether some purpose would let `actor` do `action`: asked at a socket's handshake, before a purpose is told."""
    return actor.account_id is not None and bool(_granted(actor, action))


def _granted(actor: Actor, action: Action) -> list[frozenset[PurposeCode] | None]:
    rule = RULES.get(action, {})
    return [rule[role] for role in actor.roles if role in rule]
