"""An ingest worker: a reactor full of streams, and a control thread that speaks with the catalog for it.

The reactor never waits for a catalog or a disk. The control thread reads the plan, writes states and alarms, and
counts refused sign-ins.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import UUID

from camera_gateway.board import AWAY, RECORDED, StateBoard, StreamState
from camera_gateway.ingest import IngestParts, RecordSink
from camera_gateway.loop_lag import LoopLag
from camera_gateway.plan import DevicePlan, PlanMode, PlanSource, StreamPlan
from camera_gateway.recorder.disk import DiskHealth
from camera_gateway.stats import DiskStats, StreamStats, WorkerStats
from camera_gateway.streams import Reach, StreamSet
from camera_gateway.tap import LiveOutlet
from camera_gateway.usage import process_usage
from storage.clock import US, Clock
from storage.errors import StorageFull, Unavailable
from storage.model import AlarmKind, GapReason, LiveState, RunEnd

log = logging.getLogger(__name__)

_TICK_S = 0.25
_PLAN_S = 2.0
_STATES_S = 10.0
_STATS_S = 5.0
_STOP_S = 10.0
_GOODBYE_S = 1.0
_TURN_S = 0.02
_SLOW_S = 60.0
_REPEAT_S = 30.0


class Reports(Protocol):
    """Port: where a worker reports to (the catalog)."""

    def states(self, states: dict[UUID, StreamState], stats: dict[UUID, StreamStats]) -> None:
        """Keep what streams do and, where it is known, what they deliver. May raise Unavailable."""
        ...

    def forget(self, stream_id: UUID) -> None:
        """Nothing is known of this stream any more: nobody watches it. May raise Unavailable."""
        ...

    def alarm(self, kind: AlarmKind, subject: str, opened: bool, detail: str) -> None:
        """Open or close an alarm. May raise Unavailable."""
        ...


class Link(LiveOutlet, Protocol):
    """The live link, as far as the worker drives it."""

    def send_states(self, roles: dict[UUID, str], states: dict[UUID, StreamState]) -> None: ...

    def send_stats(self, stats: WorkerStats) -> None: ...


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How cameras are reached and when one counts as offline."""

    index: int = 0
    reach: Reach = field(default_factory=Reach)
    offline_alarm_s: float = 30.0
    disk_subject: str = "gateway"  # whom alarms about the disk name


class _Counts:
    """`SignInCounts` that are written by the control thread."""

    def __init__(self, plan: PlanSource) -> None:
        self._plan = plan
        self._calls: deque[Callable[[], None]] = deque()

    def refused(self, device_id: UUID, credential_version: int) -> None:
        self._calls.append(lambda: self._plan.authentication_failed(device_id, credential_version))

    def admitted(self, device_id: UUID) -> None:
        self._calls.append(lambda: self._plan.authentication_succeeded(device_id))

    def write(self) -> None:
        """In order, each until it is done. Raises Unavailable, StorageFull."""
        while self._calls:
            self._calls[0]()
            self._calls.popleft()


class Worker:
    """`start`, `stop`, the reactor's thread and the control thread."""

    def __init__(
        self,
        plan: PlanSource,
        reports: Reports,
        parts: IngestParts,
        new_sink: Callable[[UUID], RecordSink],
        open_password: Callable[[DevicePlan], str],
        link: Callable[[Worker], Link],
        disk: Callable[[], DiskHealth],
        settings: WorkerSettings | None = None,
    ) -> None:
        self._plan = plan
        self._reports = reports
        self._reactor = parts.reactor
        self._clock: Clock = parts.reactor.clock
        self._board: StateBoard = parts.board
        self._settings = settings or WorkerSettings()
        self._disk = disk
        self._counts = _Counts(plan)
        self._link = link(self)
        self._streams = StreamSet(parts, new_sink, open_password, self._counts, self._link, self._settings.reach)
        self._lag = LoopLag(parts.reactor)
        self._stats = WorkerStats(self._settings.index)
        self._alarms: dict[tuple[AlarmKind, str], bool] = {}
        self._disk_told_at: dict[AlarmKind, float] = {}
        self._plan_at = 0.0
        self._plans: list[StreamPlan] = []
        self._slow_until_s = 0.0
        self._nudge = threading.Event()
        self._stopping = threading.Event()
        self._loop = threading.Thread(target=parts.reactor.run, name="reactor", daemon=True)
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        self._lag.start()
        self._loop.start()
        self._thread.start()

    def stop(self) -> None:
        """End all runs as `stopped`, and say so in the states."""
        self._stopping.set()
        self._nudge.set()
        self._thread.join()
        ended = threading.Event()
        self._reactor.call_threadsafe(lambda: self._end_all(ended))
        if not self._clock.wait(ended, _STOP_S):
            log.error("reactor_hangs")
        self._reactor.stop()
        self._loop.join(_STOP_S)
        for stream_id in self._board.snapshot():
            self._board.live(stream_id, LiveState.OFFLINE, GapReason.MAINTENANCE.value)
            self._board.recording(stream_id, GapReason.MAINTENANCE.value, "the gateway was stopped")
        self._flush(everything=True)

    def refresh(self) -> None:
        """Read the plan now."""
        self._nudge.set()

    def watch(self, watched: frozenset[UUID]) -> None:
        """These streams have viewers now. Called by the link's thread."""
        self._reactor.call_threadsafe(lambda: self._streams.watch(watched))

    @property
    def beat(self) -> int:
        """Rises while the reactor turns."""
        return self._reactor.beat

    @property
    def roles(self) -> dict[UUID, str]:
        """Role of each stream of the share."""
        return {key: plan.role for key, plan in self._streams.known.items()}

    def states_for_viewers(self) -> dict[UUID, StreamState]:
        """What all streams do, as viewers are told it: of a stream that is not recorded, whether its camera is."""
        states = self._board.snapshot()
        return self._for_viewers(states, states)

    def _end_all(self, ended: threading.Event) -> None:
        self._streams.stop(RunEnd.STOPPED, "the gateway was stopped")
        self._await_goodbyes(ended, self._clock.monotonic() + _GOODBYE_S)

    def _await_goodbyes(self, ended: threading.Event, until_s: float) -> None:
        """Cameras are told that their sessions are over, and have a moment to answer."""
        if not self._reactor.watching or self._clock.monotonic() >= until_s:
            ended.set()
        else:
            self._reactor.call_later(_TURN_S, lambda: self._await_goodbyes(ended, until_s))

    def _run(self) -> None:
        states_at = stats_at = 0.0
        while not self._stopping.is_set():
            now = self._clock.monotonic()
            if self._nudge.is_set() or now >= self._plan_at:
                self._nudge.clear()
                self._plan_at = now + _PLAN_S
                self._read_plan()
            if now >= stats_at:
                stats_at = now + _STATS_S
                self._reactor.call_threadsafe(self._measure)
            self._board.find_stale()
            everything = now >= states_at
            if everything:
                states_at = now + _STATES_S
            self._flush(everything=everything)
            self._clock.wait(self._nudge, _TICK_S)

    def _read_plan(self) -> None:
        try:
            plans = self._plan.streams()
        except Unavailable as error:
            log.warning("plan_unreadable", extra={"fields": {"error": error.message}})
            self._record_overdue()
            return
        self._plans = plans
        edges = [plan.until_us for plan in plans if plan.until_us is not None]
        if edges:  # an edge of a plan is taken when it comes, not at the next look
            until_s = max(0, min(edges) - self._clock.now_us()) / US
            self._plan_at = min(self._plan_at, self._clock.monotonic() + until_s)
        self._reactor.call_threadsafe(lambda: self._streams.apply(plans))

    def _record_overdue(self) -> None:
        """While the catalog is away an edge of a plan may have passed: when in doubt, what rested is recorded."""
        now_us = self._clock.now_us()
        overdue = {plan.id for plan in self._plans if _may_record(plan) and (plan.until_us or now_us + 1) <= now_us}
        if overdue:
            plans = [replace(plan, mode=PlanMode.RECORD) if plan.id in overdue else plan for plan in self._plans]
            log.warning("plan_edge_in_doubt", extra={"fields": {"streams": len(overdue)}})
            self._reactor.call_threadsafe(lambda: self._streams.apply(plans))

    def _measure(self) -> None:
        """In the reactor's thread: a look at everything, which the link sends."""
        clock, usage = self._clock, process_usage()
        self._stats = WorkerStats(
            index=self._settings.index,
            loop_lag_p50_us=self._lag.percentile_us(0.5),
            loop_lag_p99_us=self._lag.percentile_us(0.99),
            loop_lag_max_us=self._lag.percentile_us(1.0),
            cpu_s=usage.cpu_s,
            rss_bytes=usage.rss_bytes,
            rounds=self._reactor.beat,
            disk=_disk_stats(self._disk()),
            streams=self._streams.stats(clock.now_us(), clock.monotonic()),
        )
        for stream_id, state in self._board.snapshot().items():
            if stream_id in self._stats.streams:
                self._stats.streams[stream_id].recording = state.recording
        self._link.send_stats(self._stats)

    # --- reports -----------------------------------------------------------------------------------------------------
    def _flush(self, *, everything: bool) -> None:
        changed = self._board.take_changed()
        self._link.send_states(self.roles, self._for_viewers(changed, self._board.snapshot()))
        states = self._board.snapshot() if everything else changed
        try:
            self._counts.write()
            self._forget()
            if states:
                self._reports.states(states, self._stats.streams)
            self._update_alarms()
        except (Unavailable, StorageFull) as error:
            log.warning("states_unwritten", extra={"fields": {"error": error.message}})

    def _forget(self) -> None:
        for stream_id in list(self._streams.forgotten):
            self._reports.forget(stream_id)
            self._streams.forgotten.discard(stream_id)

    def _for_viewers(self, told: dict[UUID, StreamState], states: dict[UUID, StreamState]) -> dict[UUID, StreamState]:
        """`told`, and with the recorded stream of a camera also its other ones, with the recorded one's recording."""
        known = self._streams.known
        recorded = {plan.channel_id: plan.id for plan in known.values() if plan.recorded}
        answer = dict(told)
        for stream_id, plan in known.items():
            main = recorded.get(plan.channel_id)
            if plan.recorded or main is None or stream_id not in states or not {stream_id, main} & told.keys():
                continue
            if main in states:
                its = states[main]
                answer[stream_id] = replace(
                    states[stream_id],
                    recording=its.recording,
                    recording_cause=its.recording_cause,
                    recording_since_us=its.recording_since_us,
                )
        return answer

    def _update_alarms(self) -> None:
        plans = {key: plan for key, plan in self._streams.known.items() if plan.connected}
        states = {key: state for key, state in self._board.snapshot().items() if key in plans}
        cameras: dict[UUID, list[StreamState]] = {}
        for stream_id, state in states.items():
            cameras.setdefault(plans[stream_id].channel_id, []).append(_as_wanted(plans[stream_id], state))
        for channel_id, mine in cameras.items():
            self._update_camera_alarms(f"camera:{channel_id}", mine)
        self._update_disk_alarms([state for key, state in states.items() if plans[key].recorded])

    def _update_disk_alarms(self, states: list[StreamState]) -> None:
        """A slow disk is told before it costs anything, and for a while after it was slow last."""
        now, slow, subject = self._clock.monotonic(), self._disk().slow, self._settings.disk_subject
        if slow:
            self._slow_until_s = now + _SLOW_S
        for kind, reason in ((AlarmKind.DISK_FULL, GapReason.DISK_FULL), (AlarmKind.DISK_SLOW, GapReason.DISK_SLOW)):
            causes = [state.recording_cause for state in states if state.recording == reason.value]
            if kind is AlarmKind.DISK_SLOW and slow:
                causes.append(slow)
            if causes:
                if now >= self._disk_told_at.get(kind, 0.0) + _REPEAT_S:  # another worker may have closed it
                    self._disk_told_at[kind] = now
                    self._alarms.pop((kind, subject), None)
                self._alarm(kind, subject, True, causes[0])
            elif any(state.recording == RECORDED for state in states) and (
                kind is not AlarmKind.DISK_SLOW or now >= self._slow_until_s
            ):
                self._alarm(kind, subject, False, "")

    def _update_camera_alarms(self, subject: str, states: list[StreamState]) -> None:
        """By all connected streams of a camera: one that is missing opens an alarm, and none may miss to close it."""
        now_us, long_us = self._clock.now_us(), round(self._settings.offline_alarm_s * US)
        for state in states:
            if state.recording == GapReason.AUTHENTICATION.value:
                self._alarm(AlarmKind.CAMERA_AUTHENTICATION, subject, True, state.recording_cause)
            elif state.recording in AWAY and now_us - state.recording_since_us >= long_us:
                self._alarm(AlarmKind.CAMERA_OFFLINE, subject, True, state.recording)
        if all(state.recording == RECORDED for state in states):
            self._alarm(AlarmKind.CAMERA_AUTHENTICATION, subject, False, "")
            self._alarm(AlarmKind.CAMERA_OFFLINE, subject, False, "")

    def _alarm(self, kind: AlarmKind, subject: str, opened: bool, detail: str) -> None:
        """Report a change; what an earlier process left open is closed by the first good news of this one."""
        if self._alarms.get((kind, subject)) is not opened:
            self._reports.alarm(kind, subject, opened, detail)
            self._alarms[kind, subject] = opened


def _disk_stats(health: DiskHealth) -> DiskStats:
    return DiskStats(
        health.queued_bytes, health.oldest_wait_s, health.open_files, health.last_sync_s, health.commit_backlog
    )


def _may_record(plan: StreamPlan) -> bool:
    return plan.planned and not plan.recorded and plan.device.enabled


def _as_wanted(plan: StreamPlan, state: StreamState) -> StreamState:
    """What counts for alarms: of a stream on standby, whether its camera is there and could be recorded."""
    if plan.recorded or state.recording == RECORDED:
        return state
    ready = RECORDED if state.live is not LiveState.OFFLINE else state.live_cause
    return replace(state, recording=ready, recording_cause=state.live_cause, recording_since_us=state.live_since_us)
