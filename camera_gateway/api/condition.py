"""How the gateway is: gathered once, shown as Prometheus metrics, as health, and to the console.

No URL, address or secret of a camera appears here: streams go by their id, their camera's name and their role.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from camera_gateway.api.exposition import Exposition
from camera_gateway.live.hub import Hub
from camera_gateway.live.link_server import LinkServer
from camera_gateway.stats import FleetStats, StreamStats, WorkerStats
from storage.clock import Clock
from storage.model import DerivedState, LiveState

BEAT_S = 20.0
"""A worker that has measured nothing for so long hangs: it says something every five seconds."""


@dataclass(frozen=True, slots=True)
class StreamName:
    """What a stream is called."""

    camera: str
    role: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What only blocking calls can tell."""

    catalog_ok: bool
    disk_free_bytes: int
    disk_total_bytes: int
    reserve_bytes: int
    forecast_s: int | None  # until the reserve is reached; None: free space does not fall
    staging_bytes: int
    staging_files: int
    staging_oldest_s: float
    names: Mapping[UUID, StreamName]
    cpu_s: float = 0.0  # of the API process


@dataclass(frozen=True, slots=True)
class Condition:
    """Everything at one moment."""

    around: Surroundings
    expected: int  # workers
    connected: frozenset[int]
    beating: frozenset[int]
    workers: list[tuple[float, WorkerStats]]
    states: Mapping[str, Mapping[str, Any]]
    viewers: int
    channels: int
    relayed: int
    dropped: int
    transcodes: int = 0

    def faults(self) -> list[str]:
        """What is wrong with the gateway itself; a camera's faults are not among them."""
        wanted = frozenset(range(self.expected))
        found = {
            "worker_gone": bool(wanted - self.connected),
            "worker_silent": bool(wanted & self.connected - self.beating),
            "catalog_away": not self.around.catalog_ok,
            "disk_full": self.around.disk_free_bytes < self.around.reserve_bytes,
        }
        return [code for code, wrong in found.items() if wrong]

    def health(self) -> dict[str, Any]:
        """The answer of `GET /health`."""
        faults = self.faults()
        hours = None if self.around.forecast_s is None else round(self.around.forecast_s / 3600, 1)
        return {
            "ok": not faults,
            "faults": faults,
            "workers": {
                "expected": self.expected,
                "connected": sorted(self.connected),
                "beating": sorted(self.beating),
            },
            "streams": {
                "known": len(self.states),
                "live": self._live(),
                "recording": dict(sorted(self.by_cause().items())),
            },
            "disk": {"free_bytes": self.around.disk_free_bytes, "full_in_h": hours},
            "staging": {
                "bytes": self.around.staging_bytes,
                "files": self.around.staging_files,
                "oldest_s": round(self.around.staging_oldest_s, 1),
            },
            "catalog": {"reachable": self.around.catalog_ok},
        }

    def by_cause(self) -> Counter[str]:
        """How many streams are recorded, and how many are not for each reason."""
        return Counter(str(state["recording"]) for state in self.states.values())

    def metrics(self) -> str:
        """The page of `GET /metrics`."""
        page = Exposition()
        _show_gateway(page, self)
        for age_s, stats in self.workers:
            _show_worker(page, age_s, stats)
        for _age_s, stats in self.workers:
            for stream_id, stream in stats.streams.items():
                _show_stream(page, _labels(stream_id, self.around.names), stream)
        return page.text()

    def _live(self) -> int:
        return sum(state["live"] == LiveState.LIVE.value for state in self.states.values())


@dataclass(slots=True)
class Observer:
    """Gathers a `Condition`. Belongs to the event loop; `look_around` blocks and is called in a thread."""

    clock: Clock
    hub: Hub
    link: LinkServer
    fleet: FleetStats
    workers: int
    look_around: Callable[[], Surroundings]
    transcodes: Callable[[], int] = field(default=lambda: 0)

    def now(self, around: Surroundings) -> Condition:
        """The condition, with what the blocking calls told a moment ago."""
        connected = self.link.indexes
        return Condition(
            around,
            self.workers,
            connected,
            frozenset(index for index in connected if self.fleet.silent_s(index) < BEAT_S),
            self.fleet.latest(),
            self.hub.states,
            self.hub.viewers,
            self.hub.channels,
            self.hub.tally.relayed,
            self.hub.tally.dropped,
            self.transcodes(),
        )


def _labels(stream_id: UUID, names: Mapping[UUID, StreamName]) -> dict[str, str]:
    name = names.get(stream_id, StreamName("", ""))
    return {"stream": str(stream_id), "camera": name.camera, "role": name.role}


def _show_gateway(page: Exposition, condition: Condition) -> None:
    around = condition.around
    page.gauge("sunhall_gateway_healthy", "1 when /health answers 200.", int(not condition.faults()))
    page.gauge("sunhall_gateway_workers_expected", "Ingest workers that should run.", condition.expected)
    page.gauge("sunhall_gateway_catalog_up", "1 when the catalog answers.", int(around.catalog_ok))
    page.gauge("sunhall_gateway_disk_free_bytes", "Free bytes of the volume.", around.disk_free_bytes)
    page.gauge("sunhall_gateway_disk_total_bytes", "Size of the volume.", around.disk_total_bytes)
    page.gauge("sunhall_gateway_disk_reserve_bytes", "Free bytes that are never used.", around.reserve_bytes)
    if around.forecast_s is not None:
        text = "Seconds until the reserve is reached as free space falls now; absent while it does not fall."
        page.gauge("sunhall_gateway_disk_full_seconds", text, around.forecast_s)
    page.gauge("sunhall_gateway_staging_bytes", "Bytes of committed files not yet copied.", around.staging_bytes)
    page.gauge("sunhall_gateway_staging_files", "Committed files not yet copied.", around.staging_files)
    text = "Age of the oldest committed file not yet copied."
    page.gauge("sunhall_gateway_staging_oldest_seconds", text, around.staging_oldest_s)
    page.counter("sunhall_gateway_api_cpu_seconds_total", "CPU time of the API process.", around.cpu_s)
    page.gauge("sunhall_gateway_viewers", "Live sockets.", condition.viewers)
    page.gauge("sunhall_gateway_viewer_streams", "Streams on live sockets.", condition.channels)
    page.counter("sunhall_gateway_relayed_frames_total", "Frames given to live sockets.", condition.relayed)
    page.counter("sunhall_gateway_dropped_frames_total", "Frames left out for slow sockets.", condition.dropped)
    page.gauge("sunhall_gateway_transcodes", "Transcoders at work.", condition.transcodes)
    text = 'Streams by what becomes of them: "recorded", or the reason why not.'
    for cause, count in sorted(condition.by_cause().items()):
        page.gauge("sunhall_gateway_streams", text, count, {"recording": cause})
    for index in range(condition.expected):
        labels = {"worker": str(index)}
        page.gauge("sunhall_worker_up", "1 when it is connected and measures.", int(index in condition.beating), labels)


def _show_worker(page: Exposition, age_s: float, stats: WorkerStats) -> None:
    labels = {"worker": str(stats.index)}
    text = "How late its loop was over the last interval."
    lags = (("0.5", stats.loop_lag_p50_us), ("0.99", stats.loop_lag_p99_us), ("1", stats.loop_lag_max_us))
    for quantile, lag_us in lags:
        page.gauge("sunhall_worker_loop_lag_seconds", text, lag_us / 1e6, labels | {"quantile": quantile})
    page.gauge("sunhall_worker_stats_age_seconds", "Since its last measurement.", age_s, labels)
    page.counter("sunhall_worker_cpu_seconds_total", "CPU time.", stats.cpu_s, labels)
    page.gauge("sunhall_worker_resident_bytes", "Resident memory.", stats.rss_bytes, labels)
    page.counter("sunhall_worker_rounds_total", "Rounds of its loop.", stats.rounds, labels)
    page.gauge("sunhall_worker_streams", "Streams that it reads.", len(stats.streams), labels)
    disk = stats.disk
    page.gauge("sunhall_worker_disk_queued_bytes", "Bytes that wait for the disk.", disk.queued_bytes, labels)
    text = "Age of the oldest bytes that wait for the disk."
    page.gauge("sunhall_worker_disk_oldest_seconds", text, disk.oldest_waiting_s, labels)
    page.gauge("sunhall_worker_open_files", "Files being recorded.", disk.open_files, labels)
    page.gauge("sunhall_worker_last_sync_seconds", "Duration of the last round of syncs.", disk.last_sync_s, labels)
    page.gauge("sunhall_worker_commit_backlog", "Files on disk without their row.", disk.commit_backlog, labels)


_COUNTERS = (
    ("frames", "frames", "Frames received."),
    ("bytes", "bytes", "Bytes received."),
    ("packets", "packets", "RTP packets received."),
    ("packets_lost", "lost", "RTP packets that never came."),
    ("packets_reordered", "reordered", "RTP packets that came out of order."),
    ("packets_duplicated", "duplicated", "RTP packets that came twice."),
    ("broken_units", "broken_units", "Frames left out because a piece was lost."),
    ("sound_lost", "sound_lost", "Pieces of sound that were to be recorded and could not be."),
    ("reconnects", "reconnects", "Sessions opened after the first."),
)


def _show_stream(page: Exposition, labels: dict[str, str], stats: StreamStats) -> None:
    for name, attribute, text in _COUNTERS:
        page.counter(f"sunhall_stream_{name}_total", text, getattr(stats, attribute), labels)
    recorded = int(stats.recording == DerivedState.RECORDED.value)
    page.gauge("sunhall_stream_recorded", "1 while it is recorded.", recorded, labels)
    if stats.lag_us >= 0:
        page.gauge("sunhall_stream_lag_seconds", "Since its last frame.", stats.lag_us / 1e6, labels)
    page.gauge("sunhall_stream_frames_per_second", "Measured.", stats.fps_milli / 1e3, labels)
    page.gauge("sunhall_stream_bits_per_second", "Measured.", stats.bitrate_kbit * 1000, labels)
    page.gauge("sunhall_stream_key_frame_seconds", "Measured key frame interval.", stats.gop_ms / 1e3, labels)
    if stats.clock_offset_us is not None:
        text = "The camera's clock minus the gateway's."
        page.gauge("sunhall_stream_clock_offset_seconds", text, stats.clock_offset_us / 1e6, labels)
    if stats.clock_error_us is not None:
        text = "How far the clock offset may be wrong."
        page.gauge("sunhall_stream_clock_error_seconds", text, stats.clock_error_us / 1e6, labels)
    if stats.engine:
        about = labels | {"engine": stats.engine, "transport": stats.transport}
        page.gauge("sunhall_stream_engine_info", "What reads it, and how.", 1, about)
    if stats.last_cause:
        page.gauge(
            "sunhall_stream_last_cause_info", "Why its last session ended.", 1, labels | {"cause": stats.last_cause}
        )
