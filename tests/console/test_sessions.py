"""Logins: cookies, CSRF, Origin, idle and end, throttling, own password."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from console.routes.guard import COOKIE
from console.services.passwords import Argon2Passwords
from console.services.throttle import Throttle
from storage.archive.tables import audit, session
from storage.clock import FakeClock
from storage.errors import NotAuthenticated
from tests.console.console_world import ORIGIN, PASSWORD, ConsoleWorld


def test_login_answers_the_session_and_sets_a_strict_cookie(hall: ConsoleWorld) -> None:
    browser = hall.browser()
    body = {"login": " Auditor ", "password": PASSWORD.format(login="a")}
    answer = browser.client.post("/api/login", json=body, headers={"Origin": ORIGIN})
    assert answer.status_code == 200
    assert answer.json()["account"]["roles"] == ["auditor"]
    assert answer.json()["hall"]["timezone"] == "Asia/Shanghai"
    assert answer.headers["cache-control"] == "no-store"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    for part in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie
    assert browser.client.get("/api/session").json()["csrf"] == answer.json()["csrf"]


def test_only_the_hash_of_the_cookie_is_stored(hall: ConsoleWorld) -> None:
    browser = hall.person("auditor")
    token = browser.client.cookies[COOKIE]
    with hall.catalog.read() as conn:
        hashes = [bytes(row) for row in conn.execute(select(session.c.token_hash)).scalars()]
    assert hashlib.sha256(token.encode()).digest() in hashes
    assert token.encode() not in hashes


def test_wrong_logins_tell_nothing_apart(hall: ConsoleWorld) -> None:
    answers = [
        hall.browser("198.51.100.1").post("/api/login", {"login": login, "password": "wrong-wrong-wrong"})
        for login in ("auditor", "nobody-of-that-name", "'; DROP TABLE account; --")
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert len({answer.text for answer in answers}) == 1
    with hall.catalog.read() as conn:
        failed = select(func.count()).select_from(audit).where(audit.c.action == "login_failed")
        assert conn.execute(failed).scalar_one() == 3


def test_guessing_one_account_is_slowed_down_from_wherever_it_comes(hall: ConsoleWorld) -> None:
    for number in range(5):
        hall.browser(f"198.51.100.{number}").post("/api/login", {"login": "auditor", "password": "wrong-wrong"})
    right = {"login": "auditor", "password": PASSWORD.format(login="a")}
    slowed = hall.browser("198.51.100.77").post("/api/login", right)
    assert (slowed.status_code, slowed.json()["error"]["code"]) == (429, "too_many_attempts")
    assert slowed.headers["retry-after"] == str(slowed.json()["error"]["fields"]["retry_s"])
    hall.clock.advance(slowed.json()["error"]["fields"]["retry_s"])
    assert hall.browser("198.51.100.77").post("/api/login", right).status_code == 200


def test_one_address_that_guesses_many_accounts_is_slowed_down(hall: ConsoleWorld) -> None:
    for number in range(5):
        hall.browser("198.51.100.9").post("/api/login", {"login": f"user{number}", "password": "wrong-wrong"})
    right = {"login": "auditor", "password": PASSWORD.format(login="a")}
    assert hall.browser("198.51.100.9").post("/api/login", right).status_code == 429
    assert hall.browser("198.51.100.10").post("/api/login", right).status_code == 200


def test_the_pauses_double_up_to_a_limit_and_are_forgotten() -> None:
    clock = FakeClock()
    throttle = Throttle(clock, free_attempts=2)
    pauses = []
    for _ in range(14):
        throttle.attempt("key")
        pauses.append(pause_of(throttle, clock))
    assert pauses[:5] == [0, 3, 5, 9, 17]
    assert pauses[-1] == 901
    clock.advance(3601)
    throttle.attempt("other")
    throttle.attempt("key")
    assert pause_of(throttle, clock) == 0


def pause_of(throttle: Throttle, clock: FakeClock) -> int:
    """How long an attempt would have to wait now; that time passes."""
    try:
        throttle.attempt("key")
    except NotAuthenticated as error:
        clock.advance(int(error.fields["retry_s"]))
        return int(error.fields["retry_s"])
    throttle.undo("key")
    return 0


def test_an_own_login_does_not_clear_an_address_that_guesses(hall: ConsoleWorld) -> None:
    mine = {"login": "supervisor", "password": PASSWORD.format(login="s")}
    guesser = hall.browser("198.51.100.9")
    for number in range(4):
        assert guesser.post("/api/login", {"login": f"user{number}", "password": "wrong-wrong"}).status_code == 401
        assert guesser.post("/api/login", mine).status_code == 200
    assert guesser.post("/api/login", {"login": "user5", "password": "wrong-wrong"}).status_code == 401
    assert guesser.post("/api/login", mine).status_code == 429


def test_many_guesses_at_once_gain_nothing(hall: ConsoleWorld) -> None:
    guesses = [{"login": "auditor", "password": f"wrong-guess-{number}"} for number in range(20)]
    with ThreadPoolExecutor(10) as pool:
        sent = pool.map(lambda guess: hall.browser("198.51.100.9").post("/api/login", guess).status_code, guesses)
        answers = list(sent)
    assert (answers.count(401), answers.count(429)) == (5, 15)


def test_a_session_ends_when_idle_and_at_its_end(hall: ConsoleWorld) -> None:
    idle = hall.person("auditor")
    hall.clock.advance(59 * 60)
    assert idle.get("/api/session").status_code == 200
    hall.clock.advance(59 * 60)
    assert idle.get("/api/session").status_code == 200
    hall.clock.advance(61 * 60)
    assert idle.get("/api/session").status_code == 401

    busy = hall.person("auditor")
    for _ in range(14):
        hall.clock.advance(50 * 60)
        busy.get("/api/session")
    hall.clock.advance(30 * 60)
    assert busy.get("/api/session").status_code == 401


def test_logout_ends_the_session_on_the_server(hall: ConsoleWorld) -> None:
    browser = hall.person("auditor")
    token = browser.client.cookies[COOKIE]
    assert browser.post("/api/logout").status_code == 204
    stolen = hall.browser()
    stolen.client.cookies.set(COOKIE, token, domain="hall.example")
    assert stolen.get("/api/session").status_code == 401


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "origin_not_allowed"),
        ({"Origin": "https://evil.example"}, "origin_not_allowed"),
        ({"Origin": "http://hall.example"}, "origin_not_allowed"),
        ({"Origin": "null"}, "origin_not_allowed"),
        ({"Origin": ORIGIN}, "csrf_invalid"),
        ({"Origin": ORIGIN, "X-Sunhall-CSRF": "guess"}, "csrf_invalid"),
    ],
)
def test_unsafe_methods_need_our_page_and_its_token(hall: ConsoleWorld, headers: dict[str, str], code: str) -> None:
    browser = hall.person("system_admin")
    body = {"code": "complaint", "reference": "x"}
    answer = browser.client.post("/api/purposes", json=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)


def test_the_token_of_one_session_does_not_open_another(hall: ConsoleWorld) -> None:
    first, second = hall.person("auditor"), hall.person("auditor")
    second.csrf = first.csrf
    assert second.post("/api/logout").json()["error"]["code"] == "csrf_invalid"


def test_a_login_from_another_page_is_refused(hall: ConsoleWorld) -> None:
    body = {"login": "auditor", "password": PASSWORD.format(login="a")}
    answer = hall.browser().client.post("/api/login", json=body, headers={"Origin": "https://evil.example"})
    assert answer.json()["error"]["code"] == "origin_not_allowed"


def test_changing_the_own_password_ends_the_other_sessions(hall: ConsoleWorld) -> None:
    here, there = hall.person("auditor"), hall.person("auditor")
    new = "a-quite-new-phrase"
    wrong = here.post("/api/session/password", {"old": "not-the-old-one", "new": new})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "wrong_credentials")
    assert here.post("/api/session/password", {"old": PASSWORD.format(login="a"), "new": new}).status_code == 204
    assert here.get("/api/session").status_code == 200
    assert there.get("/api/session").status_code == 401
    hall.browser().login("auditor", new)


def test_guessing_the_old_password_of_an_open_session_is_slowed_down(hall: ConsoleWorld) -> None:
    browser = hall.person("auditor")
    guess = {"old": "not-the-old-one", "new": "a-quite-new-phrase"}
    statuses = [browser.post("/api/session/password", guess).status_code for _ in range(6)]
    assert statuses == [422] * 5 + [429]
    assert browser.get("/api/session").status_code == 200


def test_purposes_belong_to_the_session_that_stated_them(hall: ConsoleWorld) -> None:
    first = hall.person("auditor")
    assert first.get("/api/purposes/current").json() is None
    purpose = first.state_purpose("audit", "审计 7")
    assert first.get("/api/purposes/current").json()["id"] == purpose
    hall.clock.advance(1)
    second = hall.person("auditor")
    second.purpose = purpose
    answer = second.get("/api/media/segments/01234567-89ab-7cde-8f01-23456789abcd")
    assert answer.json()["error"]["code"] == "purpose_unknown"
    assert first.post("/api/purposes", {"code": "audit", "reference": "  "}).status_code == 422
    assert first.post("/api/purposes", {"code": "because", "reference": "x"}).status_code == 422


def test_argon2_takes_its_own_hashes_and_no_others() -> None:
    passwords = Argon2Passwords()
    stored = passwords.hash("a-good-long-phrase")
    assert stored.startswith("$argon2id$")
    assert passwords.matches(stored, "a-good-long-phrase")
    assert not passwords.matches(stored, "a-good-long-phrasf")
    assert not passwords.matches("no hash at all", "a-good-long-phrase")
    assert not passwords.matches(None, "a-good-long-phrase")
