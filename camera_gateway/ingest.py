"""One camera stream: connects, records, feeds live viewers, and comes back by itself when the camera was away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from camera_gateway.board import RECORDED, StateBoard
from camera_gateway.device_gate import DeviceGate
from camera_gateway.packets import AccessUnit, PacketSource, SourceFault, SourceSettings
from camera_gateway.recorder.ports import SegmentSink
from camera_gateway.recorder.segmenter import Segmenter
from camera_gateway.recorder.timing import Timekeeper
from camera_gateway.tap import Tap
from storage.clock import Clock
from storage.model import GapReason, LiveState, RunEnd

log = logging.getLogger(__name__)

BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Waits between tries; a camera that sent frames starts from the beginning again."""


class RecordSink(SegmentSink, Protocol):
    """A segment sink that can also say why there is nothing to record."""

    def open_gap(self, t_us: int, reason: GapReason, detail: str) -> None: ...


@dataclass(frozen=True, slots=True)
class IngestParts:
    """What all ingests of a worker share."""

    clock: Clock
    board: StateBoard
    new_source: Callable[[], PacketSource]
    pacing: threading.Semaphore  # how many cameras are being opened at once
    segment_s: float


class StreamIngest:
    """Records `stream_id` when it has a `sink`; feeds `tap` in any case. One thread."""

    def __init__(
        self,
        stream_id: UUID,
        settings: Callable[[], SourceSettings],
        gate: DeviceGate,
        tap: Tap,
        sink: RecordSink | None,
        parts: IngestParts,
    ) -> None:
        self.stream_id = stream_id
        self.tap = tap
        self.recorded = sink is not None
        self._settings = settings
        self._gate = gate
        self._sink = sink
        self._parts = parts
        self._clock = parts.clock
        self._board = parts.board
        self._segmenter = Segmenter(stream_id, sink, parts.clock, parts.segment_s) if sink is not None else None
        self._stopping = threading.Event()
        self._end = (RunEnd.STOPPED, "")
        self._source: PacketSource | None = None
        self._told = ""  # what board and archive know: RECORDED or a gap reason's value
        self._got_frames = False
        self._thread = threading.Thread(target=self._run, name=f"ingest-{stream_id.hex[-6:]}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask_stop(self, end: RunEnd, detail: str = "") -> None:
        """Begin to stop; `end` becomes the reason of the run's end."""
        self._end = (end, detail)
        self._stopping.set()
        source = self._source
        if source is not None:
            source.close()

    def stop(self, end: RunEnd = RunEnd.STOPPED, detail: str = "") -> None:
        """Stop and wait; at most as long as the source's read timeout."""
        self.ask_stop(end, detail)
        self._thread.join()

    def _run(self) -> None:
        began_us = self._clock.now_us()
        tries = 0
        while not self._stopping.is_set():
            self._got_frames = False
            try:
                self.run_once()
            except SourceFault as fault:
                if not self._stopping.is_set():  # else it is our own closing that broke the session
                    self._on_fault(fault, began_us)
            tries = 0 if self._got_frames else min(tries + 1, len(BACKOFF_S))
            began_us = 0
            if not self._stopping.is_set():
                self._pause(tries)
        self._end_recording()

    def _end_recording(self) -> None:
        """End the run; without one the gap that is open gets the reason of the end: nobody tries any more."""
        if self._segmenter is None:
            return
        end, detail = self._end
        if self._segmenter.recording:
            self._segmenter.end(end, detail)
        else:
            reason = GapReason.MAINTENANCE if end is RunEnd.STOPPED else GapReason(end.value)
            self._note_gap(reason, detail, self._clock.now_us())

    def run_once(self) -> None:
        """One session with the camera. Raises SourceFault; returns when asked to stop."""
        source = self._parts.new_source()
        self._source = source
        try:
            self._connect(source)
            keeper = Timekeeper()
            for unit in source.units():
                self._take(unit, keeper)
                if self._stopping.is_set():
                    source.close()
        finally:
            self._source = None
            source.close()

    def _connect(self, source: PacketSource) -> None:
        with self._gate.sign_in(), self._parts.pacing:
            if self._stopping.is_set():
                return
            source.open(self._settings())

    def _take(self, unit: AccessUnit, keeper: Timekeeper) -> None:
        if not self._got_frames:
            self._got_frames = True
            self._board.live(self.stream_id, LiveState.LIVE)
            log.info("camera_connected", extra={"fields": {"stream": self.stream_id}})
        self._board.frame(self.stream_id, unit.arrival_us)
        broken = keeper.take(unit)
        if self._segmenter is not None:
            if broken is not None:
                self._segmenter.end(broken.end, broken.detail)
            self._record(self._segmenter, unit, keeper)
        self.tap.offer(unit, keeper.wall_us(unit))

    def _record(self, segmenter: Segmenter, unit: AccessUnit, keeper: Timekeeper) -> None:
        fault = segmenter.take(unit, keeper.line)
        if fault is not None:
            if self._board.recording(self.stream_id, fault.reason.value, fault.evidence):
                log.error("recording_refused", extra={"fields": {"stream": self.stream_id, "reason": fault.reason}})
            self._note_gap(fault.reason, fault.evidence, unit.arrival_us)
        elif segmenter.recording and self._told != RECORDED:
            self._told = RECORDED
            self._board.recording(self.stream_id, RECORDED)

    def _on_fault(self, fault: SourceFault, began_us: int) -> None:
        self.tap.reset()
        if self._segmenter is not None and self._segmenter.recording:
            self._segmenter.end(RunEnd(fault.reason.value), fault.evidence)
            self._told = fault.reason.value  # closing the run opened the gap
        self._note_gap(fault.reason, fault.evidence, began_us or self._clock.now_us())
        self._board.live(self.stream_id, LiveState.OFFLINE, fault.reason.value)
        fields = {"stream": self.stream_id, "reason": fault.reason.value, "evidence": fault.evidence}
        log.info("camera_away", extra={"fields": fields})

    def _note_gap(self, reason: GapReason, evidence: str, t_us: int) -> None:
        """The board and the archive learn a reason once, and again only when it changes."""
        if self._sink is None:
            return
        if self._told != reason.value:
            self._told = reason.value
            self._sink.open_gap(t_us, reason, evidence)
        self._board.recording(self.stream_id, reason.value, evidence)

    def _pause(self, tries: int) -> None:
        if self._gate.blocked:
            while not self._stopping.is_set() and self._gate.blocked:
                self._clock.wait(self._stopping, 1.0)
            return
        self._clock.wait(self._stopping, BACKOFF_S[max(tries - 1, 0)])
