"""A private PostgreSQL cluster for the session, on a Unix socket in a temporary folder. Missing PostgreSQL: failure."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from storage.archive.migrate import migrate
from storage.clock import SystemClock
from tests.peers.tied import tied

_SETTINGS = ("listen_addresses=", "fsync=off", "max_connections=60", "shared_buffers=32MB")


@dataclass
class PostgresServer:
    """A running cluster. `database()` makes an empty database and returns its URL."""

    folder: Path
    binaries: Path
    user: str | None
    _server: subprocess.Popen[bytes] | None = None
    _count: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the cluster's user; raises with its output when it fails."""
        done = subprocess.run(
            [self.binaries / program, *arguments],
            user=self.user,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=120,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stdout.decode(errors='replace')}")

    def start(self) -> None:
        """Start and wait until it answers."""
        settings = (*_SETTINGS, f"unix_socket_directories={self.folder}")
        options = [word for setting in settings for word in ("-c", setting)]
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), *options]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                tied(*command, signal="QUIT"),  # its immediate shutdown, which leaves no shared memory behind
                user=self.user,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_ready(self._server)

    def stop(self) -> None:
        """Stop at once, as a lost machine; the data stay."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(60)
            self._server = None

    def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> None:
        clock = SystemClock()
        for _ in range(600):
            if server.poll() is not None:
                break
            try:
                self.run("pg_isready", "-q", "-h", str(self.folder))
            except RuntimeError:
                clock.sleep(0.1)
            else:
                return
        raise RuntimeError(f"PostgreSQL does not answer: {(self.folder / 'log').read_text(errors='replace')[-2000:]}")

    def database(self, *, template: str = "template0") -> str:
        """The URL of a new database, empty unless it is copied from `template` (nobody may be connected to that)."""
        name = f"sunhall_{next(self._count)}"
        self.run("createdb", "-h", str(self.folder), "-U", "postgres", "-T", template, name)
        return self.url(name)

    def url(self, name: str) -> str:
        """The URL of a database."""
        return f"postgresql://postgres@/{name}?host={self.folder}"


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        pytest.fail("PostgreSQL is missing: apt-get install --no-install-recommends postgresql")
    return found[-1].parent


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A cluster of our own; run as `postgres` when we are root, since PostgreSQL refuses root."""
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="sunhall-pg-"))
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
    server = PostgresServer(folder, _binaries(), user)
    try:
        server.run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of a fresh empty database."""
    return postgres_server.database()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a database at head, to be copied: quicker than migrating for every test."""
    name = "sunhall_template"
    postgres_server.run("createdb", "-h", str(postgres_server.folder), "-U", "postgres", "-T", "template0", name)
    migrate(postgres_server.url(name))
    return name
