"""The real agent and the real console, both with the test's clock and without a socket between them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from edge_agent.agent import Agent
from edge_agent.enrol import Invitation, enrol
from edge_agent.identity import Places
from edge_agent.notice import FakeNotice
from edge_agent.platform.fake import FakePlatform
from edge_agent.settings import AgentSettings, SpoolSettings
from screen_capture.encode import to_rgb
from screen_capture.frames import StillGrabber, Words
from storage.clock import US
from storage.errors import NotAuthenticated
from tests.console.agent_world import code_for
from tests.console.asgi import AppTransport
from tests.console.console_world import ORIGIN, ConsoleWorld
from tests.edge_agent.table import LEFT, frame
from tests.screen_capture.desktops import office


class Line(httpx.BaseTransport):
    """The line between a workstation and the console, which may be cut."""

    def __init__(self, world: ConsoleWorld) -> None:
        self._inner = AppTransport(world.console.app, world.loop, "192.0.2.200")
        self.cut = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.cut:
            raise httpx.ConnectError("cut")
        return self._inner.handle_request(request)


class Counter:
    """A counter PC at a hall."""

    def __init__(self, world: ConsoleWorld, folder: Path) -> None:
        self.world = world
        self.line = Line(world)
        self.places = Places(folder)
        self.platform = FakePlatform(folder)
        self.grabber = StillGrabber(LEFT)
        code = code_for(world.person("hall_admin"), windows=1)
        invitation = Invitation(ORIGIN, code)
        enrol(invitation, self.places, self.platform, self.grabber, world.clock, transport=self.line)
        self.agent: Agent
        self.start()

    def start(self) -> None:
        settings = AgentSettings(spool=SpoolSettings(min_free_mb=0))
        parts = (self.world.clock, self.grabber, self.platform, FakeNotice())
        self.agent = Agent(settings, self.places, *parts, transport=self.line)

    def kill(self) -> None:
        self.agent.outbox.index.close()
        self.agent._client.close()
        self.agent._release()

    def work(self, *screens: Words) -> list[int]:
        """Show each screen for five seconds; when each was looked at."""
        times = []
        for screen in screens:
            self.grabber.show(LEFT.name, frame(screen))
            times.append(self.world.clock.now_us())
            self.agent.capture.run_once()
            self.world.clock.advance(5)
        return times

    def deliver(self) -> None:
        """Let the open segment reach its minute, then send everything."""
        for _ in range(12):
            self.agent.capture.run_once()
            self.world.clock.advance(5)
        while self.agent.outbox.next_due() is not None:
            self.agent.uplink.run_once()
        self.agent.reporter.run_once()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ConsoleWorld]:
    with ConsoleWorld.make(tmp_path / "console") as made:
        made.finish_setup(periods=[])
        yield made


@pytest.fixture
def counter(world: ConsoleWorld, tmp_path: Path) -> Iterator[Counter]:
    made = Counter(world, tmp_path / "agent")
    yield made
    made.kill()


def workstation(world: ConsoleWorld) -> dict[str, Any]:
    [found] = world.person("auditor").get("/api/workstations").json()["workstations"]
    assert isinstance(found, dict)
    return found


def spans(world: ConsoleWorld, t_us: int) -> list[tuple[int, int, str]]:
    """(from, to, state) of the day's coverage by the agent's states, seconds since `t_us`."""
    url = f"/api/workstations/{workstation(world)['id']}/coverage"
    days = world.person("auditor").get(url, day=_day(t_us)).json()["monitors"]
    [monitor] = days
    found = [((s["t0_us"] - t_us) // US, (s["t1_us"] - t_us) // US, s["state"]) for s in monitor["spans"]]
    return [span for span in found if span[0] >= 0 and span[2] != "future"]


def _day(t_us: int) -> str:
    return str(np.datetime64(t_us // US + 8 * 3600, "s").astype("datetime64[D]"))


def shown(world: ConsoleWorld, t_us: int) -> Any:
    """The picture that the console shows of the monitor at `t_us`."""
    reader = world.person("auditor")
    reader.state_purpose()
    [monitor] = workstation(world)["monitors"]
    answer = reader.get(f"/api/media/screens/{monitor['id']}/at", t_us=t_us)
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))


def test_a_reader_sees_the_screen_exactly_as_it_was(world: ConsoleWorld, counter: Counter) -> None:
    screens = office(5, 320, 200, seed=3)
    times = counter.work(*screens)
    counter.deliver()
    for t_us, screen in zip(times, screens, strict=True):
        assert np.array_equal(shown(world, t_us + 4 * US), to_rgb(screen))
    found = workstation(world)
    assert (found["hostname"], found["spool_segments"]) == ("counter-pc", 0)
    assert [monitor["name"] for monitor in found["monitors"]] == ["HDMI-1"]


def test_the_day_after_a_cut_a_kill_and_an_orderly_end(world: ConsoleWorld, counter: Counter) -> None:
    screens = office(8, 320, 200, seed=4)
    began = world.clock.now_us()
    counter.work(*screens[:2])
    counter.line.cut = True
    counter.agent.uplink.run_once()
    counter.work(*screens[2:4])
    counter.kill()
    world.clock.advance(100)
    counter.line.cut = False
    counter.start()
    counter.work(*screens[4:6])
    counter.agent.ledger.shut(world.clock.now_us())
    counter.kill()
    world.clock.advance(50)
    counter.start()
    counter.work(*screens[6:])
    counter.deliver()
    states = _merged(spans(world, began))
    assert states[:5] == [
        (0, 16, "recording"),
        (16, 120, "agent_down"),
        (120, 130, "recording"),
        (130, 180, "powered_off"),
        (180, 190, "recording"),
    ]
    assert states[5][2] == "unchanged"
    for number, offset in ((0, 0), (3, 15), (5, 125), (7, 185)):
        assert np.array_equal(shown(world, began + offset * US), to_rgb(screens[number]))


def _merged(found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    merged: list[tuple[int, int, str]] = []
    for t0, t1, state in found:
        if merged and merged[-1][2] == state and merged[-1][1] == t0:
            merged[-1] = (merged[-1][0], t1, state)
        else:
            merged.append((t0, t1, state))
    return merged


def test_the_halls_service_periods_reach_the_agent(world: ConsoleWorld, counter: Counter) -> None:
    counter.work(office(1, 320, 200, seed=1)[0])
    counter.agent.reporter.run_once()
    closed = [{"weekday": 1, "from_minute": 0, "to_minute": 1}]
    changed = world.person("system_admin").patch("/api/hall", {"periods": closed})
    assert changed.status_code == 200, changed.text
    counter.agent.reporter.run_once()
    counter.work(*office(2, 320, 200, seed=2))
    states = [row.state for row in counter.agent.ledger.rows()]
    assert states[-1] == "off_hours"


def test_a_second_machine_cannot_use_the_code(world: ConsoleWorld, tmp_path: Path) -> None:
    code = code_for(world.person("hall_admin"))
    line, invitation = Line(world), Invitation(ORIGIN, code)
    first, second = tmp_path / "first", tmp_path / "second"
    enrol(invitation, Places(first), FakePlatform(first), StillGrabber(LEFT), world.clock, transport=line)
    with pytest.raises(NotAuthenticated):
        enrol(invitation, Places(second), FakePlatform(second), StillGrabber(LEFT), world.clock, transport=line)
    assert not Places(second).identity.exists()
