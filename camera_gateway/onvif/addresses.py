"""Which addresses the gateway may talk to, and how a name becomes one address for the whole conversation.

Registering a camera lets a user make the gateway connect somewhere, so the target must lie in an allowed subnet. The
name is resolved once and the connection goes to that address, whatever DNS says later; addresses inside replies are
pinned to it.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from storage.errors import ConfigurationError, DeviceError, DeviceFault

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

PRIVATE_SUBNETS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
"""Where cameras are: what a gateway may reach unless its settings say otherwise."""

LOOPBACK_SUBNETS = ("127.0.0.0/8", "::1/128")
"""For the demo's virtual cameras; a hall leaves these out."""

Lookup = Callable[[str], list[str]]


def parse_subnets(texts: Sequence[str]) -> tuple[IPNetwork, ...]:
    """Subnets from settings or a request.

    Raises:
        ConfigurationError: one of them is no subnet.
    """
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError as error:
            raise ConfigurationError("subnet_invalid", f"{text!r} is no subnet: write 192.168.1.0/24") from error
    return tuple(found)


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """The allow-list."""

    allowed: tuple[IPNetwork, ...]

    @classmethod
    def of(cls, subnets: Sequence[str] = PRIVATE_SUBNETS) -> AddressPolicy:
        """The policy that allows `subnets`."""
        return cls(parse_subnets(subnets))

    def allows(self, address: IPAddress) -> bool:
        """Whether the gateway may connect to `address`."""
        plain = getattr(address, "ipv4_mapped", None) or address
        if plain.is_multicast or plain.is_unspecified:
            return False
        return any(plain.version == subnet.version and plain in subnet for subnet in self.allowed)

    def covers(self, subnet: IPNetwork) -> bool:
        """Whether every address of `subnet` is allowed."""
        return any(_within(subnet, allowed) for allowed in self.allowed)


def _within(inner: IPNetwork, outer: IPNetwork) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


def system_lookup(name: str) -> list[str]:
    """The addresses of `name` by the system's resolver; may block for long."""
    return [str(item[4][0]) for item in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]


def resolve(address: str, policy: AddressPolicy, timeout_s: float, lookup: Lookup = system_lookup) -> IPAddress:
    """The one address to talk to.

    Raises:
        DeviceError: `address_not_allowed` when any address of the name is outside the allow-list, `unreachable` when
            the name has none or the resolver does not answer in time.
    """
    found = [_literal(address)] if _literal(address) else [_literal(text) for text in _ask(address, timeout_s, lookup)]
    addresses = [item for item in found if item is not None]
    if not addresses:
        raise DeviceError(
            DeviceFault.UNREACHABLE, f"{address} is no address and no name that resolves", address=address
        )
    for item in addresses:
        if not policy.allows(item):
            raise DeviceError(
                DeviceFault.ADDRESS_NOT_ALLOWED,
                f"{address} is not in an allowed subnet: extend allowed_subnets in the gateway's settings",
                address=address,
            )
    return addresses[0]


def _literal(text: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _ask(name: str, timeout_s: float, lookup: Lookup) -> list[str]:
    """Look `name` up in a thread of its own: the system's resolver cannot be interrupted."""
    answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(lookup(name))
        except (OSError, UnicodeError):
            answers.put([])

    threading.Thread(target=work, name="camera-lookup", daemon=True).start()
    try:
        return answers.get(timeout=timeout_s)
    except queue.Empty:
        return []


def bracketed(address: str) -> str:
    """`address` as it stands in a URL."""
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def pin_xaddr(xaddr: str, host: str, port: int) -> str | None:
    """A service's path and query on the registered host and port, by plain HTTP; None when `xaddr` is no HTTP URL."""
    try:
        parts = urlsplit(xaddr.strip().split(" ")[0])
    except ValueError:
        return None
    if parts.scheme not in ("http", "https"):
        return None
    return urlunsplit(("http", f"{bracketed(host)}:{port}", parts.path or "/", parts.query, ""))


def pin_stream_uri(uri: str, host: str, port: int | None = None) -> str | None:
    """A stream's URI on the registered host, without user and password; its port stays unless `port` is given.

    None when it is no RTSP URI.
    """
    try:
        parts = urlsplit(uri.strip())
        own_port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("rtsp", "rtsps"):
        return None
    chosen = port or own_port
    where = f"{bracketed(host)}:{chosen}" if chosen else bracketed(host)
    return urlunsplit((parts.scheme, where, parts.path, parts.query, ""))
