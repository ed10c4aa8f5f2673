"""What the cameras of one reactor share: one receive buffer, names, neighbours, UDP ports and the TLS context."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from camera_gateway.name_resolver import Lookup, NameResolver, system_lookup
from camera_gateway.neighbours import Neighbours
from camera_gateway.reactor import Reactor
from camera_gateway.udp_ports import UdpPorts
from storage.errors import ConfigurationError

BUFFER = 256 << 10
TCP_RECEIVE_BUFFER = 1 << 20
"""What the kernel keeps for us while we are busy: 4.3 s of 4 Mbit/s (measured); left to itself it keeps 1.0 s."""

TRUST_ANY = "any"
TRUST_SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How our engine uses the network.

    `tls_trust`: "any" encrypts and takes every certificate (cameras sign their own); "system" wants one that the
    machine's authorities signed for the camera's name or address; else the path of a PEM file with the authorities
    or the cameras' own certificates, by which a camera must be known (names are not compared: the file is the list).
    """

    udp_first_port: int = 30_000
    udp_last_port: int = 31_999
    tls_trust: str = TRUST_ANY


class EngineShared:
    """Made once for a reactor; lives in its thread."""

    def __init__(
        self, reactor: Reactor, options: EngineOptions | None = None, *, lookup: Lookup = system_lookup
    ) -> None:
        self.options = options or EngineOptions()
        self.names = NameResolver(reactor, lookup)
        self.neighbours = Neighbours(reactor.clock)
        self.udp_ports = UdpPorts(self.options.udp_first_port, self.options.udp_last_port)
        self.buffer = bytearray(BUFFER)
        self.view = memoryview(self.buffer)
        self.tcp_receive_buffer = granted(TCP_RECEIVE_BUFFER)
        self._tls: ssl.SSLContext | None = None

    def tls(self) -> ssl.SSLContext:
        """The context for `rtsps` cameras; made when the first one needs it.

        Raises:
            ConfigurationError: `tls_trust` names no readable PEM file.
        """
        if self._tls is None:
            self._tls = tls_context(self.options.tls_trust)
        return self._tls


def granted(size: int) -> int:
    """`size` when the kernel grants a receive buffer of it (net.core.rmem_max), else 0: its own choice is better then.

    A buffer that was set does not grow any more, so a smaller one than asked for would be worse than none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        return size if probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 2 * size else 0


def tls_context(trust: str) -> ssl.SSLContext:
    """A client's context, TLS 1.2 or later. See `EngineOptions.tls_trust`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trust == TRUST_SYSTEM:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    context.check_hostname = False
    if trust == TRUST_ANY:
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        context.load_verify_locations(cafile=trust)
    except OSError as error:
        raise ConfigurationError("tls_trust", f"cameras.tls_trust: {trust} is no readable PEM file") from error
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a camera's own certificate may stand for itself
    return context
