"""The API process's end of the live link: takes workers' connections and feeds the hub."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from camera_gateway.live import unix_path, wire
from camera_gateway.live.hub import Hub
from camera_gateway.stats import FleetStats, WorkerStats
from storage.errors import MediaError

log = logging.getLogger(__name__)

_KEEP_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""From 3.13 on asyncio looks at the socket's path in the loop to remove it at the end; `_listen` does that."""


class LinkServer:
    """Listens on a Unix socket for the gateway's own ingest workers."""

    def __init__(self, path: Path, hub: Hub, stats: FleetStats | None = None) -> None:
        self._path = path
        self._hub = hub
        self._stats = stats
        self._links: set[_WorkerLink] = set()
        self._server: asyncio.Server | None = None

    @property
    def workers(self) -> int:
        """How many workers are connected."""
        return len(self._links)

    @property
    def indexes(self) -> frozenset[int]:
        """Which workers are connected, by the index that they said in their greeting."""
        return frozenset(link.index for link in self._links if link.index >= 0)

    async def start(self) -> None:
        listening = await asyncio.to_thread(_listen, self._path)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _WorkerLink(self), sock=listening, **_KEEP_PATH)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for link in list(self._links):
                link.close()
            await self._server.wait_closed()

    def tell_watched(self, watched: frozenset[UUID]) -> None:
        """Tell all workers what is watched; each acts on its own share."""
        self._tell(_watch_message(watched))

    def tell_refresh(self) -> None:
        """Tell all workers to read the plan now."""
        self._tell(wire.pack_json(wire.Kind.REFRESH, {}))

    def joined(self, link: _WorkerLink) -> None:
        """A worker connected."""
        self._links.add(link)
        link.write(_watch_message(self._hub.watched))

    def left(self, link: _WorkerLink) -> None:
        """A worker is gone, and what it said of its streams with it."""
        self._links.discard(link)
        if self._stats is not None and link.index not in self.indexes:
            self._stats.lose(link.index)
        self._hub.lose(link.streams)

    def take(self, link: _WorkerLink, kind: int, body: memoryview) -> None:
        """A message of a worker. Raises MediaError, ValueError, KeyError, TypeError: it is none."""
        if kind == wire.Kind.UNIT:
            self._hub.take_frame(*wire.split_unit(body))
        elif kind == wire.Kind.FORMAT:
            self._hub.take_format(*wire.unpack_format(bytes(body)))
        elif kind == wire.Kind.STATES:
            link.streams |= self._hub.take_states(json.loads(bytes(body)))
        elif kind == wire.Kind.DROPPED:
            dropped = json.loads(bytes(body))
            self._hub.take_dropped(UUID(dropped["stream"]), int(dropped["frames"]))
        elif kind == wire.Kind.HELLO:
            link.index = int(json.loads(bytes(body))["worker"])
            if self._stats is not None:
                self._stats.meet(link.index)
        elif kind == wire.Kind.STATS and self._stats is not None:
            self._stats.take(WorkerStats.from_json(json.loads(bytes(body))))

    def _tell(self, message: bytes) -> None:
        for link in self._links:
            link.write(message)


class _WorkerLink(asyncio.Protocol):
    """One worker's connection: a protocol, because a stream reader costs more per frame than all the rest."""

    def __init__(self, server: LinkServer) -> None:
        self._server = server
        self._reader = wire.MessageReader(lambda kind, body: server.take(self, kind, body))
        self._transport: asyncio.WriteTransport | None = None
        self.index = -1
        self.streams: set[UUID] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own class is not registered as one
        self._server.joined(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except (MediaError, ValueError, KeyError, TypeError) as error:
            log.warning("worker_link_invalid", extra={"fields": {"error": type(error).__name__}})
            self.close()

    def connection_lost(self, _error: Exception | None) -> None:
        log.info("worker_link_ended", extra={"fields": {"worker": self.index}})
        self._server.left(self)

    def write(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.write(message)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _watch_message(watched: frozenset[UUID]) -> bytes:
    return wire.pack_json(wire.Kind.WATCH, sorted(str(stream_id) for stream_id in watched))


def _listen(path: Path) -> socket.socket:
    """A listening Unix socket at `path` for our own user alone; what an earlier process left there is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with unix_path.address(path) as address:
        listening.bind(address)
    path.chmod(0o600)
    return listening
