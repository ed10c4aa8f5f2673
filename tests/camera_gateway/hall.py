"""A small hall for tests: a data folder with a migrated catalog, a console's key, and cameras in rows."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import Row, insert, select, update

from storage.archive import tables
from storage.archive.catalog import Catalog
from storage.archive.migrate import migrate
from storage.clock import SystemClock
from storage.identity.boxes import SecretBox
from storage.identity.keys import DeviceKey
from storage.identity.requests import sign_headers
from storage.ids import new_id

REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Hall:
    """Everything a gateway finds when it starts."""

    root: Path
    segment_s: float = 4.0
    workers: int = 1
    reserve_mb: int = 64
    sync_interval_s: float = 0.5
    storage: str = ""  # the [storage] table's lines
    recording: str = ""  # more lines of the [recording] table
    environment: dict[str, str] = field(default_factory=dict)  # what the gateway finds beside ours
    prefix: tuple[str, ...] = ()  # the command that starts the gateway's: unshare, for example
    clock: SystemClock = field(default_factory=SystemClock)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.url = f"sqlite:///{self.root / 'catalog.sqlite'}"
        migrate(self.url)
        self.catalog = Catalog.open(self.url, self.clock)
        self.key = DeviceKey.load_or_create(self.root / "keys" / "gateway.key")
        self.console = DeviceKey.load_or_create(self.root / "keys" / "console.key")
        self.box = SecretBox.load_or_create(self.root / "keys" / "cameras.key")
        self.gateway_id, self.console_id, self.hall_id = (new_id(self.clock) for _ in range(3))
        self._insert_nodes()
        self.settings = self.root / "gateway.toml"
        self._write_settings()

    def add_camera(
        self, uri: str, *, user: str = "", password: str = "", recorded: bool = True, codec: str = "h264", sub: str = ""
    ) -> UUID:
        """A device with one channel; returns the id of its main stream."""
        device_id, channel_id, stream_id = (new_id(self.clock) for _ in range(3))
        box = self.box.seal(password.encode(), device_id.bytes) if password else None
        with self.catalog.write() as conn:
            conn.execute(
                insert(tables.device).values(
                    id=device_id,
                    hall_id=self.hall_id,
                    gateway_id=self.gateway_id,
                    name="camera",
                    address="127.0.0.1",
                    port=80,
                    username=user,
                    password_box=box,
                    created_us=self.clock.now_us(),
                )
            )
            conn.execute(
                insert(tables.channel).values(id=channel_id, device_id=device_id, number=1, name="one", name_sort="one")
            )
            streams = [(stream_id, "main", uri, recorded)]
            if sub:
                streams.append((new_id(self.clock), "sub", sub, False))
            for made, role, address, keep in streams:
                conn.execute(
                    insert(tables.stream).values(
                        id=made, channel_id=channel_id, role=role, uri=address, codec=codec, recorded=keep
                    )
                )
        return stream_id

    def rows(self, table: Any, **where: Any) -> list[Row[Any]]:
        """Rows of a table with these values."""
        with self.catalog.read() as conn:
            query = select(table)
            for name, value in where.items():
                query = query.where(table.c[name] == value)
            return list(conn.execute(query).all())

    def change(self, table: Any, row_id: UUID, **values: Any) -> None:
        """Update one row by its id."""
        with self.catalog.write() as conn:
            conn.execute(update(table).where(table.c.id == row_id).values(**values))

    def segments(self, stream_id: UUID) -> list[Row[Any]]:
        """Committed segments of a stream in order of time."""
        return sorted(self.rows(tables.segment, stream_id=stream_id), key=lambda row: row.t0_us)

    def object_path(self, segment_id: UUID) -> Path:
        """Where a committed segment's file is."""
        return self.root / "objects" / segment_id.hex[-2:] / segment_id.hex

    def wait(self, what: Callable[[], Any], seconds: float = 40.0) -> Any:
        """Poll until `what` answers something true, and return it."""
        deadline = self.clock.monotonic() + seconds
        while True:
            found = what()
            if found:
                return found
            if self.clock.monotonic() > deadline:
                raise AssertionError(f"nothing came within {seconds} s")
            self.clock.sleep(0.1)

    @contextlib.contextmanager
    def gateway(self) -> Iterator[subprocess.Popen[bytes]]:
        """A running `sunhall-gateway run`; drained at the end when it still runs."""
        process = self.start_gateway()
        try:
            self.wait(self.answers)
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(40)

    def start_gateway(self) -> subprocess.Popen[bytes]:
        """Start the whole process tree in a group of its own; its log goes to gateway.log."""
        with (self.root / "gateway.log").open("ab") as log:
            return subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "camera_gateway.main", "run", "--config", str(self.settings)],
                cwd=REPOSITORY,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def answers(self) -> bool:
        """Whether the gateway's API accepts connections."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def log(self) -> str:
        """What the gateway said so far."""
        return (self.root / "gateway.log").read_text(encoding="utf-8")

    def signed(self, method: str, target: str, body: bytes = b"") -> Mapping[str, str]:
        """The headers of a console's request."""
        return sign_headers(self.console, str(self.console_id), method, target, body, self.clock)

    def request(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A signed call of the gateway's API; `headers` win over the signed ones."""
        signed = dict(self.signed(method, target, body)) | dict(headers or {})
        url = f"http://127.0.0.1:{self.port}{target}"
        with httpx.Client(timeout=30, trust_env=False) as client:
            return client.request(method, url, content=body, headers=signed)

    def close(self) -> None:
        self.catalog.close()

    def _insert_nodes(self) -> None:
        now_us = self.clock.now_us()
        with self.catalog.write() as conn:
            conn.execute(insert(tables.hall).values(id=self.hall_id, timezone="Asia/Shanghai", created_us=now_us))
            for node_id, kind, key in (
                (self.gateway_id, "gateway", self.key),
                (self.console_id, "console", self.console),
            ):
                conn.execute(
                    insert(tables.node).values(id=node_id, kind=kind, public_key=key.public, created_us=now_us)
                )

    def _write_settings(self) -> None:
        self.settings.write_text(
            f'data = "{self.root}"\n[listen]\nport = {self.port}\n'
            f"[recording]\nsegment_s = {self.segment_s}\nsync_interval_s = {self.sync_interval_s}\n"
            f"reserve_mb = {self.reserve_mb}\n{self.recording}\n"
            f'[processes]\nworkers = {self.workers}\n[cameras]\nsubnets = ["127.0.0.0/8"]\nread_timeout_s = 2.0\n'
            f"[storage]\n{self.storage}\n",
            encoding="utf-8",
        )


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the whole group, as a power cut would do it."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)
