"""The first run: the set-up code, the wizard's one transaction, the forecast."""

from __future__ import annotations

import stat

import pytest
from sqlalchemy import func, select

from storage.archive.tables import account, audit, hall, service_period, service_window
from tests.console.console_world import ConsoleWorld


def test_the_code_lies_in_a_private_file_until_there_is_an_administrator(fresh: ConsoleWorld) -> None:
    code = fresh.console.setup.ensure_code()
    file = fresh.folder / "setup-code"
    assert file.read_text().strip() == code
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert fresh.browser().get("/api/setup").json()["needed"] is True

    fresh.finish_setup()

    assert not file.exists()
    assert fresh.console.setup.ensure_code() is None
    assert fresh.browser().get("/api/setup").json()["needed"] is False


def test_the_code_stays_the_same_over_restarts_and_needs_no_dashes(fresh: ConsoleWorld) -> None:
    code = fresh.console.setup.ensure_code() or ""
    assert fresh.console.setup.ensure_code() == code
    plain = code.replace("-", "").lower()
    assert fresh.browser().post("/api/setup/code", {"code": plain}).status_code == 204


def test_wrong_codes_are_refused_and_slowed_down(fresh: ConsoleWorld) -> None:
    code = fresh.console.setup.ensure_code()
    for _ in range(5):
        answer = fresh.browser().post("/api/setup/code", {"code": "AAAA-AAAA-AAAA-AAAA"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "setup_code_invalid")
    slowed = fresh.browser().post("/api/setup/code", {"code": code})
    assert slowed.status_code == 429
    assert slowed.json()["error"]["fields"]["retry_s"] >= 1
    fresh.clock.advance(60)
    assert fresh.browser().post("/api/setup/code", {"code": code}).status_code == 204


def test_the_wizard_makes_everything_at_once(fresh: ConsoleWorld) -> None:
    fresh.finish_setup()
    with fresh.catalog.read() as conn:
        counts = [
            conn.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (hall, service_period, service_window, account)
        ]
    assert counts == [1, 7, 12, 4]
    shown = fresh.person("auditor").get("/api/hall").json()
    assert shown["timezone"] == "Asia/Shanghai"
    assert shown["quota_bytes"] == 100_000_000_000
    assert (shown["notice_staff"], shown["time_source"]) == ("本机屏幕定时截取", "ntp.example")
    names = [item["name"] for item in fresh.person("auditor").get("/api/windows").json()["windows"]]
    assert names[:2] + names[-1:] == ["1号窗口", "2号窗口", "12号窗口"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"hall": {"name": "大厅", "timezone": "Mars/Olympus"}}, "timezone_unknown"),
        ({"windows": {"first": 5, "last": 1}}, "window_range"),
        ({"windows": {"first": 1, "last": 2, "name_pattern": "窗口"}}, "window_pattern"),
        ({"periods": [{"weekday": 8, "from_minute": 0, "to_minute": 60}]}, "period_invalid"),
        (
            {
                "periods": [
                    {"weekday": 1, "from_minute": 0, "to_minute": 60},
                    {"weekday": 1, "from_minute": 30, "to_minute": 90},
                ]
            },
            "periods_overlap",
        ),
        ({"administrator": {"login": "admin", "display_name": "x", "password": "short"}}, "password_short"),
        ({"administrator": {"login": "admin", "display_name": "x", "password": "admin12345678"}}, "password_has_login"),
        ({"administrator": {"login": "boss", "display_name": "x", "password": "Password123!"}}, "password_guessable"),
        ({"administrator": {"login": "a b", "display_name": "x", "password": "long-and-fine-7"}}, "login_invalid"),
    ],
)
def test_a_wrong_answer_writes_nothing(fresh: ConsoleWorld, change: dict[str, object], code: str) -> None:
    answer = fresh.browser().post("/api/setup", fresh.answers(**change))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)
    with fresh.catalog.read() as conn:
        assert conn.execute(select(func.count()).select_from(hall)).scalar_one() == 0
        assert conn.execute(select(func.count()).select_from(account)).scalar_one() == 0
    assert (fresh.folder / "setup-code").exists()


def test_an_account_that_fails_inside_the_transaction_takes_everything_back(fresh: ConsoleWorld) -> None:
    twice = {"login": "admin", "display_name": "twin", "password": "another-fine-one7", "roles": ["auditor"]}
    answer = fresh.browser().post("/api/setup", fresh.answers(accounts=[twice]))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "login_taken")
    with fresh.catalog.read() as conn:
        assert conn.execute(select(func.count()).select_from(hall)).scalar_one() == 0
        assert conn.execute(select(func.count()).select_from(audit)).scalar_one() == 0


def test_nobody_sets_up_twice(fresh: ConsoleWorld) -> None:
    answers = fresh.answers()
    fresh.finish_setup()
    again = fresh.browser().post("/api/setup", answers)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "setup_done")


def test_the_forecast_divides_the_room_by_what_cameras_write(fresh: ConsoleWorld) -> None:
    code = fresh.console.setup.ensure_code()
    answer = fresh.browser().post("/api/setup/forecast", {"code": code, "cameras": 20, "kbit_s": 2000}).json()
    a_day = 20 * 2000 * 125 * 86_400
    assert answer["days"] == round(answer["usable_bytes"] / a_day, 1)
    assert answer["usable_bytes"] <= answer["free_bytes"] <= answer["total_bytes"]
    assert answer["path"] == str(fresh.folder / "objects")
