"""SOAP 1.2 as an ONVIF device sees it: reading requests with their credentials, writing answers and faults."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from camera_gateway.onvif.xml_guard import ForbiddenXml, NotXml, parse_xml

ENVELOPE_NS = "http://www.w3.org/2003/05/soap-envelope"
DEVICE_NS = "http://www.onvif.org/ver10/device/wsdl"
MEDIA_NS = "http://www.onvif.org/ver10/media/wsdl"
MEDIA2_NS = "http://www.onvif.org/ver20/media/wsdl"
EVENTS_NS = "http://www.onvif.org/ver10/events/wsdl"
NOTIFICATION_NS = "http://docs.oasis-open.org/wsn/b-2"
_SECURITY_NS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_UTILITY_NS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
_PREFIXES = {
    "env": ENVELOPE_NS,
    "tds": DEVICE_NS,
    "trt": MEDIA_NS,
    "tr2": MEDIA2_NS,
    "tev": EVENTS_NS,
    "tt": "http://www.onvif.org/ver10/schema",
    "ter": "http://www.onvif.org/ver10/error",
    "wsnt": NOTIFICATION_NS,
    "wsa": "http://www.w3.org/2005/08/addressing",
    "tns1": "http://www.onvif.org/ver10/topics",
    "wstop": "http://docs.oasis-open.org/wsn/t-1",
    "xs": "http://www.w3.org/2001/XMLSchema",
}
_DECLARATIONS = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in _PREFIXES.items())


@dataclass(frozen=True, slots=True)
class Token:
    """A WS-UsernameToken with a password digest."""

    username: str
    digest: str
    nonce: str
    created: str


@dataclass(frozen=True, slots=True)
class Call:
    """A request: which operation of which service, its element, and who says to send it."""

    namespace: str
    operation: str
    body: Element
    token: Token | None
    message_id: str

    def text(self, name: str) -> str:
        """The text of the first element called `name`, whatever its namespace; empty when there is none."""
        for element in self.body.iter():
            if element.tag.rpartition("}")[2] == name:
                return (element.text or "").strip()
        return ""


class SoapFault(Exception):
    """An answer that says why not. `code` is Sender or Receiver, `subcodes` are QNames such as ter:NotAuthorized."""

    def __init__(self, code: str, subcodes: tuple[str, ...], reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.subcodes = subcodes
        self.reason = reason


def read_call(body: bytes) -> Call:
    """The call in an HTTP body.

    Raises:
        SoapFault: it is no SOAP 1.2 envelope with one operation.
    """
    try:
        root = parse_xml(body)
    except (NotXml, ForbiddenXml) as error:
        raise SoapFault("Sender", ("ter:WellFormed",), f"no well-formed request: {error}") from error
    operation = next(iter(root.find(f"{{{ENVELOPE_NS}}}Body") or ()), None)
    if root.tag != f"{{{ENVELOPE_NS}}}Envelope" or operation is None:
        raise SoapFault("Sender", ("ter:WellFormed",), "no SOAP 1.2 envelope with a body")
    namespace, _, name = operation.tag.removeprefix("{").rpartition("}")
    message_id = root.findtext(".//{http://www.w3.org/2005/08/addressing}MessageID") or ""
    return Call(namespace, name, operation, _token(root), message_id)


def _token(root: Element) -> Token | None:
    found = root.find(f".//{{{_SECURITY_NS}}}UsernameToken")
    if found is None:
        return None
    values = [found.findtext(f"{{{_SECURITY_NS}}}{name}") or "" for name in ("Username", "Password", "Nonce")]
    return Token(
        values[0], values[1].strip(), values[2].strip(), (found.findtext(f"{{{_UTILITY_NS}}}Created") or "").strip()
    )


def envelope(body: str, header: str = "") -> bytes:
    """A SOAP message around `body`."""
    head = f"<env:Header>{header}</env:Header>" if header else ""
    text = f"<env:Envelope {_DECLARATIONS}>{head}<env:Body>{body}</env:Body></env:Envelope>"
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + text).encode()


def fault(error: SoapFault) -> bytes:
    """The SOAP message of a fault."""
    nested = ""
    for subcode in reversed(error.subcodes):
        nested = f"<env:Subcode><env:Value>{subcode}</env:Value>{nested}</env:Subcode>"
    code = f"<env:Code><env:Value>env:{error.code}</env:Value>{nested}</env:Code>"
    reason = f'<env:Reason><env:Text xml:lang="en">{escape(error.reason)}</env:Text></env:Reason>'
    return envelope(f"<env:Fault>{code}{reason}</env:Fault>")
