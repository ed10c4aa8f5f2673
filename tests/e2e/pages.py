"""What a person does on the pages: log in, state a purpose, choose a layout."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.e2e.hall import RunningHall


def log_in(page: Page, hall: RunningHall, login: str, path: str = "/") -> None:
    """Open `path` and log in by the form."""
    page.goto(hall.url + path)
    page.locator('input[name="login"]').fill(login)
    page.locator('input[name="password"]').fill(hall.passwords[login])
    page.locator("button.primary").click()
    expect(page.locator(".shell")).to_be_visible()


def state_purpose(page: Page, code: str = "patrol", reference: str = "效能办〔2026〕7号") -> None:
    """Answer the dialog that asks why."""
    form = page.locator(".purpose-form")
    form.locator(f'input[value="{code}"]').check(force=True)
    form.locator('input[name="reference"]').fill(reference)
    form.locator('button[type="submit"], button.primary').click()
    expect(form).to_be_hidden()


def open_wall(page: Page, hall: RunningHall, size: int, login: str = "jiankan") -> None:
    """Log in as a supervisor and show `size` tiles."""
    log_in(page, hall, login, "/wall")
    state_purpose(page)
    choose_size(page, size)


def choose_size(page: Page, size: int) -> None:
    """Switch the wall to `size` tiles."""
    page.locator(f'button[data-size="{size}"]').click()
    expect(page.locator(".wall-grid")).to_have_class(re.compile(rf"\bn{size}\b"))
