"""What may be parsed and what not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_gateway.onvif.xml_guard import (
    MAX_BODY,
    MAX_DEPTH,
    MAX_ELEMENTS,
    ForbiddenXml,
    NotXml,
    check_xml,
    parse_xml,
)
from tests.fakes.onvif_servers import ENTITY_BOMB


def test_a_plain_document_passes_and_names_its_root() -> None:
    assert check_xml(b'<?xml version="1.0"?><s:Envelope xmlns:s="x"><s:Body/></s:Envelope>') == "Envelope"
    assert parse_xml(b"<a><b>1</b></a>").findtext("b") == "1"


@pytest.mark.parametrize(
    "body",
    [
        ENTITY_BOMB,
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode("utf-16"),
        b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1),
        b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>",
        b"<a>" + b" " * MAX_BODY + b"</a>",
    ],
)
def test_what_breaks_a_limit_is_forbidden(body: bytes) -> None:
    with pytest.raises(ForbiddenXml):
        parse_xml(body)


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"<a>", b"<a></b>", b"\x00\xff", b"<a>&nbsp;</a>", b"<a/><b/>", b"<p:a/>"]
)
def test_what_is_no_xml_is_not_xml(body: bytes) -> None:
    with pytest.raises(NotXml):
        parse_xml(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_judged_without_another_error(body: bytes) -> None:
    try:
        tag = parse_xml(body).tag
    except (NotXml, ForbiddenXml):
        return
    assert tag
