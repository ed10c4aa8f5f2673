"""A gateway's live socket for tests: a real WebSocket server on loopback that checks signatures and plays frames."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any
from uuid import UUID

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from storage.clock import Clock, SystemClock
from storage.errors import NotAuthenticated
from storage.identity.requests import MemoryNonces, SharedSecret, sign_headers, verify_headers

SECRET = SharedSecret(b"a secret of thirty-two bytes ...")
HEAD = struct.Struct(">HBB")


class FakeAddress:
    """Where the fake gateway is, and a signer (HMAC stands in for Ed25519: the bytes that are signed are the same)."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self.url = url
        self._clock = clock or SystemClock()

    def live_url(self, gateway_id: UUID | None = None) -> str:
        return self.url

    def signed(self, method: str, target: str) -> dict[str, str]:
        return sign_headers(SECRET, "console", method, target, b"", self._clock)


class FakeLiveGateway:
    """Listens on a free port; `subscriptions` counts what consoles asked for, `play` sends to whoever subscribed."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: list[ServerConnection] = []
        self.channels: dict[str, tuple[ServerConnection, int]] = {}
        self.subscriptions: list[str] = []
        self.transcoded: list[str] = []
        self.unsubscriptions: list[str] = []
        self.refused = 0
        self._nonces = MemoryNonces(SystemClock())
        self._server: Server | None = None
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/live"

    async def start(self) -> None:
        """Listen; the same port again after a `stop`."""
        self._server = await serve(self._serve, "127.0.0.1", self.port, compression=None)
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Die: every connection ends."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def subscribed(self, stream: str, times: int = 1) -> None:
        """Wait until the stream was asked for so often in all."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.subscriptions.count(stream) >= times and stream in self.channels)

    async def unsubscribed(self, stream: str) -> None:
        """Wait until the stream was let go."""
        async with self._changed:
            await self._changed.wait_for(lambda: stream in self.unsubscriptions)

    async def say(self, stream: str, /, **message: Any) -> None:
        """A control message about the stream."""
        socket, channel = self.channels[stream]
        await socket.send(json.dumps({"channel": channel, **message}))

    async def info(self, stream: str, codec: str = "avc1.64001F") -> None:
        """Info, live state and init segment, as at the start of a subscription."""
        await self.say(stream, op="info", stream=stream, role="sub", codec=codec, width=640, height=360)
        states = {"live": "live", "cause": "", "since_us": 1, "recording": "recorded", "recording_since_us": 1}
        await self.say(stream, op="state", **states)
        await self.media(stream, 0, 0, b"init " + codec.encode())

    async def media(self, stream: str, kind: int, flags: int, payload: bytes) -> None:
        """A media message."""
        socket, channel = self.channels[stream]
        await socket.send(HEAD.pack(channel, kind, flags) + payload)

    async def frame(self, stream: str, payload: bytes, *, key: bool = False) -> None:
        """One frame."""
        await self.media(stream, 1, int(key), payload)

    async def _serve(self, socket: ServerConnection) -> None:
        request = socket.request
        try:
            if request is None:
                raise NotAuthenticated("signature_missing")
            verify_headers(
                dict(request.headers.raw_items()),
                "GET",
                request.path,
                b"",
                lambda key: SECRET if key == "console" else None,
                self._nonces,
                SystemClock(),
            )
        except NotAuthenticated:
            self.refused += 1
            await socket.close(4401)
            return
        self.connections.append(socket)
        try:
            async for message in socket:
                await self._take(socket, json.loads(message))
        except ConnectionClosed:
            pass
        finally:
            self.connections.remove(socket)
            self.channels = {key: item for key, item in self.channels.items() if item[0] is not socket}

    async def _take(self, socket: ServerConnection, message: dict[str, Any]) -> None:
        async with self._changed:
            if message["op"] == "subscribe":
                self.channels[message["stream"]] = (socket, message["channel"])
                self.subscriptions.append(message["stream"])
                if message.get("transcode"):
                    self.transcoded.append(message["stream"])
            elif message["op"] == "unsubscribe":
                stream = next(key for key, item in self.channels.items() if item == (socket, message["channel"]))
                del self.channels[stream]
                self.unsubscriptions.append(stream)
            self._changed.notify_all()
