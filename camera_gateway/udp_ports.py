"""Pairs of UDP ports for RTP and RTCP (RFC 3550 11: an even port and the next), from a range that a firewall knows."""

from __future__ import annotations

import contextlib
import errno
import socket

from camera_gateway.packets import SourceFault
from storage.model import GapReason

RECEIVE_BUFFER = 2 << 20
"""Bytes that the kernel keeps for us while we are busy; it grants at most net.core.rmem_max."""

Pair = tuple[socket.socket, socket.socket]


class UdpPorts:
    """Hands pairs out in turn, so that a port is not used again at once while a camera may still send to it."""

    def __init__(self, first: int, last: int) -> None:
        self._first = first + first % 2
        self._pairs = max((last + 1 - self._first) // 2, 0)
        self._next = 0

    def take(self, family: int, address: str) -> Pair:
        """Two bound sockets that do not block, on our address that reaches the camera.

        Raises:
            SourceFault: every pair of the range is in use.
        """
        for _ in range(self._pairs):
            port = self._first + 2 * self._next
            self._next = (self._next + 1) % self._pairs
            pair = _bind(family, address, port)
            if pair is not None:
                return pair
        last = self._first + 2 * self._pairs - 1
        raise SourceFault(GapReason.UNKNOWN, f"no pair of UDP ports is free in {self._first} to {last}")


def _bind(family: int, address: str, port: int) -> Pair | None:
    with contextlib.ExitStack() as undo:
        made: list[socket.socket] = []
        for number in (port, port + 1):
            try:
                sock = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
                sock.bind((address, number))
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    return None
                raise SourceFault(GapReason.UNKNOWN, f"no UDP port on {address}: {error.strerror}") from error
            made.append(sock)
        undo.pop_all()
        return made[0], made[1]
