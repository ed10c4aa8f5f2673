"""The gateway's client: what it signs, how it reads answers, and what it makes of errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import insert

from console.services.gateway_client import HttpGateway, ProbeRequest
from storage.archive.catalog import Catalog
from storage.archive.tables import node
from storage.clock import FakeClock
from storage.errors import DeviceError, InvalidInput, NotFound, ObjectMissing, SunhallError, Unavailable
from storage.identity.keys import DeviceKey, PublicKey
from storage.identity.requests import MemoryNonces, verify_headers
from storage.ids import new_id

Answer = Callable[[httpx.Request], httpx.Response]


class GatewayOnTheWire(httpx.BaseTransport):
    """A gateway that checks every signature and answers what the test says."""

    def __init__(self, key: DeviceKey, clock: FakeClock) -> None:
        self._public = PublicKey(key.public)
        self._nonces = MemoryNonces(clock)
        self._clock = clock
        self.answer: Answer = lambda _request: httpx.Response(200, json={})
        self.seen: list[tuple[str, str, bytes]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        target = request.url.raw_path.decode()
        headers = dict(request.headers)
        verify_headers(headers, request.method, target, body, lambda _: self._public, self._nonces, self._clock)
        self.seen.append((request.method, target, body))
        return self.answer(request)


@pytest.fixture
def wire(tmp_path: Path, fake_clock: FakeClock) -> GatewayOnTheWire:
    return GatewayOnTheWire(DeviceKey.create(tmp_path / "console.key"), fake_clock)


@pytest.fixture
def gateway(
    tmp_path: Path, wire: GatewayOnTheWire, sqlite_catalog: Catalog, fake_clock: FakeClock
) -> Iterator[HttpGateway]:
    key = DeviceKey.load(tmp_path / "console.key")
    with httpx.Client(transport=wire) as client:
        yield HttpGateway(client, sqlite_catalog, key, new_id(fake_clock), fake_clock, "http://gateway.example/")


REQUEST = ProbeRequest(UUID(int=7), "192.0.2.10", 80, "admin", "camera-Secret-9")


def says(status: int, code: str, **fields: str | int) -> Answer:
    body = {"error": {"code": code, "message": "so", "fields": fields}}
    return lambda _request: httpx.Response(status, json=body)


def test_requests_are_signed_and_carry_what_the_gateway_needs(gateway: HttpGateway, wire: GatewayOnTheWire) -> None:
    wire.answer = lambda _request: httpx.Response(200, json={"device": {}, "sealed": "Ym94"})
    assert gateway.probe(REQUEST) == {"device": {}, "sealed": "Ym94"}
    assert gateway.seal(UUID(int=7), "x") == "Ym94"
    gateway.discover("unicast", ["192.0.2.0/24"])
    gateway.refresh()
    gateway.health()
    assert [item[:2] for item in wire.seen] == [
        ("POST", "/v1/probe"),
        ("POST", "/v1/seal"),
        ("POST", "/v1/discover"),
        ("POST", "/v1/refresh"),
        ("GET", "/v1/health"),
    ]
    assert json.loads(wire.seen[0][2])["device_id"] == str(UUID(int=7))
    assert "camera-Secret-9" not in repr(REQUEST)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (says(422, "wrong_password"), DeviceError, "wrong_password"),
        (says(422, "clock_off", seconds=90), DeviceError, "clock_off"),
        (says(422, "address_not_allowed"), DeviceError, "address_not_allowed"),
        (says(422, "subnet_too_large", hosts=70000), InvalidInput, "subnet_too_large"),
        (says(404, "stream_not_found"), Unavailable, "stream_not_found"),
        (says(401, "key_unknown"), Unavailable, "gateway_error"),
        (says(500, "anything"), Unavailable, "gateway_error"),
        (lambda _request: httpx.Response(502, text="<html>proxy</html>"), Unavailable, "gateway_error"),
        (lambda _request: httpx.Response(200, text="not json"), Unavailable, "gateway_error"),
        (lambda _request: httpx.Response(200, json=[1]), Unavailable, "gateway_error"),
        (lambda _request: httpx.Response(200, content=bytes((16 << 20) + 1)), Unavailable, "gateway_error"),
    ],
)
def test_what_becomes_of_bad_answers(
    gateway: HttpGateway, wire: GatewayOnTheWire, answer: Answer, kind: type[SunhallError], code: str
) -> None:
    wire.answer = answer
    with pytest.raises(kind) as caught:
        gateway.probe(REQUEST)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("error", "code"),
    [(httpx.ConnectError("refused"), "gateway_away"), (httpx.ReadTimeout("slow"), "gateway_slow")],
)
def test_a_gateway_that_does_not_answer(
    gateway: HttpGateway, wire: GatewayOnTheWire, error: httpx.HTTPError, code: str
) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise error

    wire.answer = fail
    with pytest.raises(Unavailable) as caught:
        gateway.snapshot(UUID(int=1))
    assert caught.value.code == code


def test_staged_bytes_come_by_range(gateway: HttpGateway, wire: GatewayOnTheWire) -> None:
    ranges: list[str | None] = []

    def staged(request: httpx.Request) -> httpx.Response:
        ranges.append(request.headers.get("Range"))
        return httpx.Response(206 if "Range" in request.headers else 200, content=b"0123456789")

    wire.answer = staged
    assert b"".join(gateway.read_staged(UUID(int=2), UUID(int=3), 5, 10)) == b"0123456789"
    assert b"".join(gateway.read_staged(UUID(int=2), UUID(int=3), 0, None)) == b"0123456789"
    b"".join(gateway.read_staged(UUID(int=2), UUID(int=3), 5, None))
    assert ranges == ["bytes=5-14", None, "bytes=5-"]
    wire.answer = lambda _request: httpx.Response(200, content=b"everything")
    with pytest.raises(Unavailable):
        gateway.read_staged(UUID(int=2), UUID(int=3), 5, 10)
    wire.answer = says(416, "range_invalid")
    with pytest.raises(InvalidInput):
        gateway.read_staged(UUID(int=2), UUID(int=3), 50, 10)
    wire.answer = says(404, "staged_not_found")
    with pytest.raises(ObjectMissing):
        gateway.read_staged(UUID(int=2), UUID(int=3), 0, None)


def test_without_a_setting_the_url_is_the_one_in_the_catalog(
    tmp_path: Path, wire: GatewayOnTheWire, sqlite_catalog: Catalog, fake_clock: FakeClock
) -> None:
    key = DeviceKey.load(tmp_path / "console.key")
    with httpx.Client(transport=wire) as client:
        gateway = HttpGateway(client, sqlite_catalog, key, new_id(fake_clock), fake_clock)
        with pytest.raises(Unavailable) as caught:
            gateway.health()
        assert caught.value.code == "gateway_missing"
        known = {"id": new_id(fake_clock), "kind": "gateway", "public_key": bytes(32), "created_us": 1}
        with sqlite_catalog.write() as conn:
            conn.execute(insert(node).values(**known, url="https://10.0.0.3:8444/"))
        assert gateway.live_url() == "wss://10.0.0.3:8444/v1/live"
        assert gateway.health() == {}


def test_a_viewing_copy_comes_as_it_is_made(gateway: HttpGateway, wire: GatewayOnTheWire) -> None:
    wire.answer = lambda _request: httpx.Response(200, content=b"moof" * 3)
    assert b"".join(gateway.converted(UUID(int=1), UUID(int=2))) == b"moof" * 3
    assert wire.seen[-1][:2] == ("GET", f"/v1/segments/{UUID(int=2)}/converted")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "segment_plays", NotFound),
        (422, "transcode_undecodable", InvalidInput),
        (503, "transcoder_busy", Unavailable),
    ],
)
def test_why_there_is_no_viewing_copy(
    gateway: HttpGateway, wire: GatewayOnTheWire, status: int, code: str, error: type[SunhallError]
) -> None:
    wire.answer = says(status, code)
    with pytest.raises(error):
        gateway.converted(UUID(int=1), UUID(int=2))


def test_counters_and_a_warm_desk_are_asked_for(gateway: HttpGateway, wire: GatewayOnTheWire) -> None:
    wire.answer = lambda _request: httpx.Response(200, json={"streams": {"a": {"lost": 4}}})
    assert gateway.stats(UUID(int=1)) == {"streams": {"a": {"lost": 4}}}
    gateway.warm()
    assert [seen[:2] for seen in wire.seen] == [("GET", "/v1/stats"), ("POST", "/v1/warm")]
