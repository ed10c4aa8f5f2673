"""Composes the routers into one ASGI application and maps our errors onto HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.errors import (
    Conflict,
    DeviceError,
    InvalidInput,
    MediaError,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    StorageError,
    StorageFull,
    SunhallError,
    Unavailable,
)

log = logging.getLogger(__name__)

JSON_LIMIT = 1 << 20
UPLOAD_LIMIT = 8 << 20
BODY_S = 120.0
"""Seconds for a whole body: a full upload at half a megabit a second."""
UPLOAD_PREFIX = "/agent/v1/segments/"
STATUS: tuple[tuple[type[SunhallError], int], ...] = (
    (NotAuthenticated, 401),
    (NotPermitted, 403),
    (NotFound, 404),
    (Conflict, 409),
    (InvalidInput, 422),
    (DeviceError, 422),
    (MediaError, 422),
    (StorageFull, 507),
    (Unavailable, 503),
    (StorageError, 500),
)
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(routers: Sequence[APIRouter], *, version: str) -> FastAPI:
    """The application of `routers`, with error mapping, body cap and security headers."""
    app = FastAPI(
        title="Sunhall 阳光大厅",
        version=version,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(SunhallError, on_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_middleware(BodyCap)
    app.add_middleware(SecurityHeaders)
    return app


async def on_error(connection: Any, error: Exception) -> Response:
    """Our errors as `{"error": {code, message, fields}}`; the browser translates the code."""
    if not isinstance(error, SunhallError):
        raise error
    status = next((number for kind, number in STATUS if isinstance(error, kind)), 500)
    if error.code == "too_many_attempts":
        status = 429
    if status >= 500:
        log.error("request_failed", extra={"fields": {"code": error.code, "path": connection.url.path}}, exc_info=error)
    headers = {"Retry-After": str(error.fields["retry_s"])} if "retry_s" in error.fields else None
    return problem(status, error.code, error.message, error.fields, headers)


async def on_invalid(_request: Request, error: Exception) -> Response:
    """A body or parameter of the wrong shape: 422 with the field's path and what is wrong; never its value."""
    if not isinstance(error, RequestValidationError):
        raise error
    fields = {".".join(str(part) for part in item["loc"]): str(item["type"]) for item in error.errors()}
    return problem(422, "invalid_request", "some fields are missing or have the wrong form", fields)


async def on_http(_request: Request, error: Exception) -> Response:
    """Starlette's own refusals (404, 405, 413) in the same form."""
    if not isinstance(error, HTTPException):
        raise error
    codes = {404: "not_found", 405: "method_not_allowed", 408: "body_too_slow", 413: "body_too_large"}
    code = codes.get(error.status_code, "http_error")
    return problem(error.status_code, code, str(error.detail), {}, error.headers)


def problem(
    status: int, code: str, message: str, fields: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    """The one form of an error on the wire."""
    body = {"error": {"code": code, "message": message, "fields": dict(fields)}}
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))


class SecurityHeaders:
    """Adds the security headers to every answer, and `no-store` where no route said how to cache."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)


class BodyCap:
    """Refuses bodies over the cap with 413, by their declared length or as soon as they grow; slow ones with 408."""

    def __init__(
        self, app: ASGIApp, limit: int = JSON_LIMIT, upload_limit: int = UPLOAD_LIMIT, body_s: float = BODY_S
    ) -> None:
        self._app = app
        self._body_s = body_s
        self._limit = limit
        self._upload_limit = upload_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._upload_limit if scope["path"].startswith(UPLOAD_PREFIX) else self._limit
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            answer = problem(413, "body_too_large", "the body is larger than this route takes", {"limit": limit})
            await answer(scope, receive, send)
            return
        await self._app(scope, _capped(receive, limit, self._body_s), send)


def _capped(receive: Receive, limit: int, body_s: float) -> Callable[[], Awaitable[Message]]:
    seen, whole = 0, False
    until = asyncio.get_running_loop().time() + body_s

    async def capped() -> Message:
        nonlocal seen, whole
        if whole:
            return await receive()  # only the end of the connection comes now
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, "the body did not arrive in time") from error
        seen += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if seen > limit:
            raise HTTPException(413, "the body is larger than this route takes")
        return message

    return capped
