"""An empty hall, from the set-up code to the first moving picture, as an administrator would do it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.cameras import virtual_cameras
from tests.e2e.conftest import NewPage
from tests.e2e.hall import RunningHall, eventually
from tests.e2e.pages import state_purpose
from tests.e2e.pixels import strips_of_videos

PASSWORDS = {
    "zhang": "Qingliu-Guan-2026",
    "jiankan": "Langya-Shan-2026",
    "diaoyue": "Zuiweng-Ting-2026",
    "dating": "Xi-Jian-Hu-2026",
}
CAMERA_PASSWORD = "virtual-camera-9"


@pytest.fixture
def empty_hall(tmp_path: Path) -> Iterator[RunningHall]:
    running = RunningHall(tmp_path / "data", demo=False)
    try:
        running.start()
        yield running
    finally:
        running.end()


class Wizard:
    """The first-run wizard in a page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def step(self, name: str, **values: str) -> None:
        """Fill a step's fields and go on."""
        form = self.page.locator(f'form[data-step="{name}"]')
        expect(form).to_be_visible()
        for field, value in values.items():
            form.locator(f'[name="{field}"]').fill(value)
        form.locator("button.primary").click()

    def fault(self) -> Locator:
        """What the wizard complains about."""
        return self.page.locator(".wizard .error")


def account(prefix: str, login: str, display_name: str) -> dict[str, str]:
    password = PASSWORDS[login]
    return {
        f"{prefix}_login": login,
        f"{prefix}_display_name": display_name,
        f"{prefix}_password": password,
        f"{prefix}_again": password,
    }


def run_wizard(page: Page, hall: RunningHall) -> None:
    code = hall.folder.waiting_code()
    assert code is not None
    assert code in hall.output
    wizard = Wizard(page)
    page.goto(hall.url)
    wizard.step("code", code="AAAA-AAAA-AAAA-AAAA")
    expect(wizard.fault()).to_be_visible()
    wizard.step("code", code=code)
    wizard.step("administrator", **account("administrator", "zhang", "张敏"))
    wizard.step("hall", hall_name="清流县政务服务中心", timezone="Asia/Shanghai")
    wizard.step("periods")
    wizard.step("windows", first="1", last="40")
    wizard.step("time")
    expect(page.locator(".forecast .big b")).to_have_text(re.compile(r"^[0-9.]+$"))
    wizard.step("storage", video_days="30", screen_days="90")
    wizard.step("notice")
    people = {**account("account0", "jiankan", "李强"), **account("account1", "diaoyue", "王芳")}
    wizard.step("accounts", **people, **account("account2", "dating", "刘洋"))
    wizard.step("review")
    page.locator('[data-action="to-login"]').click()


def shown_counters(page: Page) -> set[int]:
    """The frame counters on the screen right now."""
    return {strip.counter for strip in strips_of_videos(page) if strip is not None}


def log_in(page: Page, login: str) -> None:
    page.locator('input[name="login"]').fill(login)
    page.locator('input[name="password"]').fill(PASSWORDS[login])
    page.locator("button.primary").click()
    expect(page.locator(".shell")).to_be_visible()


def test_the_wizard_makes_a_hall_and_its_code_works_once(empty_hall: RunningHall, page: Page) -> None:
    run_wizard(page, empty_hall)
    assert empty_hall.folder.waiting_code() is None
    log_in(page, "zhang")
    expect(page.locator(".hall-name")).to_have_text("清流县政务服务中心")
    page.goto(empty_hall.url + "/hall")
    expect(page.locator("body")).to_contain_text("40号窗口")


def test_a_camera_is_registered_by_address_and_moves(
    empty_hall: RunningHall, new_page: NewPage, tmp_path: Path
) -> None:
    page = new_page()
    run_wizard(page, empty_hall)
    log_in(page, "dating")
    with virtual_cameras(tmp_path / "cameras", 1, CAMERA_PASSWORD) as (camera,):
        page.goto(empty_hall.url + "/cameras")
        page.locator('[data-action="add-camera"]').click()
        dialog = page.locator("dialog, [role=dialog]")
        dialog.locator('[name="address"]').fill(camera["host"])
        dialog.locator('[name="port"]').fill(str(camera["onvif_port"]))
        dialog.locator('[name="username"]').fill(camera["username"])
        dialog.locator('[name="password"]').fill("not-the-password")
        dialog.locator('[data-action="probe"]').click()
        expect(dialog).to_contain_text("密码")
        dialog.locator('[name="password"]').fill(CAMERA_PASSWORD)
        dialog.locator('[data-action="probe"]').click()
        expect(dialog.locator(".probe-picture img")).to_be_visible()
        expect(dialog).to_contain_text(camera["serial"])
        dialog.locator(".map-rows button.ghost").last.click()
        dialog.locator('[name="from0_0"]').fill("2026-01-02T08:30")
        dialog.locator('[data-action="register"]').click()
        row = page.locator("tr[data-camera]")
        expect(row).to_contain_text("1号窗口")
        row.locator("a").first.click()
        expect(page.locator("tr", has_text="2026-01-02 08:30")).to_contain_text("1号窗口")
        page.goto(empty_hall.url + "/cameras")

        watcher = new_page()
        watcher.goto(empty_hall.url + "/login")
        log_in(watcher, "jiankan")
        state_purpose(watcher)
        first = eventually(lambda: shown_counters(watcher))
        eventually(lambda: shown_counters(watcher) - first)
        expect(page.locator("tr[data-camera] .dot.rec")).to_be_visible()


def test_an_address_where_nobody_answers_is_said_in_words(empty_hall: RunningHall, page: Page) -> None:
    run_wizard(page, empty_hall)
    log_in(page, "dating")
    page.goto(empty_hall.url + "/cameras")
    page.locator('[data-action="add-camera"]').click()
    dialog = page.locator("dialog, [role=dialog]")
    dialog.locator('[name="address"]').fill("127.0.0.1")
    dialog.locator('[name="port"]').fill("9")
    dialog.locator('[name="username"]').fill("admin")
    dialog.locator('[name="password"]').fill("whatever")
    dialog.locator('[data-action="probe"]').click()
    expect(dialog.locator(".fault, .error").first).to_be_visible()
