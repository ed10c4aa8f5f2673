"""`WS /api/live`: the browser's one socket for all live pictures (docs/interfaces.md, section 5)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, FastAPI, WebSocket, WebSocketDisconnect

from console.routes.guard import SOCKET_NOT_AUTHENTICATED, SOCKET_NOT_PERMITTED, Guard
from console.services.access import Action, Actor
from console.services.live_session import LiveParts, LiveSession
from storage.errors import NotAuthenticated, NotPermitted

GOING_AWAY = 1001
TOO_SLOW = 1008


def router(parts: LiveParts, guard: Guard) -> APIRouter:
    """`/api/live`; its relay is closed with the application."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await parts.relay.close()

    routes = APIRouter(tags=["live"], lifespan=lifespan)

    @routes.websocket("/api/live")
    async def live(socket: WebSocket, actor: Annotated[Actor, guard.websocket(Action.LIVE_VIEW)]) -> None:
        await socket.accept()
        session = LiveSession(parts, actor)
        tasks = [
            asyncio.create_task(_receive(socket, session)),
            asyncio.create_task(_send(socket, session)),
            asyncio.create_task(session.watch_over()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            session.close()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        await _say_goodbye(socket, results)

    return routes


class _Stuck(Exception):
    """The browser does not read."""


async def _receive(socket: WebSocket, session: LiveSession) -> None:
    while True:
        await session.handle(await socket.receive_text())
        if session.viewer.stuck:
            raise _Stuck


async def _send(socket: WebSocket, session: LiveSession) -> None:
    while True:
        message = await session.viewer.next()
        if isinstance(message, str):
            await socket.send_text(message)
        else:
            await socket.send_bytes(message)


async def _say_goodbye(socket: WebSocket, results: list[BaseException | None]) -> None:
    """Close with a code that says why; an error nobody expected goes on."""
    for error in results:
        if isinstance(error, WebSocketDisconnect):
            return
        if isinstance(error, NotAuthenticated):
            await socket.close(SOCKET_NOT_AUTHENTICATED, error.code)
            return
        if isinstance(error, NotPermitted):
            await socket.close(SOCKET_NOT_PERMITTED, error.code)
            return
        if isinstance(error, _Stuck):
            await socket.close(TOO_SLOW, "not_reading")
            return
    for error in results:
        if error is not None and not isinstance(error, asyncio.CancelledError):
            raise error
