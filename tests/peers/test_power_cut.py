"""The shim itself: what it keeps, what it takes back, and how it fails."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.peers.power_cut import Cut, ShimmedDisk

pytestmark = pytest.mark.peer

_HELPERS = """
import os, sys
from pathlib import Path
root = Path(sys.argv[1])

def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)

def put(path, data, durable=True):
    with open(path, "ab", buffering=0) as file:
        file.write(data)
        if durable:
            os.fdatasync(file.fileno())
"""


class Site:
    def __init__(self, folder: Path) -> None:
        self.root = folder / "data"
        self.root.mkdir()
        (self.root / "old").write_bytes(b"before")
        (self.root / "kept").mkdir()
        self.disk = ShimmedDisk(self.root, folder / "work")

    def run(self, program: str) -> str:
        """Run it, kill it at its end, and return what it printed."""
        end = "\nsys.stdout.flush()\nos.kill(os.getpid(), 9)\n"
        command = [sys.executable, "-c", _HELPERS + textwrap.dedent(program) + end, str(self.root)]
        done = subprocess.run(command, env=os.environ | self.disk.environment(), capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        return done.stdout.decode()

    def cut(self) -> Cut:
        return self.disk.cut()

    def content(self) -> dict[str, bytes]:
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_was_written_after_the_last_sync_is_cut_off(site: Site) -> None:
    site.run("""
        put(root / "new", b"synced")
        put(root / "new", b" and not", durable=False)
        sync(root)
        put(root / "old", b" and after", durable=False)
    """)
    assert site.content() == {"new": b"synced and not", "old": b"before and after"}
    report = site.cut()
    assert site.content() == {"new": b"synced", "old": b"before"}
    assert sorted(report.truncated.values()) == [8, 10]


def test_a_name_without_a_sync_of_its_folder_is_gone(site: Site) -> None:
    site.run("""
        put(root / "one", b"1")
        sync(root)
        put(root / "two", b"2")
        os.mkdir(root / "three")
        os.link(root / "one", root / "four")
        os.unlink(root / "old")
    """)
    assert site.cut().undone == [str(site.root / name) for name in ("old", "four", "three", "two")]
    assert site.content() == {"one": b"1", "old": b"before"}


def test_a_file_that_was_never_synced_is_empty_under_its_durable_name(site: Site) -> None:
    site.run("""
        put(root / "lazy", b"text", durable=False)
        sync(root)
    """)
    site.cut()
    assert site.content() == {"lazy": b"", "old": b"before"}


def test_a_rename_is_undone_with_what_it_replaced(site: Site) -> None:
    site.run("""
        put(root / "draft", b"newer")
        sync(root)
        os.replace(root / "draft", root / "old")
    """)
    assert site.content() == {"old": b"newer"}
    site.cut()
    assert site.content() == {"draft": b"newer", "old": b"before"}


@pytest.mark.parametrize("folder", ["kept", "."])
def test_the_sync_of_either_folder_makes_a_rename_durable_and_all_names_before_it(site: Site, folder: str) -> None:
    site.run(f"""
        put(root / "one", b"1")
        put(root / "two", b"2")
        os.replace(root / "one", root / "kept" / "one")
        sync(root / "{folder}")
        os.replace(root / "two", root / "kept" / "two")
    """)
    site.cut()
    assert site.content() == {"kept/one": b"1", "two": b"2", "old": b"before"}


def test_a_full_disk_takes_what_fits_and_says_so(site: Site) -> None:
    site.disk.set(room=8192)
    said = site.run("""
        print(os.statvfs(root).f_bavail * os.statvfs(root).f_frsize)
        descriptor = os.open(root / "new", os.O_CREAT | os.O_WRONLY)
        print(os.write(descriptor, bytes(8000)), os.write(descriptor, bytes(1000)))
        try:
            os.write(descriptor, b"x")
        except OSError as error:
            print(error.errno)
        print(os.statvfs(root).f_bavail)
    """)
    assert said.split() == ["8192", "8000", "192", str(errno.ENOSPC), "0"]
    assert site.disk.read("room") == 0


def test_faults_come_when_they_are_set_and_only_there(site: Site) -> None:
    site.disk.set(sync_errno=errno.EIO, name_errno=errno.EACCES, write_errno=errno.EDQUOT)
    said = site.run("""
        def tried(call, *arguments):
            try:
                call(*arguments)
            except OSError as error:
                print(error.errno)
        descriptor = os.open(root / "new", os.O_CREAT | os.O_WRONLY)
        tried(os.write, descriptor, b"x")
        tried(os.fsync, descriptor)
        tried(os.fdatasync, descriptor)
        tried(os.rename, root / "old", root / "older")
        tried(os.link, root / "old", root / "older")
        print("pipes work")
    """)
    found = [*map(str, (errno.EDQUOT, errno.EIO, errno.EIO, errno.EACCES, errno.EACCES)), "pipes", "work"]
    assert said.split() == found
    with pytest.raises(ValueError, match="no such fault"):
        site.disk.set(lightning=1)


def test_sqlite_keeps_what_it_committed(site: Site) -> None:
    site.run("""
        import sqlite3
        db = sqlite3.connect(root / "catalog.sqlite", isolation_level=None)
        db.execute("pragma journal_mode=wal")
        db.execute("pragma synchronous=full")
        db.execute("create table t(x)")
        sync(root)
        for number in range(3000):
            db.execute("insert into t values (?)", (number,))
    """)
    site.cut()
    count = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('select count(*) from t').fetchone()[0])"
    command = [sys.executable, "-c", count, str(site.root / "catalog.sqlite")]
    assert subprocess.run(command, capture_output=True, check=True).stdout.split() == [b"3000"]
