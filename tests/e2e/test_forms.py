"""The one form dialog in its many places: what is wrong is said in it, it stays open, and what was sent is shown."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.e2e.hall import RunningHall
from tests.e2e.pages import log_in


def send(dialog: Locator) -> None:
    """Press the form's button."""
    dialog.locator("footer button.primary").click()


def test_forms_of_the_system_administrator(hall: RunningHall, page: Page) -> None:
    log_in(page, hall, "admin", "/accounts")
    dialog = page.locator(".dialog")
    page.locator(".page-head button.primary").click()
    send(dialog)
    expect(dialog.locator(".form-error")).to_have_text("请填写账号。")
    for name, text in (("new_login", "diaoyue"), ("display_name", "王调阅"), ("password", "Zuiweng-Ting-2026")):
        dialog.locator(f'input[name="{name}"]').fill(text)
    dialog.locator('input[name="again"]').fill("Zuiweng-Ting-2026")
    dialog.locator(".tick", has_text="调阅员").click()
    send(dialog)
    expect(dialog.locator(".form-error")).not_to_have_text("请填写账号。")  # the login is taken: the server says so
    dialog.locator('input[name="new_login"]').fill("wangdiaoyue")
    send(dialog)
    expect(dialog).to_have_count(0)
    expect(page.locator("tr", has_text="wangdiaoyue")).to_contain_text("王调阅")

    page.goto(hall.url + "/sources")
    page.locator(".page-head button.primary").click()
    dialog.locator('input[name="code"]').fill("e2e")
    dialog.locator('input[name="name"]').fill("测试来源")
    dialog.locator('input[name="timezone"]').fill("Mars/Olympus")
    send(dialog)
    expect(dialog.locator(".form-error")).to_be_visible()
    dialog.locator('input[name="timezone"]').fill("Asia/Shanghai")
    send(dialog)
    expect(dialog.locator("output.big-code")).not_to_be_empty()
    send(dialog)
    expect(page.locator("tr", has_text="测试来源")).to_be_visible()

    page.goto(hall.url + "/hall")
    page.locator(".card", has_text="基本信息").get_by_role("button", name="修改").click()
    dialog.locator('input[name="hall_name"]').fill("   ")
    send(dialog)
    expect(dialog.locator(".form-error")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_forms_of_the_hall_administrator(hall: RunningHall, page: Page) -> None:
    log_in(page, hall, "dating", "/workstations")
    dialog = page.locator(".dialog")
    page.locator('[data-action="code"]').click()
    send(dialog)
    expect(dialog.locator(".form-error")).to_have_text("请填写名称。")
    dialog.locator('input[name="name"]').fill("5号窗口电脑")
    send(dialog)
    expect(dialog.locator("[data-code]")).not_to_be_empty()
    send(dialog)
    expect(dialog).to_have_count(0)

    page.goto(hall.url + "/hall")
    window = page.locator("tr", has_text="12号窗口")
    window.get_by_role("button", name="改名").click()
    dialog.locator('input[name="name"]').fill("   ")
    send(dialog)
    expect(dialog.locator(".form-error")).to_have_text("请填写名称。")
    dialog.locator('input[name="name"]').fill("12号窗口 综合")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.locator("tr", has_text="12号窗口 综合")).to_be_visible()

    page.locator(".menu summary").click()
    page.get_by_role("button", name="修改密码").click()
    dialog.locator('input[name="old"]').fill("not the old one")
    dialog.locator('input[name="fresh"]').fill("Zuiweng-Ting-2026")
    dialog.locator('input[name="again"]').fill("Zuiweng-Ting-2026")
    send(dialog)
    expect(dialog.locator(".form-error")).to_be_visible()
    expect(dialog.locator('input[name="fresh"]')).to_have_value("Zuiweng-Ting-2026")
