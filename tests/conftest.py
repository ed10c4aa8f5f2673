"""Fixtures that every test may ask for, and the guard that keeps unit tests off the network."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.peers.postgres", "tests.peers.ceph", "tests.fakes.archive"]

SHARED_HALL = "hall"
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


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For two workers (`-n 2 --dist loadgroup`): a file stays together, and all tests of the session's hall do.

    Those come first, because they take the longest.
    """
    items.sort(key=lambda item: _group(item) != SHARED_HALL)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    return SHARED_HALL if "wired_hall" in getattr(item, "fixturenames", ()) else item.path.as_posix()
