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
            for part in (wall, cameras, case):
                part(studio, hall)
        finally:
            hall.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
