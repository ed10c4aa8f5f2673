"""WS-Discovery messages (April 2005, as ONVIF uses it): probes out, matches in. No network here."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from uuid import UUID

from camera_gateway.onvif.profiles import clean
from camera_gateway.onvif.xml_guard import ForbiddenXml, NotXml, parse_xml

GROUP = "239.255.255.250"
PORT = 3702
_DISCOVERY = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
_ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_SCOPE = "onvif://www.onvif.org/"
_MAX_MATCHES = 64


@dataclass(frozen=True, slots=True)
class Match:
    """A device that answered a probe. Nothing in it is proven; it only says where to look."""

    endpoint: str
    xaddrs: tuple[str, ...]
    name: str
    hardware: str
    serial: str


def probe_message(message_id: UUID) -> bytes:
    """A probe for network video transmitters."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        f'xmlns:a="{_ADDRESSING}" xmlns:d="{_DISCOVERY}" xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><s:Header>'
        f'<a:Action s:mustUnderstand="1">{_DISCOVERY}/Probe</a:Action><a:MessageID>urn:uuid:{message_id}</a:MessageID>'
        f"<a:ReplyTo><a:Address>{_ADDRESSING}/role/anonymous</a:Address></a:ReplyTo>"
        '<a:To s:mustUnderstand="1">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To></s:Header>'
        "<s:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></s:Body></s:Envelope>"
    ).encode()


def read_matches(data: bytes, message_ids: frozenset[UUID]) -> list[Match]:
    """The devices in an answer to one of our probes; nothing for anything else, broken or hostile."""
    try:
        root = parse_xml(data)
    except (NotXml, ForbiddenXml):
        return []
    relates = (root.findtext(f".//{{{_ADDRESSING}}}RelatesTo") or "").strip().lower().removeprefix("urn:")
    if relates.removeprefix("uuid:") not in {str(message_id) for message_id in message_ids}:
        return []
    found = []
    for item in root.findall(f".//{{{_DISCOVERY}}}ProbeMatch")[:_MAX_MATCHES]:
        scopes = (item.findtext(f"{{{_DISCOVERY}}}Scopes") or "").split()
        xaddrs = (item.findtext(f"{{{_DISCOVERY}}}XAddrs") or "").split()
        found.append(
            Match(
                endpoint=clean(item.findtext(f".//{{{_ADDRESSING}}}Address")),
                xaddrs=tuple(xaddrs[:8]),
                name=_scope(scopes, "name"),
                hardware=_scope(scopes, "hardware"),
                serial=_scope(scopes, "serial"),
            )
        )
    return found


def _scope(scopes: list[str], kind: str) -> str:
    prefix = f"{_SCOPE}{kind}/"
    for scope in scopes:
        if scope.lower().startswith(prefix):
            return clean(unquote(scope[len(prefix) :]))
    return ""


def place(match: Match, sender: str) -> tuple[str, int, str] | None:
    """(host, port, XAddr) to register: the XAddr that names the sender, else the first one's port at the sender.

    A device behind the wrong configuration names an address it does not have; the datagram came from where it is.
    """
    candidates = []
    for xaddr in match.xaddrs:
        try:
            parts = urlsplit(xaddr)
            port = parts.port or 80
        except ValueError:
            continue
        if parts.scheme == "http" and parts.hostname:
            candidates.append((parts.hostname, port, xaddr))
    for candidate in candidates:
        if candidate[0] == sender:
            return candidate
    return (sender, candidates[0][1], candidates[0][2]) if candidates else None
