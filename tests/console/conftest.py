"""Fixtures of the console's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.archive.migrate import migrate
from tests.console.console_world import ConsoleWorld


@pytest.fixture(scope="session")
def migrated_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty catalog at head, to copy."""
    path = tmp_path_factory.mktemp("catalog") / "catalog.sqlite"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def fresh(tmp_path: Path, migrated_catalog: Path) -> Iterator[ConsoleWorld]:
    """A console before its first run."""
    with ConsoleWorld.copied(tmp_path, migrated_catalog) as world:
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
