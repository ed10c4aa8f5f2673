"""WS-Discovery of the virtual hall: answers probes sent by multicast on loopback and probes sent straight to it."""

from __future__ import annotations

import asyncio
import socket
import struct
import uuid
from collections.abc import Iterable
from typing import Protocol
from xml.sax.saxutils import escape

from camera_gateway.onvif.xml_guard import ForbiddenXml, NotXml, parse_xml

GROUP = "239.255.255.250"
PORT = 3702
_DISCOVERY_NS = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
_ADDRESSING_NS = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_TYPES = ("Device", "NetworkVideoTransmitter")


class Announced(Protocol):
    """What a device tells about itself."""

    @property
    def endpoint(self) -> str:
        """Its endpoint reference, urn:uuid:…"""
        ...

    @property
    def xaddr(self) -> str:
        """Where its device service is."""
        ...

    @property
    def scopes(self) -> list[str]:
        """Its scopes."""
        ...

    @property
    def online(self) -> bool:
        """Whether it answers at all."""
        ...


def read_probe(data: bytes) -> str | None:
    """The message id of a probe that ONVIF devices answer, or None."""
    try:
        root = parse_xml(data)
    except (NotXml, ForbiddenXml):
        return None
    probe = root.find(f".//{{{_DISCOVERY_NS}}}Probe")
    if probe is None:
        return None
    types = (probe.findtext(f"{{{_DISCOVERY_NS}}}Types") or "").split()
    if types and not any(kind.rpartition(":")[2] in _TYPES for kind in types):
        return None
    return root.findtext(f".//{{{_ADDRESSING_NS}}}MessageID") or ""


def probe_match(message_id: str, device: Announced) -> bytes:
    """The answer of one device."""
    scopes = escape(" ".join(device.scopes))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        f'xmlns:a="{_ADDRESSING_NS}" xmlns:d="{_DISCOVERY_NS}" xmlns:dn="http://www.onvif.org/ver10/network/wsdl" '
        'xmlns:tds="http://www.onvif.org/ver10/device/wsdl"><s:Header>'
        f"<a:MessageID>urn:uuid:{uuid.uuid4()}</a:MessageID><a:RelatesTo>{escape(message_id)}</a:RelatesTo>"
        f"<a:To>{_ADDRESSING_NS}/role/anonymous</a:To><a:Action>{_DISCOVERY_NS}/ProbeMatches</a:Action></s:Header>"
        "<s:Body><d:ProbeMatches><d:ProbeMatch><a:EndpointReference>"
        f"<a:Address>{device.endpoint}</a:Address></a:EndpointReference>"
        f"<d:Types>dn:NetworkVideoTransmitter tds:Device</d:Types><d:Scopes>{scopes}</d:Scopes>"
        f"<d:XAddrs>{device.xaddr}</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion>"
        "</d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"
    ).encode()


class Announcer(asyncio.DatagramProtocol):
    """Answers probes for all devices of a hall."""

    def __init__(self, devices: Iterable[Announced]) -> None:
        self._devices = list(devices)
        self._transports: list[asyncio.DatagramTransport] = []
        self._answers: asyncio.DatagramTransport | None = None

    async def start(self, host: str, port: int = PORT) -> None:
        """Listen for multicast on loopback and for unicast on `host`."""
        loop = asyncio.get_running_loop()
        for bound in (_unicast_socket(host, port), _multicast_socket(host, port)):
            transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=bound)
            self._transports.append(transport)
        self._answers = self._transports[0]

    async def stop(self) -> None:
        """Stop answering."""
        for transport in self._transports:
            transport.close()
        self._transports = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message_id = read_probe(data)
        if message_id is None or self._answers is None:
            return
        for device in self._devices:
            if device.online:
                self._answers.sendto(probe_match(message_id, device), addr)


def _unicast_socket(host: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((host, port))
    found.setblocking(False)
    return found


def _multicast_socket(host: str, port: int) -> socket.socket:
    """Bound to the group itself, so that it hears nothing else; a member on loopback only."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((GROUP, port))
    membership = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton(host))
    found.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    found.setblocking(False)
    return found
