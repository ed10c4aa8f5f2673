"""`WS /v1/live`: one socket for all streams that a console passes on."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from fastapi import WebSocket, WebSocketDisconnect

from camera_gateway.api.batch_socket import BATCH
from camera_gateway.live.hub import Hub, Viewer
from storage.clock import Clock
from storage.errors import NotFound, Unavailable

log = logging.getLogger(__name__)

MAX_CHANNELS = 1024
PACE_S = 0.01
"""What comes within this time is written together: at most so much later, at half the work."""


class LiveSocket:
    """Serves one viewer until it leaves. `known` says whether a stream is one of this gateway's; it blocks.

    `transcoded` gives the stream that is derived from an H.265 one; it raises NotFound when there may be none.
    """

    def __init__(
        self,
        socket: WebSocket,
        hub: Hub,
        clock: Clock,
        known: Callable[[UUID], bool],
        transcoded: Callable[[UUID], UUID],
    ) -> None:
        self._socket = socket
        self._hub = hub
        self._clock = clock
        self._known = known
        self._transcoded = transcoded
        self._viewer = Viewer(hub.tally)

    async def run(self) -> None:
        sender = asyncio.create_task(self._send_forever())
        receiver = asyncio.create_task(self._receive_forever())
        self._hub.viewers += 1
        try:
            await asyncio.wait((sender, receiver), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.viewers -= 1
            self._hub.leave(self._viewer)
            for task in (sender, receiver):
                task.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)

    async def _send_forever(self) -> None:
        while True:
            await self._viewer.wait()
            await self._socket.send({"type": "websocket.send", "bytes": b"", BATCH: self._viewer.take()})
            await asyncio.sleep(PACE_S)

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
                await self._take(json.loads(text))
            except (ValueError, KeyError, TypeError, AttributeError):
                self._viewer.say(op="error", channel=None, code="message_invalid")

    async def _take(self, message: dict[str, Any]) -> None:
        operation = message["op"]
        if operation == "subscribe":
            number = _channel(message)
            if number not in self._viewer.channels and len(self._viewer.channels) >= MAX_CHANNELS:
                self._viewer.say(op="error", channel=number, code="too_many_channels")
                return
            stream_id, keys_only = UUID(message["stream"]), bool(message.get("keys_only"))
            if not await asyncio.to_thread(self._is_known, stream_id):
                self._hub.unsubscribe(self._viewer, number)
                self._viewer.say(op="error", channel=number, code="stream_not_found")
                return
            if message.get("transcode") is True:
                self._subscribe_derived(number, stream_id, keys_only=keys_only)
            else:
                self._hub.subscribe(self._viewer, number, stream_id, keys_only=keys_only)
        elif operation == "unsubscribe":
            self._hub.unsubscribe(self._viewer, _channel(message))
        elif operation == "ping":
            self._viewer.say(op="pong", n=int(message["n"]), now_us=self._clock.now_us())
        else:
            self._viewer.say(op="error", channel=None, code="operation_unknown")

    def _subscribe_derived(self, number: int, stream_id: UUID, *, keys_only: bool) -> None:
        try:
            derived = self._transcoded(stream_id)
        except NotFound as error:
            self._hub.unsubscribe(self._viewer, number)
            self._viewer.say(op="error", channel=number, code=error.code)
            return
        self._hub.subscribe(self._viewer, number, derived, keys_only=keys_only)

    def _is_known(self, stream_id: UUID) -> bool:
        """While the catalog is away viewers are not turned away: the console asked it before."""
        try:
            return self._known(stream_id)
        except Unavailable:
            return True


def _channel(message: dict[str, Any]) -> int:
    number = message["channel"]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 65536:
        raise ValueError("a channel is a number below 65536")
    return number
