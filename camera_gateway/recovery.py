"""What a worker takes up of an earlier process (docs/recording.md): nothing that a crash left is lost or forgotten.

`find` is quick and comes before anything is recorded; `run` does the work and may go on beside new recording, as long
as the new rows wait for it (`DiskWriter.hold_rows`): the archive learns of things in the order in which they happened.
For each stream, in the order of time: files that were placed but not committed are adopted; part files are cut
to their last whole fragment, placed and committed as salvaged. Then the runs that were left open end as `crash`.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import select

from camera_gateway.fmp4.reader import read_head
from camera_gateway.fmp4.salvage import FileFacts, inspect, salvage
from camera_gateway.fmp4.writer import Identity
from camera_gateway.recorder.placing import QUARANTINE, Placement, place_with_mark, placed_mark, set_aside
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest, last_t1_us
from storage.archive.tables import run
from storage.clock import US
from storage.errors import MediaError, StorageFull, SunhallError, Unavailable
from storage.model import CameraSegment, RunEnd

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found."""

    adopted: int = 0
    salvaged: int = 0
    quarantined: int = 0
    left: int = 0
    """Files that the disk did not give or take now; the next start tries again."""
    runs_closed: int = 0
    empty: int = 0
    """Files that had just begun: no byte of footage was in them, so they were removed."""
    unfinished: int = 0
    """1: it was asked to stop before all was done."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What lies in the staging folder and nobody will take up: somebody must look."""

    quarantined: int = 0
    """Files that were set aside."""
    unknown_streams: int = 0
    """Folders with recordings of streams that this gateway does not have (a catalog restored from an old backup)."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an earlier process left of one stream."""

    stream_id: UUID
    files: tuple[Path, ...]
    runs: tuple[UUID, ...]
    """Runs that had no end when it was found."""


def find_leftovers(staging: Path, known: Iterable[UUID]) -> Leftovers:
    """Look through `staging`; `known` are all streams of this gateway. Changes nothing.

    Raises:
        OSError: the disk does not answer.
    """
    names = {str(stream_id) for stream_id in known} | {QUARANTINE}
    folders = [path for path in staging.iterdir() if path.is_dir()] if staging.is_dir() else []
    quarantined = sum(1 for path in folders if path.name == QUARANTINE for _ in path.iterdir())
    strangers = [path for path in folders if path.name not in names and _holds_recordings(path)]
    return Leftovers(quarantined, len(strangers))


def _holds_recordings(folder: Path) -> bool:
    return any(path.suffix in (".part", ".placed") for path in folder.iterdir())


class Recovery:
    """Recovers the staging folders of some streams."""

    def __init__(self, staging: Path, placement: Placement, ingest: Ingest, catalog: Catalog) -> None:
        self._staging = staging
        self._placement = placement
        self._ingest = ingest
        self._catalog = catalog

    def find(self, stream_ids: Iterable[UUID]) -> list[Found]:
        """What there is to do. Called before any of these streams is recorded: what is found later is of our own.

        Raises:
            Unavailable: the catalog is away: call again.
        """
        with self._catalog.read() as conn:
            query = select(run.c.stream_id, run.c.id).where(run.c.t1_us.is_(None)).order_by(run.c.t0_us)
            open_runs = [(row.stream_id, row.id) for row in conn.execute(query)]
        found = []
        for stream_id in sorted(stream_ids):
            runs = tuple(run_id for owner, run_id in open_runs if owner == stream_id)
            files = _files_of(self._staging / str(stream_id))
            if files or runs:
                found.append(Found(stream_id, files, runs))
        return found

    def run(self, found: Iterable[Found], stopped: Callable[[], bool] = lambda: False) -> Recovered:
        """Recover and report. One bad file keeps neither the others nor the recording that follows.

        `stopped` is asked before each file; what is left by then is found again.

        Raises:
            Unavailable, StorageFull: the catalog is away or full: nothing is lost, call again with the same.
        """
        counts: Counter[str] = Counter()
        for each in found:
            identities = {left: _identity(left) for path in each.files if (left := _as_it_is_now(path)) is not None}
            heads = [head for head in identities.values() if head is not None]
            for path in sorted(identities, key=lambda path: _begins_us(identities[path])):
                if stopped():
                    return Recovered(**counts, unfinished=1)
                counts[self._rescue(path, heads)] += 1
            runs = [*each.runs, *(head.run for head in heads if head.stream == each.stream_id)]
            counts["runs_closed"] += self._close_runs(dict.fromkeys(runs))
        done = Recovered(**counts)
        log.info("recovery_done", extra={"fields": {"found": str(done)}})
        return done

    def _rescue(self, path: Path, heads: Sequence[Identity]) -> str:
        """What became of a file: the name of its count in `Recovered`."""
        finished = path.suffix == ".placed"
        try:
            if not finished and _holds_nothing(path):
                path.unlink()
                return "empty"
            self._commit(path, heads, finished=finished)
        except (Unavailable, StorageFull):
            raise
        except OSError as error:
            log.error("file_left", extra={"fields": {"file": path.name, "error": error.strerror}})
            return "left"
        except SunhallError as error:
            return self._quarantine(path, error.code)
        return "adopted" if finished else "salvaged"

    def _commit(self, path: Path, heads: Sequence[Identity], *, finished: bool) -> None:
        size = path.stat().st_size
        facts = inspect(path) if finished else salvage(path)
        identity = facts.head.identity
        whole = finished or size == facts.size_bytes
        row = _row(facts, _next_t0_us(heads, identity) if whole else None, salvaged=not finished)
        self._ingest.open_run(identity.stream, identity.t0_us, identity.run)
        location = place_with_mark(self._placement, identity.segment, path.with_suffix(".part"))
        self._ingest.commit_segment(row, location)
        placed_mark(path).unlink(missing_ok=True)
        log.warning(
            "segment_recovered",
            extra={"fields": {"segment": identity.segment, "salvaged": row.salvaged, "frames": row.frames}},
        )

    def _close_runs(self, run_ids: Iterable[UUID]) -> int:
        ends: dict[UUID, int] = {}
        with self._catalog.read() as conn:
            for run_id in run_ids:
                query = select(run).where(run.c.id == run_id, run.c.t1_us.is_(None))
                row = conn.execute(query).one_or_none()
                if row is not None:
                    ends[run_id] = last_t1_us(conn, row)
        for run_id, t1_us in ends.items():
            self._ingest.close_run(run_id, t1_us, RunEnd.CRASH, "found at the next start")
        return len(ends)

    def _quarantine(self, path: Path, why: str) -> str:
        """Bytes that we cannot commit are kept apart for a person to look at; never deleted here."""
        log.error("file_quarantined", extra={"fields": {"file": path.name, "why": why}})
        try:
            set_aside(self._staging, path)
        except OSError as error:
            log.error("file_left", extra={"fields": {"file": path.name, "error": error.strerror}})
            return "left"
        return "quarantined"


def _files_of(folder: Path) -> tuple[Path, ...]:
    """Recordings in a stream's folder."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return ()
    except OSError as error:
        log.error("staging_unreadable", extra={"fields": {"folder": folder.name, "error": error.strerror}})
        return ()
    # A part file beside its mark is the same file: it may be the object already, so nobody may mend it.
    marked = {Path(name).stem for name in names if name.endswith(".placed")}
    parts = {Path(name).stem for name in names if name.endswith(".part")} - marked
    return tuple(folder / f"{stem}{'.placed' if stem in marked else '.part'}" for stem in sorted(marked | parts))


def _as_it_is_now(path: Path) -> Path | None:
    """A second try finds some files gone, and others with a mark by now."""
    mark = placed_mark(path)
    if mark.exists():
        return mark
    return path if path.exists() else None


def _holds_nothing(path: Path) -> bool:
    """Whether the file ends before its first fragment begins. Raises OSError."""
    size = path.stat().st_size
    if size == 0:
        return True
    try:
        with path.open("rb") as file:
            return read_head(file).size == size
    except MediaError:
        return False


def _identity(path: Path) -> Identity | None:
    try:
        with path.open("rb") as file:
            return read_head(file).identity
    except (MediaError, OSError):
        return None


def _begins_us(identity: Identity | None) -> int:
    return 0 if identity is None else identity.t0_us


def _next_t0_us(heads: Sequence[Identity], mine: Identity) -> int | None:
    """Where the next file of the same run begins: files of a run join without a hole, whatever the camera's clock."""
    return min((head.t0_us for head in heads if head.run == mine.run and head.t0_us > mine.t0_us), default=None)


def _row(facts: FileFacts, t1_us: int | None, *, salvaged: bool) -> CameraSegment:
    head = facts.head
    if t1_us is None:
        t1_us = head.identity.t0_us + max(1, facts.media_duration * US // head.timescale)
    return CameraSegment(
        id=head.identity.segment,
        stream_id=head.identity.stream,
        run_id=head.identity.run,
        t0_us=head.identity.t0_us,
        t1_us=t1_us,
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
