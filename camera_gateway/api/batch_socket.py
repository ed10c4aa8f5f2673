"""uvicorn's sans-IO WebSocket with one addition: many messages in one write.

An ASGI server takes one message at a time and builds each frame in Python from scratch: 20 µs and two copies a frame.
`websocket.send` with the key `BATCH` takes frames that are ready instead, as a list of buffers, and writes them
together. Everything else (handshake, pings, closing, flow control) stays uvicorn's.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

BATCH = "sunhall.batch"
"""Key of a `websocket.send` event: buffers of whole unmasked frames; its other content is not sent."""


class BatchSocket(WebSocketsSansIOProtocol):
    """Made by uvicorn for each connection."""

    async def send(self, message: Any) -> None:
        batch: list[bytes] | None = message.get(BATCH)
        if batch is None:
            await super().send(message)
            return
        await self.writable.wait()
        if self.disconnected or self.transport.is_closing() or self.conn.state is not State.OPEN:
            raise ClientDisconnected
        self.transport.writelines(batch)
