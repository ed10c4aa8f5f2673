"""Who may call: consoles whose key stands in the catalog, by signed requests."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

from fastapi import Request, WebSocket
from starlette.concurrency import run_in_threadpool

from storage.clock import Clock
from storage.errors import InvalidInput, NotAuthenticated, NotPermitted
from storage.identity.keys import PublicKey
from storage.identity.requests import MemoryNonces, verify_headers

MAX_BODY = 1 << 20
_REMEMBER_S = 10.0


class Callers:
    """Verifies signed requests. Keys are looked up in the catalog and remembered for ten seconds."""

    def __init__(self, find: Callable[[UUID], bytes | None], clock: Clock) -> None:
        self._find = find
        self._clock = clock
        self._nonces = MemoryNonces(clock)
        self._known: dict[str, tuple[float, PublicKey]] = {}

    async def __call__(self, request: Request) -> None:
        """A dependency: verifies the request and leaves its body in `request.state.body`. Raises NotAuthenticated."""
        body = await read_body(request)
        await self._verify(request.headers, request.method, _target(request), body)
        request.state.body = body

    async def websocket(self, socket: WebSocket) -> None:
        """Verify a handshake. Raises NotAuthenticated."""
        await self._verify(socket.headers, "GET", _target(socket), b"")

    async def _verify(self, headers: Mapping[str, str], method: str, target: str, body: bytes) -> None:
        await run_in_threadpool(
            verify_headers, dict(headers), method, target, body, self._key, self._nonces, self._clock
        )

    def _key(self, key_id: str) -> PublicKey | None:
        now = self._clock.monotonic()
        known = self._known.get(key_id)
        if known is not None and now - known[0] < _REMEMBER_S:
            return known[1]
        try:
            public = self._find(UUID(key_id))
        except ValueError as error:
            raise NotAuthenticated("key_unknown", "a console's key id is a UUID") from error
        if public is None:
            return None
        key = PublicKey(public)
        self._known[key_id] = (now, key)
        return key


class Neighbours:
    """A dependency for what is not signed: only addresses inside `subnets` may ask."""

    def __init__(self, subnets: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(subnet) for subnet in subnets]

    async def __call__(self, request: Request) -> None:
        """Raises NotPermitted (`address_not_allowed`)."""
        if not self.allows(request.client.host if request.client else ""):
            raise NotPermitted("address_not_allowed", "metrics.subnets does not name this address")

    def allows(self, address: str) -> bool:
        """Whether somebody at `address` may ask; an IPv4 address mapped into IPv6 counts as itself."""
        try:
            asked = ipaddress.ip_address(address)
        except ValueError:
            return False
        plain = getattr(asked, "ipv4_mapped", None) or asked
        return any(plain in network for network in self._networks)


async def read_body(request: Request) -> bytes:
    """The body, at most 1 MiB. Raises InvalidInput (`body_too_large`)."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise InvalidInput("body_too_large", "a request body has at most 1 MiB")
        parts.append(part)
    return b"".join(parts)


def _target(connection: Request | WebSocket) -> str:
    """Path and query exactly as sent."""
    raw: bytes = connection.scope.get("raw_path") or connection.scope["path"].encode()
    query: bytes = connection.scope["query_string"]
    return (raw + (b"?" + query if query else b"")).decode("latin-1")
