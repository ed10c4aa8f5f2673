"""Passwords: argon2id hashes, and rules that no default or guessable password passes."""

from __future__ import annotations

import threading
from typing import Protocol

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from storage.errors import InvalidInput

SHORTEST = 10
LONGEST = 200
AT_ONCE = 4
"""Hashes computed at the same time: each takes 64 MiB, and a flood of logins must not take the machine's memory."""
_GUESSED_FIRST = (
    "password",
    "passw0rd",
    "admin",
    "sunhall",
    "123456",
    "111111",
    "qwerty",
    "abc123",
    "12345",
    "yangguang",
)


class Passwords(Protocol):
    """Hashes and checks passwords. Slow on purpose: never in an event loop."""

    def hash(self, password: str) -> str:
        """The string to store."""
        ...

    def matches(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one hashed in `stored`; for None (no such login) the same work, then false."""
        ...


class Argon2Passwords:
    """argon2id with the parameters of RFC 9106's second choice (argon2-cffi's default)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._room = threading.BoundedSemaphore(AT_ONCE)

    def hash(self, password: str) -> str:
        with self._room:
            return self._hasher.hash(password)

    def matches(self, stored: str | None, password: str) -> bool:
        with self._room:
            return self._matches(stored, password)

    def _matches(self, stored: str | None, password: str) -> bool:
        if stored is None:
            self._hasher.hash(password)
            return False
        try:
            return self._hasher.verify(stored, password)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False


def check_password(password: str, login: str) -> None:
    """Refuse passwords that somebody guesses first.

    Raises:
        InvalidInput: `password_short`, `password_long`, `password_has_login`, `password_guessable`.
    """
    folded = password.casefold()
    if len(password) < SHORTEST:
        raise InvalidInput("password_short", f"a password has at least {SHORTEST} characters", least=SHORTEST)
    if len(password) > LONGEST:
        raise InvalidInput("password_long", f"a password has at most {LONGEST} characters", most=LONGEST)
    if login and login.casefold() in folded:
        raise InvalidInput("password_has_login", "the password contains the login name")
    if len(set(folded)) < 5 or _is_guessed_first(folded):
        raise InvalidInput("password_guessable", "the password is among those that are guessed first")


def _is_guessed_first(folded: str) -> bool:
    rest = folded
    for word in _GUESSED_FIRST:
        rest = rest.replace(word, "")
    return len(rest.strip("0123456789!@#$%.-_ ")) == 0 and rest != folded
