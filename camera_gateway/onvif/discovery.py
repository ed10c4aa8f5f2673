"""Finds cameras: WS-Discovery by multicast on every interface, or by asking each address of a subnet.

Multicast reaches the local network segment only. A unicast search sends each address a WS-Discovery probe and tries
GetSystemDateAndTime, which needs no login, on the usual ports. Nothing outside the allow-list is asked or believed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from uuid import UUID, uuid4

import ifaddr

from camera_gateway.onvif import ws_discovery
from camera_gateway.onvif.addresses import AddressPolicy, IPNetwork, bracketed, parse_subnets
from camera_gateway.onvif.soap_client import NoSoap, NotSupported, Service, SoapClient
from camera_gateway.onvif.ws_discovery import Match
from storage.clock import Clock
from storage.errors import ConfigurationError, DeviceError, DeviceFault, InvalidInput

_MAX_ADDRESSES = 4096
_MAX_DATAGRAM = 65_536


class DiscoveryMode(StrEnum):
    """How to look."""

    MULTICAST = "multicast"
    UNICAST = "unicast"


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """A device as it presents itself before anyone logs in. Empty text: it did not say."""

    address: str
    port: int
    xaddr: str
    name: str
    hardware: str
    serial: str
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Discovered:
    """The answer of a search; `searched` counts interfaces (multicast) or addresses (unicast)."""

    devices: tuple[FoundDevice, ...]
    searched: int


def interface_addresses() -> list[str]:
    """The IPv4 addresses of this machine's interfaces, loopback included."""
    found = {str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4}
    return sorted(found | {"127.0.0.1"})


@dataclass(frozen=True, slots=True)
class Discovery:
    """Searches; each takes about `wait_s`, a unicast one longer for large subnets."""

    clock: Clock
    allowed: AddressPolicy
    wait_s: float = 2.5
    scan_ports: Sequence[int] = (80, 8000, 8080, 8899, 2020)
    discovery_port: int = ws_discovery.PORT
    connect_s: float = 0.7
    concurrency: int = 64
    interfaces: Callable[[], list[str]] = field(default=interface_addresses)

    async def discover(self, mode: DiscoveryMode, subnets: Sequence[str] = ()) -> Discovered:
        """Devices that answer.

        Raises:
            InvalidInput: a subnet is none (`subnet_invalid`) or the search would be too large (`subnet_large`).
            DeviceError: `address_not_allowed` when a subnet is not inside the allow-list.
        """
        if mode is DiscoveryMode.MULTICAST:
            return await self._multicast()
        return await self._unicast(self._hosts(subnets))

    def _hosts(self, subnets: Sequence[str]) -> list[str]:
        try:
            networks = parse_subnets(subnets)
        except ConfigurationError as error:
            raise InvalidInput(error.code, error.message) from error
        for network in networks:
            if not self.allowed.covers(network):
                message = f"{network} is not inside allowed_subnets of the gateway's settings"
                raise DeviceError(DeviceFault.ADDRESS_NOT_ALLOWED, message, address=str(network))
        if sum(network.num_addresses for network in networks) > _MAX_ADDRESSES:
            message = f"at most {_MAX_ADDRESSES} addresses at a time: search smaller subnets"
            raise InvalidInput("subnet_large", message, limit=_MAX_ADDRESSES)
        return list(dict.fromkeys(host for network in networks for host in _addresses(network)))

    async def _multicast(self) -> Discovered:
        sources = await asyncio.to_thread(self.interfaces)
        message_id = uuid4()
        listener = _Listener(frozenset({message_id}))
        asked = 0
        async with _sockets(sources, listener) as transports:
            for transport in transports:
                transport.sendto(ws_discovery.probe_message(message_id), (ws_discovery.GROUP, self.discovery_port))
                asked += 1
            await self.clock.sleep_async(self.wait_s)
        return Discovered(self._sorted(self._located(listener.answers)), asked)

    async def _unicast(self, hosts: list[str]) -> Discovered:
        answers, spoken = await asyncio.gather(self._ask_each(hosts), self._knock(hosts))
        return Discovered(self._sorted([*self._located(answers), *spoken]), len(hosts))

    async def _ask_each(self, hosts: list[str]) -> list[tuple[Match, str]]:
        """A probe to each address, in small bursts."""
        message_id = uuid4()
        listener = _Listener(frozenset({message_id}))
        async with _sockets(["0.0.0.0"], listener) as transports:  # noqa: S104 - a client socket, not a listener
            for index, host in enumerate(hosts):
                transports[0].sendto(ws_discovery.probe_message(message_id), (host, self.discovery_port))
                if index % 32 == 31:
                    await self.clock.sleep_async(0.02)
            await self.clock.sleep_async(self.wait_s)
        return listener.answers

    async def _knock(self, hosts: list[str]) -> list[FoundDevice]:
        """Try the usual ports of each address; bounded in parallel."""
        pairs = iter([(host, port) for host in hosts for port in self.scan_ports])
        found: list[FoundDevice] = []

        async def work() -> None:
            for host, port in pairs:
                if await self._accepts(host, port) and (device := await self._speaks(host, port)):
                    found.append(device)

        await asyncio.gather(*(work() for _ in range(min(self.concurrency, len(hosts) * len(self.scan_ports)))))
        return found

    async def _accepts(self, host: str, port: int) -> bool:
        try:
            async with asyncio.timeout(self.connect_s):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    async def _speaks(self, host: str, port: int) -> FoundDevice | None:
        return await asyncio.to_thread(asyncio.run, self._ask_time(host, port))

    async def _ask_time(self, host: str, port: int) -> FoundDevice | None:
        async with SoapClient(host, port, self.wait_s, self.connect_s) as client:
            try:
                await client.call(Service.DEVICE, client.device_url, "GetSystemDateAndTime")
            except DeviceError as error:
                if error.fault not in (DeviceFault.WRONG_PASSWORD, DeviceFault.ACCOUNT_LOCKED):
                    return None
            except (NoSoap, NotSupported):
                return None
            return FoundDevice(host, port, f"http://{bracketed(host)}:{port}/onvif/device_service", "", "", "")

    def _located(self, answers: Iterable[tuple[Match, str]]) -> list[FoundDevice]:
        found = []
        for match, sender in answers:
            where = ws_discovery.place(match, sender)
            if where is None or not self.allowed.allows(ipaddress.ip_address(where[0])):
                continue
            host, port, xaddr = where
            found.append(FoundDevice(host, port, xaddr, match.name, match.hardware, match.serial, match.endpoint))
        return found

    def _sorted(self, found: Iterable[FoundDevice]) -> tuple[FoundDevice, ...]:
        """Each device once. The same endpoint, serial number or address and port is the same device; one that only
        answered a knock (it gave no endpoint) is the device already known at its address."""
        kept: list[FoundDevice] = []
        seen: set[str] = set()
        for device in found:
            keys = {f"{device.address}:{device.port}"} | {key for key in (device.endpoint, device.serial) if key}
            known = device.address in seen and not device.endpoint
            if not known and not keys & seen:
                kept.append(device)
            seen |= keys | {device.address}
        return tuple(sorted(kept, key=lambda device: (ipaddress.ip_address(device.address).packed, device.port)))


class _Listener(asyncio.DatagramProtocol):
    """Collects answers to our probes."""

    def __init__(self, message_ids: frozenset[UUID]) -> None:
        self._message_ids = message_ids
        self.answers: list[tuple[Match, str]] = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(self.answers) < _MAX_ADDRESSES:
            self.answers += [(match, addr[0]) for match in ws_discovery.read_matches(data, self._message_ids)]


@asynccontextmanager
async def _sockets(sources: list[str], listener: _Listener) -> AsyncIterator[list[asyncio.DatagramTransport]]:
    """One socket for each source address that can be used."""
    loop = asyncio.get_running_loop()
    transports: list[asyncio.DatagramTransport] = []
    try:
        for source in sources:
            try:
                bound = _bound(source)
            except OSError:
                continue  # an interface that went away between listing and binding
            transport, _ = await loop.create_datagram_endpoint(lambda: listener, sock=bound)
            transports.append(transport)
        yield transports
    finally:
        for transport in transports:
            transport.close()


def _bound(source: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _MAX_DATAGRAM * 8)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        if source != "0.0.0.0":  # noqa: S104 - compared, not bound
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
        made.bind((source, 0))
    except OSError:
        made.close()
        raise
    return made


def _addresses(network: IPNetwork) -> list[str]:
    return [str(address) for address in islice(network.hosts(), _MAX_ADDRESSES)]
