"""An ingest worker: keeps the streams of its share running as the catalog plans them, and says what they do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from camera_gateway.board import AWAY, RECORDED, StateBoard, StreamState
from camera_gateway.device_gate import DeviceGate
from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.ingest import IngestParts, RecordSink, StreamIngest
from camera_gateway.packets import SourceSettings
from camera_gateway.plan import DevicePlan, PlanSource, StreamPlan
from camera_gateway.tap import LiveOutlet, Tap
from storage.clock import US, Clock
from storage.errors import ConfigurationError, StorageFull, Unavailable
from storage.model import AlarmKind, GapReason, LiveState, RunEnd

log = logging.getLogger(__name__)

_TICK_S = 0.25
_PLAN_S = 2.0
_STATES_S = 10.0
_UNWATCHED_S = 10.0


class Reports(Protocol):
    """Port: where a worker reports to (the catalog)."""

    def states(self, states: dict[UUID, StreamState]) -> None:
        """Keep what streams do. May raise Unavailable."""
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


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How cameras are reached and when one counts as offline."""

    open_timeout_s: float = 5.0
    read_timeout_s: float = 5.0
    offline_alarm_s: float = 30.0
    disk_subject: str = "gateway"  # whom alarms about the disk name


@dataclass(slots=True)
class _Active:
    ingest: StreamIngest
    plan: StreamPlan
    unwatched_since: float | None = None


class Worker:
    """`start`, `stop` and one thread that reconciles twice a second at most."""

    def __init__(
        self,
        plan: PlanSource,
        reports: Reports,
        parts: IngestParts,
        new_sink: Callable[[UUID], RecordSink],
        open_password: Callable[[DevicePlan], str],
        settings: WorkerSettings | None = None,
    ) -> None:
        self._plan = plan
        self._reports = reports
        self._parts = parts
        self._clock: Clock = parts.clock
        self._board: StateBoard = parts.board
        self._new_sink = new_sink
        self._open_password = open_password
        self._settings = settings or WorkerSettings()
        self._link: Link | None = None
        self._lock = threading.Lock()
        self._watched: frozenset[UUID] = frozenset()
        self._taps: dict[UUID, Tap] = {}
        self._sinks: dict[UUID, RecordSink] = {}
        self._gates: dict[UUID, DeviceGate] = {}
        self._active: dict[UUID, _Active] = {}
        self._known: dict[UUID, StreamPlan] = {}
        self._idle: dict[UUID, GapReason] = {}
        self._alarms: dict[tuple[AlarmKind, str], bool] = {}
        self._forgotten: set[UUID] = set()
        self._nudge = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def attach(self, link: Link) -> None:
        """Give the live link; before `start`."""
        self._link = link

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End all runs as `stopped`, wait for the ingests, and say so in the states."""
        self._stopping.set()
        self._nudge.set()
        self._thread.join()
        self._stop_ingests(list(self._active), RunEnd.STOPPED, "the gateway was stopped")
        for stream_id in self._board.snapshot():
            self._board.live(stream_id, LiveState.OFFLINE, GapReason.MAINTENANCE.value)
            self._board.recording(stream_id, GapReason.MAINTENANCE.value, "the gateway was stopped")
        self._flush(everything=True)

    def refresh(self) -> None:
        """Read the plan now."""
        self._nudge.set()

    def watch(self, watched: frozenset[UUID]) -> None:
        """These streams have viewers now. Called by the link's thread."""
        with self._lock:
            before, self._watched = self._watched, watched
            taps = dict(self._taps)
        for stream_id in watched - before:
            if stream_id in taps:
                taps[stream_id].watch()
        for stream_id in before - watched:
            if stream_id in taps:
                taps[stream_id].unwatch()
        if watched - before:
            self._nudge.set()

    @property
    def roles(self) -> dict[UUID, str]:
        """Role of each stream of the share."""
        return {key: plan.role for key, plan in self._known.items()}

    def states_for_viewers(self) -> dict[UUID, StreamState]:
        """What all streams do, as viewers are told it: of a stream that is not recorded, whether its camera is."""
        states = self._board.snapshot()
        return self._for_viewers(states, states)

    def _run(self) -> None:
        plan_at = states_at = 0.0
        while not self._stopping.is_set():
            now = self._clock.monotonic()
            if self._nudge.is_set() or now >= plan_at:
                self._nudge.clear()
                plan_at = now + _PLAN_S
                self._reconcile()
            self._board.find_stale()
            everything = now >= states_at
            if everything:
                states_at = now + _STATES_S
            self._flush(everything=everything)
            self._clock.wait(self._nudge, _TICK_S)

    # --- plan --------------------------------------------------------------------------------------------------------
    def _reconcile(self) -> None:
        try:
            plans = self._plan.streams()
        except Unavailable as error:
            log.warning("plan_unreadable", extra={"fields": {"error": error.message}})
            return
        self._known = {plan.id: plan for plan in plans}
        for plan in plans:
            self._gate(plan.device).update(plan.device)
        self._stop_unwanted()
        for plan in plans:
            if plan.id not in self._active and self._wanted(plan):
                self._begin(plan)
            elif plan.recorded and not plan.device.enabled:
                self._tell_idle(plan, GapReason.MAINTENANCE, "disabled")

    def _wanted(self, plan: StreamPlan) -> bool:
        return plan.device.enabled and (plan.recorded or plan.id in self._watched)

    def _stop_unwanted(self) -> None:
        now = self._clock.monotonic()
        leaving: list[tuple[UUID, RunEnd, str]] = []
        for stream_id, active in self._active.items():
            plan = self._known.get(stream_id)
            if plan is None or not plan.device.enabled:
                leaving.append((stream_id, RunEnd.MAINTENANCE, "disabled" if plan else "retired"))
            elif active.plan.recorded and not plan.recorded:
                leaving.append((stream_id, RunEnd.PLAN, "no longer recorded"))
            elif _differs(active.plan, plan):
                leaving.append((stream_id, RunEnd.MAINTENANCE, "settings changed"))
            elif self._unwatched_long(active, plan, now):
                leaving.append((stream_id, RunEnd.PLAN, "unwatched"))
        for stream_id, end, detail in leaving:
            self._active[stream_id].ingest.ask_stop(end, detail)
        for stream_id, end, detail in leaving:
            self._stop_ingests([stream_id], end, detail)
            if stream_id in self._known and self._known[stream_id].device.enabled:
                self._idle.pop(stream_id, None)

    def _unwatched_long(self, active: _Active, plan: StreamPlan, now: float) -> bool:
        if plan.recorded or plan.id in self._watched:
            active.unwatched_since = None
            return False
        if active.unwatched_since is None:
            active.unwatched_since = now
        return now - active.unwatched_since >= _UNWATCHED_S

    def _begin(self, plan: StreamPlan) -> None:
        gate = self._gate(plan.device)
        sink = self._sink(plan.id) if plan.recorded else None
        self._board.live(plan.id, LiveState.CONNECTING)
        if sink is None:
            self._board.recording(plan.id, GapReason.PLAN.value, "this stream is not recorded")
        ingest = StreamIngest(plan.id, lambda: self._source_settings(plan), gate, self._tap(plan.id), sink, self._parts)
        self._active[plan.id] = _Active(ingest, plan)
        self._forgotten.discard(plan.id)
        self._idle.pop(plan.id, None)
        ingest.start()

    def _stop_ingests(self, stream_ids: Iterable[UUID], end: RunEnd, detail: str) -> None:
        leaving = [(stream_id, self._active.pop(stream_id)) for stream_id in stream_ids]
        for _stream_id, active in leaving:
            active.ingest.ask_stop(end, detail)
        for stream_id, active in leaving:
            active.ingest.stop(end, detail)
            if not active.plan.recorded or end is RunEnd.PLAN:
                self._board.remove(stream_id)
                self._forgotten.add(stream_id)

    def _tell_idle(self, plan: StreamPlan, reason: GapReason, detail: str) -> None:
        """A planned stream that rests on purpose: its gap has that reason."""
        if self._idle.get(plan.id) is reason:
            return
        self._idle[plan.id] = reason
        self._sink(plan.id).open_gap(self._clock.now_us(), reason, detail)
        self._board.live(plan.id, LiveState.OFFLINE, reason.value)
        self._board.recording(plan.id, reason.value, detail)

    def _source_settings(self, plan: StreamPlan) -> SourceSettings:
        device = self._known.get(plan.id, plan).device
        codec = VideoCodec(plan.codec) if plan.codec in tuple(VideoCodec) else None
        return SourceSettings(
            *(plan.uri, device.username, self._password(device), plan.transport, codec),
            open_timeout_s=self._settings.open_timeout_s,
            read_timeout_s=self._settings.read_timeout_s,
        )

    def _password(self, device: DevicePlan) -> str:
        try:
            return self._open_password(device)
        except ConfigurationError as error:
            log.error("password_unreadable", extra={"fields": {"device": device.id, "error": error.message}})
            return ""

    def _tap(self, stream_id: UUID) -> Tap:
        if self._link is None:
            raise RuntimeError("attach the link before start")
        with self._lock:
            tap = self._taps.get(stream_id)
            if tap is None:
                tap = self._taps[stream_id] = Tap(stream_id, self._link)
                if stream_id in self._watched:
                    tap.watch()
            return tap

    def _sink(self, stream_id: UUID) -> RecordSink:
        if stream_id not in self._sinks:
            self._sinks[stream_id] = self._new_sink(stream_id)
        return self._sinks[stream_id]

    def _gate(self, device: DevicePlan) -> DeviceGate:
        if device.id not in self._gates:
            self._gates[device.id] = DeviceGate(device, self._plan)
        return self._gates[device.id]

    # --- reports -----------------------------------------------------------------------------------------------------
    def _flush(self, *, everything: bool) -> None:
        changed = self._board.take_changed()
        if self._link is not None:
            self._link.send_states(self.roles, self._for_viewers(changed, self._board.snapshot()))
        states = self._board.snapshot() if everything else changed
        try:
            while self._forgotten:
                stream_id = next(iter(self._forgotten))
                self._reports.forget(stream_id)
                self._forgotten.discard(stream_id)
            if states:
                self._reports.states(states)
            self._update_alarms()
        except (Unavailable, StorageFull) as error:
            log.warning("states_unwritten", extra={"fields": {"error": error.message}})

    def _for_viewers(self, told: dict[UUID, StreamState], states: dict[UUID, StreamState]) -> dict[UUID, StreamState]:
        """`told`, and with the recorded stream of a camera also its other ones, with the recorded one's recording."""
        recorded = {plan.channel_id: plan.id for plan in self._known.values() if plan.recorded}
        answer = dict(told)
        for stream_id, plan in self._known.items():
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
        recorded = {key: plan for key, plan in self._known.items() if plan.recorded}
        states = {key: state for key, state in self._board.snapshot().items() if key in recorded}
        for stream_id, state in states.items():
            self._update_camera_alarms(f"camera:{recorded[stream_id].channel_id}", state)
        for kind, reason in ((AlarmKind.DISK_FULL, GapReason.DISK_FULL), (AlarmKind.DISK_SLOW, GapReason.DISK_SLOW)):
            causes = [state.recording_cause for state in states.values() if state.recording == reason.value]
            if causes:
                self._alarm(kind, self._settings.disk_subject, True, causes[0])
            elif any(state.recording == RECORDED for state in states.values()):
                self._alarm(kind, self._settings.disk_subject, False, "")

    def _update_camera_alarms(self, subject: str, state: StreamState) -> None:
        quiet_us = self._clock.now_us() - state.recording_since_us
        if state.recording == RECORDED:
            self._alarm(AlarmKind.CAMERA_AUTHENTICATION, subject, False, "")
            self._alarm(AlarmKind.CAMERA_OFFLINE, subject, False, "")
        elif state.recording == GapReason.AUTHENTICATION.value:
            self._alarm(AlarmKind.CAMERA_AUTHENTICATION, subject, True, state.recording_cause)
        elif state.recording in AWAY and quiet_us >= round(self._settings.offline_alarm_s * US):
            self._alarm(AlarmKind.CAMERA_OFFLINE, subject, True, state.recording)

    def _alarm(self, kind: AlarmKind, subject: str, opened: bool, detail: str) -> None:
        """Report a change; what an earlier process left open is closed by the first good news of this one."""
        if self._alarms.get((kind, subject)) is not opened:
            self._reports.alarm(kind, subject, opened, detail)
            self._alarms[kind, subject] = opened


def _differs(old: StreamPlan, new: StreamPlan) -> bool:
    """Whether the session must be made anew (counts of refusals alone do not matter)."""
    same_way = (old.uri, old.transport, old.recorded) == (new.uri, new.transport, new.recorded)
    return not same_way or old.device.credential_version != new.device.credential_version
