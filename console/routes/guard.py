"""The gate before every route: session cookie, CSRF, Origin, purpose, signatures; then `authorise`.

Each route carries exactly one gate as a dependency, and a test walks all routes to prove it:

    def router(service: Service, guard: Guard) -> APIRouter:
        routes = APIRouter(prefix="/api/things", tags=["things"])

        @routes.get("", summary="...", description="...")
        def list_things(actor: Annotated[Actor, guard.actor(Action.CAMERAS_READ)]) -> dict[str, Any]: ...

(Modules of routes do without `from __future__ import annotations`: FastAPI reads the annotations of closures.)
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol
from uuid import UUID

from fastapi import Depends, Request, WebSocket, WebSocketException
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from console.services.access import ANONYMOUS, FOOTAGE_ACTIONS, Action, Actor, Purpose, authorise, may_ever
from console.services.signatures import SignedRequest as SignedRequest
from storage.errors import InvalidInput, NotAuthenticated, NotPermitted
from storage.identity.requests import SIGNATURE
from storage.ids import parse_id

COOKIE = "__Host-sunhall"
CSRF_HEADER = "x-sunhall-csrf"
PURPOSE_HEADER = "x-sunhall-purpose"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SOCKET_NOT_AUTHENTICATED = 4401
SOCKET_NOT_PERMITTED = 4403


class SessionSource(Protocol):
    """Turns a cookie into an actor. Blocking."""

    def resolve(self, token: str, address: str) -> Actor:
        """The session's account; `ANONYMOUS` when there is no such session or it has expired."""
        ...

    def resolve_hash(self, session_hash: bytes, address: str) -> Actor:
        """The same by the cookie's hash, for sockets that are checked again."""
        ...


class PurposeSource(Protocol):
    """Finds purposes. Blocking."""

    def find(self, actor: Actor, purpose_id: UUID) -> Purpose:
        """The actor's purpose of the present session; NotPermitted (`purpose_unknown`) otherwise."""
        ...


class Gate:
    """Base of all gates; `names` is what the route-walking test reads."""

    names: str = ""


class Public(Gate):
    """Open to everybody; `reason` says why that is right. Unsafe methods of pages need a same-origin `Origin`."""

    def __init__(self, reason: str, *, page: bool) -> None:
        self.names = "public"
        self.reason = reason
        self._page = page

    def __call__(self, request: Request) -> Actor:
        if self._page and request.method not in SAFE_METHODS:
            require_same_origin(request)
        return replace(ANONYMOUS, address=address_of(request))


class Needs(Gate):
    """A session whose account may do `action`."""

    def __init__(self, guard: Guard, action: Action) -> None:
        self.names = action.value
        self.action = action
        self._guard = guard

    def __call__(self, request: Request) -> Actor:
        actor = self._guard.session_of(request)
        if request.method not in SAFE_METHODS and actor.account_id is not None:
            require_same_origin(request)
            _require_csrf(request, actor)
        stated = request.headers.get(PURPOSE_HEADER)
        if stated and actor.account_id is not None and self.action in FOOTAGE_ACTIONS:
            return self._guard.with_purpose(actor, self.action, stated)
        authorise(actor, self.action, hall_id=actor.hall_id, purpose=None)
        return actor


class SocketNeeds(Gate):
    """A WebSocket from our own page, with a session that some purpose would let do `action`.

    The purpose comes in a message; the route then calls `Guard.with_purpose` (in a thread) before any footage.
    """

    def __init__(self, guard: Guard, action: Action) -> None:
        self.names = action.value
        self.action = action
        self._guard = guard

    def __call__(self, socket: WebSocket) -> Actor:
        if not is_same_origin(socket):
            raise WebSocketException(SOCKET_NOT_PERMITTED, "origin_not_allowed")
        actor = self._guard.session_of(socket)
        if actor.account_id is None:
            raise WebSocketException(SOCKET_NOT_AUTHENTICATED, "not_logged_in")
        if not may_ever(actor, self.action):
            raise WebSocketException(SOCKET_NOT_PERMITTED, "not_permitted")
        return actor


class Signed(Gate):
    """A machine's request whose signature `verify` accepts (in a thread); it returns who signed."""

    def __init__(self, kind: str, verify: Callable[[SignedRequest], Any]) -> None:
        self.names = f"signed:{kind}"
        self._verify = verify

    async def __call__(self, request: Request) -> Any:
        if SIGNATURE not in request.headers:  # a stranger's megabytes are not worth reading
            raise NotAuthenticated("signature_missing", f"the header {SIGNATURE} is missing")
        body = await request.body()
        signed = SignedRequest(request.headers, request.method, target_of(request), body)
        return await run_in_threadpool(self._verify, signed)


class Guard:
    """Makes the gates of the routes."""

    def __init__(self, sessions: SessionSource, purposes: PurposeSource) -> None:
        self._sessions = sessions
        self._purposes = purposes

    def actor(self, action: Action) -> Any:
        """Dependency: the `Actor` of a browser's request, allowed to do `action`."""
        return Depends(Needs(self, action))

    def websocket(self, action: Action) -> Any:
        """Dependency: the `Actor` of a browser's socket (see `SocketNeeds`)."""
        return Depends(SocketNeeds(self, action))

    def public(self, reason: str) -> Any:
        """Dependency: an anonymous `Actor` with its address; for the few routes before a login."""
        return Depends(Public(reason, page=True))

    def unsigned(self, reason: str) -> Any:
        """Dependency: the same for a machine that has no key yet, and is no page with an `Origin`."""
        return Depends(Public(reason, page=False))

    def signed(self, kind: str, verify: Callable[[SignedRequest], Any]) -> Any:
        """Dependency: what `verify` returns for a signed machine request; it raises NotAuthenticated."""
        return Depends(Signed(kind, verify))

    def session_of(self, connection: HTTPConnection) -> Actor:
        """The actor of a request's cookie; anonymous without one. Blocking."""
        address = address_of(connection)
        token = connection.cookies.get(COOKIE, "")
        return self._sessions.resolve(token, address) if token else replace(ANONYMOUS, address=address)

    def with_purpose(self, actor: Actor, action: Action, purpose_id: str) -> Actor:
        """`actor` with the purpose, when it lets them do `action`. Blocking.

        Raises:
            NotPermitted: the purpose is unknown, of another session, or does not open the action.
        """
        try:
            wanted = parse_id(purpose_id)
        except ValueError as error:
            raise InvalidInput("purpose_invalid", "the purpose is an id from POST /api/purposes") from error
        stated = replace(actor, purpose=self._purposes.find(actor, wanted))
        authorise(stated, action, hall_id=stated.hall_id, purpose=stated.purpose.code if stated.purpose else None)
        return stated

    def recheck(self, actor: Actor, action: Action) -> Actor:
        """The session's actor as it is now, with the same purpose; sockets ask every 30 s. Blocking.

        Raises:
            NotAuthenticated: the session ended.
            NotPermitted: roles or purpose do not allow `action` any more.
        """
        now = replace(self._sessions.resolve_hash(actor.session_hash, actor.address), purpose=actor.purpose)
        authorise(now, action, hall_id=now.hall_id, purpose=now.purpose.code if now.purpose else None)
        return now


def address_of(connection: HTTPConnection) -> str:
    """The peer's address as the socket says; no header is believed."""
    return connection.client.host if connection.client else ""


def target_of(request: Request) -> str:
    """`PATH?QUERY` exactly as it came over the wire: what signatures cover."""
    path = request.scope.get("raw_path") or request.url.path.encode("ascii", "surrogateescape")
    query = request.scope.get("query_string", b"")
    return (path + (b"?" + query if query else b"")).decode("latin-1")


def is_same_origin(connection: HTTPConnection) -> bool:
    """Whether `Origin` is present and names the host that was asked."""
    origin, host = (connection.headers.get(name, "").lower() for name in ("origin", "host"))
    scheme = "https" if connection.scope.get("scheme") in ("https", "wss") else "http"
    return bool(host) and origin == f"{scheme}://{host}"


def require_same_origin(request: Request) -> None:
    """Raises NotPermitted (`origin_not_allowed`) unless the request comes from our own page."""
    if not is_same_origin(request):
        raise NotPermitted("origin_not_allowed", "the request did not come from this console's own page")


def _require_csrf(request: Request, actor: Actor) -> None:
    given = request.headers.get(CSRF_HEADER, "")
    if not actor.csrf or not hmac.compare_digest(given.encode(), actor.csrf.encode()):
        raise NotPermitted("csrf_invalid", "send the csrf value of GET /api/session in X-Sunhall-CSRF")


def require_login(actor: Actor) -> UUID:
    """The actor's account id; NotAuthenticated when there is none."""
    if actor.account_id is None:
        raise NotAuthenticated("not_logged_in", "log in first")
    return actor.account_id
