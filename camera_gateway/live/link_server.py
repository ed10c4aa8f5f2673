"""The API process's end of the live link: takes workers' connections and feeds the hub."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from camera_gateway.live import unix_path, wire
from camera_gateway.live.hub import Hub
from camera_gateway.stats import FleetStats, WorkerStats
from storage.errors import MediaError

log = logging.getLogger(__name__)

_LIMIT = 1 << 20

_KEEP_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""From 3.13 on asyncio looks at the socket's path in the loop to remove it at the end; `_listen` does that."""


class LinkServer:
    """Listens on a Unix socket for the gateway's own ingest workers."""

    def __init__(self, path: Path, hub: Hub, stats: FleetStats | None = None) -> None:
        self._path = path
        self._hub = hub
        self._stats = stats
        self._writers: dict[asyncio.StreamWriter, int] = {}
        self._server: asyncio.Server | None = None

    @property
    def workers(self) -> int:
        """How many workers are connected."""
        return len(self._writers)

    @property
    def indexes(self) -> frozenset[int]:
        """Which workers are connected, by the index that they said in their greeting."""
        return frozenset(index for index in self._writers.values() if index >= 0)

    async def start(self) -> None:
        listening = await asyncio.to_thread(_listen, self._path)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=_LIMIT, **_KEEP_PATH)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            await self._server.wait_closed()

    def tell_watched(self, watched: frozenset[UUID]) -> None:
        """Tell all workers what is watched; each acts on its own share."""
        self._tell(wire.pack_json(wire.Kind.WATCH, sorted(str(stream_id) for stream_id in watched)))

    def tell_refresh(self) -> None:
        """Tell all workers to read the plan now."""
        self._tell(wire.pack_json(wire.Kind.REFRESH, {}))

    def _tell(self, message: bytes) -> None:
        for writer in self._writers:
            writer.write(message)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[writer] = -1
        mine: set[UUID] = set()
        writer.write(wire.pack_json(wire.Kind.WATCH, sorted(str(key) for key in self._hub.watched)))
        try:
            while True:
                head = await reader.readexactly(wire.HEAD.size)
                length, kind = wire.HEAD.unpack(head)
                if not 0 < length <= wire.MAX_MESSAGE:
                    raise MediaError("live_message_invalid", f"a message of {length} bytes")
                self._take(kind, await reader.readexactly(length - 1), mine, writer)
        except (asyncio.IncompleteReadError, ConnectionError, MediaError, ValueError, KeyError) as error:
            log.info("worker_link_ended", extra={"fields": {"error": type(error).__name__}})
        finally:
            index = self._writers.pop(writer, -1)
            if self._stats is not None and index not in self.indexes:
                self._stats.lose(index)
            writer.close()
            self._hub.lose(mine)

    def _take(self, kind: int, body: bytes, mine: set[UUID], writer: asyncio.StreamWriter) -> None:
        if kind == wire.Kind.UNIT:
            self._hub.take_unit(*wire.unpack_unit(body))
        elif kind == wire.Kind.FORMAT:
            self._hub.take_format(*wire.unpack_format(body))
        elif kind == wire.Kind.STATES:
            mine |= self._hub.take_states(json.loads(body))
        elif kind == wire.Kind.DROPPED:
            dropped = json.loads(body)
            self._hub.take_dropped(UUID(dropped["stream"]), int(dropped["frames"]))
        elif kind == wire.Kind.HELLO:
            self._writers[writer] = int(json.loads(body)["worker"])
        elif kind == wire.Kind.STATS and self._stats is not None:
            self._stats.take(WorkerStats.from_json(json.loads(body)))


def _listen(path: Path) -> socket.socket:
    """A listening Unix socket at `path` for our own user alone; what an earlier process left there is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with unix_path.address(path) as address:
        listening.bind(address)
    path.chmod(0o600)
    return listening
