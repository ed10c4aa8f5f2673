"""What an ingest worker measures of itself and of its streams, and how it says so to the API process.

Plain numbers: the worker fills them in its loop's thread every few seconds, the API process shows them in `/metrics`
and `/health`. What comes over the link is checked and bounded, so that a mistake in a worker spoils no page.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar
from uuid import UUID

from storage.clock import Clock
from storage.errors import MediaError

MAX_TEXT = 300
"""Characters of a text that are kept; evidence may quote what a camera sent."""
MAX_STREAMS = 4096
_MAX_NUMBER = 1 << 62


@dataclass(slots=True)
class StreamStats:
    """One stream. Counters run since the worker started; rates are those of the last interval."""

    frames: int = 0
    bytes: int = 0
    packets: int = 0
    lost: int = 0  # RTP packets that never came
    reordered: int = 0
    duplicated: int = 0
    broken_units: int = 0
    reconnects: int = 0
    last_cause: str = ""  # a GapReason's value: why the last session ended; empty: none ended yet
    last_evidence: str = ""
    engine: str = ""  # rtsp | libav; empty: never opened
    engine_note: str = ""  # why it is not the first choice
    transport: str = ""  # tcp | udp | tls
    lag_us: int = -1  # now - arrival of the last frame; -1: no frame yet
    fps_milli: int = 0
    bitrate_kbit: int = 0
    gop_ms: int = 0
    clock_offset_us: int | None = None  # the camera's clock minus ours; None: unknown
    clock_error_us: int | None = None
    recording: str = ""  # recorded | a GapReason's value
    sound_lost: int = 0  # pieces of sound that were to be recorded and could not be


@dataclass(slots=True)
class DiskStats:
    """The disk writer of one worker."""

    queued_bytes: int = 0
    oldest_waiting_s: float = 0.0  # age of the oldest write that waits
    open_files: int = 0
    last_sync_s: float = 0.0  # how long the last round of syncs took
    commit_backlog: int = 0  # segments synced whose row is not written yet


@dataclass(slots=True)
class WorkerStats:
    """One ingest worker over its last interval."""

    index: int
    loop_lag_p50_us: int = 0
    loop_lag_p99_us: int = 0
    loop_lag_max_us: int = 0
    cpu_s: float = 0.0  # of the process, since it started
    rss_bytes: int = 0
    rounds: int = 0  # of the reactor's loop, since it started
    disk: DiskStats = field(default_factory=DiskStats)
    streams: dict[UUID, StreamStats] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As it goes over the link."""
        told = asdict(self)
        told["streams"] = {str(key): asdict(stats) for key, stats in self.streams.items()}
        return told

    @staticmethod
    def from_json(told: Any) -> WorkerStats:
        """Check what came over the link; unknown names are left out, texts are cut.

        Raises:
            MediaError: a value has the wrong type or is out of all reason (`live_message_invalid`).
        """
        rows = _mapping(told).get("streams", {})
        if len(_mapping(rows)) > MAX_STREAMS:
            raise MediaError("live_message_invalid", f"statistics of more than {MAX_STREAMS} streams")
        stats: WorkerStats = _checked(WorkerStats(0), told)
        stats.disk = _checked(DiskStats(), told.get("disk", {}))
        stats.streams = {_id(key): _checked(StreamStats(), row) for key, row in rows.items()}
        return stats


class FleetStats:
    """What each worker said last, and when. Belongs to the event loop of the API process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._met: dict[int, float] = {}
        self._said: dict[int, tuple[float, WorkerStats]] = {}

    def meet(self, index: int) -> None:
        """A worker connected and will say something soon."""
        self._met[index] = self._clock.monotonic()

    def take(self, stats: WorkerStats) -> None:
        """A worker said this now."""
        self._said[stats.index] = (self._clock.monotonic(), stats)

    def lose(self, index: int) -> None:
        """That worker is gone: its numbers are history."""
        self._met.pop(index, None)
        self._said.pop(index, None)

    def silent_s(self, index: int) -> float:
        """Seconds since that worker said anything of itself; infinite when it never connected."""
        last = self._said[index][0] if index in self._said else self._met.get(index)
        return math.inf if last is None else self._clock.monotonic() - last

    def latest(self) -> list[tuple[float, WorkerStats]]:
        """Age in seconds and numbers of each connected worker, by index."""
        now = self._clock.monotonic()
        return [(now - at, stats) for _index, (at, stats) in sorted(self._said.items())]


_Stats = TypeVar("_Stats", StreamStats, DiskStats, WorkerStats)
_NESTED = frozenset(("disk", "streams"))


def _checked(stats: _Stats, told: Any) -> _Stats:
    """`stats` with the plain values that were told, each of the type of its default."""
    row = _mapping(told)
    for item in fields(stats):
        if item.name in _NESTED or item.name not in row:
            continue
        setattr(stats, item.name, _value(item.name, getattr(stats, item.name), row[item.name]))
    return stats


def _value(name: str, default: object, value: object) -> object:
    if isinstance(default, str) and isinstance(value, str):
        return value[:MAX_TEXT]
    if default is None and value is None:
        return None
    plain = isinstance(value, int) and not isinstance(value, bool)
    if (isinstance(default, int) or default is None) and plain and abs(_number(value)) < _MAX_NUMBER:
        return value
    if isinstance(default, float) and (plain or isinstance(value, float)) and abs(_number(value)) < _MAX_NUMBER:
        return float(_number(value))
    raise MediaError("live_message_invalid", f"{name} of the statistics has an impossible value")


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MediaError("live_message_invalid", "statistics are JSON objects")
    return value


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise MediaError("live_message_invalid", "statistics name a stream by its id") from error
