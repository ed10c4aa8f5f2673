"""The review's own lane in Chromium, fed with recorded files: sound beside the picture, never in its way.

The lane's source is bundled alone; its files come from the recorder itself, over the address that the console uses.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from camera_gateway.packets import AudioCodec
from storage.clock import US
from tests.camera_gateway.media import MemorySink, units
from tests.camera_gateway.sound import aac_sound, g711_sound, record_with_sound
from tests.camera_gateway.test_segmenter import record

WEB = Path(__file__).parents[2] / "console" / "web"
T0_US = 1_790_000_000_000_000
LENGTH_US = 4 * US
ORIGIN = "http://lane.test"


@cache
def with_a_hole() -> MemorySink:
    """G.711 of which half a second after the second one never came."""
    audio, sound = g711_sound(AudioCodec.PCMA)
    return record_with_sound(units("h264"), audio, [unit for unit in sound if not 16_000 <= unit.time < 20_000])


def recordings() -> list[MemorySink]:
    """A run in which only some files have sound, and not the same kind: G.711 with a hole, none, AAC."""
    return [with_a_hole(), record(units("h264")), record_with_sound(units("h264"), *aac_sound())]


def camera(sinks: list[MemorySink], name: str = "c") -> dict[str, Any]:
    """The lane of these files, one after the other, as the timeline of a visit shows it."""
    segments = [
        {
            "id": str(index),
            "t0_us": T0_US + index * LENGTH_US,
            "t1_us": T0_US + (index + 1) * LENGTH_US,
            "media_duration": sink.notes[0][-1].media_duration,
            "timescale": 90_000,
            "codec": sink.starts[0].codec,
            "bytes": len(sink.files[0]),
        }
        for index, sink in enumerate(sinks)
    ]
    stream = {"id": "s", "role": "main", "codec": "h264", "width": 320, "height": 180, "segments": segments}
    return {"camera_id": name, "name": name, "role": "front", "streams": [stream], "coverage": []}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lane and its clock as one script."""
    made = tmp_path_factory.mktemp("lane") / "lane.js"
    node = Path(sys.executable).with_name("node")
    rolldown = WEB / "node_modules" / "rolldown" / "bin" / "cli.mjs"
    entry = Path(__file__).with_name("lane_sound.ts")
    command = [str(node), str(rolldown), str(entry), "--format", "iife", "--file", str(made)]
    subprocess.run(command, check=True, cwd=WEB, capture_output=True, timeout=60)
    return made.read_text()


@pytest.fixture
def page(browser: Browser, bundle: str) -> Iterator[Page]:
    """A page with the bundle in it and the console's answers; a fault that nobody caught fails the test."""
    context = browser.new_context()
    faults: list[str] = []
    shown = context.new_page()
    shown.on("pageerror", lambda error: faults.append(str(error)))
    sinks = recordings()

    def answer(route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if path.startswith("/api/media/segments/"):
            route.fulfill(body=sinks[int(path.rsplit("/", 1)[1])].files[0], content_type="video/mp4")
        elif path.startswith("/api/visits/"):
            route.fulfill(json=timeline(sinks))
        elif path == "/api/time":
            route.fulfill(json={"now_us": T0_US})
        else:
            route.fulfill(body="<html><body></body></html>", content_type="text/html")

    shown.route("**/*", answer)
    shown.goto(ORIGIN)
    shown.add_script_tag(content=bundle)
    yield shown
    context.close()
    assert faults == []


@pytest.fixture
def lane(page: Page) -> Page:
    """The page with the lane alone."""
    begin = "([camera, t0, t1]) => { window.shown = window.review(camera, t0, t1); }"
    page.evaluate(begin, [camera(recordings()), T0_US, T0_US + 3 * LENGTH_US])
    return page


def timeline(sinks: list[MemorySink]) -> dict[str, Any]:
    """A visit with three cameras: two with sound, one without."""
    silent = camera([sinks[1]] * 3, "silent")
    for segment in silent["streams"][0]["segments"]:
        segment["id"] = "1"
    visit = {"window": {"id": "w", "number": 1, "name": "1"}, "staff": None, "opened_by": "event", "closed_by": "event"}
    return {
        "t0_us": T0_US,
        "t1_us": T0_US + 3 * LENGTH_US,
        "case": {"id": "1", "number": "1", "source": {"id": "s", "code": "s", "name": "s"}},
        "visit": {**visit, "id": "2", "t0_us": T0_US, "t1_us": T0_US + 3 * LENGTH_US, "ambiguous": False},
        "steps": [],
        "cameras": [camera(sinks, "one"), silent, camera(sinks, "two")],
        "screens": [],
    }


WATCH = """async ([from, sound]) => {
  const {lane, master} = window.shown;
  lane.setSound(sound);
  master.seek(from);
  master.play();
  const seen = [];
  for (let turn = 0; turn < 400 && master.playing; turn += 1) {
    await new Promise(done => setTimeout(done, 50));
    const audio = lane.audio;
    seen.push({at: (master.nowUs - from) / 1e6, state: lane.state, wall: lane.wallUs, frames: lane.frames,
      muted: lane.video.muted, pictureSound: lane.video.webkitAudioDecodedByteCount,
      heard: audio !== null && !audio.paused, bytes: audio ? audio.webkitAudioDecodedByteCount : 0,
      apart: audio && !audio.paused ? Math.abs(audio.currentTime * 1e6 - master.nowUs) / 1e6 : 0});
  }
  return {seen, ended: (master.nowUs - from) / 1e6};
}"""


def within(seen: list[dict[str, Any]], first: float, last: float) -> list[dict[str, Any]]:
    return [one for one in seen if first <= one["at"] < last]


def test_a_lane_is_silent_until_it_is_asked_for_sound(lane: Page) -> None:
    assert lane.evaluate("() => window.shown.lane.audible")
    told = lane.evaluate(WATCH, [T0_US, False])
    assert told["ended"] == pytest.approx(12)
    assert not any(one["heard"] or one["pictureSound"] or not one["muted"] for one in told["seen"])
    assert {one["state"] for one in within(told["seen"], 0, 11.9)} <= {"loading", "picture"}
    assert told["seen"][-1]["frames"] > 100


def test_sound_follows_the_picture_and_holds_nothing_up(lane: Page) -> None:
    """Through a hole, a file without sound and a change of codec the picture goes on to the end."""
    told = lane.evaluate(WATCH, [T0_US, True])
    seen = told["seen"]
    assert told["ended"] == pytest.approx(12)
    assert {one["state"] for one in within(seen, 0, 11.9)} <= {"loading", "picture"}
    assert seen[-1]["frames"] > 100
    assert not any(one["pictureSound"] for one in seen)  # sound comes from its own element alone

    assert any(one["heard"] for one in within(seen, 0.2, 1.95))
    assert not any(one["heard"] for one in within(seen, 2.15, 2.45))  # the hole
    assert any(one["heard"] for one in within(seen, 2.6, 3.95))
    assert not any(one["heard"] for one in within(seen, 4.3, 7.9))  # the file without sound
    assert any(one["heard"] for one in within(seen, 8.5, 11.9))
    assert seen[-1]["bytes"] > within(seen, 4.3, 7.9)[-1]["bytes"] > 0
    apart = sorted(one["apart"] for one in seen if one["heard"])
    assert apart[len(apart) // 2] < 0.25  # beyond that it is put right at once


def test_sound_can_be_turned_on_in_the_middle_and_off_again(lane: Page) -> None:
    lane.evaluate(WATCH, [T0_US + 10 * US, False])
    assert lane.evaluate("() => window.shown.lane.audio") is None
    told = lane.evaluate(WATCH, [T0_US + 9 * US, True])
    assert any(one["heard"] for one in told["seen"])
    lane.evaluate("() => window.shown.lane.setSound(false)")
    assert lane.evaluate("() => window.shown.lane.audio") is None
    again = lane.evaluate(WATCH, [T0_US + 11 * US, False])
    assert not any(one["heard"] for one in again["seen"])


def test_the_page_offers_sound_where_there_is_some_and_for_one_lane_at_a_time(page: Page) -> None:
    account = {"id": "a", "login": "a", "display_name": "a", "roles": ["auditor"]}
    hall = {"id": "h", "name": "h", "timezone": "Asia/Shanghai"}
    session = {"account": account, "several_roles": False, "csrf": "c", "hall": hall, "now_us": T0_US, "version": "1"}
    purpose = {"id": "p", "code": "audit", "reference": "r", "created_us": T0_US}
    page.evaluate("([session, purpose]) => window.visitPage(session, purpose)", [session, purpose])
    one, two = (page.locator(f'[data-lane="camera-{name}"] [data-action="sound"]') for name in ("one", "two"))
    expect(one).to_have_attribute("aria-label", "打开声音")
    expect(page.locator('[data-action="sound"]')).to_have_count(2)
    expect(page.locator('[data-lane="camera-silent"]')).to_have_count(1)
    assert sounds(page) == [None, None, None]

    one.click()
    expect(one).to_have_attribute("aria-pressed", "true")
    page.locator('[data-action="play"]').click()
    page.wait_for_function("() => window.__sunhall.review.cameras[0].sound?.paused === false", timeout=30_000)
    two.click()
    expect(one).to_have_attribute("aria-pressed", "false")
    expect(two).to_have_attribute("aria-label", "关闭声音")
    assert [sound is None for sound in sounds(page)] == [True, True, False]
    two.click()
    assert sounds(page) == [None, None, None]


def sounds(page: Page) -> list[Any]:
    found: list[Any] = page.evaluate("() => window.__sunhall.review.cameras.map(one => one.sound)")
    return found
