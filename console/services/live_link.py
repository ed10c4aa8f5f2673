"""The console's one socket to a gateway's `/v1/live`: signed handshake, reconnect with back-off."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Protocol
from uuid import UUID

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from console.services.live_relay import LinkEvents
from storage.clock import Clock
from storage.errors import MediaError, Unavailable

log = logging.getLogger(__name__)

LIVE_PATH = "/v1/live"
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 2.0
MAX_MESSAGE = 32 << 20
PING_S = 10.0


class GatewayAddress(Protocol):
    """Where a gateway is and how a handshake is signed (`HttpGateway`). Blocking: called in a thread."""

    def live_url(self, gateway_id: UUID | None = None) -> str:
        """`ws://host:port/v1/live`. Raises Unavailable."""
        ...

    def signed(self, method: str, target: str) -> dict[str, str]:
        """Headers that sign a request without a body."""
        ...


class GatewayLink:
    """Keeps one socket open until it is closed. Made on the event loop."""

    def __init__(self, gateway_id: UUID, address: GatewayAddress, events: LinkEvents, clock: Clock) -> None:
        self._gateway_id = gateway_id
        self._address = address
        self._events = events
        self._clock = clock
        self._outgoing: asyncio.Queue[str] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"live-link-{gateway_id}")

    def send(self, message: dict[str, Any]) -> None:
        """Queue a control message when connected; dropped otherwise: a reconnect says everything again."""
        if self._outgoing is not None:
            self._outgoing.put_nowait(json.dumps(message, separators=(",", ":")))

    async def close(self) -> None:
        """Close the socket and wait for the task."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        delay_s, lost_us = FIRST_DELAY_S, self._clock.now_us()
        while True:
            was_open = await self._run_once()
            if was_open:
                delay_s, lost_us = FIRST_DELAY_S, self._clock.now_us()
            self._events.lost(lost_us, retried=not was_open)
            await self._clock.sleep_async(delay_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)

    async def _run_once(self) -> bool:
        """One connection from its handshake to its end; whether it was ever open."""
        was_open = False
        try:
            url, headers = await asyncio.to_thread(self._prepare)
            async with connect(
                url,
                additional_headers=headers,
                compression=None,
                max_size=MAX_MESSAGE,
                open_timeout=5,
                close_timeout=1,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                proxy=None,
            ) as socket:
                was_open = True
                await self._talk(socket)
        except (OSError, TimeoutError, WebSocketException, MediaError, Unavailable) as error:
            fields = {"gateway": self._gateway_id, "was_open": was_open, "error": type(error).__name__}
            log.info("live_link_failed", extra={"fields": fields})
        return was_open

    def _prepare(self) -> tuple[str, dict[str, str]]:
        return self._address.live_url(self._gateway_id), self._address.signed("GET", LIVE_PATH)

    async def _talk(self, socket: ClientConnection) -> None:
        self._outgoing = asyncio.Queue()
        sender = asyncio.create_task(self._send_forever(socket, self._outgoing))
        try:
            self._events.connected()
            async for message in socket:
                if isinstance(message, bytes):
                    self._events.media(message)
                else:
                    self._events.control(_object(message))
        finally:
            self._outgoing = None
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send_forever(self, socket: ClientConnection, outgoing: asyncio.Queue[str]) -> None:
        while True:
            await socket.send(await outgoing.get())


def _object(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except ValueError as error:
        raise MediaError("live_message_invalid", "a control message of the gateway is not JSON") from error
    if not isinstance(message, dict):
        raise MediaError("live_message_invalid", "a control message of the gateway is no object")
    return message
