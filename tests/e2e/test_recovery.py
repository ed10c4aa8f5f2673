"""Things that go wrong in mid-work: nothing committed is lost, and every second has a segment or a reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.demo.client import HallClient
from storage.clock import US
from tests.e2e.footage import (
    camera_spans,
    holes,
    monitor_id,
    picture_at,
    picture_time,
    recorded_streams,
    screen_spans,
    segments,
    state_at,
    verify,
)
from tests.e2e.hall import CLOCK, RunningHall, eventually
from tests.e2e.wire import Wire

LOST_US = 3 * US
"""A fragment of a second, and what was on its way through a machine at its limit."""
INTERVAL_US = 5 * US
"""The agent's snapshot interval."""


@pytest.fixture
def auditor(hall: RunningHall) -> Iterator[HallClient]:
    with hall.client("diaoyue", purpose="complaint") as client:
        yield client


def picture_of(client: HallClient, monitor: str, t_us: int) -> int:
    """When the screen picture in force at `t_us` was taken, once the agent has sent it.

    The counter PC is at work all the time, so a picture is at most a little older than a snapshot interval.
    """
    while True:
        picture = eventually(lambda: picture_at(client, monitor, t_us))
        if picture_time(picture) > t_us - 3 * INTERVAL_US:
            return picture_time(picture)
        CLOCK.sleep(1.0)


def recording_since(client: HallClient, streams: dict[str, str], t_us: int) -> bool:
    """Whether each stream has a committed segment that began after `t_us`."""
    return all(any(segment.t0_us > t_us for segment in segments(client, stream)) for stream in streams)


def test_killing_the_gateway_loses_nothing_committed(hall: RunningHall, auditor: HallClient) -> None:
    streams = recorded_streams(auditor)
    eventually(lambda: all(len(segments(auditor, stream)) >= 2 for stream in streams))
    before = {stream: segments(auditor, stream) for stream in streams}
    killed_us = CLOCK.now_us()
    hall.wait_for_new("gateway", hall.kill("gateway"))
    eventually(lambda: recording_since(auditor, streams, killed_us))
    salvaged = 0
    for stream, camera in streams.items():
        after = segments(auditor, stream)
        assert set(before[stream]) <= set(after), "a committed segment is gone"
        earlier = [one for one in after if one.t0_us < killed_us]
        salvaged += len(set(earlier) - set(before[stream]))
        assert killed_us - earlier[-1].t1_us < LOST_US, "more than the last fragment is lost"
        spans = camera_spans(auditor, camera, killed_us)
        assert holes(spans) == []
        assert "crash" in {span["state"] for span in spans if span["t1_us"] > killed_us - 5 * US}
    assert salvaged, "no part file was salvaged"
    done = verify(hall)
    assert done.returncode == 0, done.stdout + done.stderr


def test_killing_the_console_stops_neither_recording_nor_screens(hall: RunningHall, auditor: HallClient) -> None:
    streams = recorded_streams(auditor)
    monitor = eventually(lambda: monitor_id(auditor))
    killed_us = CLOCK.now_us()
    hall.wait_for_new("console", hall.kill("console"))
    with hall.client("diaoyue", purpose="complaint") as client:
        eventually(lambda: recording_since(client, streams, killed_us))
        moment_us = killed_us + 2 * INTERVAL_US
        assert picture_of(client, monitor, moment_us) > killed_us - INTERVAL_US
        for camera in streams.values():
            spans = camera_spans(client, camera, killed_us)
            assert state_at(spans, killed_us) == "recorded"


def test_killing_the_agent_keeps_what_it_had_and_says_it_was_down(hall: RunningHall, auditor: HallClient) -> None:
    monitor = eventually(lambda: monitor_id(auditor))
    CLOCK.sleep(2 * INTERVAL_US / US)
    early_us = CLOCK.now_us() - INTERVAL_US  # taken and in the spool, most likely not sent yet
    killed_us = CLOCK.now_us()
    hall.wait_for_new("counter-pc", hall.kill("counter-pc"))
    back_us = CLOCK.now_us() + 3 * INTERVAL_US
    assert picture_of(auditor, monitor, early_us) <= early_us
    assert picture_of(auditor, monitor, back_us) > killed_us
    eventually(lambda: state_at(screen_spans(auditor, back_us), back_us) in ("recording", "unchanged"))
    assert holes(screen_spans(auditor, killed_us)) == []


def test_pictures_of_a_network_cut_arrive_after_it(wire: Wire, auditor: HallClient) -> None:
    monitor = eventually(lambda: monitor_id(auditor))
    wire.cut()
    cut_us = CLOCK.now_us()
    CLOCK.sleep(20.0)
    middle_us = cut_us + 10 * US
    assert picture_at(auditor, monitor, middle_us) is None, "a picture came over a cut wire"
    wire.mend()
    assert picture_of(auditor, monitor, middle_us) > cut_us - INTERVAL_US
    eventually(lambda: state_at(screen_spans(auditor, middle_us), middle_us) in ("recording", "unchanged"))


def test_a_camera_goes_away_and_returns(hall: RunningHall, auditor: HallClient) -> None:
    streams = recorded_streams(auditor)
    camera = next(item for item in auditor.get("/api/cameras")["cameras"] if item["name"].startswith("2号窗口"))
    hall.change_camera(2, online=False)
    away_us = CLOCK.now_us()
    gone = eventually(lambda: _state(auditor, camera["id"])["live"]["state"] == "offline")
    assert gone
    assert _state(auditor, camera["id"])["live"]["cause"] in ("network", "unreachable", "refused")
    hall.change_camera(2, online=True)
    eventually(lambda: _state(auditor, camera["id"])["live"]["state"] == "live")
    back_us = CLOCK.now_us()
    own = {stream: owner for stream, owner in streams.items() if owner == camera["id"]}
    eventually(lambda: recording_since(auditor, own, back_us))
    spans = camera_spans(auditor, camera["id"], away_us)
    assert holes(spans) == []
    reasons = {span["state"] for span in spans if span["t0_us"] < back_us and span["t1_us"] > away_us} - {"recorded"}
    assert reasons
    assert reasons <= {"network", "unreachable", "refused"}


def _state(client: HallClient, camera: str) -> dict[str, dict[str, str]]:
    answer: dict[str, dict[str, str]] = client.get(f"/api/cameras/{camera}")
    return answer
