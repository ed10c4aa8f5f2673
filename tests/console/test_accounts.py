"""Accounts: roles, several roles, the last administrator, disabling."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from storage.archive.tables import account, alarm
from tests.console.console_world import Browser, ConsoleWorld


@pytest.fixture
def admin(hall: ConsoleWorld) -> Browser:
    return hall.person("system_admin")


def add(admin: Browser, login: str = "newcomer", **changes: Any) -> Any:
    body = {"login": login, "display_name": "新同事", "password": "long-enough-77", "roles": ["auditor"], **changes}
    return admin.post("/api/accounts", body)


def test_accounts_are_made_listed_and_log_in(hall: ConsoleWorld, admin: Browser) -> None:
    made = add(admin, login="NewComer")
    assert made.status_code == 201
    assert made.json()["login"] == "newcomer"
    assert "password" not in made.text
    logins = [item["login"] for item in admin.get("/api/accounts").json()["accounts"]]
    assert logins == sorted(logins)
    assert "newcomer" in logins
    hall.browser().login("newcomer", "long-enough-77")
    assert add(admin, login="newcomer").json()["error"]["code"] == "login_taken"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"password": "short"}, "password_short"),
        ({"password": "aaaaaaaaaaaaaa"}, "password_guessable"),
        ({"password": "newcomer-2026"}, "password_has_login"),
        ({"password": "x1y2z3" * 40}, "password_long"),
        ({"roles": []}, "role_required"),
        ({"display_name": "   "}, "name_empty"),
        ({"login": "has space"}, "login_invalid"),
        ({"roles": ["emperor"]}, "invalid_request"),
        ({"surprise": 1}, "invalid_request"),
    ],
)
def test_what_cannot_be_an_account(admin: Browser, change: dict[str, Any], code: str) -> None:
    answer = add(admin, **change)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)


def test_a_refused_body_is_not_repeated_back(admin: Browser) -> None:
    answer = add(admin, password=["secret-in-a-list"])
    assert answer.status_code == 422
    assert "secret-in-a-list" not in answer.text
    assert answer.json()["error"]["fields"] == {"body.password": "string_type"}


def test_several_roles_are_allowed_flagged_logged_and_raise_an_alarm(hall: ConsoleWorld, admin: Browser) -> None:
    made = add(admin, roles=["auditor", "hall_admin"]).json()
    assert made["several_roles"] is True
    session = hall.browser().login("newcomer", "long-enough-77")
    assert session["several_roles"] is True
    rows = admin.get("/api/audit", action="several_roles").json()["rows"]
    assert rows[0]["detail"] == {"roles": "auditor hall_admin"}
    problem = admin.get("/api/problems").json()["problems"][0]
    assert (problem["kind"], problem["name"], problem["link"]) == ("several_roles", "newcomer", "/accounts")

    admin.patch(f"/api/accounts/{made['id']}", {"roles": ["auditor"]})
    assert admin.get("/api/problems").json()["count"] == 0
    with hall.catalog.read() as conn:
        assert conn.execute(select(alarm.c.closed_us)).scalar_one() == hall.clock.now_us()


def test_disabling_and_new_roles_end_sessions(hall: ConsoleWorld, admin: Browser) -> None:
    account_id = add(admin).json()["id"]
    browser = hall.browser()
    browser.login("newcomer", "long-enough-77")
    admin.patch(f"/api/accounts/{account_id}", {"roles": ["supervisor"]})
    assert browser.get("/api/session").status_code == 401
    browser.login("newcomer", "long-enough-77")
    admin.patch(f"/api/accounts/{account_id}", {"disabled": True})
    assert browser.get("/api/session").status_code == 401
    again = hall.browser().post("/api/login", {"login": "newcomer", "password": "long-enough-77"})
    assert again.json()["error"]["code"] == "wrong_credentials"


def test_a_new_password_from_the_administrator(hall: ConsoleWorld, admin: Browser) -> None:
    account_id = add(admin).json()["id"]
    weak = admin.patch(f"/api/accounts/{account_id}", {"password": "newcomer12345"})
    assert weak.json()["error"]["code"] == "password_has_login"
    assert admin.patch(f"/api/accounts/{account_id}", {"password": "another-good-1"}).status_code == 200
    hall.browser().login("newcomer", "another-good-1")


@pytest.mark.parametrize("change", [{"disabled": True}, {"roles": ["auditor"]}])
def test_the_last_administrator_stays(hall: ConsoleWorld, admin: Browser, change: dict[str, Any]) -> None:
    answer = admin.patch(f"/api/accounts/{admin.account_id}", change)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "last_administrator")
    assert admin.get("/api/session").json()["account"]["roles"] == ["system_admin"]
    with hall.catalog.read() as conn:
        assert not conn.execute(select(account.c.disabled).where(account.c.login == "admin")).scalar_one()


def test_an_unknown_account(admin: Browser) -> None:
    path = "/api/accounts/01234567-89ab-7cde-8f01-23456789abcd"
    assert admin.patch(path, {"display_name": "x"}).status_code == 404
    assert admin.patch(path, {"password": "another-good-1"}).status_code == 404


def test_auditors_see_rows_with_a_purpose_only(hall: ConsoleWorld, admin: Browser) -> None:
    auditor = hall.person("auditor")
    auditor.state_purpose()
    actions = {row["action"] for row in auditor.get("/api/audit").json()["rows"]}
    assert actions == {"purpose_state"}
    everything = {row["action"] for row in admin.get("/api/audit").json()["rows"]}
    assert {"login", "setup", "account_create", "purpose_state"} <= everything


def test_the_audit_list_is_paged(hall: ConsoleWorld, admin: Browser) -> None:
    hall.clock.advance(10)
    admin.state_purpose("other", "later")
    first = admin.get("/api/audit", limit=1).json()["rows"]
    assert [row["action"] for row in first] == ["purpose_state"]
    assert first[0]["purpose"] == {"code": "other", "reference": "later"}
    older = admin.get("/api/audit", limit=500, before_us=first[0]["at_us"]).json()["rows"]
    assert older
    assert all(row["at_us"] < first[0]["at_us"] for row in older)
