"""The catalog on both engines: revisions, transactions and what its errors become."""

from __future__ import annotations

import datetime
import subprocess
import sys
import threading
from pathlib import Path
from uuid import UUID

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    func,
    insert,
    select,
    text,
)

from storage.archive import tables
from storage.archive.catalog import Catalog, make_engine
from storage.archive.migrate import migrate
from storage.archive.migrations import alembic_config, defaults_differ, head_revision, revision_of, revisions
from storage.clock import FakeClock
from storage.errors import ConfigurationError, Conflict, Unavailable
from tests.fakes.archive import Hall, seed_hall

REVISIONS = revisions()


def test_an_empty_database_becomes_head_and_again_is_harmless(empty_url: str, fake_clock: FakeClock) -> None:
    assert migrate(empty_url) == head_revision()
    assert migrate(empty_url) == head_revision()
    catalog = Catalog.open(empty_url, fake_clock)
    catalog.require_head()
    catalog.close()


def test_head_equals_the_metadata(empty_url: str) -> None:
    migrate(empty_url)
    engine = make_engine(empty_url)
    with engine.connect() as conn:
        options = {"compare_type": True, "compare_server_default": defaults_differ}
        context = MigrationContext.configure(conn, opts=options)
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def _value(column: object, seed: int) -> object:
    """A value for any column of any revision, told by its reflected type."""
    kind = getattr(column, "type", None)
    name = str(getattr(column, "name", ""))
    if isinstance(kind, Boolean):
        return True
    if isinstance(kind, BigInteger | Integer):
        return seed
    if isinstance(kind, LargeBinary):
        return seed.to_bytes(getattr(kind, "length", None) or 16, "big")
    if type(kind).__name__ in ("UUID", "Uuid"):
        return UUID(int=seed)
    if isinstance(kind, type(None)):
        raise TypeError(name)
    return datetime.date(2026, 1, 1).isoformat()[: getattr(kind, "length", None) or 10]


def _fill(conn: Connection) -> dict[str, int]:
    """One row in every table of the revision that `conn` is at, foreign keys first; returns the rows by table."""
    found = MetaData()
    found.reflect(conn)
    kept: dict[tuple[str, str], object] = {}
    counts = {}
    for number, table in enumerate((t for t in found.sorted_tables if t.name != "alembic_version"), start=1):
        values: dict[str, object] = {}
        for column in table.columns:
            key = next(iter(column.foreign_keys), None)
            target = None if key is None else (key.column.table.name, key.column.name)
            values[column.name] = kept[target] if target in kept else _value(column, number)
            kept[table.name, column.name] = values[column.name]
        conn.execute(insert(table).values(**values))
        counts[table.name] = 1
    return counts


@pytest.mark.parametrize("before", REVISIONS)
def test_rows_of_every_revision_survive_the_way_to_head(empty_url: str, before: str) -> None:
    assert migrate(empty_url, before) == before
    engine = make_engine(empty_url)
    with engine.begin() as conn:
        filled = _fill(conn)
    assert len(filled) > 30
    assert migrate(empty_url) == head_revision()
    with engine.connect() as conn:
        at_head = MetaData()
        at_head.reflect(conn)
        counts = {name: _count(conn, at_head.tables[name]) for name in filled if name in at_head.tables}
    engine.dispose()
    assert counts == filled


def test_running_totals_begin_with_what_is_there(empty_url: str) -> None:
    migrate(empty_url, "0002")
    engine = make_engine(empty_url)
    with engine.begin() as conn:
        _fill(conn)
        media = MetaData()
        media.reflect(conn, only=["segment", "screen_segment"])
        wanted = {
            (row[0], 1, row.bytes)
            for table, owner in (("segment", "stream_id"), ("screen_segment", "monitor_id"))
            for row in conn.execute(select(media.tables[table].c[owner], media.tables[table].c.bytes))
        }
    assert len(wanted) == 2
    migrate(empty_url)
    with engine.connect() as conn:
        totals = MetaData()
        totals.reflect(conn, only=["stored"])
        columns = totals.tables["stored"].c
        found = conn.execute(select(columns.stream_id, columns.objects, columns.bytes)).all()
    engine.dispose()
    assert {tuple(row) for row in found} == wanted


def _count(conn: Connection, table: Table) -> int:
    return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


def test_another_revision_is_refused_with_the_command_to_run(empty_url: str, fake_clock: FakeClock) -> None:
    catalog = Catalog.open(empty_url, fake_clock)
    with pytest.raises(ConfigurationError, match="sunhall-console migrate"):
        catalog.require_head()
    migrate(empty_url)
    catalog.require_head()
    with catalog.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="at revision 9999"):
        catalog.require_head()
    with pytest.raises(ConfigurationError, match="newer than this program"):
        migrate(empty_url)
    catalog.close()


def test_the_files_name_the_chain_that_the_migrations_follow() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert [entry.revision for entry in reversed(list(script.walk_revisions()))] == REVISIONS


def test_a_process_that_migrates_nothing_does_not_load_the_migrations() -> None:
    program = "import storage.archive.catalog, sys; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_a_failed_migration_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'c.sqlite'}"
    migrate(url, REVISIONS[0])
    engine = make_engine(url)
    with engine.connect() as conn:
        raw = conn.connection.driver_connection
        assert raw is not None
        raw.execute("PRAGMA foreign_keys=OFF")
        raw.execute("INSERT INTO account_role (account_id, role) VALUES (x'00', 'auditor')")
        raw.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(ConfigurationError, match="rows of account_role refer to rows of account"):
        migrate(url)
    with engine.connect() as conn:
        assert revision_of(conn) == REVISIONS[0]
    engine.dispose()


@pytest.mark.parametrize("damage", ["head", "pages"])
def test_a_damaged_file_is_unavailable_and_says_what_to_do(tmp_path: Path, fake_clock: FakeClock, damage: str) -> None:
    path = tmp_path / "c.sqlite"
    migrate(f"sqlite:///{path}")
    content = path.read_bytes()
    path.write_bytes(
        b"x" * 4096 + content[4096:] if damage == "head" else content[:4096] + b"\xff" * len(content[4096:])
    )
    catalog = Catalog.open(f"sqlite:///{path}", fake_clock)

    def use() -> None:
        with catalog.read() as conn:
            conn.execute(select(tables.account)).all()

    with pytest.raises(Unavailable, match=r"restore the last backup.*verify") as refused:
        use()
    assert refused.value.code == "catalog_damaged"
    catalog.close()


def test_a_write_is_all_or_nothing(any_hall: Hall) -> None:
    def write_half() -> None:
        with any_hall.catalog.write() as conn:
            conn.execute(insert(tables.account).values(id=any_hall.main_id, login="a", created_us=1))
            raise LookupError

    with pytest.raises(LookupError):
        write_half()
    with any_hall.catalog.read() as conn:
        assert conn.execute(select(func.count()).select_from(tables.account)).scalar_one() == 0


def test_a_reader_keeps_its_snapshot_and_waits_for_no_writer(any_hall: Hall) -> None:
    count = select(func.count()).select_from(tables.account)
    with any_hall.catalog.read() as reader:
        assert reader.execute(count).scalar_one() == 0
        with any_hall.catalog.write() as writer:
            writer.execute(insert(tables.account).values(id=any_hall.main_id, login="a", created_us=1))
        assert reader.execute(count).scalar_one() == 0
    with any_hall.catalog.read() as reader:
        assert reader.execute(count).scalar_one() == 1


def test_a_broken_constraint_is_a_conflict(any_hall: Hall) -> None:
    with pytest.raises(Conflict) as refused, any_hall.catalog.write() as conn:
        conn.execute(insert(tables.account_role).values(account_id=any_hall.main_id, role="auditor"))
    assert refused.value.code == "catalog_conflict"


def test_ids_come_back_as_uuids(any_hall: Hall) -> None:
    with any_hall.catalog.read() as conn:
        assert conn.execute(select(tables.hall.c.id)).scalar_one() == any_hall.hall_id


def test_many_threads_write_one_after_the_other(any_hall: Hall) -> None:
    def work(number: int) -> None:
        with any_hall.catalog.write() as conn:
            before = conn.execute(select(tables.hall.c.notice_version).with_for_update()).scalar_one()
            conn.execute(tables.hall.update().values(notice_version=before + 1))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with any_hall.catalog.read() as conn:
        assert conn.execute(select(tables.hall.c.notice_version)).scalar_one() == 13


@pytest.mark.peer
def test_an_absent_server_is_unavailable_and_comes_back(
    postgres_url: str, request: pytest.FixtureRequest, fake_clock: FakeClock
) -> None:
    server = request.getfixturevalue("postgres_server")
    migrate(postgres_url)
    catalog = Catalog.open(postgres_url, fake_clock)
    hall = seed_hall(catalog, fake_clock)
    server.stop()
    try:
        with pytest.raises(Unavailable) as away, catalog.read():
            pass
        assert away.value.code == "catalog_away"
    finally:
        server.start()
    with catalog.read() as conn:
        assert conn.execute(select(tables.hall.c.id)).scalar_one() == hall.hall_id
    catalog.close()


def test_sqlite_settings_hold_on_every_connection(sqlite_catalog: Catalog) -> None:
    with sqlite_catalog.read() as one, sqlite_catalog.read() as two:
        for conn in (one, two):
            said = [
                conn.execute(text(f"PRAGMA {name}")).scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
            assert said == ["wal", 2, 1]


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/name", "sqlite://", "sqlite:///:memory:"])
def test_other_urls_are_refused(url: str, fake_clock: FakeClock) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Catalog.open(url, fake_clock)
    assert refused.value.code == "catalog_url_invalid"


def test_a_writer_that_will_not_end_makes_the_catalog_busy(sqlite_catalog: Catalog) -> None:
    with sqlite_catalog.read() as one, sqlite_catalog.read() as two:  # both connections that will be used below
        for conn in (one, two):
            conn.exec_driver_sql("PRAGMA busy_timeout=1")
    with sqlite_catalog.write(), pytest.raises(Unavailable) as busy, sqlite_catalog.write():
        pass
    assert busy.value.code == "catalog_busy"
