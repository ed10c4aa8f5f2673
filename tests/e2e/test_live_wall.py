"""The live wall in real Chromium: the pictures are the cameras' own, and they move."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.e2e.conftest import NewPage
from tests.e2e.hall import CLOCK, RunningHall, eventually
from tests.e2e.pages import choose_size, open_wall
from tests.e2e.pixels import Seen, strips_of_videos

LOOPED = 3
"""The H.265 camera's pictures are a loop: their strip counts from the loop's start."""


def shown_cameras(page: Page) -> dict[int, Seen]:
    """By camera number, what the wall shows right now."""
    return {seen.camera: seen for seen in strips_of_videos(page) if seen is not None}


def moving_cameras(page: Page) -> set[int]:
    """The cameras whose picture changed between two looks."""
    before = shown_cameras(page)
    CLOCK.sleep(1.0)
    after = shown_cameras(page)
    return {camera for camera, seen in after.items() if camera in before and before[camera].counter != seen.counter}


def wait_for_motion(page: Page, count: int) -> None:
    """Wait until `count` different cameras are moving, no more and no less."""
    eventually(lambda: len(moving_cameras(page)) == count)


def test_four_tiles_show_four_cameras_as_they_are_now(hall: RunningHall, page: Page) -> None:
    open_wall(page, hall, 4)
    wait_for_motion(page, 4)
    for camera, seen in shown_cameras(page).items():
        if camera != LOOPED:
            assert abs(CLOCK.now_us() // 1000 - seen.time_ms) < 5_000, f"camera {camera} shows the past"


def test_nine_places_show_all_six_cameras_the_h265_one_by_its_h264_substream(hall: RunningHall, page: Page) -> None:
    open_wall(page, hall, 9)
    eventually(lambda: moving_cameras(page) == {1, 2, 3, 4, 5, 6})


def test_one_large_tile_shows_the_main_stream(hall: RunningHall, page: Page) -> None:
    open_wall(page, hall, 1)
    wait_for_motion(page, 1)
    width = eventually(lambda: page.evaluate("() => sunhallPixels.all('video').find((v) => v.videoWidth)?.videoWidth"))
    assert width > 640


def test_two_browsers_watch_one_wall(hall: RunningHall, new_page: NewPage) -> None:
    pages = [new_page(), new_page()]
    for page in pages:
        open_wall(page, hall, 4)
    for page in pages:
        wait_for_motion(page, 4)


def test_switching_the_layout_keeps_pictures_moving(hall: RunningHall, page: Page) -> None:
    open_wall(page, hall, 4)
    for size, cameras in ((9, 6), (1, 1), (4, 4)):
        choose_size(page, size)
        wait_for_motion(page, cameras)
