"""The search for objects without a row runs beside the console, reports, and deletes nothing."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from sqlalchemy import select

from console.settings import ConsoleSettings, OrphanSettings
from storage.archive import tables
from storage.archive.periodic import Periodic
from storage.archive.staging import StagingFolder
from storage.ids import new_id
from storage.model import AlarmKind
from tests.console.console_world import ConsoleWorld


def scans(world: ConsoleWorld) -> list[Periodic]:
    return [part for part in world.console.parts if isinstance(part, Periodic) and part.name == "orphan-scan"]


def found(world: ConsoleWorld) -> set[UUID]:
    with world.catalog.read() as conn:
        return set(conn.execute(select(tables.orphan.c.object_id)).scalars())


def test_an_object_without_a_row_becomes_an_alarm(tmp_path: Path) -> None:
    with ConsoleWorld.make(tmp_path, settings=ConsoleSettings(data=tmp_path)) as world:
        staging = StagingFolder(world.settings.staging, world.add_gateway())
        stored, staged = new_id(world.clock), new_id(world.clock)
        world.store.put_bytes(stored, b"nobody's")
        staging.path(staged).write_bytes(b"nobody's either")
        world.clock.advance(2 * 3600)
        (scan,) = scans(world)
        scan.start()
        while len(found(world)) < 2:
            pass
        scan.stop()
        assert found(world) == {stored, staged}
        assert (world.store.size(stored), staging.size(staged)) == (8, 15)
        with world.catalog.read() as conn:
            kinds = conn.execute(select(tables.alarm.c.kind).where(tables.alarm.c.closed_us.is_(None))).scalars().all()
        assert kinds == [AlarmKind.ORPHAN_OBJECT]


def test_the_search_can_be_turned_off(tmp_path: Path) -> None:
    settings = ConsoleSettings(data=tmp_path, orphans=OrphanSettings(interval_s=0))
    with ConsoleWorld.make(tmp_path, settings=settings) as world:
        assert scans(world) == []
