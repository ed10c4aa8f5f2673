"""The camera gateway as the console sees it: a port, and the signed HTTP client behind it (interfaces, section 4)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import httpx
from sqlalchemy import select

from storage.archive.catalog import Catalog
from storage.archive.tables import node
from storage.clock import Clock
from storage.errors import DeviceError, DeviceFault, InvalidInput, NotFound, ObjectMissing, SunhallError, Unavailable
from storage.identity.requests import Signer, sign_headers

JSON_LIMIT = 16 << 20
"""A probe's answer carries one picture and all channels; nothing the gateway says is larger."""
PICTURE_LIMIT = 16 << 20
PIECE = 256 * 1024
PARTIAL, OUT_OF_RANGE = 206, 416


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """A device to look at. `password` leaves the console only over the signed connection to the gateway."""

    device_id: UUID
    address: str
    port: int
    username: str
    password: str

    def __repr__(self) -> str:
        return f"ProbeRequest({self.device_id}, {self.address}:{self.port}, ***)"


class Gateway(Protocol):
    """What services ask of the gateway. All calls block."""

    def probe(self, request: ProbeRequest) -> dict[str, Any]:
        """Section 4's answer. Raises DeviceError (how it failed) or Unavailable."""
        ...

    def discover(self, mode: str, subnets: Sequence[str]) -> dict[str, Any]:
        """Devices that answer. Raises Unavailable, InvalidInput, DeviceError (`address_not_allowed`)."""
        ...

    def seal(self, device_id: UUID, password: str) -> str:
        """The password boxed for the device, base64. Raises Unavailable."""
        ...

    def snapshot(self, stream_id: UUID) -> bytes:
        """The last key frame as JPEG. Raises NotFound, Unavailable."""
        ...

    def refresh(self) -> None:
        """Tell it to read the devices again now; when it is away it will do so by itself."""
        ...

    def warm(self) -> None:
        """A probe will come soon: let it be ready. Raises Unavailable."""
        ...

    def stats(self, gateway_id: UUID) -> dict[str, Any]:
        """What a gateway measures of its streams: `{"streams": {id: {...}}}`. Raises Unavailable."""
        ...

    def converted(self, gateway_id: UUID, segment_id: UUID) -> Iterator[bytes]:
        """A recorded H.265 segment as H.264, while it is made; the first piece is there when this returns.

        Raises NotFound (it needs none, or none are made), InvalidInput (it cannot be transcoded), Unavailable.
        """
        ...

    def health(self) -> dict[str, Any]:
        """Its own account of itself. Raises Unavailable."""
        ...


class HttpGateway:
    """`Gateway` and the archive's `StagedReader` over signed HTTP. Thread-safe."""

    def __init__(
        self, client: httpx.Client, catalog: Catalog, signer: Signer, node_id: UUID, clock: Clock, url: str = ""
    ) -> None:
        """`url`: from the settings; empty takes the one that the gateway wrote into the catalog."""
        self._client = client
        self._catalog = catalog
        self._signer = signer
        self._node_id = node_id
        self._clock = clock
        self._url = url.rstrip("/")

    def probe(self, request: ProbeRequest) -> dict[str, Any]:
        return self._ask(
            "/v1/probe",
            {
                "device_id": str(request.device_id),
                "address": request.address,
                "port": request.port,
                "username": request.username,
                "password": request.password,
            },
        )

    def discover(self, mode: str, subnets: Sequence[str]) -> dict[str, Any]:
        return self._ask("/v1/discover", {"mode": mode, "subnets": list(subnets)})

    def seal(self, device_id: UUID, password: str) -> str:
        return str(self._ask("/v1/seal", {"device_id": str(device_id), "password": password})["sealed"])

    def snapshot(self, stream_id: UUID) -> bytes:
        return self._request("GET", f"/v1/streams/{stream_id}/snapshot", b"", PICTURE_LIMIT)

    def refresh(self) -> None:
        self._request("POST", "/v1/refresh", b"{}", JSON_LIMIT)

    def warm(self) -> None:
        self._request("POST", "/v1/warm", b"{}", JSON_LIMIT)

    def stats(self, gateway_id: UUID) -> dict[str, Any]:
        return _object(self._request("GET", "/v1/stats", b"", JSON_LIMIT, gateway_id))

    def converted(self, gateway_id: UUID, segment_id: UUID) -> Iterator[bytes]:
        pieces = self._convert(self.url_of(gateway_id), f"/v1/segments/{segment_id}/converted")
        first = next(pieces, b"")
        return _chained(first, pieces)

    def health(self) -> dict[str, Any]:
        return _object(self._request("GET", "/v1/health", b"", JSON_LIMIT))

    def read_staged(self, gateway_id: UUID, object_id: UUID, start: int, length: int | None) -> Iterator[bytes]:
        """Bytes of an object that still waits at the gateway (`StagedReader`)."""
        target = f"/v1/staged/{object_id}"
        last = "" if length is None else str(start + length - 1)
        headers = {"Range": f"bytes={start}-{last}"} if start or length is not None else {}
        pieces = self._stream(self.url_of(gateway_id), target, headers)
        first = next(pieces, b"")
        return _chained(first, pieces)

    def live_url(self, gateway_id: UUID | None = None) -> str:
        """Where the gateway's live socket is (`ws://.../v1/live`). Raises Unavailable."""
        return "ws" + self.url_of(gateway_id).removeprefix("http") + "/v1/live"

    def url_of(self, gateway_id: UUID | None = None) -> str:
        """The gateway's URL, without a slash at its end.

        Raises:
            Unavailable: no gateway ever registered (`gateway_missing`).
        """
        if self._url:
            return self._url
        query = select(node.c.url).where(node.c.kind == "gateway").order_by(node.c.created_us)
        if gateway_id is not None:
            query = query.where(node.c.id == gateway_id)
        with self._catalog.read() as conn:
            url = conn.execute(query).scalars().first()
        if not url:
            raise Unavailable("gateway_missing", "no camera gateway has started yet: start sunhall-gateway")
        return str(url).rstrip("/")

    def signed(self, method: str, target: str, body: bytes = b"") -> dict[str, str]:
        """Headers of a request (or, with GET and no body, of a socket's handshake) to the gateway."""
        return sign_headers(self._signer, str(self._node_id), method, target, body, self._clock)

    def _ask(self, target: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return _object(self._request("POST", target, json.dumps(body).encode(), JSON_LIMIT))

    def _request(self, method: str, target: str, body: bytes, limit: int, gateway_id: UUID | None = None) -> bytes:
        headers = self.signed(method, target, body) | ({"Content-Type": "application/json"} if body else {})
        try:
            with self._client.stream(method, self.url_of(gateway_id) + target, content=body, headers=headers) as answer:
                data = _read_capped(answer, limit)
                if answer.status_code >= 400:
                    raise gateway_error(answer.status_code, data)
                return data
        except httpx.TimeoutException as error:
            raise Unavailable("gateway_slow", "the camera gateway did not answer in time") from error
        except httpx.HTTPError as error:
            raise Unavailable("gateway_away", "the camera gateway does not answer: is it running?") from error

    def _convert(self, url: str, target: str) -> Iterator[bytes]:
        try:
            with self._client.stream("GET", url + target, headers=self.signed("GET", target)) as answer:
                if answer.status_code == 404:
                    raise NotFound("not_convertible", "the gateway makes no H.264 of that segment")
                if answer.status_code >= 400:
                    raise gateway_error(answer.status_code, _read_capped(answer, JSON_LIMIT))
                yield from answer.iter_bytes(PIECE)
        except httpx.HTTPError as error:
            raise Unavailable("gateway_away", "the camera gateway does not answer: is it running?") from error

    def _stream(self, url: str, target: str, headers: dict[str, str]) -> Iterator[bytes]:
        try:
            with self._client.stream("GET", url + target, headers=self.signed("GET", target) | headers) as answer:
                if answer.status_code == 404:
                    raise ObjectMissing("object_missing", "the gateway does not stage that object")
                if answer.status_code == OUT_OF_RANGE:
                    raise InvalidInput("range_invalid", "the range lies outside the staged object")
                if answer.status_code >= 400:
                    raise gateway_error(answer.status_code, _read_capped(answer, JSON_LIMIT))
                if headers and answer.status_code != PARTIAL:
                    raise Unavailable("gateway_error", "the gateway did not honour the range: update both programs")
                yield from answer.iter_bytes(PIECE)
        except httpx.HTTPError as error:
            raise Unavailable("gateway_away", "the camera gateway does not answer: is it running?") from error


def gateway_error(status: int, data: bytes) -> SunhallError:
    """The gateway's error as ours: device faults keep their code, anything else means that it is of no help now."""
    try:
        said = json.loads(data)["error"]
        code, message, fields = str(said["code"]), str(said.get("message", "")), dict(said.get("fields", {}))
    except (ValueError, KeyError, TypeError):
        return Unavailable("gateway_error", f"the camera gateway answered {status} without a reason")
    if code in set(DeviceFault):
        return DeviceError(DeviceFault(code), message, **_plain(fields))
    if status in (400, 422):
        return InvalidInput(code, message, **_plain(fields))
    return Unavailable(
        code if status in (404, 503) else "gateway_error", f"the camera gateway said {status} {code}: {message}"
    )


def _plain(fields: Mapping[str, Any]) -> dict[str, str | int]:
    taken = {"code", "message", "fault", "self"}
    return {key: value for key, value in fields.items() if isinstance(value, str | int) and key not in taken}


def _object(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise Unavailable("gateway_error", "the camera gateway's answer is no JSON") from error
    if not isinstance(answer, dict):
        raise Unavailable("gateway_error", "the camera gateway's answer is no object")
    return answer


def _read_capped(answer: httpx.Response, limit: int) -> bytes:
    pieces, size = [], 0
    for piece in answer.iter_bytes():
        size += len(piece)
        if size > limit:
            raise Unavailable("gateway_error", "the camera gateway's answer is larger than any it should give")
        pieces.append(piece)
    return b"".join(pieces)


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
