"""Which stream a browser gets for a camera and a quality: one that it can play."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from storage.archive.catalog import Catalog
from storage.archive.tables import channel, device, stream
from storage.errors import NotFound

PLAYABLE = "h264"
"""What every browser plays live; H.265 goes by its substream, or transcoded."""


class Quality(StrEnum):
    """What a tile asks for."""

    MAIN = "main"
    SUB = "sub"
    AUTO = "auto"


_ORDER = {
    Quality.MAIN: ("main", "sub"),
    Quality.SUB: ("sub", "main"),
    Quality.AUTO: ("main", "sub"),
}


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """The stream to relay and where it comes from."""

    stream_id: UUID
    gateway_id: UUID
    camera_id: UUID
    role: str
    playable: bool


class LiveStreams:
    """Resolves what browsers name. Blocking."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def of_camera(self, camera_id: UUID, quality: Quality) -> StreamChoice:
        """The camera's H.264 stream of that quality, or its other one; not `playable` when it has none.

        Raises:
            NotFound: `camera_not_found`.
        """
        rows = self._rows(stream.c.channel_id == camera_id)
        if not rows:
            raise NotFound("camera_not_found", "there is no such camera, or it was retired")
        ordered = sorted(rows, key=lambda row: _ORDER[quality].index(row.role))
        playable = [row for row in ordered if row.codec == PLAYABLE]
        return _choice((playable or ordered)[0])

    def of_stream(self, stream_id: UUID) -> StreamChoice:
        """A stream by its id, whatever its codec. Raises NotFound (`stream_not_found`)."""
        rows = self._rows(stream.c.id == stream_id)
        if not rows:
            raise NotFound("stream_not_found", "there is no such stream, or its camera was retired")
        return _choice(rows[0])

    def _rows(self, which: Any) -> list[Row[Any]]:
        query = (
            select(stream, device.c.gateway_id)
            .join(channel, channel.c.id == stream.c.channel_id)
            .join(device, device.c.id == channel.c.device_id)
            .where(which, device.c.retired_us.is_(None))
        )
        with self._catalog.read() as conn:
            return list(conn.execute(query))


def _choice(row: Row[Any]) -> StreamChoice:
    return StreamChoice(row.id, row.gateway_id, row.channel_id, row.role, row.codec == PLAYABLE)
