"""What the cameras' pages say of a camera's health: its clock in words, what reads it, what was measured."""

from __future__ import annotations

import re
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from tests.e2e.hall import RunningHall, eventually
from tests.e2e.pages import log_in

ADMINISTRATOR = "dating"


def test_a_camera_whose_clock_is_fast_says_so_in_words(hall: RunningHall, page: Page) -> None:
    hall.change_camera(2, clock_offset_s=75)
    try:
        camera = eventually(lambda: off_by(hall, 75))
        log_in(page, hall, ADMINISTRATOR, "/cameras")
        flag = page.locator(f'tr[data-camera="{camera["id"]}"] [data-flag="clock"]')
        expect(flag).to_have_text(re.compile("^摄像头时钟快7[456]秒$"), timeout=30_000)
        assert page.locator('[data-flag="clock"]').count() == 1
        page.goto(f"{hall.url}/cameras/{camera['id']}")
        expect(page.locator('[data-fact="clock"]')).to_contain_text("摄像头时钟快7")
        expect(page.locator('[data-fact="engine"]').first).to_contain_text("内置 RTSP 引擎")
        expect(page.locator('[data-fact="measured"]').first).to_contain_text("TCP")
        expect(page.locator('[data-fact="loss"]').first).to_contain_text("丢包 0/")
    finally:
        hall.change_camera(2, clock_offset_s=0)


def off_by(hall: RunningHall, seconds: int) -> Any:
    """The camera whose clock is that far off, when the gateway has found it out."""
    with hall.client(ADMINISTRATOR) as client:
        for camera in client.get("/api/cameras")["cameras"]:
            if camera["clock"] and abs(camera["clock"]["offset_us"] - seconds * 1_000_000) < 1_500_000:
                return camera
    return None


def test_an_administrator_chooses_what_reads_a_camera(hall: RunningHall, page: Page) -> None:
    with hall.client(ADMINISTRATOR) as client:
        camera = client.get("/api/cameras")["cameras"][0]
    log_in(page, hall, ADMINISTRATOR, f"/cameras/{camera['id']}")
    for value, words in (("libav", "备用引擎 libav"), ("", "内置 RTSP 引擎")):
        page.locator('[data-action="engine"]').click()
        page.locator('.dialog select[name="engine"]').select_option(value)
        page.locator(".dialog button.primary").click()
        expect(page.locator('[data-fact="engine"]').first).to_contain_text(words, timeout=60_000)


def test_the_register_dialog_warms_the_desk_ahead_of_the_probe(hall: RunningHall, page: Page) -> None:
    log_in(page, hall, ADMINISTRATOR, "/cameras")
    with page.expect_response(lambda answer: answer.url.endswith("/api/devices/warm")) as warmed:
        page.locator('[data-action="add-camera"]').click()
    assert warmed.value.status == 204


def test_the_gateway_of_the_hall_is_healthy(hall: RunningHall) -> None:
    def healthy() -> Any:
        answer = httpx.get(f"http://127.0.0.1:{hall.ports.gateway}/health", trust_env=False)
        return answer.json() if answer.is_success else None

    told = eventually(healthy)
    assert told["faults"] == []
    assert told["streams"]["recording"]["recorded"] >= 6
