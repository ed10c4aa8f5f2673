"""Fixtures that every test may ask for, and the guard that keeps unit tests off the network."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["tests.peers.postgres", "tests.peers.ceph", "tests.fakes.archive"]

SHARED_HALL = "hall"
OWN_HALLS = frozenset(f"tests/e2e/test_{name}.py" for name in ("first_run", "lifecycle", "s3"))
NETWORK_MARKERS = ("peer", "e2e", "net")
"""Tests that carry one of these may open Internet sockets; Unix sockets are free for all."""


class _Guard:
    """Whether the test that runs now may open Internet sockets."""

    closed = False

    def on_audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.closed or event not in ("socket.connect", "socket.bind"):
            return
        address = arguments[1] if len(arguments) > 1 else None
        if isinstance(address, tuple):  # AF_INET and AF_INET6; a Unix socket's address is a string
            message = f"a unit test opened a socket ({event} {address}): mark it peer, e2e or net"
            raise PermissionError(message)


_guard = _Guard()
sys.addaudithook(_guard.on_audit)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Close the network for the whole of an unmarked test, its fixtures included."""
    _guard.closed = not any(item.get_closest_marker(name) for name in NETWORK_MARKERS)
    try:
        return (yield)
    finally:
        _guard.closed = False


class _HallScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist leaves its base untyped
    """With `-n 2` a file stays together, and all files that share the session's hall do."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::")[0]
        return SHARED_HALL if path.startswith("tests/e2e/") and path not in OWN_HALLS else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Who gets which tests."""
    return _HallScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole halls first: they take the longest. (The order of files is kept by `--no-loadscope-reorder`.)"""
    items.sort(key=lambda item: "e2e" not in item.path.parts)
