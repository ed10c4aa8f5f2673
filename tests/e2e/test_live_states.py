"""What tiles say when the console, a camera, the right or the purpose is missing: words, never a frozen picture."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.e2e.hall import RunningHall, eventually
from tests.e2e.pages import log_in, open_wall, state_purpose


def tiles(page: Page) -> list[dict[str, Any]]:
    """What the page says of its tiles."""
    found: list[dict[str, Any]] = page.evaluate("() => window.__sunhall.tiles")
    return found


def all_live(page: Page, count: int) -> bool:
    states = [tile["state"] for tile in tiles(page)]
    return states == ["live"] * count


def tile_of(page: Page, name: str) -> Locator:
    return page.locator(".tile", has=page.locator(".tile-name", has_text=name))


def test_a_lost_console_greys_the_tiles_with_their_age_and_they_come_back(hall: RunningHall, page: Page) -> None:
    open_wall(page, hall, 4)
    eventually(lambda: all_live(page, 4))
    hall.kill("console")
    grey = page.locator(".tile.grey")
    expect(grey).to_have_count(4)
    expect(grey.first.locator(".tile-age")).to_contain_text("与控制台失去联系")
    expect(page.locator('[data-badge="recording"] .dot').first).to_be_visible()
    assert {tile["recording"] for tile in tiles(page)} == {""}, "nothing is known about recording now"
    eventually(lambda: all_live(page, 4))
    expect(page.locator(".tile.grey")).to_have_count(0)


def test_a_camera_that_goes_away_says_so_in_words_on_both_badges(hall: RunningHall, page: Page) -> None:
    open_wall(page, hall, 9)
    eventually(lambda: all_live(page, 6))
    hall.change_camera(2, online=False)
    try:
        tile = tile_of(page, "2号窗口 正面")
        expect(tile).to_have_attribute("data-live", "offline")
        expect(tile.locator(".tile-cover")).to_contain_text("离线")
        expect(tile.locator('[data-badge="recording"]')).to_have_class("badge rec-off")
        eventually(lambda: [one["state"] for one in tiles(page)].count("live") == 5)
    finally:
        hall.change_camera(2, online=True)
    eventually(lambda: all_live(page, 6))


def test_an_enlarged_tile_takes_the_main_stream_and_gives_it_back(hall: RunningHall, page: Page) -> None:
    open_wall(page, hall, 9)
    eventually(lambda: all_live(page, 6))
    assert {tile["role"] for tile in tiles(page)} == {"sub"}
    page.locator(".tile").first.click()
    eventually(lambda: tiles(page)[0]["role"] == "main" and tiles(page)[0]["state"] == "live")
    page.keyboard.press("Escape")
    eventually(lambda: tiles(page)[0]["role"] == "sub" and tiles(page)[0]["state"] == "live")


def test_without_a_purpose_there_is_no_picture(hall: RunningHall, page: Page) -> None:
    log_in(page, hall, "jiankan", "/wall")
    expect(page.locator(".purpose-form")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".wall .empty-state")).to_contain_text("请先填写调阅事由")
    assert page.locator("video").count() == 0
    page.locator(".wall .empty-state button.primary").click()
    state_purpose(page)
    eventually(lambda: any(tile["state"] == "live" for tile in tiles(page)))


def test_a_hall_administrator_previews_under_commissioning_only(hall: RunningHall, page: Page) -> None:
    log_in(page, hall, "dating", "/cameras")
    page.locator("tr[data-camera] a", has_text="1号窗口 正面").click()
    page.locator('[data-action="preview"]').click()
    choices = page.locator('.purpose-form input[name="code"]')
    expect(choices).to_have_count(1)
    expect(choices).to_have_value("commissioning")
    state_purpose(page, "commissioning", "设备验收单 12")
    eventually(lambda: all_live(page, 1))
    page.goto(hall.url + "/cases")
    expect(page.locator(".empty-state")).to_contain_text("没有权限")


HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_hidden_tab_leaves_its_streams_and_comes_back_to_now(hall: RunningHall, page: Page) -> None:
    said: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: said.append(str(frame))))
    open_wall(page, hall, 4)
    eventually(lambda: all_live(page, 4))
    page.evaluate(HIDE, True)
    eventually(lambda: tiles(page) and sum('"unsubscribe"' in message for message in said) == 4)
    before = {tile["camera"]: tile["frames"] for tile in tiles(page)}
    page.evaluate(HIDE, False)
    eventually(lambda: all(tile["frames"] > before[tile["camera"]] + 5 for tile in tiles(page)))
    for tile in eventually(lambda: tiles(page) if all_live(page, 4) else None):
        assert tile["serverUs"] - tile["wallUs"] < 5_000_000, "the past is shown"
