"""A case in real Chromium: one scrubber moves cameras and screen to the same moment, read out of their own pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from deploy.demo.client import HallClient
from storage.clock import US
from tests.e2e.conftest import NewPage
from tests.e2e.hall import RunningHall, eventually
from tests.e2e.pages import log_in, state_purpose
from tests.e2e.pixels import Seen, strip_in

AUDITOR = "diaoyue"
INTERVAL_US = 5 * US
"""The agent takes a picture every five seconds while something changes."""
ARRIVAL_US = 2 * US
"""How much later than painted a frame may arrive and be dated on a machine at its limit."""
WRONG_CLOCK = """
const RealDate = Date;
window.Date = class extends RealDate {
  constructor(...given) { if (given.length) super(...given); else super(RealDate.now() + 600000); }
  static now() { return RealDate.now() + 600000; }
};
"""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A visit whose footage is complete, and a moment in it at which a screen picture was just taken."""

    path: str
    timeline: dict[str, Any]
    moments: tuple[int, ...]


def is_recorded(spans: list[dict[str, Any]], t_us: int) -> bool:
    return any(span["t0_us"] <= t_us < span["t1_us"] and span["state"] == "recorded" for span in spans)


def good_moments(timeline: dict[str, Any]) -> tuple[int, ...]:
    """Half a second after each picture at which every camera that has footage was recorded."""
    lanes = [camera for camera in timeline["cameras"] if any(stream["segments"] for stream in camera["streams"])]
    pictures = [picture + US // 2 for screen in timeline["screens"] for picture in screen["pictures"]]
    return tuple(at for at in pictures if lanes and all(is_recorded(lane["coverage"], at) for lane in lanes))


def reviewable(client: HallClient, number: str) -> Reviewed | None:
    """The first visit of a case, once it is closed and three of its moments can be shown."""
    found = client.get("/api/cases", q=number)["cases"]
    for case in found:
        for visit in client.get(f"/api/cases/{case['id']}")["visits"]:
            if visit["t1_us"] is None:
                continue
            timeline = client.get(f"/api/visits/{visit['id']}/timeline")
            moments = good_moments(timeline)
            if len(moments) >= 3:
                return Reviewed(f"/cases/{case['id']}/visits/{visit['id']}", timeline, moments)
    return None


@pytest.fixture(scope="module")
def reviewed(hall: RunningHall) -> Reviewed:
    """A visit at window 1, which the counter PC serves and five cameras see."""
    served = eventually(lambda: hall.serving(1))
    with hall.client(AUDITOR, purpose="audit") as client:
        return eventually(lambda: reviewable(client, served["case_number"]) or next_case(hall, client), every_s=2.0)


def next_case(hall: RunningHall, client: HallClient) -> Reviewed | None:
    """The case at the window now, when the first one had too few pictures to be of use."""
    served = hall.serving(1)
    return reviewable(client, served["case_number"]) if served else None


def open_review(page: Page, hall: RunningHall, reviewed: Reviewed) -> None:
    log_in(page, hall, AUDITOR, reviewed.path)
    state_purpose(page, "complaint", "投诉〔2026〕31号")
    expect(page.locator("canvas.strip")).to_be_visible()


def review(page: Page) -> dict[str, Any]:
    """What the page says it shows."""
    state: dict[str, Any] = page.evaluate("() => window.__sunhall.review")
    return state


def scrub(page: Page, t_us: int) -> None:
    """Click the timeline where `t_us` is; the whole visit is in view."""
    state = review(page)
    share = (t_us - state["t0Us"]) / (state["t1Us"] - state["t0Us"])
    box = page.locator("canvas.strip").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + share * box["width"], box["y"] + 10)


def settled(page: Page) -> dict[str, Any] | None:
    """The page's state once every open lane presents this moment."""
    state = review(page)
    lanes = [lane for lane in state["cameras"] if lane["active"]] + state["screens"]
    return state if lanes and all(lane["presenting"] for lane in lanes) else None


def camera_strips(page: Page, state: dict[str, Any]) -> dict[str, Seen | None]:
    """By camera name, what its video shows."""
    names = {lane["camera"]: lane["name"] for lane in state["cameras"] if lane["active"]}
    return {name: strip_in(page.locator(f'[data-lane="camera-{key}"] video')) for key, name in names.items()}


def test_one_scrubber_brings_cameras_and_screen_to_the_same_moment(
    hall: RunningHall, page: Page, reviewed: Reviewed
) -> None:
    open_review(page, hall, reviewed)
    for moment in (reviewed.moments[0], reviewed.moments[-1], reviewed.moments[len(reviewed.moments) // 2]):
        scrub(page, moment)
        state = eventually(lambda: settled(page))
        strips = camera_strips(page, state)
        timed = {name: seen for name, seen in strips.items() if name != "大厅全景" and seen is not None}
        assert len(timed) >= 2, f"only {sorted(timed)} could be read"
        screen = strip_in(page.locator('[data-lane^="screen-"] canvas'))
        assert screen is not None
        for name, seen in timed.items():
            assert abs(seen.time_ms * 1000 - state["positionUs"]) <= ARRIVAL_US, f"{name} is out of step"
            assert abs(seen.time_ms - screen.time_ms) * 1000 <= INTERVAL_US + ARRIVAL_US, (
                f"{name} and the screen differ"
            )


def test_playing_moves_every_lane_and_speed_changes_its_pace(hall: RunningHall, page: Page, reviewed: Reviewed) -> None:
    open_review(page, hall, reviewed)
    scrub(page, reviewed.moments[0])
    before = eventually(lambda: settled(page))
    page.locator('[data-speed="4"]').click()
    page.keyboard.press("Space")
    eventually(lambda: review(page)["positionUs"] > before["positionUs"] + 4 * US)
    page.keyboard.press("Space")
    after = eventually(lambda: settled(page))
    assert not after["playing"]
    assert after["rate"] == 4
    was = {lane["camera"]: lane["frames"] for lane in before["cameras"]}
    for lane in after["cameras"]:
        if lane["active"] and lane["state"] == "picture":
            assert lane["frames"] > was[lane["camera"]] + 3
            assert abs(lane["wallUs"] - after["positionUs"]) < US


def test_a_frame_step_moves_by_one_frame(hall: RunningHall, page: Page, reviewed: Reviewed) -> None:
    open_review(page, hall, reviewed)
    scrub(page, reviewed.moments[0])
    eventually(lambda: settled(page))
    page.keyboard.press("Space")
    eventually(lambda: review(page)["positionUs"] > reviewed.moments[0] + US)
    page.keyboard.press("Space")
    state = eventually(lambda: settled(page))
    first = next(lane for lane in state["cameras"] if lane["active"] and lane["state"] == "picture")
    video = page.locator(f'[data-lane="camera-{first["camera"]}"] video')
    start = strip_in(video)
    assert start is not None
    page.keyboard.press(".")
    assert eventually(lambda: _counter(video, start.counter)) == start.counter + 1
    page.keyboard.press(",")
    assert eventually(lambda: _counter(video, start.counter + 1)) == start.counter


def _counter(video: Any, other_than: int) -> int | None:
    seen = strip_in(video)
    return seen.counter if seen is not None and seen.counter != other_than else None


def test_the_h265_camera_is_reviewed_through_its_h264_substream(
    hall: RunningHall, page: Page, reviewed: Reviewed
) -> None:
    open_review(page, hall, reviewed)
    scrub(page, reviewed.moments[0])
    state = eventually(lambda: settled(page))
    lane = next(one for one in state["cameras"] if one["how"] == "substream")
    if not lane["active"]:
        page.locator("button.lane-name", has_text=lane["name"]).click()
    shown = page.locator(f'[data-lane="camera-{lane["camera"]}"]')
    expect(shown).to_have_attribute("data-state", "picture")
    expect(shown).to_contain_text("H.264 子码流")
    assert strip_in(shown.locator("video")) is not None


def test_the_viewers_own_zone_and_wrong_clock_change_nothing(
    hall: RunningHall, new_page: NewPage, reviewed: Reviewed
) -> None:
    page = new_page(timezone_id="UTC")
    page.add_init_script(WRONG_CLOCK)
    open_review(page, hall, reviewed)
    moment = reviewed.moments[0]
    scrub(page, moment)
    state = eventually(lambda: settled(page))
    shown = page.locator("[data-clock]").inner_text()
    assert shown == hall_clock(state["positionUs"])
    seen = next(one for name, one in camera_strips(page, state).items() if one is not None and name != "大厅全景")
    assert abs(seen.time_ms * 1000 - state["positionUs"]) <= ARRIVAL_US
    now = page.evaluate("() => ({server: window.__sunhall.serverUs, pc: Date.now() * 1000})")
    assert 590 * US < now["pc"] - now["server"] < 610 * US


def hall_clock(t_us: int) -> str:
    """`09:30:05.250` in Asia/Shanghai, which has no summer time."""
    milliseconds = (t_us // 1000 + 8 * 3_600_000) % 86_400_000
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
