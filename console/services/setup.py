"""The first run: a one-time 初始化码 proves that whoever fills the wizard can read the node's own disk."""

from __future__ import annotations

import hmac
import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert

from console.services.access import Actor
from console.services.accounts import Accounts, NewAccount, any_administrator
from console.services.audit_log import AuditLog
from console.services.days import Period, check_periods
from console.services.hall import HallChange, WindowRange, checked_values, write_periods, write_windows
from console.services.throttle import Throttle, address_key
from storage.archive.catalog import Catalog
from storage.archive.tables import hall
from storage.clock import Clock
from storage.errors import Conflict, InvalidInput, NotAuthenticated
from storage.files import remove, write_atomic
from storage.ids import new_id
from storage.model import Role

log = logging.getLogger(__name__)

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
GROUPS, GROUP = 4, 4
RESERVE_PART = 20
"""One twentieth of the volume stays free whatever the quota says."""
GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Person:
    """An account asked for in the wizard."""

    login: str
    display_name: str
    password: str
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class FirstRun:
    """Everything that the wizard asked."""

    administrator: Person
    hall: HallChange
    periods: Sequence[Period]
    windows: WindowRange
    accounts: Sequence[Person]


@dataclass(frozen=True, slots=True)
class Setup:
    """The set-up code and the wizard's one transaction."""

    catalog: Catalog
    clock: Clock
    accounts: Accounts
    throttle: Throttle
    audit: AuditLog
    code_file: Path
    media_folder: Path

    def needed(self) -> bool:
        """Whether there is no administrator yet."""
        with self.catalog.read() as conn:
            return not any_administrator(conn)

    def ensure_code(self) -> str | None:
        """The code to show, made when there is none; None, and no file, once an administrator exists."""
        if not self.needed():
            remove(self.code_file)
            return None
        known = self._code()
        if known:
            return known
        made = "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP)) for _ in range(GROUPS))
        self.code_file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.code_file, made.encode() + b"\n", mode=0o600)
        return made

    def check_code(self, code: str, address: str) -> None:
        """Return when `code` is the set-up code.

        Raises:
            NotAuthenticated: `setup_code_invalid`, or `too_many_attempts` with `retry_s`.
            Conflict: the first run is over (`setup_done`).
        """
        key = address_key(address)
        if not self.needed():
            raise Conflict("setup_done", "the first run is over: log in")
        self.throttle.attempt(key, "setup")
        known = self._code()
        if not known or not hmac.compare_digest(_plain(known).encode(), _plain(code).encode()):
            raise NotAuthenticated("setup_code_invalid", "the set-up code is wrong: read it on the hall node")
        self.throttle.forgive(key, "setup")

    def forecast(self, cameras: int, kbit_s: int) -> dict[str, Any]:
        """Days of video that fit on the media volume. Raises InvalidInput (`forecast_input`)."""
        if not (1 <= cameras <= 10_000 and 1 <= kbit_s <= 100_000):
            raise InvalidInput("forecast_input", "1-10000 cameras at 1-100000 kbit/s")
        space = volume_of(self.media_folder)
        a_day = cameras * kbit_s * 1000 // 8 * 86_400
        return {**space, "path": str(self.media_folder), "days": round(space["usable_bytes"] / a_day, 1)}

    def finish(self, actor: Actor, code: str, answers: FirstRun) -> dict[str, Any]:
        """Make hall, periods, windows, administrator and accounts in one transaction; the code is used up.

        Raises:
            NotAuthenticated, Conflict: as `check_code`.
            InvalidInput: an answer cannot be taken; nothing was written.
        """
        self.check_code(code, actor.address)
        values = {"notice_staff": "", "notice_visitors": "", "time_source": "system", **checked_values(answers.hall)}
        periods = check_periods(answers.periods)
        people = [self._prepare(answers.administrator, Role.SYSTEM_ADMIN)]
        people += [self._prepare(person) for person in answers.accounts]
        with self.catalog.write() as conn:
            if any_administrator(conn):
                raise Conflict("setup_done", "the first run is over: log in")
            hall_id = self._write(conn, actor, values, periods, answers.windows, people)
        remove(self.code_file)
        log.info("setup_finished", extra={"fields": {"hall": hall_id, "accounts": len(people)}})
        return {"hall_id": str(hall_id), "accounts": len(people)}

    def _prepare(self, person: Person, *more: Role) -> NewAccount:
        return self.accounts.prepare(person.login, person.display_name, person.password, (*person.roles, *more))

    def _write(
        self,
        conn: Connection,
        actor: Actor,
        values: dict[str, Any],
        periods: Sequence[Period],
        windows: WindowRange,
        people: Sequence[NewAccount],
    ) -> UUID:
        hall_id = new_id(self.clock)
        conn.execute(insert(hall).values(id=hall_id, created_us=self.clock.now_us(), **values))
        write_periods(conn, self.clock, hall_id, periods)
        write_windows(conn, self.clock, hall_id, windows)
        for person in people:
            self.accounts.add(conn, actor, person)
        self.audit.record(conn, actor, "setup", f"hall:{hall_id}")
        return hall_id

    def _code(self) -> str:
        try:
            return self.code_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""


def volume_of(folder: Path) -> dict[str, int]:
    """Total, free and usable bytes of the volume that holds `folder` (or will hold it)."""
    present = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    stat = os.statvfs(present)
    total, free = stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize
    return {"total_bytes": total, "free_bytes": free, "usable_bytes": max(0, free - total // RESERVE_PART)}


def _plain(code: str) -> str:
    return "".join(char for char in code.upper() if char.isalnum())
