"""The agent's real process on a real X server, killed, cut off and deprived of its display.

Waits are for conditions, with a limit that only a failure reaches.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_agent.identity import Identity, Places, save_identity
from edge_agent.platform.linux import LinuxPlatform
from screen_capture.decode import index_at, picture_at, read_index
from screen_capture.encode import to_rgb
from screen_capture.supervised import SupervisedGrabber
from storage.clock import US, SystemClock
from storage.identity.keys import DeviceKey, PublicKey
from tests.fakes.agent_console import WORKSTATION, FakeConsole, FakeConsoleServer, default_settings
from tests.peers.xvfb import Xvfb

pytestmark = [pytest.mark.peer, pytest.mark.timeout(240)]
LIMIT_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


class Workplace:
    """An X server, a console on a socket, and the agent's process between them."""

    def __init__(self, folder: Path, notice: str = "console") -> None:
        self.folder = folder
        self.server = Xvfb(640, 480)
        self.console = FakeConsole(settings=default_settings() | {"interval_s": 1.0})
        self.network = FakeConsoleServer(self.console)
        self.network.start()
        self.server.start()
        self.server.background("#336699")
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "agent.log"
        self._enrolled()
        self.settings = folder / "agent.toml"
        self.settings.write_text(
            f'folder = "{folder / "agent"}"\nreport_s = 1.0\n[capture]\ninterval_s = 1.0\nsegment_s = 5.0\n'
            f'display = "{self.server.display}"\n[spool]\nmin_free_mb = 0\n[notice]\nkind = "{notice}"\n',
            encoding="utf-8",
        )

    def _enrolled(self) -> None:
        places = Places(self.folder / "agent")
        key = DeviceKey.create(places.device_key)
        self.console.key = PublicKey(key.public)
        machine = LinuxPlatform(SystemClock()).machine_id()
        save_identity(places, Identity(WORKSTATION, "3号窗口", self.network.url, machine))

    def start(self) -> None:
        command = [sys.executable, "-m", "edge_agent.main", "run", "--config", str(self.settings)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=log)

    def end(self, number: signal.Signals) -> int:
        """Signal the agent and wait for its end."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(LIMIT_S)
        self.process = None
        return status

    def close(self) -> None:
        if self.process is not None:
            self.end(signal.SIGKILL)
        self.network.stop()
        self.server.kill()

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for `condition`."""
        clock, never = SystemClock(), threading.Event()
        deadline = clock.monotonic() + LIMIT_S
        while not condition():
            if clock.monotonic() > deadline:
                pytest.fail("waited in vain; the agent said:\n" + self.log.read_text(encoding="utf-8")[-4000:])
            clock.wait(never, 0.05)

    def states(self) -> set[str]:
        with self.console.lock:
            return {f"{claim['state']} {claim['detail']}".strip() for claim in self.console.claims}

    def pictures(self) -> int:
        return len(self.console.times("screen"))

    def sizes(self) -> set[tuple[int, int]]:
        with self.console.lock:
            return {(s.facts["width"], s.facts["height"]) for s in self.console.segments.values()}

    def claimed(self) -> dict[int, str]:
        """Second → state; fails when a second is claimed twice."""
        seconds: dict[int, str] = {}
        with self.console.lock:
            for claim in self.console.claims:
                for second in range(claim["t0_us"] // US, claim["t1_us"] // US):
                    assert second not in seconds
                    seconds[second] = claim["state"]
        return seconds

    def spooled(self) -> list[Path]:
        return list((self.folder / "agent" / "spool").glob("*.spool"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    made = Workplace(tmp_path)
    yield made
    made.close()


def test_a_real_window_reaches_the_console_exactly(place: Workplace) -> None:
    place.server.window("HELLO 2026", "#fdfdfd", "400x200+50+40")
    grabber = SupervisedGrabber(place.server.display)
    wanted = to_rgb(grabber.grab(grabber.monitors()[0]).words())
    grabber.close()
    place.start()
    place.until(lambda: place.pictures() >= 1)
    [stored] = place.console.segments.values()
    assert np.array_equal(picture_at(stored.body, 0), wanted)
    assert place.end(signal.SIGTERM) == 0
    place.until(lambda: "powered_off" in place.states())
    assert set(place.claimed().values()) == {"recording", "unchanged", "powered_off"}


def test_kill_9_in_mid_work_loses_no_acknowledged_or_synced_picture(place: Workplace) -> None:
    place.network.stop()
    place.start()
    for colour in ("#101010", "#202020", "#303030"):
        place.server.window(colour, colour)
        before = sum(path.stat().st_size for path in place.spooled())
        place.until(lambda: sum(path.stat().st_size for path in place.spooled()) > before)  # noqa: B023  # used at once
    place.end(signal.SIGKILL)
    assert place.spooled()
    place.network.start()
    killed_at = SystemClock().now_us() // US
    clock, never = SystemClock(), threading.Event()
    place.until(lambda: clock.now_us() // US >= killed_at + 3 or clock.wait(never, 0.1))
    place.start()
    place.until(lambda: place.pictures() >= 3 and len(place.claimed()) >= 4)
    place.until(lambda: max(place.claimed()) > killed_at + 3)
    place.end(signal.SIGTERM)
    assert place.spooled() == []
    assert {segment.uploads for segment in place.console.segments.values()} == {1}
    claimed = place.claimed()
    silent = [second for second in range(min(claimed), max(claimed)) if second not in claimed]
    assert killed_at + 1 in silent
    assert "powered_off" not in {state for second, state in claimed.items() if second <= killed_at + 3}


def test_the_network_is_cut_and_returns(place: Workplace) -> None:
    place.server.window("online", "#ffffff")
    place.start()
    place.until(lambda: place.pictures() >= 1)
    place.network.stop()
    for number in range(3):
        place.server.window(f"offline {number}", f"#4{number}5060", f"300x100+20+{100 * number}")
        before = sum(path.stat().st_size for path in place.spooled())
        place.until(lambda: sum(path.stat().st_size for path in place.spooled()) > before)  # noqa: B023  # used at once
    cut_pictures = place.pictures()
    place.network.start()
    place.until(lambda: place.pictures() >= cut_pictures + 3)
    place.end(signal.SIGTERM)
    claimed = place.claimed()
    assert sorted(claimed) == list(range(min(claimed), max(claimed) + 1))
    assert set(claimed.values()) <= {"recording", "unchanged", "powered_off"}


def test_the_display_server_is_killed_and_restarted(place: Workplace) -> None:
    place.server.window("before", "#ffffff")
    place.start()
    place.until(lambda: place.pictures() >= 1)
    place.server.kill()
    place.until(lambda: "no_session no_display" in place.states())
    place.server.start()
    place.server.window("after", "#f0e0d0")
    recorded = place.pictures()
    place.until(lambda: place.pictures() > recorded)
    place.end(signal.SIGTERM)
    claimed = place.claimed()
    assert sorted(claimed) == list(range(min(claimed), max(claimed) + 1))


def test_the_resolution_changes(place: Workplace) -> None:
    place.server.window("wide", "#ffffff")
    place.start()
    place.until(lambda: place.pictures() >= 1)
    place.server.resize(400, 300)
    place.until(
        lambda: (400, 300) in {(s.facts["width"], s.facts["height"]) for s in list(place.console.segments.values())}
    )
    place.end(signal.SIGTERM)
    assert set(place.claimed().values()) <= {"recording", "unchanged", "powered_off"}


def test_an_even_screen_is_not_taken_for_evidence(place: Workplace) -> None:
    place.start()
    place.until(lambda: "uniform_frame #336699" in place.states())
    assert place.pictures() == 0
    assert place.end(signal.SIGTERM) == 0


def test_the_banner_is_in_the_picture_and_comes_back(tmp_path: Path) -> None:
    place = Workplace(tmp_path, notice="banner")
    try:
        place.start()
        place.until(lambda: place.pictures() >= 1)
        [stored] = place.console.segments.values()
        picture = picture_at(stored.body, 0)
        assert (picture[:10, 310:330] == (24, 33, 47)).all()
        place.server.window("above all", "#ffffff", "640x480+0+0")
        began = SystemClock().now_us()
        place.until(lambda: any(time_us > began for time_us in place.console.times("screen")))
        assert (_last_picture(place)[:10, 310:330] == (24, 33, 47)).all()
        assert place.end(signal.SIGTERM) == 0
    finally:
        place.close()


def _last_picture(place: Workplace) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    last = max(place.console.segments.values(), key=lambda segment: int(segment.facts["t0_us"]))
    index = read_index(last.body)
    number = index_at(index, index.t1_us)
    assert number is not None
    return picture_at(last.body, number)


def test_a_second_agent_on_the_same_folder_is_refused(place: Workplace) -> None:
    place.server.window("one", "#ffffff")
    place.start()
    place.until(lambda: place.pictures() >= 1)
    command = [sys.executable, "-m", "edge_agent.main", "run", "--config", str(place.settings)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=LIMIT_S, env=dict(os.environ), check=False)
    assert second.returncode == 2
    assert b"already runs" in second.stderr
