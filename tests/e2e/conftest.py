"""A virtual hall for the whole session, a real browser, and pages that fail on errors nobody caught."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.e2e import pixels
from tests.e2e.hall import RunningHall
from tests.e2e.wire import Wire

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
NewPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a whole hall."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(240))


@pytest.fixture(scope="session")
def wired_hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningHall, Wire]]:
    """The virtual hall, cut every ten seconds so that a test need not wait for a minute, its counter PC on a wire."""
    running = RunningHall(tmp_path_factory.mktemp("hall"), demo=True)
    running.configure("gateway", "\n[recording]\nsegment_s = 10.0\nsync_interval_s = 1.0\n")
    wire = Wire(running.ports.console)
    running.agent_url = f"https://localhost:{wire.port}"
    try:
        running.start()
        yield running, wire
    finally:
        running.end()
        wire.close()


@pytest.fixture(scope="session")
def hall(wired_hall: tuple[RunningHall, Wire]) -> RunningHall:
    """The virtual hall of the session."""
    return wired_hall[0]


@pytest.fixture
def wire(wired_hall: tuple[RunningHall, Wire]) -> Iterator[Wire]:
    """The cable between the counter PC and the console; whole again after the test."""
    yield wired_hall[1]
    wired_hall[1].mend()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium with a fresh profile.

    Not for the session: while the synchronous Playwright lives, no test in this process can run an event loop.
    """
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[NewPage]:
    """Makes pages with a session of their own; an uncaught error in any of them fails the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def make(**options: object) -> Page:
        settings = {"viewport": {"width": 1920, "height": 1080}, "locale": "zh-CN", **options}
        context = browser.new_context(ignore_https_errors=True, **settings)  # type: ignore[arg-type]  # passed through
        context.add_init_script(pixels.INSTALL)
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """One page at 1920 × 1080."""
    return new_page()
