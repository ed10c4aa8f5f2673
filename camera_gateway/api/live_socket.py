"""`WS /v1/live`: one socket for all streams that a console passes on."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from uuid import UUID

from fastapi import WebSocket, WebSocketDisconnect

from camera_gateway.live.hub import Hub, Viewer
from storage.clock import Clock

log = logging.getLogger(__name__)

MAX_CHANNELS = 1024


class LiveSocket:
    """Serves one viewer until it leaves."""

    def __init__(self, socket: WebSocket, hub: Hub, clock: Clock) -> None:
        self._socket = socket
        self._hub = hub
        self._clock = clock
        self._viewer = Viewer()

    async def run(self) -> None:
        sender = asyncio.create_task(self._send_forever())
        receiver = asyncio.create_task(self._receive_forever())
        try:
            await asyncio.wait((sender, receiver), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(self._viewer)
            for task in (sender, receiver):
                task.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)

    async def _send_forever(self) -> None:
        while True:
            message = await self._viewer.next()
            if isinstance(message, str):
                await self._socket.send_text(message)
            else:
                await self._socket.send_bytes(message)

    async def _receive_forever(self) -> None:
        while True:
            try:
                text = await self._socket.receive_text()
            except (WebSocketDisconnect, KeyError, RuntimeError):
                return  # gone, or a binary frame where control belongs
            if self._viewer.behind:
                log.warning("viewer_does_not_read")
                return
            try:
                self._take(json.loads(text))
            except (ValueError, KeyError, TypeError, AttributeError):
                self._viewer.say(op="error", channel=None, code="message_invalid")

    def _take(self, message: dict[str, Any]) -> None:
        operation = message["op"]
        if operation == "subscribe":
            number = _channel(message)
            if number not in self._viewer.channels and len(self._viewer.channels) >= MAX_CHANNELS:
                self._viewer.say(op="error", channel=number, code="too_many_channels")
                return
            keys_only = bool(message.get("keys_only"))
            self._hub.subscribe(self._viewer, number, UUID(message["stream"]), keys_only=keys_only)
        elif operation == "unsubscribe":
            self._hub.unsubscribe(self._viewer, _channel(message))
        elif operation == "ping":
            self._viewer.say(op="pong", n=int(message["n"]), now_us=self._clock.now_us())
        else:
            self._viewer.say(op="error", channel=None, code="operation_unknown")


def _channel(message: dict[str, Any]) -> int:
    number = message["channel"]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 65536:
        raise ValueError("a channel is a number below 65536")
    return number
