"""An agent on a table: fake clock, screen, platform, notice and console; everything else is the product."""

from __future__ import annotations

import base64
from pathlib import Path

from edge_agent.agent import Agent
from edge_agent.identity import Identity, Places, save_identity
from edge_agent.notice import FakeNotice
from edge_agent.platform.fake import FakePlatform
from edge_agent.settings import AgentSettings, CaptureSettings, SpoolSettings
from screen_capture.frames import Frame, Monitor, StillGrabber, Words
from storage.clock import FakeClock
from storage.identity.keys import DeviceKey, PublicKey
from storage.spool.disk import Disk
from tests.fakes.agent_console import WORKSTATION, FakeConsole, FakeTransport

LEFT = Monitor("HDMI-1", 0, 0, 320, 200)
RIGHT = Monitor("DP-2", 320, 0, 256, 192)
SETTINGS = AgentSettings(spool=SpoolSettings(min_free_mb=0))


def frame(pixels: Words) -> Frame:
    """A picture as a grabber gives it."""
    height, width = pixels.shape
    return Frame(width, height, (pixels | 0xFF000000).astype("<u4").tobytes())


class Table:
    """One workstation; `restart` is what happens after a kill or a shutdown."""

    def __init__(
        self, folder: Path, *monitors: Monitor, settings: AgentSettings = SETTINGS, disk: Disk | None = None
    ) -> None:
        self.clock = FakeClock()
        self.console = FakeConsole(self.clock)
        self.transport = FakeTransport(self.console)
        self.places = Places(folder)
        self.platform = FakePlatform(folder)
        self.notice = FakeNotice()
        self.grabber = StillGrabber(*(monitors or (LEFT,)))
        self.settings = settings
        self.disk = disk
        key = DeviceKey.create(self.places.device_key)
        self.console.key = PublicKey(key.public)
        identity = Identity(WORKSTATION, "3号窗口", "https://console.test", self.platform.machine_id())
        save_identity(self.places, identity)
        self.agent = self._made()

    def _made(self) -> Agent:
        return Agent(
            self.settings, self.places, self.clock, self.grabber, self.platform, self.notice,
            transport=self.transport, disk=self.disk,
        )  # fmt: skip

    def look(self, seconds: float = 5.0) -> None:
        """One look, then time passes."""
        self.agent.capture.run_once()
        self.clock.advance(seconds)

    def show(self, pixels: Words, monitor: Monitor = LEFT) -> None:
        self.grabber.show(monitor.name, frame(pixels))

    def drain(self) -> None:
        """Upload everything that is closed."""
        while self.agent.outbox.next_due() is not None:
            self.agent.uplink.run_once()

    def states(self, monitor: Monitor = LEFT) -> list[tuple[int, int, str, str]]:
        """(from second, to second, state, detail) of the unreported ledger, seconds since the clock's start."""
        start = FakeClock().now_us()
        rows = sorted(row for row in self._rows() if row[0] == monitor.name)
        return [((t0 - start) // 10**6, (t1 - start) // 10**6, state, detail) for _, t0, t1, state, detail in rows]

    def _rows(self) -> list[tuple[str, int, int, str, str]]:
        return [(r.monitor, r.t0_us, r.t1_us, r.state, r.detail) for r in self.agent.ledger.rows()]

    def shutdown(self) -> None:
        """An orderly end of capture and spool, without the threads that these tests do not start."""
        now = self.clock.now_us()
        for recorder in self.agent.capture._recorders.values():
            recorder.close(now)
        self.agent.ledger.shut(now)
        self.close()

    def close(self) -> None:
        """Let go of the files, as the end of the process does: nothing is written."""
        self.agent.outbox.index.close()
        self.agent._client.close()
        self.agent._release()

    def restart(self) -> None:
        self.agent = self._made()


def key_text(table: Table) -> str:
    """The public key as it goes over the wire."""
    return base64.b64encode(DeviceKey.load(table.places.device_key).public).decode()


def small(settings: SpoolSettings, interval_s: float = 5.0) -> AgentSettings:
    """Settings with another spool."""
    return AgentSettings(spool=settings, capture=CaptureSettings(interval_s=interval_s))
