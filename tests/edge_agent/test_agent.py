"""From the screen to the console and back to pixels, with the clock in the test's hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from screen_capture.decode import picture_at
from screen_capture.encode import to_rgb
from tests.edge_agent.table import Table
from tests.screen_capture.desktops import office


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    made = Table(tmp_path)
    yield made
    made.close()


def test_pictures_arrive_as_they_were(table: Table) -> None:
    screens = office(count=14, width=320, height=200, seed=11)
    for screen in screens:
        table.show(screen)
        table.look()
    table.clock.advance(60)
    table.look()
    table.drain()
    stored = sorted(table.console.segments.values(), key=lambda segment: segment.facts["t0_us"])
    assert [len(segment.facts["pictures"]) for segment in stored] == [12, 2]
    shown = [picture_at(s.body, n) for s in stored for n in range(len(s.facts["pictures"]))]
    for screen, picture in zip(screens, shown, strict=True):
        assert np.array_equal(to_rgb(screen), picture)
    assert list((table.places.spool).glob("*.spool")) == []
