"""What a worker does before it records (docs/recording.md): nothing that a crash left is lost or forgotten.

In this order, for each stream of the worker's share: files that were placed but not committed are adopted; part files
are cut to their last whole fragment, placed and committed as salvaged; runs that were left open end as `crash`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select

from camera_gateway.fmp4.salvage import FileFacts, inspect, salvage
from camera_gateway.recorder.disk import Placement, place_with_mark, placed_mark
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest
from storage.archive.tables import run, segment
from storage.clock import US
from storage.errors import MediaError, SunhallError
from storage.model import CameraSegment, RunEnd

log = logging.getLogger(__name__)

QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found."""

    adopted: int = 0
    salvaged: int = 0
    quarantined: int = 0
    runs_closed: int = 0


class Recovery:
    """Recovers the staging folders of some streams. Not for streams that somebody records."""

    def __init__(self, staging: Path, placement: Placement, ingest: Ingest, catalog: Catalog) -> None:
        self._staging = staging
        self._placement = placement
        self._ingest = ingest
        self._catalog = catalog

    def run(self, stream_ids: Iterable[UUID]) -> Recovered:
        """Recover and report.

        Raises:
            Unavailable: the catalog is away: nothing is lost, call again.
            OSError: the disk refused.
        """
        adopted = salvaged = quarantined = closed = 0
        for stream_id in sorted(stream_ids):
            folder = self._staging / str(stream_id)
            for mark in sorted(folder.glob("*.placed")):
                adopted += self._rescue(mark, finished=True)
            for part in sorted(folder.glob("*.part")):
                kept = self._rescue(part, finished=False)
                salvaged += kept
                quarantined += not kept
            closed += self._close_runs(stream_id)
        found = Recovered(adopted, salvaged, quarantined, closed)
        log.info("recovery_done", extra={"fields": {"found": str(found)}})
        return found

    def _rescue(self, path: Path, *, finished: bool) -> bool:
        try:
            facts = inspect(path) if finished else salvage(path)
        except MediaError as error:
            self._quarantine(path, error.code)
            return False
        try:
            self._commit(path, facts, finished=finished)
        except SunhallError as error:
            if error.code not in ("stream_not_found", "segment_conflict"):
                raise
            self._quarantine(path, error.code)
            return False
        return True

    def _commit(self, path: Path, facts: FileFacts, *, finished: bool) -> None:
        identity = facts.head.identity
        row = _row(facts, salvaged=not finished)
        self._ingest.open_run(identity.stream, identity.t0_us, identity.run)
        if finished:
            location = self._placement.place(identity.segment, path)
        else:
            location = place_with_mark(self._placement, identity.segment, path)
        self._ingest.commit_segment(row, location)
        placed_mark(path).unlink(missing_ok=True)
        log.warning(
            "segment_recovered",
            extra={"fields": {"segment": identity.segment, "salvaged": row.salvaged, "frames": row.frames}},
        )

    def _close_runs(self, stream_id: UUID) -> int:
        with self._catalog.read() as conn:
            left = conn.execute(
                select(run.c.id, run.c.t0_us).where(run.c.stream_id == stream_id, run.c.t1_us.is_(None))
            )
            ends = {}
            for row in left.all():
                query = select(func.max(segment.c.t1_us)).where(segment.c.run_id == row.id)
                ends[row.id] = conn.execute(query).scalar_one() or row.t0_us
        for run_id, t1_us in ends.items():
            self._ingest.close_run(run_id, t1_us, RunEnd.CRASH, "found at the next start")
        return len(ends)

    def _quarantine(self, path: Path, why: str) -> None:
        """Bytes that we cannot commit are kept apart for a person to look at; never deleted here."""
        folder = self._staging / QUARANTINE
        folder.mkdir(exist_ok=True)
        os.replace(path, folder / path.name)
        log.error("file_quarantined", extra={"fields": {"file": path.name, "why": why}})


def _row(facts: FileFacts, *, salvaged: bool) -> CameraSegment:
    head = facts.head
    return CameraSegment(
        id=head.identity.segment,
        stream_id=head.identity.stream,
        run_id=head.identity.run,
        t0_us=head.identity.t0_us,
        t1_us=head.identity.t0_us + max(1, facts.media_duration * US // head.timescale),
        media_duration=facts.media_duration,
        timescale=head.timescale,
        codec=head.codec,
        width=head.width,
        height=head.height,
        frames=facts.frames,
        size_bytes=facts.size_bytes,
        sha256=facts.sha256,
        salvaged=salvaged,
    )
