"""The streams of a worker's share: begun, changed and ended as the plan and the viewers want. Lives in the reactor."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from camera_gateway.device_gate import DeviceGate, SignInCounts
from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.ingest import Duty, IngestParts, RecordSink, StreamIngest
from camera_gateway.motion import MotionTrigger
from camera_gateway.packets import Engine, SourceSettings
from camera_gateway.plan import DevicePlan, PlanMode, StreamPlan
from camera_gateway.stats import StreamStats
from camera_gateway.tap import LiveOutlet, Tap
from storage.errors import ConfigurationError
from storage.model import GapReason, LiveState, RunEnd

log = logging.getLogger(__name__)

UNWATCHED_S = 10.0
"""How long a stream that is not recorded stays connected after its last viewer has left."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How cameras are reached, in seconds."""

    open_timeout_s: float = 5.0
    read_timeout_s: float = 5.0


@dataclass(slots=True)
class _Active:
    ingest: StreamIngest
    plan: StreamPlan


class StreamSet:
    """All of it is called in the reactor's thread, but for `forgotten` and `known`, which any thread may read."""

    def __init__(
        self,
        parts: IngestParts,
        new_sink: Callable[[UUID], RecordSink],
        open_password: Callable[[DevicePlan], str],
        counts: SignInCounts,
        outlet: LiveOutlet,
        reach: Reach,
    ) -> None:
        self._parts = parts
        self._reactor = parts.reactor
        self._board = parts.board
        self._new_sink = new_sink
        self._open_password = open_password
        self._counts = counts
        self._outlet = outlet
        self._reach = reach
        self.known: dict[UUID, StreamPlan] = {}
        self.forgotten: set[UUID] = set()
        self._watched: frozenset[UUID] = frozenset()
        self._active: dict[UUID, _Active] = {}
        self._sinks: dict[UUID, RecordSink] = {}
        self._gates: dict[UUID, DeviceGate] = {}
        self._idle: dict[UUID, GapReason] = {}
        self._motion: dict[UUID, MotionTrigger] = {}
        self._mute: set[UUID] = set()  # cameras that tell no motion although it was asked for
        self._stopped = False

    def apply(self, plans: list[StreamPlan]) -> None:
        """This is the plan now."""
        if self._stopped:
            return
        self.known = {plan.id: plan for plan in plans}
        for plan in plans:
            self._gate(plan.device).update(plan.device)
            if plan.metadata:
                self.motion(plan.channel_id).post_roll_s = float(plan.post_roll_s)
        for stream_id in list(self._active):
            self._adjust(stream_id)
        for plan in plans:
            if plan.id not in self._active and self._wanted(plan):
                self._begin(plan)
            elif plan.id not in self._active and plan.planned:
                self._tell_idle(plan)

    def watch(self, watched: frozenset[UUID]) -> None:
        """These streams have viewers now."""
        before, self._watched = self._watched, watched
        for stream_id in before - watched:
            if stream_id in self._active:
                self._active[stream_id].ingest.tap.unwatch()
                self._reactor.call_later(UNWATCHED_S, self._stop_unwatched)
        for stream_id in watched - before:
            plan = self.known.get(stream_id)
            if stream_id in self._active:
                self._active[stream_id].ingest.watch()
            elif plan is not None and self._wanted(plan) and not self._stopped:
                self._begin(plan)

    def stop(self, end: RunEnd, detail: str) -> None:
        """End everything, for good; also rests: nobody knows whether we are back when the plan's next hours begin."""
        self._stopped = True
        recorded = {stream_id for stream_id, active in self._active.items() if active.ingest.duty.recorded}
        for stream_id in list(self._active):
            self._end(stream_id, end, detail)
        for plan in self.known.values():
            if plan.planned and plan.device.enabled and plan.id not in recorded:
                self._sink(plan.id).open_gap(self._reactor.clock.now_us(), GapReason.MAINTENANCE, detail)

    def stats(self, now_us: int, now_s: float) -> dict[UUID, StreamStats]:
        """What each connected stream delivers; rates are those since the last call."""
        told = {}
        for stream_id, active in self._active.items():
            active.ingest.meter.measure(now_s)
            told[stream_id] = active.ingest.stats(now_us)
        return told

    def motion(self, channel_id: UUID) -> MotionTrigger:
        """The motion of a camera: asks all its planned streams on standby to record."""
        if channel_id not in self._motion:
            self._motion[channel_id] = MotionTrigger(self._reactor.clock, 0.0)
        return self._motion[channel_id]

    def hears(self, channel_id: UUID, *, told: bool) -> None:
        """Whether a camera that was asked for its motion tells any; one that waits for it alone is else recorded."""
        before = channel_id in self._mute
        if told:
            self._mute.discard(channel_id)
        elif not before:
            self._mute.add(channel_id)
            log.warning("motion_not_told", extra={"fields": {"channel": channel_id}})
        if told is before:
            self.perform_channel(channel_id)

    def perform_channel(self, channel_id: UUID) -> None:
        """What its motion says has changed: all its streams may have another duty."""
        for active in list(self._active.values()):
            if active.plan.channel_id == channel_id:
                self._perform(active)

    # --- one stream --------------------------------------------------------------------------------------------------
    def _wanted(self, plan: StreamPlan) -> bool:
        return plan.device.enabled and (plan.connected or plan.id in self._watched)

    def _adjust(self, stream_id: UUID) -> None:
        """End a stream that is not wanted any more or must be connected anew; give the others their duty."""
        active, plan = self._active[stream_id], self.known.get(stream_id)
        if plan is None or not plan.device.enabled:
            self._end(stream_id, RunEnd.MAINTENANCE, "disabled" if plan else "retired")
        elif active.plan.connected and not self._wanted(plan):
            self._end(stream_id, RunEnd.PLAN, plan.reason)
        elif _differs(active.plan, plan):
            self._end(stream_id, RunEnd.MAINTENANCE, "settings changed")
        else:
            active.plan = plan
            self._perform(active)

    def _duty(self, plan: StreamPlan) -> Duty:
        standby = plan.mode is PlanMode.STANDBY
        moved = standby and plan.channel_id in self._motion and self._motion[plan.channel_id].wanted()
        mute = plan.motion_alone and plan.channel_id in self._mute  # in doubt, record
        return Duty(plan.recorded or moved or mute, float(plan.pre_roll_s) if standby else 0.0, plan.reason)

    def _perform(self, active: _Active) -> None:
        duty = self._duty(active.plan)
        if duty != active.ingest.duty:
            self._idle.pop(active.plan.id, None)
            active.ingest.perform(duty)

    def _begin(self, plan: StreamPlan) -> None:
        if plan.planned and not plan.recorded:
            self._tell_idle(plan)
        elif not plan.planned:
            self._board.recording(plan.id, GapReason.PLAN.value, "this stream is not recorded")
        self._board.live(plan.id, LiveState.CONNECTING)
        ingest = StreamIngest(
            plan.id,
            lambda: self._source_settings(plan.id),
            self._gate(plan.device),
            Tap(plan.id, self._outlet),
            self._sink(plan.id),
            self._parts,
            self._duty(plan),
            _ChannelEvents(self, plan.channel_id) if plan.metadata else _NO_EVENTS,
        )
        self._active[plan.id] = _Active(ingest, plan)
        self.forgotten.discard(plan.id)
        if plan.recorded:
            self._idle.pop(plan.id, None)
        if plan.id in self._watched:
            ingest.watch()
        ingest.start()

    def _end(self, stream_id: UUID, end: RunEnd, detail: str) -> None:
        active = self._active.pop(stream_id)
        active.ingest.stop(end, detail)
        plan = self.known.get(stream_id)
        if active.plan.planned and not active.ingest.duty.recorded and (plan is None or not plan.device.enabled):
            # On standby its gap said that the plan did not want it; from now on nothing could be recorded.
            self._sink(stream_id).open_gap(self._reactor.clock.now_us(), GapReason.MAINTENANCE, detail)
        if plan is None or not plan.planned:
            self._board.remove(stream_id)
            self.forgotten.add(stream_id)
        elif not self._stopped and not self._wanted(plan):
            self._idle[stream_id] = _rest(plan)[0]  # the ingest has told the archive
            self._show_idle(plan)

    def _stop_unwatched(self) -> None:
        for stream_id, active in list(self._active.items()):
            if not active.plan.connected and stream_id not in self._watched:
                self._end(stream_id, RunEnd.PLAN, "unwatched")

    def _tell_idle(self, plan: StreamPlan) -> None:
        """A planned stream that rests on purpose: its gap says why."""
        reason, detail = _rest(plan)
        if self._idle.get(plan.id) is reason:
            return
        self._idle[plan.id] = reason
        self._sink(plan.id).open_gap(self._reactor.clock.now_us(), reason, detail)
        self._show_idle(plan)

    def _show_idle(self, plan: StreamPlan) -> None:
        reason, detail = _rest(plan)
        self._board.live(plan.id, LiveState.OFFLINE, reason.value)
        self._board.recording(plan.id, reason.value, detail)

    def _source_settings(self, stream_id: UUID) -> SourceSettings:
        plan = self.known.get(stream_id) or self._active[stream_id].plan
        device = plan.device
        return SourceSettings(
            uri=plan.uri,
            username=device.username,
            password=self._password(device),
            transport=plan.transport,
            codec=VideoCodec(plan.codec) if plan.codec in tuple(VideoCodec) else None,
            audio=plan.audio,
            metadata=plan.metadata,
            engine=Engine(plan.engine) if plan.engine else None,
            open_timeout_s=self._reach.open_timeout_s,
            read_timeout_s=self._reach.read_timeout_s,
        )

    # --- devices -----------------------------------------------------------------------------------------------------
    def _password(self, device: DevicePlan) -> str:
        try:
            return self._open_password(device)
        except ConfigurationError as error:
            log.error("password_unreadable", extra={"fields": {"device": device.id, "error": error.message}})
            return ""

    def _sink(self, stream_id: UUID) -> RecordSink:
        if stream_id not in self._sinks:
            self._sinks[stream_id] = self._new_sink(stream_id)
        return self._sinks[stream_id]

    def _gate(self, device: DevicePlan) -> DeviceGate:
        if device.id not in self._gates:
            self._gates[device.id] = DeviceGate(device, self._counts)
        return self._gates[device.id]


class _ChannelEvents:
    """`CameraEvents` that turn motion into recording."""

    def __init__(self, streams: StreamSet, channel_id: UUID) -> None:
        self._streams = streams
        self._channel_id = channel_id

    def opened(self, *, told: bool) -> None:
        self._streams.hears(self._channel_id, told=told)

    def metadata(self, document: bytes) -> None:
        if self._streams.motion(self._channel_id).take(document):
            self._streams.perform_channel(self._channel_id)

    def session_lost(self) -> None:
        self._streams.motion(self._channel_id).reset()


class _NoEvents:
    """`CameraEvents` of a camera whose events were not asked for."""

    def opened(self, *, told: bool) -> None:
        if told:
            log.debug("metadata_unasked")

    def metadata(self, document: bytes) -> None:
        log.debug("metadata_unasked", extra={"fields": {"bytes": len(document)}})

    def session_lost(self) -> None:
        return


_NO_EVENTS = _NoEvents()


def _rest(plan: StreamPlan) -> tuple[GapReason, str]:
    """Why a planned stream is not recorded, on purpose."""
    return (GapReason.PLAN, plan.reason) if plan.device.enabled else (GapReason.MAINTENANCE, "disabled")


def _differs(old: StreamPlan, new: StreamPlan) -> bool:
    """Whether the session must be made anew (duties and counts of refusals alone do not matter)."""
    return _way(old) != _way(new)


def _way(plan: StreamPlan) -> tuple[object, ...]:
    device = plan.device
    return plan.uri, plan.transport, plan.audio, plan.metadata, plan.engine, device.credential_version
