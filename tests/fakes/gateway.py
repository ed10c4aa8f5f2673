"""Fakes of what the gateway talks to: an archive in memory and a plan that the test writes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from camera_gateway.board import StreamState
from camera_gateway.plan import StreamPlan
from camera_gateway.stats import StreamStats, WorkerStats
from camera_gateway.tap import LiveFormat, LiveUnit
from storage.errors import StorageFull, Unavailable
from storage.model import AlarmKind, CameraSegment, GapReason, RunEnd


@dataclass
class FakeArchive:
    """A `RecordArchive` that keeps what it is told; `away` makes every call fail as a lost catalog."""

    away: bool = False
    segments: list[tuple[CameraSegment, str]] = field(default_factory=list)
    events: list[tuple[object, ...]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open_run(self, stream_id: UUID, t0_us: int, run_id: UUID | None = None) -> UUID:
        made = run_id or uuid4()
        self._note("open_run", stream_id, t0_us, made)
        return made

    def commit_segment(self, segment: CameraSegment, location: str) -> bool:
        self._note("segment", segment.id)
        self.segments.append((segment, location))
        return True

    def close_run(self, run_id: UUID, t1_us: int, end: RunEnd, detail: str = "") -> bool:
        self._note("close_run", run_id, t1_us, end, detail)
        return True

    def open_gap(self, stream_id: UUID, t_us: int, reason: GapReason, detail: str = "") -> UUID:
        self._note("gap", stream_id, t_us, reason, detail)
        return uuid4()

    @property
    def ends(self) -> list[RunEnd]:
        """How runs ended, in order."""
        return [event[3] for event in self.events if event[0] == "close_run" and isinstance(event[3], RunEnd)]

    @property
    def gaps(self) -> list[object]:
        """Reasons of gaps told by themselves, in order."""
        return [event[3] for event in self.events if event[0] == "gap"]

    @property
    def last_gaps(self) -> dict[object, object]:
        """The reason that was told last, by stream."""
        return {event[1]: event[3] for event in self.events if event[0] == "gap"}

    def _note(self, *event: object) -> None:
        if self.away:
            raise Unavailable("catalog_away", "the test took the catalog away")
        with self._lock:
            self.events.append(event)


class FolderPlacement:
    """A `Placement` into a plain folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def place(self, segment_id: UUID, part: Path) -> str:
        part.replace(self.folder / str(segment_id))
        return "test"


@dataclass
class FakeGuard:
    """A room guard that says no while `full`."""

    full: bool = False

    def check(self) -> None:
        if self.full:
            raise StorageFull("disk_full", "the test filled the disk")


@dataclass
class FakePlan:
    """A plan that the test changes, and the count of refusals, which cannot be written while `away`."""

    plans: list[StreamPlan] = field(default_factory=list)
    refusals: list[tuple[UUID, int]] = field(default_factory=list)
    successes: list[UUID] = field(default_factory=list)
    away: bool = False
    unreadable: bool = False

    def streams(self) -> list[StreamPlan]:
        if self.unreadable:
            raise Unavailable("catalog_away", "the test took the catalog away")
        return list(self.plans)

    def authentication_failed(self, device_id: UUID, credential_version: int) -> None:
        if self.away:
            raise Unavailable("catalog_away", "the test took the catalog away")
        self.refusals.append((device_id, credential_version))

    def authentication_succeeded(self, device_id: UUID) -> None:
        self.successes.append(device_id)


@dataclass
class FakeReports:
    """Keeps the last state of each stream and which alarms are open."""

    last: dict[UUID, StreamState] = field(default_factory=dict)
    stats: dict[UUID, StreamStats] = field(default_factory=dict)
    open_alarms: set[tuple[AlarmKind, str]] = field(default_factory=set)
    told: int = 0  # how often an alarm was opened or closed

    def states(self, states: dict[UUID, StreamState], stats: dict[UUID, StreamStats]) -> None:
        self.last.update(states)
        self.stats.update(stats)

    def forget(self, stream_id: UUID) -> None:
        self.last.pop(stream_id, None)

    def alarm(self, kind: AlarmKind, subject: str, opened: bool, detail: str) -> None:
        self.told += 1
        (self.open_alarms.add if opened else self.open_alarms.discard)((kind, subject))


@dataclass
class FakeOutlet:
    """A live link that remembers what was sent."""

    formats: list[tuple[UUID, LiveFormat]] = field(default_factory=list)
    units: list[tuple[UUID, LiveUnit]] = field(default_factory=list)
    sent: list[dict[UUID, StreamState]] = field(default_factory=list)
    measured: list[WorkerStats] = field(default_factory=list)

    def send_format(self, stream_id: UUID, live: LiveFormat) -> None:
        self.formats.append((stream_id, live))

    def send_unit(self, stream_id: UUID, unit: LiveUnit) -> None:
        self.units.append((stream_id, unit))

    def send_states(self, _roles: dict[UUID, str], states: dict[UUID, StreamState]) -> None:
        self.sent.append(states)

    def send_stats(self, stats: WorkerStats) -> None:
        self.measured.append(stats)
