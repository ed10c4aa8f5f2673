"""A small hall in a real catalog for tests: one gateway, one camera with two streams, two windows, one workstation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Table, insert

from storage.archive import tables
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest, ensure_monitor
from storage.archive.migrate import migrate
from storage.archive.objects import ObjectStore
from storage.clock import US, FakeClock
from storage.ids import new_id
from storage.model import CameraSegment, ScreenSegment
from tests.peers.postgres import PostgresServer

MINUTE = 60 * US


@dataclass(frozen=True)
class Hall:
    """The ids of the seeded rows, the catalog they are in and its clock."""

    catalog: Catalog
    clock: FakeClock
    hall_id: UUID
    gateway_id: UUID
    device_id: UUID
    channel_id: UUID
    main_id: UUID
    sub_id: UUID
    window_ids: tuple[UUID, UUID]
    workstation_id: UUID
    monitor_id: UUID
    created_us: int

    def segment(
        self, run_id: UUID, t0_us: int, t1_us: int, data: bytes, *, stream_id: UUID | None = None
    ) -> CameraSegment:
        """A camera segment whose object is `data`, of the main stream unless told."""
        return CameraSegment(
            id=new_id(self.clock),
            stream_id=stream_id or self.main_id,
            run_id=run_id,
            t0_us=t0_us,
            t1_us=t1_us,
            media_duration=(t1_us - t0_us) * 90 // 1000,
            timescale=90000,
            codec="avc1.64001F",
            width=1920,
            height=1080,
            frames=25 * (t1_us - t0_us) // US,
            size_bytes=len(data),
            sha256=hashlib.sha256(data).digest(),
        )

    def screen(self, t0_us: int, t1_us: int, data: bytes, pictures: int = 1) -> ScreenSegment:
        """A screen segment whose object is `data`."""
        digest = hashlib.sha256(data).digest()
        fields = {"t0_us": t0_us, "t1_us": t1_us, "pictures": pictures, "size_bytes": len(data)}
        return ScreenSegment(
            id=new_id(self.clock), workstation_id=self.workstation_id, monitor="screen-1", sha256=digest, **fields
        )

    def record(
        self, ingest: Ingest, store: ObjectStore, minutes: int, *, stream_id: UUID | None = None
    ) -> list[CameraSegment]:
        """One run of `minutes` one-minute segments from the clock's time on, stored and committed; time moves on."""
        stream_id = stream_id or self.main_id
        run_id = ingest.open_run(stream_id, self.clock.now_us())
        made = []
        for number in range(minutes):
            t0_us = self.clock.now_us()
            data = f"{stream_id}:{t0_us}:{number}".encode() * 20
            segment = self.segment(run_id, t0_us, t0_us + MINUTE, data, stream_id=stream_id)
            self.clock.advance(60)
            store.put_bytes(segment.id, data)
            ingest.commit_segment(segment, store.location)
            made.append(segment)
        return made


def seed_hall(catalog: Catalog, clock: FakeClock) -> Hall:
    """Insert the small hall into an empty catalog at head."""
    now_us = clock.now_us()
    names = ("hall", "gateway", "device", "channel", "main", "sub", "window1", "window2", "workstation")
    ids = {name: new_id(clock) for name in names}
    with catalog.write() as conn:
        rows = _hall_rows(ids, now_us)
        for table, values in rows:
            conn.execute(insert(table).values(**values))
        monitor_id = ensure_monitor(conn, clock, ids["workstation"], "screen-1", 1920, 1080, first_us=now_us)
    return Hall(
        catalog=catalog,
        clock=clock,
        hall_id=ids["hall"],
        gateway_id=ids["gateway"],
        device_id=ids["device"],
        channel_id=ids["channel"],
        main_id=ids["main"],
        sub_id=ids["sub"],
        window_ids=(ids["window1"], ids["window2"]),
        workstation_id=ids["workstation"],
        monitor_id=monitor_id,
        created_us=now_us,
    )


def _hall_rows(ids: dict[str, UUID], now_us: int) -> Iterator[tuple[Table, dict[str, object]]]:
    hall = {"hall_id": ids["hall"]}
    yield tables.hall, {"id": ids["hall"], "name": "政务服务大厅", "timezone": "Asia/Shanghai", "created_us": now_us}
    yield tables.node, {"id": ids["gateway"], "kind": "gateway", "public_key": bytes(32), "created_us": now_us}
    device = {"gateway_id": ids["gateway"], "address": "192.0.2.10", "port": 80, "created_us": now_us}
    yield tables.device, {"id": ids["device"], **hall, **device}
    yield tables.channel, {"id": ids["channel"], "device_id": ids["device"], "number": 1, "name": "1号窗口正面"}
    for role in ("main", "sub"):
        yield tables.stream, {"id": ids[role], "channel_id": ids["channel"], "role": role, "codec": "h264"}
    for number in (1, 2):
        window = {"number": number, "name": f"{number}号窗口", "created_us": now_us}
        yield tables.service_window, {"id": ids[f"window{number}"], **hall, **window}
    yield tables.workstation, {"id": ids["workstation"], **hall, "public_key": bytes(32), "enrolled_us": now_us}


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def sqlite_catalog(tmp_path: Path, fake_clock: FakeClock) -> Iterator[Catalog]:
    """A migrated SQLite catalog in a temporary folder."""
    url = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    migrate(url)
    catalog = Catalog.open(url, fake_clock)
    yield catalog
    catalog.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once on each engine."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'both.sqlite'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database at head, once on each engine."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return server.database(template=request.getfixturevalue("postgres_template"))
    url = f"sqlite:///{tmp_path / 'both.sqlite'}"
    migrate(url)
    return url


@pytest.fixture
def any_catalog(migrated_url: str, fake_clock: FakeClock) -> Iterator[Catalog]:
    """A catalog at head, once on each engine."""
    catalog = Catalog.open(migrated_url, fake_clock)
    yield catalog
    catalog.close()


@pytest.fixture
def small_hall(sqlite_catalog: Catalog, fake_clock: FakeClock) -> Hall:
    """The small hall on SQLite."""
    return seed_hall(sqlite_catalog, fake_clock)


@pytest.fixture
def any_hall(any_catalog: Catalog, fake_clock: FakeClock) -> Hall:
    """The small hall, once on each engine."""
    return seed_hall(any_catalog, fake_clock)


HallFactory = Callable[[], Hall]


@pytest.fixture(scope="module")
def small_hall_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HallFactory]:
    """A new small hall on SQLite at every call, for property tests; one migration is copied."""
    folder = tmp_path_factory.mktemp("halls")
    template = folder / "template.sqlite"
    migrate(f"sqlite:///{template}")
    opened: list[Catalog] = []

    def make() -> Hall:
        path, clock = folder / f"{len(opened)}.sqlite", FakeClock()
        path.write_bytes(template.read_bytes())
        opened.append(Catalog.open(f"sqlite:///{path}", clock))
        return seed_hall(opened[-1], clock)

    yield make
    for catalog in opened:
        catalog.close()
