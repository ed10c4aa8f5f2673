"""Each fault, with a server that really behaves so."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from camera_gateway.onvif.addresses import AddressPolicy
from camera_gateway.onvif.probe import DeviceProbe, ProbeTimeouts
from storage.errors import DeviceError, DeviceFault
from tests.fakes.onvif_servers import (
    ENTITY_BOMB,
    Handler,
    answers,
    black_hole,
    drips,
    endless,
    hangs_up,
    redirects,
    says_hello,
    serving,
)

pytestmark = pytest.mark.net

_SOAP = "application/soap+xml"
_ENVELOPE = b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>%s</s:Body></s:Envelope>'
_DEEP = b"<a>" * 200 + b"</a>" * 200
_LOCKED = (
    b"<s:Fault><s:Code><s:Value>s:Sender</s:Value></s:Code>"
    b'<s:Reason><s:Text xml:lang="en">User account is locked, try again in 30 minutes</s:Text></s:Reason></s:Fault>'
)


async def _fault(probe: DeviceProbe, handler: Handler) -> DeviceFault:
    with serving(handler) as port, pytest.raises(DeviceError) as caught:
        await probe.probe("127.0.0.1", port, "admin", "secret")
    return caught.value.fault


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (answers(b"<html><body>It works</body></html>"), DeviceFault.NOT_A_CAMERA),
        (answers(b"not found", "404 Not Found"), DeviceFault.NOT_A_CAMERA),
        (answers(b"{}", content_type="application/json"), DeviceFault.NOT_A_CAMERA),
        (answers(b"\x00\xff" * 500, content_type=_SOAP), DeviceFault.NOT_A_CAMERA),
        (answers(b"", "500 Internal Server Error"), DeviceFault.NOT_A_CAMERA),
        (hangs_up, DeviceFault.NOT_A_CAMERA),
        (says_hello, DeviceFault.NOT_A_CAMERA),
        (redirects("http://127.0.0.1:9/onvif"), DeviceFault.WRONG_PORT),
        (answers(b"", "401 Unauthorized"), DeviceFault.WRONG_PASSWORD),
        (answers(b"your IP is locked", "403 Forbidden"), DeviceFault.ACCOUNT_LOCKED),
        (answers(_ENVELOPE % _LOCKED, "400 Bad Request", _SOAP), DeviceFault.ACCOUNT_LOCKED),
        (answers(ENTITY_BOMB, content_type=_SOAP), DeviceFault.PROTOCOL),
        (answers(_ENVELOPE % _DEEP, content_type=_SOAP), DeviceFault.PROTOCOL),
        (answers(_ENVELOPE % b"<x/>", content_type=_SOAP), DeviceFault.PROTOCOL),
        (answers(_ENVELOPE % b"", content_type=_SOAP), DeviceFault.PROTOCOL),
        (answers(b"x", extra="Content-Encoding: gzip\r\n", content_type=_SOAP), DeviceFault.PROTOCOL),
    ],
)
async def test_servers_that_are_no_good_device(probe: DeviceProbe, handler: Handler, expected: DeviceFault) -> None:
    assert await _fault(probe, handler) is expected


async def test_a_reply_of_200_mb_is_cut_off(probe: DeviceProbe) -> None:
    sent: list[int] = []
    assert await _fault(probe, endless(sent)) is DeviceFault.PROTOCOL
    assert sent
    assert max(sent) < 32 << 20


@pytest.mark.parametrize("handler", [black_hole, drips])
async def test_a_server_that_never_finishes_is_a_timeout(probe: DeviceProbe, handler: Handler) -> None:
    hasty = replace(probe, timeouts=ProbeTimeouts(connect_s=5, answer_s=0.5, total_s=20))
    assert await _fault(hasty, handler) is DeviceFault.TIMEOUT


async def test_the_whole_probe_is_bounded(probe: DeviceProbe) -> None:
    hasty = replace(probe, timeouts=ProbeTimeouts(connect_s=5, answer_s=100, total_s=0.5))
    assert await _fault(hasty, black_hole) is DeviceFault.TIMEOUT


async def test_a_redirect_is_not_followed(probe: DeviceProbe) -> None:
    asked: list[bool] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader, writer
        asked.append(True)

    with serving(note) as elsewhere:
        assert await _fault(probe, redirects(f"http://127.0.0.1:{elsewhere}/")) is DeviceFault.WRONG_PORT
    assert asked == []


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken and does not listen."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


async def test_a_closed_port_is_a_wrong_port(probe: DeviceProbe, closed_port: int) -> None:
    with pytest.raises(DeviceError) as caught:
        await probe.probe("127.0.0.1", closed_port, "admin", "secret")
    assert caught.value.fault is DeviceFault.WRONG_PORT


@pytest.mark.parametrize("port", [0, -1, 65_536])
async def test_what_is_no_port_is_a_wrong_port(probe: DeviceProbe, port: int) -> None:
    with pytest.raises(DeviceError) as caught:
        await probe.probe("127.0.0.1", port, "admin", "secret")
    assert caught.value.fault is DeviceFault.WRONG_PORT


async def test_a_full_backlog_is_unreachable(probe: DeviceProbe) -> None:
    """A listener whose queue is full drops connection requests, as a host that is off does."""
    hasty = replace(probe, timeouts=ProbeTimeouts(connect_s=0.5, answer_s=1, total_s=10))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            with pytest.raises(DeviceError) as caught:
                await hasty.probe("127.0.0.1", port, "admin", "secret")
        finally:
            for filler in fillers:
                filler.close()
    assert caught.value.fault is DeviceFault.UNREACHABLE


async def test_an_address_outside_the_allow_list_is_not_even_connected(probe: DeviceProbe) -> None:
    strict = replace(probe, allowed=AddressPolicy.of(("192.168.0.0/16",)))
    connected: list[bool] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader, writer
        connected.append(True)

    with serving(note) as port:
        for address in ("127.0.0.1", "localhost", "::ffff:127.0.0.1", "[::1]", "0.0.0.0"):
            with pytest.raises(DeviceError) as caught:
                await strict.probe(address, port, "admin", "secret")
            assert caught.value.fault is DeviceFault.ADDRESS_NOT_ALLOWED
    assert connected == []


async def test_a_name_is_looked_up_once(probe: DeviceProbe) -> None:
    """DNS that answers differently the second time changes nothing."""
    asked: list[str] = []

    def lookup(name: str) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"] if len(asked) == 1 else ["8.8.8.8"]

    rebound = replace(probe, lookup=lookup)
    with serving(answers(b"<html/>")) as port, pytest.raises(DeviceError) as caught:
        await rebound.probe("camera.example", port, "admin", "secret")
    assert caught.value.fault is DeviceFault.NOT_A_CAMERA
    assert asked == ["camera.example"]


async def test_no_error_carries_the_password(probe: DeviceProbe) -> None:
    with serving(answers(b"", "401 Unauthorized")) as port, pytest.raises(DeviceError) as caught:
        await probe.probe("127.0.0.1", port, "admin", "Geheim-9137")
    error: BaseException | None = caught.value
    while error is not None:
        assert "Geheim-9137" not in repr(error) + str(error)
        error = error.__cause__
