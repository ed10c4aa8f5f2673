"""Recording plans in the browser: hours, sound with its basis, many cameras at once, a year's calendar, a day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.hall import RunningHall
from tests.e2e.pages import log_in

CAMERA = "大厅入口 室外"
SCHEDULE = "只在别的日子"
OUTSIDE = f"班次时段以外：{SCHEDULE}"
WEEKDAYS = "一二三四五六日"
YEAR = 2030
ROUNDS_MS = 30_000
"""The gateway asks for plans every two seconds, pages ask for states every five: several rounds of both."""
NOTICE = (
    "一、国庆节：10月1日（周二）至7日（周一）放假调休，共7天。9月29日（周日）、10月12日（周六）上班。\n"
    "二、13月40日另行通知。"
)


@pytest.fixture
def planned(hall: RunningHall) -> Iterator[RunningHall]:
    """The hall, and afterwards as it was: all cameras always recorded, without sound, and no schedule."""
    yield hall
    with hall.client("dating") as client:
        cameras = [one["camera_id"] for one in client.get("/api/plans")["plans"]]
        plain = {"mode": "always", "schedule_id": None, "audio": False}
        client.patch("/api/plans", {"camera_ids": cameras, "change": plain})
        for one in client.get("/api/schedules")["schedules"]:
            client.delete(f"/api/schedules/{one['id']}")


def row(page: Page, name: str = CAMERA) -> Locator:
    """A camera's row in whatever list is shown."""
    return page.locator("tr[data-camera]", has=page.get_by_role("link", name=name, exact=True))


def save(page: Page) -> None:
    """Press the dialog's button, and see it close."""
    dialog = page.locator(".dialog")
    dialog.locator("footer button.primary").click()
    expect(dialog).to_have_count(0)


def other_weekday(page: Page) -> str:
    """A weekday that is neither today nor a neighbour of it in the hall's zone, as its button says it."""
    today = date.fromisoformat(page.locator(".hall-clock time").inner_text()[:10])
    return WEEKDAYS[(today + timedelta(days=3)).weekday()]


def make_schedule(page: Page) -> None:
    """A schedule with one morning, on another weekday than today."""
    page.locator('[data-action="add-schedule"]').click()
    dialog = page.locator(".dialog")
    dialog.locator('input[name="name"]').fill(SCHEDULE)
    dialog.locator(".period-row").nth(1).get_by_role("button", name="移除").click()
    wanted = other_weekday(page)
    for day in WEEKDAYS:
        button = dialog.locator(".weekday", has_text=day)
        if (button.get_attribute("aria-pressed") == "true") != (day == wanted):
            button.click()
    expect(dialog.locator(".week-bar rect.open")).to_have_count(1)
    save(page)
    expect(page.locator(".schedule", has_text=SCHEDULE)).to_contain_text(f"周{wanted} 09:00–12:00")


def test_outside_its_hours_a_camera_says_so_without_alarm_and_recording_returns(
    planned: RunningHall, page: Page
) -> None:
    log_in(page, planned, "dating", "/plans/schedules")
    make_schedule(page)

    page.get_by_role("link", name="摄像头", exact=True).last.click()
    row(page).locator('[data-action="edit"]').click()
    dialog = page.locator(".dialog")
    expect(dialog.locator("[data-changes]")).to_contain_text("还没有改动")
    dialog.locator('input[name="mode"][value="periods"]').check(force=True)
    dialog.locator('select[name="schedule_id"]').select_option(label=SCHEDULE)
    expect(dialog.locator("[data-changes]")).to_contain_text("1 路摄像头将修改")
    expect(dialog.locator("[data-changes]")).to_contain_text("→ 服务时段")
    save(page)
    expect(row(page).locator("[data-plan-hours]")).to_contain_text(SCHEDULE)

    page.goto(planned.url + "/cameras")
    recording = row(page).locator("[data-recording]")
    expect(recording).to_have_attribute("data-recording", "plan", timeout=ROUNDS_MS)
    expect(recording).to_contain_text("计划外")
    expect(recording).to_contain_text(OUTSIDE)
    expect(row(page).locator(".dot.offline")).to_have_count(0)
    page.get_by_role("button", name="未录像").click()
    expect(row(page)).to_have_count(0)

    page.goto(planned.url + "/plans/day")
    expect(page.locator(".day-bar", has=page.locator("rect"))).not_to_have_count(0)
    bar = page.locator(f'.day-bar[aria-label^="{CAMERA}"]')
    expect(bar.locator("rect")).to_have_count(0)

    page.get_by_role("link", name=CAMERA, exact=True).click()
    gap = page.locator("table.compact tr", has_text=OUTSIDE)
    expect(gap).to_contain_text("仍在继续", timeout=ROUNDS_MS)
    drawn = page.locator('.coverage rect.cov-quiet[data-state="plan"]', has=page.locator("title", has_text=OUTSIDE))
    expect(drawn).to_have_count(1)

    page.locator('[data-action="plan"]').click()
    dialog.locator('input[name="mode"][value="always"]').check(force=True)
    save(page)
    expect(page.locator(".facts .dot.rec")).to_be_visible(timeout=ROUNDS_MS)
    expect(gap).not_to_contain_text("仍在继续", timeout=ROUNDS_MS)
    expect(page.locator('.coverage rect[data-state="recorded"]').first).to_be_attached()


def test_sound_without_its_basis_is_refused_in_words_and_kept_with_it(planned: RunningHall, page: Page) -> None:
    log_in(page, planned, "dating", "/plans")
    expect(row(page)).to_contain_text("不录音")
    row(page).locator('[data-action="edit"]').click()
    dialog = page.locator(".dialog")
    dialog.locator('input[name="audio"]').check()
    expect(dialog).to_contain_text("录音会录下工作人员和来访群众的谈话")
    dialog.locator("footer button.primary").click()
    expect(dialog.locator(".form-error")).to_have_text("开启录音须填写依据。")
    expect(dialog.locator('textarea[name="audio_basis"]')).to_have_attribute("aria-invalid", "true")
    with planned.client("dating") as client:
        assert not any(one["plan"]["audio"] for one in client.get("/api/plans")["plans"])
    dialog.locator('textarea[name="audio_basis"]').fill("《音视频记录管理办法》第八条")
    save(page)
    expect(row(page)).to_contain_text("《音视频记录管理办法》第八条")
    page.get_by_role("button", name=re.compile("^录音")).click()
    expect(page.locator("tr[data-camera]")).to_have_count(1)


def test_many_cameras_are_changed_together_and_what_differs_is_left_alone(planned: RunningHall, page: Page) -> None:
    with planned.client("dating") as client:
        first, *_ = client.get("/api/plans")["plans"]
        client.patch(f"/api/cameras/{first['camera_id']}/plan", {"mode": "event"})
    log_in(page, planned, "dating", "/plans")
    picks = page.locator("td.pick input")
    picks.nth(0).click()
    picks.nth(2).click(modifiers=["Shift"])
    expect(page.locator("tr.chosen")).to_have_count(3)
    page.locator('[data-action="edit-chosen"]').click()
    dialog = page.locator(".dialog")
    expect(dialog.locator('input[name="mode"]:checked')).to_have_count(0)
    expect(dialog.locator("footer button.primary")).to_be_disabled()
    dialog.locator('input[name="keep_days"]').fill("45")
    expect(dialog.locator("[data-changes]")).to_contain_text("3 路摄像头将修改")
    save(page)
    expect(page.locator("tr.chosen", has_text="45 天")).to_have_count(3)
    expect(page.locator("tr.chosen .mode.event")).to_have_count(1)
    with planned.client("dating") as client:
        ids = [one["camera_id"] for one in client.get("/api/plans")["plans"][:3]]
        client.patch("/api/plans", {"camera_ids": ids, "change": {"keep_days": 0}})


def test_windows_take_a_schedule_together_and_keep_their_own_lunch_duty(planned: RunningHall, page: Page) -> None:
    with planned.client("dating") as client:
        week = [{"weekday": day, "from_minute": 540, "to_minute": 1020} for day in range(1, 6)]
        made = client.post("/api/schedules", {"name": "轮班", "follows_calendar": True, "periods": week})
        ids = [one["window_id"] for one in client.get("/api/window-hours")["windows"][-2:]]
        client.patch(f"/api/windows/{ids[0]}/hours", {"lunch_weekdays": [1, 2, 3]})
    log_in(page, planned, "dating", "/plans/schedules")
    for window in ids:
        page.locator(f'tr[data-window="{window}"] td.pick input').click()
    page.locator('[data-action="edit-windows"]').click()
    dialog = page.locator(".dialog")
    expect(dialog).to_contain_text("2 个窗口的服务时段")
    expect(dialog).to_contain_text("午间值班 · 各不相同，保持不变")
    dialog.locator('select[name="schedule"]').select_option(label="轮班")
    save(page)
    expect(page.locator(f'tr[data-window="{ids[0]}"]')).to_contain_text("轮班")
    expect(page.locator(f'tr[data-window="{ids[0]}"]')).to_contain_text("周一至周三")
    expect(page.locator(f'tr[data-window="{ids[1]}"]')).to_contain_text("轮班")
    expect(page.locator(f'tr[data-window="{ids[1]}"]')).not_to_contain_text("周")
    expect(page.locator(f'.schedule[data-schedule="{made["id"]}"]')).to_contain_text("2 个窗口在用")
    with planned.client("dating") as client:
        for window in ids:
            client.patch(f"/api/windows/{window}/hours", {"schedule_id": None, "lunch_weekdays": []})
        client.delete(f"/api/schedules/{made['id']}")


def test_a_year_is_loaded_from_its_notice_with_the_lines_that_cannot_be_read(planned: RunningHall, page: Page) -> None:
    log_in(page, planned, "dating", "/plans/calendar")
    year = page.locator("[data-year]")
    while int(year.inner_text()) < YEAR:
        expected = str(int(year.inner_text()) + 1)
        page.get_by_role("button", name="下一年").click()
        expect(year).to_have_text(expected)
    page.locator('[data-action="load"]').click()
    dialog = page.locator(".dialog")
    expect(dialog.locator("footer button.primary")).to_be_disabled()
    dialog.locator('textarea[name="text"]').fill(NOTICE)
    dialog.locator('[data-action="read"]').click()
    reading = dialog.locator("[data-reading]")
    expect(reading).to_contain_text("识别到放假 7 天、调休上班 2 天")
    expect(reading).to_contain_text("第 2 行")
    expect(reading).to_contain_text("日期不存在")
    save(page)
    expect(page.locator("td.holiday")).to_have_count(7)
    expect(page.locator("td.workday")).to_have_count(2)

    page.locator(f'td[data-day="{YEAR}-10-08"] button').click()
    dialog.locator('select[name="kind"]').select_option("holiday")
    dialog.locator('input[name="name"]').fill("大厅搬迁")
    save(page)
    expect(page.locator("td.holiday")).to_have_count(8)

    page.goto(planned.url + "/plans/day")
    page.locator('input[type="date"]').fill(f"{YEAR}-10-08")
    expect(page.locator("[data-day-facts]")).to_contain_text("放假 大厅搬迁")
    page.locator('input[type="date"]').fill(f"{YEAR}-10-12")
    expect(page.locator("[data-day-facts]")).to_contain_text("按周五上班")
    with planned.client("dating") as client:
        client.delete(f"/api/calendar/{YEAR}")


def test_other_roles_see_plans_and_change_nothing(planned: RunningHall, page: Page) -> None:
    log_in(page, planned, "jiankan", "/plans")
    expect(row(page)).to_contain_text("全天")
    for path in ("/plans", "/plans/schedules", "/plans/calendar", "/plans/keeping"):
        page.goto(planned.url + path)
        expect(page.locator(".tabs")).to_be_visible()
        expect(page.locator("button.primary, [data-action], td.pick")).to_have_count(0)
