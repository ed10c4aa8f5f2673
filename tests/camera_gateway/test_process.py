"""The process as a whole: what it makes at its first start, what it refuses, and that two never share a folder."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from storage.archive import tables
from storage.identity.keys import DeviceKey
from tests.camera_gateway.hall import Hall, kill_tree

pytestmark = pytest.mark.net


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path / "hall")
    yield made
    made.close()


def test_the_first_start_makes_keys_and_registers_the_gateway(hall: Hall) -> None:
    with hall.catalog.write() as conn:
        conn.execute(delete(tables.node).where(tables.node.c.kind == "gateway"))
    for name in ("gateway.key", "cameras.key"):
        (hall.root / "keys" / name).unlink()
    with hall.gateway():
        (node,) = hall.rows(tables.node, kind="gateway")
        assert node.url == f"http://127.0.0.1:{hall.port}"
        assert node.public_key == DeviceKey.load(hall.root / "keys" / "gateway.key").public
        hall.wait(lambda: hall.request("GET", "/v1/health").json()["ok"])
    with hall.gateway():
        assert [row.id for row in hall.rows(tables.node, kind="gateway")] == [node.id]


def test_a_taken_port_ends_the_gateway_with_the_fix(hall: Hall) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", hall.port))
        taken.listen()
        process = hall.start_gateway()
        assert process.wait(60) == 2
    assert "change listen.port" in hall.log()


def test_a_catalog_that_nobody_migrated_is_refused_with_the_command(hall: Hall) -> None:
    hall.close()
    (hall.root / "catalog.sqlite").unlink()
    assert hall.start_gateway().wait(60) == 2
    assert "sunhall-console migrate" in hall.log()


def test_children_leave_when_the_supervisor_is_killed_and_the_next_gateway_waits_for_them(hall: Hall) -> None:
    first = hall.start_gateway()
    hall.wait(hall.answers)
    first.send_signal(signal.SIGKILL)  # the supervisor alone
    first.wait(20)
    second = hall.start_gateway()
    try:
        hall.wait(lambda: hall.log().count("gateway_registered") == 2, 60)
        hall.wait(lambda: hall.answers() and hall.request("GET", "/v1/health").json()["ok"], 60)
    finally:
        kill_tree(second)
    assert "another gateway works" not in hall.log()
