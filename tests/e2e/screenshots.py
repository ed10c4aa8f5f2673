"""`make screenshots`: pictures of the key pages at 1920 × 1080, from a virtual hall, into docs/images."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from deploy.demo.client import HallClient
from tests.e2e import pixels
from tests.e2e.conftest import CHROMIUM, FLAGS
from tests.e2e.hall import CLOCK, RunningHall, eventually
from tests.e2e.pages import choose_size, log_in, state_purpose
from tests.e2e.test_first_run import Wizard
from tests.e2e.test_live_wall import wait_for_motion
from tests.e2e.test_review import Reviewed, open_review, reviewable, scrub, settled


class Studio:
    """Makes pages and keeps their pictures."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._browser = browser
        self._folder = folder

    def page(self) -> Page:
        """A page with a session of its own."""
        context = self._browser.new_context(
            ignore_https_errors=True, viewport={"width": 1920, "height": 1080}, locale="zh-CN"
        )
        context.add_init_script(pixels.INSTALL)
        return context.new_page()

    def keep(self, page: Page, name: str) -> None:
        """The picture of a page as docs/images/NAME.png."""
        CLOCK.sleep(1.5)  # transitions and the next pictures of live tiles
        page.screenshot(path=self._folder / f"{name}.png")
        print(f"{name}.png")


def wall(studio: Studio, hall: RunningHall) -> None:
    """Six cameras on nine places, and one enlarged."""
    page = studio.page()
    log_in(page, hall, "jiankan", "/wall")
    state_purpose(page)
    choose_size(page, 9)
    wait_for_motion(page, 6)
    studio.keep(page, "wall")


def cameras(studio: Studio, hall: RunningHall) -> None:
    """The list, and one camera's day."""
    page = studio.page()
    log_in(page, hall, "dating", "/cameras")
    expect(page.locator("tr[data-camera] .dot.rec").first).to_be_visible()
    studio.keep(page, "cameras")
    page.locator("tr[data-camera] a.strong").first.click()
    expect(page.locator("page-camera")).to_be_visible()
    studio.keep(page, "camera")
    page.goto(hall.url + "/workstations")
    expect(page.locator("page-workstations")).to_contain_text("1号窗口电脑")
    studio.keep(page, "workstations")


NOTICE = """一、元旦：1月1日（周四）至3日（周六）放假调休，共3天。1月4日（周日）上班。
二、春节：2月15日（周日）至23日（周一）放假调休，共9天。2月14日（周六）、2月28日（周六）上班。
三、清明节：4月4日（周六）至6日（周一）放假，共3天。
四、劳动节：5月1日（周五）至5日（周二）放假调休，共5天。5月9日（周六）上班。
五、端午节：6月19日（周五）至21日（周日）放假，共3天。
六、中秋节：9月25日（周五）至27日（周日）放假，共3天。
七、国庆节：10月1日（周四）至7日（周三）放假调休，共7天。9月20日（周日）、10月10日（周六）上班。"""
PLAN_YEAR = 2026
A_MONDAY = "2026-11-23"


def _planned(client: HallClient) -> None:
    """Two schedules, a keeping class, and a plan of each kind."""
    week = [(day, *hours) for day in range(1, 6) for hours in ((540, 720), (810, 1020))]
    nights = [(day, 1260, 1800) for day in range(1, 8)]
    ids = [
        client.post(
            "/api/schedules",
            {
                "name": name,
                "follows_calendar": follows,
                "periods": [
                    {"weekday": day, "from_minute": begin, "to_minute": end} for day, begin, end in sorted(periods)
                ],
            },
        )["id"]
        for name, follows, periods in (("工作日班次", True, week), ("夜间值守", False, nights))
    ]
    window = client.get("/api/window-hours")["windows"][0]["window_id"]
    client.patch(f"/api/windows/{window}/hours", {"schedule_id": ids[0], "lunch_weekdays": [1, 2, 3, 4, 5]})
    important = {"name": "重点部位", "days": 180, "basis": "《公共安全视频图像信息系统管理条例》"}
    class_id = client.post("/api/retention-classes", important)["id"]
    changes = [
        {"mode": "periods"},
        {"mode": "periods"},
        {"mode": "periods", "schedule_id": ids[0], "audio": True, "audio_basis": "《音视频记录管理办法》第八条"},
        {"mode": "event", "schedule_id": ids[1]},
        {"retention_class_id": class_id},
    ]
    for one, change in zip(client.get("/api/plans")["plans"], changes, strict=False):
        client.patch(f"/api/cameras/{one['camera_id']}/plan", change)
    days = client.post(f"/api/calendar/{PLAN_YEAR}/read", {"text": NOTICE})["days"]
    client.patch(f"/api/calendar/{PLAN_YEAR}", {"source": "国办发明电〔2025〕7号", "days": days})


def plans(studio: Studio, hall: RunningHall) -> None:
    """Recording plans: the cameras, many changed at once, schedules, a year and a day. Always recorded afterwards."""
    with hall.client("dating") as client:
        _planned(client)
        page = studio.page()
        log_in(page, hall, "dating", "/plans")
        expect(page.locator("tr[data-camera]").first).to_be_visible()
        studio.keep(page, "plans")
        page.locator("td.pick input").nth(0).click()
        page.locator("td.pick input").nth(3).click(modifiers=["Shift"])
        page.locator('[data-action="edit-chosen"]').click()
        page.locator('input[name="mode"][value="event"]').check(force=True)
        studio.keep(page, "plans-change")
        for part in ("schedules", "calendar"):
            page.goto(f"{hall.url}/plans/{part}")
            expect(page.locator(".week-bar, .year-grid").first).to_be_visible()
            studio.keep(page, f"plans-{part}")
        page.goto(hall.url + "/plans/day")
        page.locator('input[type="date"]').fill(A_MONDAY)
        studio.keep(page, "plans-day")
        ids = [one["camera_id"] for one in client.get("/api/plans")["plans"]]
        always = {"mode": "always", "schedule_id": None, "audio": False, "retention_class_id": None}
        client.patch("/api/plans", {"camera_ids": ids, "change": always})


def reviewed_of(hall: RunningHall, client: HallClient, served: set[str]) -> Reviewed | None:
    """The first case that was served at window 1 since we look and can be shown in full."""
    now = hall.serving(1)
    served |= {now["case_number"]} if now else set()
    return next((found for found in (reviewable(client, number) for number in sorted(served)) if found), None)


def case(studio: Studio, hall: RunningHall) -> None:
    """A visit with all its lanes, somewhere in its middle."""
    served: set[str] = set()
    with hall.client("diaoyue", purpose="audit") as client:
        reviewed = eventually(lambda: reviewed_of(hall, client, served), every_s=2.0)
    page = studio.page()
    open_review(page, hall, reviewed)
    eventually(lambda: settled(page))
    scrub(page, reviewed.moments[len(reviewed.moments) // 2])
    eventually(lambda: settled(page))
    studio.keep(page, "case")


def first_run(studio: Studio, folder: Path) -> None:
    """The wizard's step about storage."""
    hall = RunningHall(folder, demo=False)
    try:
        hall.start()
        page = studio.page()
        page.goto(hall.url)
        wizard = Wizard(page)
        wizard.step("code", code=hall.folder.waiting_code() or "")
        expect(page.locator('form[data-step="administrator"]')).to_be_visible()
        studio.keep(page, "setup")
    finally:
        hall.end()


def main(folder: Path) -> None:
    """All pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sunhall-pictures-") as place, sync_playwright() as playwright:
        studio = Studio(playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS), folder)
        first_run(studio, Path(place) / "empty")
        hall = RunningHall(Path(place) / "demo", demo=True, pace=2.0)
        hall.configure("gateway", "\n[recording]\nsegment_s = 10.0\n")
        try:
            hall.start()
            for part in (wall, cameras, case, plans):
                part(studio, hall)
        finally:
            hall.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
