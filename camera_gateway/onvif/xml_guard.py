"""Hostile XML stops here: size, depth and number of elements are bounded, a DTD is refused, and junk is no XML.

Nothing is expanded and no tree is built by the check, so an entity bomb costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree
from xml.parsers import expat

MAX_BODY = 1 << 20
"""Longest SOAP body taken, bytes. A 64-channel recorder's GetProfiles stays under half of it."""

MAX_DEPTH = 64
MAX_ELEMENTS = 50_000


class NotXml(Exception):
    """The bytes are no well-formed XML."""


class ForbiddenXml(Exception):
    """Well-formed so far, but with a DTD, too deep, too long or with too many elements."""


@dataclass
class _Limits:
    depth: int = 0
    elements: int = 0
    root: str = ""

    def opened(self, name: str, attributes: dict[str, str]) -> None:
        del attributes
        self.root = self.root or name.rpartition(":")[2]
        self.depth += 1
        self.elements += 1
        if self.depth > MAX_DEPTH:
            raise ForbiddenXml(f"nested deeper than {MAX_DEPTH}")
        if self.elements > MAX_ELEMENTS:
            raise ForbiddenXml(f"more than {MAX_ELEMENTS} elements")

    def closed(self, name: str) -> None:
        del name
        self.depth -= 1


def _refuse_doctype(name: str, system: str | None, public: str | None, internal: bool) -> None:
    del name, system, public, internal
    raise ForbiddenXml("a document type declaration")


def check_xml(body: bytes) -> str:
    """The local name of the root element, when `body` may be parsed.

    Raises:
        NotXml: it is not well-formed.
        ForbiddenXml: it breaks a limit or has a DTD.
    """
    if len(body) > MAX_BODY:
        raise ForbiddenXml(f"longer than {MAX_BODY} bytes")
    limits = _Limits()
    parser = expat.ParserCreate()
    parser.StartElementHandler = limits.opened
    parser.EndElementHandler = limits.closed
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise NotXml(str(error)) from error
    return limits.root


def parse_xml(body: bytes) -> ElementTree.Element:
    """The tree of a body that passed `check_xml`.

    Raises:
        NotXml, ForbiddenXml: see `check_xml`.
    """
    check_xml(body)
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - checked above: no DTD, bounded
    except ElementTree.ParseError as error:  # what only a reader that knows namespaces sees, such as a prefix of nobody
        raise NotXml(str(error)) from error
