"""One camera stream: connects, records, feeds live viewers, and comes back by itself when the camera was away.

Lives in its worker's reactor: every method is called there, and none of them waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from camera_gateway.board import RECORDED, StateBoard
from camera_gateway.camera_clock import CameraClock
from camera_gateway.device_gate import DeviceGate
from camera_gateway.pacing import Pacer, Ticket
from camera_gateway.packets import (
    AccessUnit,
    AudioUnit,
    PacketSource,
    SenderReport,
    SourceFault,
    SourceInfo,
    SourceSettings,
)
from camera_gateway.pre_roll import PreRoll, PreRollMemory
from camera_gateway.reactor import Reactor, Timer
from camera_gateway.recorder.ports import SegmentSink, SinkFault
from camera_gateway.recorder.segmenter import Segmenter
from camera_gateway.recorder.timing import CLOCK_STEP_US, Timekeeper, media_us
from camera_gateway.stats import StreamStats
from camera_gateway.stream_meter import StreamMeter
from camera_gateway.tap import Tap
from storage.model import GapReason, LiveState, RunEnd

log = logging.getLogger(__name__)

BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Waits between tries; a camera that sent frames starts from the beginning again."""


class RecordSink(SegmentSink, Protocol):
    """A segment sink that can also say why there is nothing to record."""

    def open_gap(self, t_us: int, reason: GapReason, detail: str) -> None: ...

    def expect(self, size: int) -> None:
        """About so many bytes come at once, out of memory that held them anyway: they are not a slow disk's."""
        ...


class CameraEvents(Protocol):
    """Port: who makes something of what a camera tells beside its pictures."""

    def opened(self, *, told: bool) -> None:
        """A session plays; `told`: metadata comes with it."""
        ...

    def metadata(self, document: bytes) -> None:
        """A metadata document came."""
        ...

    def session_lost(self) -> None:
        """Whatever was told is not followed by its end any more."""
        ...


@dataclass(frozen=True, slots=True)
class IngestParts:
    """What all ingests of a worker share."""

    reactor: Reactor
    board: StateBoard
    new_source: Callable[[], PacketSource]
    pacer: Pacer
    segment_s: float
    pre_rolls: PreRollMemory


@dataclass(frozen=True, slots=True)
class Duty:
    """What a stream is connected for: to be recorded, to be ready for it, or only to be watched."""

    recorded: bool
    pre_roll_s: float = 0.0  # of a stream on standby: how far back its recording is to begin
    detail: str = ""  # why it is not recorded


class StreamIngest:
    """A `SourceListener` that goes from session to session until it is stopped."""

    def __init__(
        self,
        stream_id: UUID,
        settings: Callable[[], SourceSettings],
        gate: DeviceGate,
        tap: Tap,
        sink: RecordSink,
        parts: IngestParts,
        duty: Duty,
        events: CameraEvents,
    ) -> None:
        self.stream_id = stream_id
        self.tap = tap
        self.duty = Duty(recorded=False)
        self.meter = StreamMeter()
        self.camera_clock = CameraClock()
        self._settings = settings
        self._events = events
        self._gate = gate
        self._sink = sink
        self._reactor = parts.reactor
        self._clock = parts.reactor.clock
        self._board = parts.board
        self._pacer = parts.pacer
        self._new_source = parts.new_source
        self._pre_rolls = parts.pre_rolls
        self._segmenter = Segmenter(stream_id, sink, self._clock, parts.segment_s)
        self._pre_roll: PreRoll | None = None
        self._seen = parts.board.last_frame(stream_id)
        self._keeper = Timekeeper()
        self._told = ""  # what board and archive know: RECORDED or a gap reason's value
        self._source: PacketSource | None = None
        self._wants_sound = False
        self._signing_in = False
        self._ticket: Ticket | None = None
        self._retry: Timer | None = None
        self._tries = 0
        self._got_frames = False
        self._newest_dts = 0
        self._began_us = self._clock.now_us()  # since when it has to be recorded and nothing was told; 0: it was
        self._away: SourceFault | None = None  # why there was no session last
        self._stopped = False
        self.perform(duty)

    # --- what it is told ---------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Connect for the first time."""
        self._try()

    def perform(self, duty: Duty) -> None:
        """From now on the stream has this duty; the session goes on."""
        before, self.duty = self.duty, duty
        if duty.recorded and not before.recorded:
            self._begin_recording()
        elif before.recorded and not duty.recorded:
            self._end_recording(RunEnd.PLAN, duty.detail)
            self._told = ""
        wanted_s = 0.0 if duty.recorded else duty.pre_roll_s
        if wanted_s <= 0:
            self._pre_roll = None
        elif self._pre_roll is None or self._pre_roll.seconds != wanted_s:
            self._pre_roll = PreRoll(wanted_s, self._pre_rolls)

    def stop(self, end: RunEnd, detail: str = "") -> None:
        """End the session and the run, for good."""
        self._stopped = True
        self._leave(None, admitted=False)
        self._drop_source()
        self._events.session_lost()
        if self._retry is not None:
            self._retry.cancel()
        if self.duty.recorded:
            self._end_recording(end, detail)
        self.tap.reset()

    def watch(self) -> None:
        """A first viewer came."""
        self.tap.watch(self._recent, self._wall_at)

    def stats(self, now_us: int) -> StreamStats:
        """What it delivers, for metrics."""
        session = self._source.counters if self._source is not None else None
        stats = self.meter.stats(session, self._seen.us, now_us)
        stats.sound_lost = self._segmenter.sound_lost
        stats.clock_offset_us, stats.clock_error_us = self.camera_clock.offset_us, self.camera_clock.error_us
        return stats

    # --- sessions ----------------------------------------------------------------------------------------------------
    def _try(self) -> None:
        self._retry = None
        if self._gate.blocked:
            self._on_fault(self._gate.closed_fault)
        else:
            self._gate.enter(self._sign_in)

    def _sign_in(self) -> None:
        self._signing_in = True
        if self._gate.blocked:
            self._leave(None, admitted=False)
            self._on_fault(self._gate.closed_fault)
        else:
            self._ticket = self._pacer.enter(self._tries, self._connect)

    def _connect(self) -> None:
        self._got_frames = False
        self._keeper = Timekeeper()
        source, settings = self._new_source(), self._settings()
        self._source, self._wants_sound = source, settings.audio
        source.start(settings, self)

    def _leave(self, outcome: GapReason | None, *, admitted: bool) -> None:
        """Give up the turns at the pacer and at the device's gate, if there are any."""
        if self._ticket is not None:
            ticket, self._ticket = self._ticket, None
            self._pacer.leave(ticket)
        if self._signing_in:
            self._signing_in = False
            self._gate.leave(outcome, admitted=admitted)
        else:
            self._gate.give_up(self._sign_in)

    def _drop_source(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            self.meter.session_ended(source.counters)
            source.close()

    # --- what the source tells ---------------------------------------------------------------------------------------
    def opened(self, info: SourceInfo) -> None:
        self._leave(None, admitted=True)
        self.meter.opened(info)
        self._segmenter.hear(info.audio)
        if self._wants_sound and info.audio is None:
            fields = {"stream": self.stream_id, "engine": info.engine.value, "note": info.note}
            log.warning("sound_not_recorded", extra={"fields": fields})
        self._events.opened(told=info.metadata)

    def unit(self, unit: AccessUnit) -> None:
        self._seen.us = unit.arrival_us
        self._newest_dts = unit.dts
        self.meter.unit(unit)
        if not self._got_frames:
            self._first_frame()
        keeper = self._keeper
        broken = keeper.take(unit)
        if broken is not None:
            self._on_break(broken.end, broken.detail)
        if self.duty.recorded:
            fault = self._segmenter.take(unit, keeper.line)
            if fault is not None or self._told is not RECORDED:
                self._tell_recording(fault, unit)
        elif self._pre_roll is not None:
            self._pre_roll.add(unit)
        if self.tap.watched:
            self.tap.offer(unit, keeper.line.place_us(media_us(unit.dts)))

    def audio(self, unit: AudioUnit) -> None:
        if self.duty.recorded or self._pre_roll is not None:
            self._segmenter.take_audio(unit)

    def metadata(self, document: bytes, _arrival_us: int) -> None:
        self._events.metadata(document)

    def sender_report(self, report: SenderReport) -> None:
        if self._got_frames:
            self.camera_clock.take(report.camera_us - self._keeper.line.place_us(media_us(report.dts)))

    def failed(self, fault: SourceFault) -> None:
        self._leave(fault.reason, admitted=False)
        self._drop_source()
        self._events.session_lost()
        self._tries = 0 if self._got_frames else min(self._tries + 1, len(BACKOFF_S))
        self._on_fault(fault)

    def _first_frame(self) -> None:
        self._got_frames = True
        self._away = None
        self._tries = 0
        self._board.live(self.stream_id, LiveState.LIVE)
        log.info("camera_connected", extra={"fields": {"stream": self.stream_id}})

    def _on_break(self, end: RunEnd, detail: str) -> None:
        self._segmenter.end(end, detail)
        self.camera_clock.forget()
        if self._pre_roll is not None:
            self._pre_roll.clear()

    def _on_fault(self, fault: SourceFault) -> None:
        """The camera is away: end the run, say why, and try again later."""
        if self._stopped:
            return
        self.tap.reset()
        self.meter.failed(fault)
        self._away = fault
        if self._pre_roll is not None:
            self._pre_roll.clear()
        if self._segmenter.recording:
            refused = self._segmenter.end(RunEnd(fault.reason.value), fault.evidence)
            self._told = (refused or fault).reason.value  # closing the run opened the gap
        began_us, self._began_us = self._began_us, 0
        self._note_gap(fault.reason, fault.evidence, began_us or self._clock.now_us())
        self._board.live(self.stream_id, LiveState.OFFLINE, fault.reason.value)
        fields = {"stream": self.stream_id, "reason": fault.reason.value, "evidence": fault.evidence}
        log.info("camera_away", extra={"fields": fields})
        wait_s = BACKOFF_S[max(self._tries - 1, 0)] if not self._gate.blocked else BACKOFF_S[-1]
        self._retry = self._reactor.call_later(wait_s, self._try)

    # --- recording ---------------------------------------------------------------------------------------------------
    def _begin_recording(self) -> None:
        """The pre-roll of a stream on standby is recorded first. While its camera is away the gap says so from now."""
        self._told = ""
        self._began_us = self._clock.now_us()
        if self._away is not None:
            self._note_gap(self._away.reason, self._away.evidence, self._began_us)
            self._began_us = 0
        kept = self._unrecorded(self._pre_roll.take()) if self._pre_roll is not None else []
        if kept:
            self._sink.expect(sum(len(unit.data) for unit in kept))
        for unit in kept:
            fault = self._segmenter.take(unit, self._keeper.line)
            if fault is not None:
                self._tell_recording(fault, unit)
                return

    def _unrecorded(self, kept: list[AccessUnit]) -> list[AccessUnit]:
        """The part of a pre-roll that no run has: a camera that kept pictures over a break sends them all at once, so
        that they may lie before the end of the run before. The group that reaches over that end begins there.
        """
        until_us, line = self._segmenter.ended_us, self._keeper.line
        if not kept or until_us - kept[0].arrival_us > CLOCK_STEP_US:
            return kept  # the clock was set back since
        line.go_on_from(until_us)
        first = 0
        for index, unit in enumerate(kept):
            if unit.key and line.place_us(media_us(unit.dts)) <= until_us:
                first = index
        return kept[first:]

    def _end_recording(self, end: RunEnd, detail: str) -> None:
        """End the run; without one the gap that is open gets the reason of the end: nobody tries any more."""
        reason = GapReason.MAINTENANCE if end is RunEnd.STOPPED else GapReason(end.value)
        if self._segmenter.recording:
            refused = self._segmenter.end(end, detail)
            self._told = (refused.reason if refused else reason).value  # closing the run opened the gap
        self._note_gap(reason, detail, self._clock.now_us(), always=True)

    def _tell_recording(self, fault: SinkFault | None, unit: AccessUnit) -> None:
        if fault is not None:
            if self._board.recording(self.stream_id, fault.reason.value, fault.evidence):
                log.error("recording_refused", extra={"fields": {"stream": self.stream_id, "reason": fault.reason}})
            self._note_gap(fault.reason, fault.evidence, unit.arrival_us)
        elif self._segmenter.recording:
            self._told = RECORDED
            self._began_us = 0
            self._board.recording(self.stream_id, RECORDED)

    def _note_gap(self, reason: GapReason, evidence: str, t_us: int, *, always: bool = False) -> None:
        """The board and the archive learn a reason once, and again only when it changes."""
        if not (self.duty.recorded or always):
            return
        if self._told != reason.value:
            self._told = reason.value
            self._sink.open_gap(t_us, reason, evidence)
        self._board.recording(self.stream_id, reason.value, evidence)

    # --- for viewers -------------------------------------------------------------------------------------------------
    def _recent(self, deliver: Callable[[list[AccessUnit]], None]) -> list[AccessUnit] | None:
        """The current group: from memory on standby, else its newest units now and the others from the disk."""
        if self._pre_roll is not None:
            self._reactor.call_soon(lambda: deliver([]))
            return self._pre_roll.newest_group()
        if not self.duty.recorded:
            return None
        return self._segmenter.group(lambda units: self._reactor.call_threadsafe(lambda: deliver(units)))

    def _wall_at(self, dts: int) -> int:
        return self._keeper.line.place_us(media_us(dts))
