"""What the API process must ask others to know: the catalog, the disk, its own CPU time. Everything here blocks."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select

from camera_gateway.api.condition import StreamName, Surroundings
from storage.archive.catalog import Catalog
from storage.archive.space import DiskGuard, Usage, Volume
from storage.archive.staging import StagingFolder
from storage.archive.tables import channel, device, stream
from storage.clock import US, Clock
from storage.errors import ConfigurationError, Unavailable

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Lookout:
    """Called by several threads at once; the worst that can happen is that two of them ask the same."""

    catalog: Catalog
    gateway_id: UUID
    staging: StagingFolder
    volume: Volume
    guard: DiskGuard
    reserve_bytes: int
    clock: Clock
    _names: Mapping[UUID, StreamName] = field(default_factory=dict)

    def __call__(self) -> Surroundings:
        """Look now. A catalog or disk that does not answer is part of what is seen."""
        catalog_ok = self._read_names()
        files, oldest = self.staging.waiting()
        waited_s = 0.0 if oldest is None else max(0.0, self.clock.now_us() / US - oldest)
        usage = self._usage()
        times = os.times()
        return Surroundings(
            catalog_ok,
            usage.free_bytes,
            usage.total_bytes,
            self.reserve_bytes,
            self.guard.forecast_s,
            self.staging.total_bytes(),
            files,
            waited_s,
            self._names,
            times.user + times.system,
        )

    def _usage(self) -> Usage:
        try:
            return self.volume.usage()
        except OSError as error:  # a volume that is gone has no room
            log.error("volume_gone", extra={"fields": {"error": error.strerror}})
            return Usage(0, 0)

    def _read_names(self) -> bool:
        """Names of this gateway's streams; those known before stay when the catalog is away."""
        query = (
            select(stream.c.id, stream.c.role, channel.c.name)
            .join(channel, channel.c.id == stream.c.channel_id)
            .join(device, device.c.id == channel.c.device_id)
            .where(device.c.gateway_id == self.gateway_id, device.c.retired_us.is_(None))
        )
        try:
            with self.catalog.read() as conn:
                self._names = {row.id: StreamName(row.name, row.role) for row in conn.execute(query)}
        except (Unavailable, ConfigurationError) as error:
            log.warning("catalog_away", extra={"fields": {"code": error.code}})
            return False
        return True
