"""What a TCP socket knows of its peer: the words for its errors, and whether anything is still acknowledged."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import struct
from dataclasses import dataclass

from storage.model import GapReason

_INFO = struct.Struct("=8x13I")  # struct tcp_info of linux/tcp.h up to tcpi_last_ack_recv
_UNACKED, _LAST_ACK_RECV = 4, 12

_CONNECTING: dict[int, tuple[GapReason, str]] = {
    errno.ECONNREFUSED: (GapReason.REFUSED, "connection refused"),
    errno.ECONNRESET: (GapReason.REFUSED, "the host reset the connection at once"),
    errno.EHOSTUNREACH: (GapReason.UNREACHABLE, "no route to the host"),
    errno.ENETUNREACH: (GapReason.UNREACHABLE, "the network is unreachable"),
    errno.EHOSTDOWN: (GapReason.UNREACHABLE, "the host is down"),
    errno.ETIMEDOUT: (GapReason.UNREACHABLE, "no answer to the connection request"),
    errno.EACCES: (GapReason.UNREACHABLE, "a firewall of the gateway forbids the connection"),
    errno.EMFILE: (GapReason.UNKNOWN, "the gateway has no file descriptors left"),
    errno.ENFILE: (GapReason.UNKNOWN, "the machine has no file descriptors left"),
    errno.EPERM: (GapReason.UNREACHABLE, "a firewall of the gateway forbids the connection"),
}
_BREAKING = {
    errno.ECONNRESET: "connection reset by the camera",
    errno.EPIPE: "connection closed by the camera",
    errno.ETIMEDOUT: "nothing was acknowledged any more",
    errno.EHOSTUNREACH: "no route to the host any more",
    errno.ENETUNREACH: "the network is unreachable now",
}
AWAY = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
"""Errors that say that nothing answers at all, so that it matters whether others do."""


def connect_fault(number: int) -> tuple[GapReason, str]:
    """The reason and the words for an error of connecting."""
    return _CONNECTING.get(number) or (GapReason.UNREACHABLE, os.strerror(number))


def break_evidence(error: OSError) -> str:
    """The words for an error of an established connection."""
    if isinstance(error, ssl.SSLError):
        return tls_evidence(error)
    return _BREAKING.get(error.errno or 0) or error.strerror or type(error).__name__


def tls_evidence(error: ssl.SSLError) -> str:
    """Why TLS failed, in OpenSSL's words made readable."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "TLS: the camera closed the connection"
    reason = (getattr(error, "reason", None) or "").lower().replace("_", " ")
    if reason in ("wrong version number", "http request", "record layer failure"):
        return "TLS: the port does not speak TLS"
    return f"TLS: {reason or 'failed'}"


@dataclass(frozen=True, slots=True)
class TcpState:
    """What the kernel saw of the peer."""

    unacknowledged: int  # segments that we sent and nobody acknowledged
    quiet_s: float  # since the last acknowledgement came


def tcp_state(sock: socket.socket) -> TcpState:
    """Ask the kernel (TCP_INFO)."""
    values = _INFO.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
    return TcpState(values[_UNACKED], values[_LAST_ACK_RECV] / 1000)
