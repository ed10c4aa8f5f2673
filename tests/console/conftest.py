"""Fixtures of the console's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.console_world import ConsoleWorld


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[ConsoleWorld]:
    """A console before its first run."""
    with ConsoleWorld.make(tmp_path) as world:
        yield world


@pytest.fixture
def hall(fresh: ConsoleWorld) -> ConsoleWorld:
    """A console after its first run, with one account for each role and a gateway."""
    fresh.finish_setup()
    fresh.add_gateway()
    return fresh


@pytest.fixture
def any_hall_console(empty_url: str, tmp_path: Path) -> Iterator[ConsoleWorld]:
    """The same on each engine."""
    with ConsoleWorld.make(tmp_path, empty_url) as world:
        world.finish_setup()
        world.add_gateway()
        yield world
