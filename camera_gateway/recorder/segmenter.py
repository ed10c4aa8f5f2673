"""Turns one stream's access units into runs of segments. No thread and no disk of its own: pure rules.

A run begins at a key frame and ends with a reason. Inside it, files are cut at the first key frame after a wall-clock
boundary, and fragments at key frames or after a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from camera_gateway.fmp4.parameters import ParameterSets, VideoFormat, video_format
from camera_gateway.fmp4.writer import TIMESCALE, Identity, Sample, fragment, init_segment
from camera_gateway.packets import AccessUnit
from camera_gateway.recorder.ports import FragmentNote, SegmentSink, SegmentStart, SinkFault
from camera_gateway.recorder.timing import ArrivalLine, media_us, next_boundary_us
from storage.clock import US, Clock
from storage.errors import MediaError
from storage.ids import new_id
from storage.model import GapReason, RunEnd

_FRAGMENT = TIMESCALE
"""A fragment is closed before it would become longer than this (1 s): what a kill can cost."""

_LONGEST_FRAME = 10 * TIMESCALE
_DEFAULT_INTERVAL = 3600


@dataclass(slots=True)
class _File:
    dts0: int
    t0_us: int
    boundary_us: int
    end_us: int  # where its last fragment that the sink took ends
    frames: int = 0
    duration: int = 0
    sequence: int = 0


@dataclass(slots=True)
class _Run:
    id: UUID
    parameters: ParameterSets
    video: VideoFormat
    line: ArrivalLine
    file: _File
    pending: list[Sample]
    pending_dts: int
    last: AccessUnit
    interval: int = _DEFAULT_INTERVAL


class Segmenter:
    """Records one stream. `take` and `end` are called from one thread.

    The caller ends the run itself when the relation of media time to wall time breaks (`Timekeeper` tells), and hands
    in the line that holds.
    """

    def __init__(self, stream_id: UUID, sink: SegmentSink, clock: Clock, segment_s: float = 60.0) -> None:
        self._stream_id = stream_id
        self._sink = sink
        self._clock = clock
        self._interval_us = round(segment_s * US)
        self._phase_us = stream_id.int % self._interval_us
        self._run: _Run | None = None

    @property
    def recording(self) -> bool:
        """Whether a run is open."""
        return self._run is not None

    def take(self, unit: AccessUnit, line: ArrivalLine) -> SinkFault | None:
        """Record one unit, whose arrival is in `line` already.

        When the disk side failed, the run is ended and its fault returned: say so, go on.
        """
        try:
            self._take(unit, line)
        except SinkFault as fault:
            self._abandon(RunEnd(fault.reason.value), fault.evidence)
            return fault
        return None

    def end(self, end: RunEnd, detail: str = "") -> None:
        """End the run, if one is open, after its last frame."""
        if self._run is None:
            return
        try:
            self._close(self._run, self._flush_last(self._run), end, detail)
        except SinkFault as fault:
            self._abandon(RunEnd(fault.reason.value), fault.evidence)

    def _take(self, unit: AccessUnit, line: ArrivalLine) -> None:
        run = self._run
        if run is None:
            if unit.key:
                self._begin(unit, line)
        elif unit.parameters == run.parameters:
            self._extend(run, unit)
        elif unit.key:
            self._begin(unit, line, self._hand_over(run, unit))
        else:  # cannot be decoded with the old sets: until the next key frame there is nothing to record
            self.end(RunEnd.NO_MEDIA, "new parameter sets without a key frame")

    def _hand_over(self, run: _Run, unit: AccessUnit) -> int:
        """End the run as `parameters` where `unit` begins the next one: no instant between them."""
        self._append(run, unit.dts - run.last.dts)
        t1_us = run.line.wall_us(media_us(unit.dts))
        self._write_fragment(run, unit.dts, t1_us)
        self._close(run, t1_us, RunEnd.PARAMETERS, "")
        return t1_us

    def _begin(self, unit: AccessUnit, line: ArrivalLine, t0_us: int | None = None) -> None:
        try:
            video = video_format(unit.parameters)
        except MediaError as error:
            raise SinkFault(GapReason.NO_MEDIA, error.message) from error
        t0_us = line.wall_us(media_us(unit.dts)) if t0_us is None else t0_us
        run_id = new_id(self._clock)
        file = self._new_file(run_id, video, unit.dts, t0_us)
        self._sink.open_run(self._stream_id, run_id, t0_us)
        self._run = _Run(run_id, unit.parameters, video, line, file, [], unit.dts, unit)

    def _extend(self, run: _Run, unit: AccessUnit) -> None:
        run.interval = min(unit.dts - run.last.dts, _LONGEST_FRAME)
        self._append(run, unit.dts - run.last.dts)
        if unit.key and unit.arrival_us >= run.file.boundary_us:
            self._cut(run, unit)
        elif unit.key or unit.dts - run.pending_dts + run.interval > _FRAGMENT:
            self._write_fragment(run, unit.dts)
        run.last = unit

    def _append(self, run: _Run, duration: int) -> None:
        """The frame before is complete now that its duration is known."""
        last = run.last
        run.pending.append(Sample(last.data, duration, last.pts - last.dts, last.key))

    def _write_fragment(self, run: _Run, next_dts: int, t1_us: int | None = None) -> None:
        file = run.file
        start = run.pending_dts - file.dts0
        file.sequence += 1
        file.frames += len(run.pending)
        file.duration = next_dts - file.dts0
        end_us = run.line.wall_us(media_us(next_dts)) if t1_us is None else t1_us
        note = FragmentNote(start, run.pending[0].key, file.frames, file.duration, end_us)
        data = fragment(file.sequence, start, run.pending)
        run.pending, run.pending_dts = [], next_dts
        self._sink.write(data, note)
        file.end_us = end_us

    def _cut(self, run: _Run, unit: AccessUnit) -> None:
        t1_us = run.line.wall_us(media_us(unit.dts))
        self._write_fragment(run, unit.dts, t1_us)
        self._sink.finish(t1_us)
        run.file = self._new_file(run.id, run.video, unit.dts, t1_us)

    def _new_file(self, run_id: UUID, video: VideoFormat, dts: int, t0_us: int) -> _File:
        segment_id = new_id(self._clock)
        identity = Identity(segment_id, self._stream_id, run_id, t0_us)
        head = init_segment(video, identity)
        start = SegmentStart(
            *(segment_id, self._stream_id, run_id, t0_us, video.codec, video.width, video.height, TIMESCALE, head)
        )
        self._sink.begin(start)
        return _File(dts, t0_us, next_boundary_us(t0_us, self._interval_us, self._phase_us), end_us=t0_us)

    def _flush_last(self, run: _Run) -> int:
        """Write what is pending, with the last frame as long as the one before; returns the run's end."""
        self._append(run, run.interval)
        next_dts = run.last.dts + run.interval
        t1_us = run.line.wall_us(media_us(next_dts))
        self._write_fragment(run, next_dts, t1_us)
        return t1_us

    def _close(self, run: _Run, t1_us: int, end: RunEnd, detail: str) -> None:
        self._run = None
        self._sink.finish(t1_us)
        self._sink.close_run(run.id, t1_us, end, detail)

    def _abandon(self, end: RunEnd, detail: str) -> None:
        """The sink failed: what it took is kept, the rest is the gap."""
        run = self._run
        if run is not None:
            self._close(run, run.file.end_us, end, detail)
