"""Recorded files that browsers may need transcoded: opened from wherever their object is now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from storage.archive.catalog import Catalog
from storage.archive.media import MediaReader, StagedReader
from storage.archive.objects import ObjectStore
from storage.archive.tables import segment
from storage.errors import NotFound


@dataclass(frozen=True, slots=True)
class RecordedH265:
    """Opens committed H.265 segments. Blocking."""

    catalog: Catalog
    stores: Mapping[str, ObjectStore]
    staged: StagedReader

    def __call__(self, segment_id: UUID) -> Iterator[bytes]:
        """The file's bytes.

        Raises:
            NotFound: `segment_not_found`, or `segment_plays`: it is no H.265 and needs no transcoding.
            ObjectMissing, Unavailable: its bytes cannot be had.
        """
        with self.catalog.read() as conn:
            codec = conn.execute(select(segment.c.codec).where(segment.c.id == segment_id)).scalar_one_or_none()
        if codec is None:
            raise NotFound("segment_not_found", "there is no such segment", id=str(segment_id))
        if not str(codec).startswith(("hvc1", "hev1")):
            raise NotFound("segment_plays", "the segment is no H.265: play it as it is", id=str(segment_id))
        return MediaReader(self.catalog, self.stores, self.staged).open("segment", segment_id)
