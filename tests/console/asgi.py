"""Calls an ASGI application without a socket: requests through httpx, WebSocket handshakes by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx
from starlette.types import ASGIApp, Message, Scope

T = TypeVar("T")


class AppLoop:
    """An event loop in a thread of its own, where the application runs."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="app-loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, done in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        """Stop the loop and its helpers, and wait."""
        self.run(self.loop.shutdown_asyncgens())
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class AppTransport(httpx.BaseTransport):
    """A synchronous transport to an application in an `AppLoop`."""

    def __init__(self, app: ASGIApp, loop: AppLoop, address: str) -> None:
        self._inner = httpx.ASGITransport(app, client=(address, 50_000))
        self._loop = loop

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._loop.run(self._ask(request))

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        answer = await self._inner.handle_async_request(
            httpx.Request(request.method, request.url, headers=request.headers, content=content)
        )
        data = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=data)


def handshake(app: ASGIApp, loop: AppLoop, path: str, headers: dict[str, str], address: str) -> Message:
    """What an application answers first to a WebSocket's handshake: accept or close."""
    return loop.run(_handshake(app, path, headers, address))


async def _handshake(app: ASGIApp, path: str, headers: dict[str, str], address: str) -> Message:
    answered: asyncio.Queue[Message] = asyncio.Queue()
    incoming: list[Message] = [{"type": "websocket.connect"}]
    left = asyncio.Event()

    async def receive() -> Message:
        if incoming:
            return incoming.pop()
        await left.wait()
        return {"type": "websocket.disconnect", "code": 1001}

    scope: Scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "wss",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": (address, 50_000),
        "server": ("hall.example", 443),
        "subprotocols": [],
    }
    task = asyncio.ensure_future(app(scope, receive, answered.put))
    first = await answered.get()
    left.set()
    await task
    return first
