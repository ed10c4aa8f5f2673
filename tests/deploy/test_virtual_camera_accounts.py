"""Logins of the virtual devices."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import pytest

from deploy.virtual_camera.accounts import Accounts, Verdict
from storage.clock import US, FakeClock

_NONCE = base64.b64encode(b"0123456789abcdef").decode()


@pytest.fixture
def accounts() -> Accounts:
    """One account on a clock that stands still."""
    return Accounts("admin", "p w", FakeClock(), tolerance_s=5)


def _created(accounts: Accounts, ahead_s: float = 0) -> str:
    moment = datetime.fromtimestamp(accounts.now_us() / US + ahead_s, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _digest(created: str, password: str) -> str:
    data = base64.b64decode(_NONCE) + created.encode() + password.encode()
    return base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def _check(accounts: Accounts, created: str, word: str = "p w") -> Verdict:
    return accounts.check_token("admin", _digest(created, word), _NONCE, created)


def test_a_strict_device_takes_a_right_token_once(accounts: Accounts) -> None:
    created = _created(accounts)
    assert [_check(accounts, created), _check(accounts, created)] == [Verdict.OK, Verdict.OK]
    accounts.refuse_replays = True
    assert _check(accounts, created) is Verdict.REPLAYED
    assert _check(accounts, _created(accounts, 1)) is Verdict.OK


@pytest.mark.parametrize("ahead_s", [-4, 4])
def test_a_token_may_be_a_little_off(accounts: Accounts, ahead_s: float) -> None:
    assert _check(accounts, _created(accounts, ahead_s)) is Verdict.OK


@pytest.mark.parametrize("ahead_s", [-6, 75])
def test_a_token_from_another_time_is_stale(accounts: Accounts, ahead_s: float) -> None:
    assert _check(accounts, _created(accounts, ahead_s)) is Verdict.STALE


def test_the_devices_own_wrong_clock_counts(accounts: Accounts) -> None:
    ours = _created(accounts)
    accounts.offset_us = 75 * US
    assert _check(accounts, ours) is Verdict.STALE
    assert _check(accounts, _created(accounts)) is Verdict.OK


def test_created_must_end_in_z(accounts: Accounts) -> None:
    assert _check(accounts, _created(accounts).replace("Z", "+00:00")) is Verdict.STALE


@pytest.mark.parametrize(("nonce", "created"), [("!!", "2026-11-21T00:00:00Z"), (_NONCE, "yesterday"), ("", "")])
def test_a_broken_token_is_wrong(accounts: Accounts, nonce: str, created: str) -> None:
    assert accounts.check_token("admin", "x", nonce, created) is Verdict.WRONG


def test_wrong_passwords_lock_the_account_for_a_while(accounts: Accounts) -> None:
    accounts.lock_after = 3
    created = _created(accounts)
    assert [_check(accounts, created, "bad") for _ in range(3)] == [Verdict.WRONG] * 3
    assert _check(accounts, created) is Verdict.LOCKED
    clock = accounts.clock
    assert isinstance(clock, FakeClock)
    clock.advance(accounts.lock_s)
    assert _check(accounts, _created(accounts)) is Verdict.OK


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _header(password: str, *, qop: bool, nonce: str = "n1", user: str = "admin") -> str:
    first = _md5(f"{user}:r:{password}")
    second = _md5("DESCRIBE:rtsp://x/y")
    middle = f"{nonce}:00000001:c:auth" if qop else nonce
    response = _md5(f"{first}:{middle}:{second}")
    extra = ', qop=auth, nc=00000001, cnonce="c"' if qop else ""
    return f'Digest username="{user}", realm="r", nonce="{nonce}", uri="rtsp://x/y", response="{response}"{extra}'


@pytest.mark.parametrize("qop", [True, False])
def test_http_digest(accounts: Accounts, qop: bool) -> None:
    assert accounts.check_http_digest(_header("p w", qop=qop), "DESCRIBE", "r", "n1") is Verdict.OK
    assert accounts.check_http_digest(_header("bad", qop=qop), "DESCRIBE", "r", "n1") is Verdict.WRONG
    assert accounts.check_http_digest(_header("p w", qop=qop, user="root"), "DESCRIBE", "r", "n1") is Verdict.WRONG
    assert accounts.check_http_digest(_header("p w", qop=qop), "DESCRIBE", "r", "other") is Verdict.STALE
    assert accounts.check_http_digest(_header("p w", qop=qop), "PLAY", "r", "n1") is Verdict.WRONG
