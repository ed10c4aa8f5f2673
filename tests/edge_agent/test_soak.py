"""Weeks of trouble in a few seconds: random faults, and what must hold whatever happened."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from edge_agent.settings import AgentSettings, SpoolSettings
from screen_capture.decode import picture_at
from screen_capture.encode import to_rgb
from screen_capture.frames import GrabFailed, Words
from screen_capture.patches import Pixels
from storage.clock import US
from storage.errors import Unavailable
from tests.edge_agent.table import Table
from tests.screen_capture.desktops import office, write
from tests.storage.spool.helpers import FillingDisk


class Life:
    """One workstation's life, told by a seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.pixels = np.random.default_rng(seed)
        self.disk = FillingDisk()
        settings = AgentSettings(spool=SpoolSettings(min_free_mb=0))
        self.table = Table(folder, settings=settings, disk=self.disk)
        self.screen: Words = office(1, 320, 200, seed)[0]
        self.kept: dict[int, Words] = {}  # when → what must arrive

    def step(self) -> None:
        """One look, then perhaps something happens."""
        self._change_screen()
        self._look()
        happening = self.random.random()
        if happening < 0.08:
            self._end(orderly=False)
        elif happening < 0.14:
            self._end(orderly=True)
        elif happening < 0.24:
            self.table.transport.away = self.random.random() < 0.5
            self.table.transport.broken = self.random.random() < 0.2
        elif happening < 0.30:
            self.disk.room = self.random.choice([0, 40, 700, 5000])
        elif happening < 0.40:
            self.disk.room = 1 << 40
        elif happening < 0.45:
            self.table.grabber.failure = GrabFailed("grab_hung")
        elif happening < 0.55:
            self.table.grabber.failure = None
        if self.random.random() < 0.5:
            self._talk()
        self.table.clock.advance(self.random.choice([1, 5, 5, 5, 20, 70]))

    def finish(self) -> None:
        """The faults go away; everything must come out."""
        self.disk.room = 1 << 40
        self.table.transport.away = self.table.transport.broken = False
        self.table.grabber.failure = None
        self._end(orderly=True)
        self.table.drain()
        while self.table.agent.ledger.rows():
            self.table.agent.reporter.run_once()

    def _change_screen(self) -> None:
        if self.random.random() < 0.7:
            self.screen = self.screen.copy()
            write(self.screen, self.pixels)
        self.table.show(self.screen)

    def _look(self) -> None:
        """A look whose second the ledger calls `recording` promises its picture."""
        now = self.table.clock.now_us()
        self.table.agent.capture.run_once()
        rows = self.table.agent.ledger.rows()
        if any(row.state == "recording" and row.t0_us <= now < row.t1_us for row in rows):
            self.kept[now] = self.screen

    def _end(self, *, orderly: bool) -> None:
        if orderly:
            self.table.shutdown()
        else:
            self.table.close()
        self.disk.room = 1 << 40
        self.table.clock.advance(self.random.randrange(1, 400))
        self.table.restart()

    def _talk(self) -> None:
        self.table.agent.uplink.run_once()
        try:
            self.table.agent.reporter.run_once()
        except Unavailable:
            return


@pytest.mark.parametrize("seed", range(8))
def test_nothing_kept_is_lost_and_no_second_has_two_states(tmp_path: Path, seed: int) -> None:
    life = Life(tmp_path, seed)
    for _ in range(80):
        life.step()
    life.finish()
    arrived: dict[int, Pixels] = {}
    for stored in life.table.console.segments.values():
        for number, t_us in enumerate(stored.facts["pictures"]):
            assert t_us not in arrived
            arrived[t_us] = picture_at(stored.body, number)
    assert len(life.kept) > 10
    assert set(life.kept) <= set(arrived)
    for t_us, screen in life.kept.items():
        assert np.array_equal(arrived[t_us], to_rgb(screen))
    assert life.table.agent.outbox.dropped() == []
    claimed: dict[int, str] = {}
    for claim in life.table.console.claims:
        for second in range(claim["t0_us"] // US, claim["t1_us"] // US):
            assert claimed.setdefault(second, claim["state"]) == claim["state"]
    assert {claimed.get(t_us // US) for t_us in life.kept} <= {"recording"}
    life.table.close()
