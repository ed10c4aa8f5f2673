"""Turns one stream's access units into runs of segments. No thread and no disk of its own: pure rules.

A run begins at a key frame and ends with a reason. Inside it, files are cut at the first key frame after a wall-clock
boundary, and fragments at key frames or after half a second. Units wait as they came; nothing is copied. Sound goes
along with the pictures and decides nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from camera_gateway.audio.track import SoundTrack
from camera_gateway.fmp4.parameters import ParameterSets, VideoFormat, video_format
from camera_gateway.fmp4.reader import read_samples
from camera_gateway.fmp4.writer import TIMESCALE, Identity, fragment_parts, init_segment, sounding_fragment_parts
from camera_gateway.packets import AccessUnit, AudioFormat, AudioUnit
from camera_gateway.recorder.ports import FragmentNote, SegmentSink, SegmentStart, SinkFault
from camera_gateway.recorder.timing import ArrivalLine, media_us, next_boundary_us
from storage.clock import US, Clock
from storage.errors import MediaError
from storage.ids import new_id
from storage.model import GapReason, RunEnd

FRAGMENT = TIMESCALE // 2
"""A fragment is closed before it would become longer than this (0.5 s): what a kill can cost, and the last frame."""
GOP_BYTES = 4 << 20
"""The largest group of pictures that is read back for a viewer."""

_LONGEST_FRAME = 10 * TIMESCALE
_DEFAULT_INTERVAL = 3600

log = logging.getLogger(__name__)

Deliver = Callable[[list[AccessUnit]], None]


@dataclass(slots=True)
class _File:
    dts0: int
    t0_us: int
    boundary_us: int
    end_us: int  # where its last fragment that the sink took ends
    frames: int = 0
    sequence: int = 0


@dataclass(slots=True)
class _Run:
    id: UUID
    parameters: ParameterSets
    video: VideoFormat
    line: ArrivalLine
    file: _File
    pending: list[AccessUnit]  # never empty: the length of the newest frame is known when the next one comes
    limit_dts: int  # a unit after this time begins a new fragment
    sound: SoundTrack | None
    interval: int = _DEFAULT_INTERVAL  # from one frame to the next, as seen last


class Segmenter:
    """Records one stream. All calls are made from one thread.

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
        self._sound: SoundTrack | None = None
        self._sound_lost = 0  # in sessions that are over
        self.ended_us = 0  # where the last run ended

    @property
    def recording(self) -> bool:
        """Whether a run is open."""
        return self._run is not None

    def take(self, unit: AccessUnit, line: ArrivalLine) -> SinkFault | None:
        """Record one unit, whose arrival is in `line` already.

        When the disk side failed, the run is ended and its fault returned: say so, go on.
        """
        run = self._run
        if run is not None and not unit.key and unit.dts <= run.limit_dts and unit.parameters is run.parameters:
            run.pending.append(unit)
            return None
        try:
            self._take(unit, line)
        except SinkFault as fault:
            self._abandon(RunEnd(fault.reason.value), fault.evidence)
            return fault
        return None

    def hear(self, audio: AudioFormat | None) -> None:
        """The session that begins has this sound: files of the runs that follow keep it. None: no sound is kept.

        Sound that cannot be kept is left out with a word in the log; the pictures are recorded without it.
        """
        self._sound_lost = self.sound_lost
        self._sound = None
        if audio is not None:
            try:
                self._sound = SoundTrack(audio)
            except MediaError as error:
                fields = {"stream": self._stream_id, "codec": audio.codec.value, "error": error.message}
                log.warning("sound_refused", extra={"fields": fields})

    def take_audio(self, unit: AudioUnit) -> None:
        """Keep a piece of sound for the fragment that comes; without a run, for a recording that begins in the past."""
        if self._sound is not None:
            self._sound.take(unit)

    @property
    def sound_lost(self) -> int:
        """Pieces of sound that were to be kept and could not be."""
        return self._sound_lost + (self._sound.lost if self._sound is not None else 0)

    def end(self, end: RunEnd, detail: str = "") -> SinkFault | None:
        """End the run, if one is open, after its last frame; a fault of the disk side is its end instead."""
        if self._run is None:
            return None
        try:
            self._close(self._run, self._flush_last(self._run), end, detail)
        except SinkFault as fault:
            self._abandon(RunEnd(fault.reason.value), fault.evidence)
            return fault
        return None

    def group(self, deliver: Deliver) -> list[AccessUnit] | None:
        """The current group of pictures, for somebody who begins to watch; None when no run is open.

        Returns the units that the disk has not been given, oldest first. Those before them are read back from the
        file: `deliver` is called once, later, in the disk's thread, with the units from the key frame up to the first
        one returned here, their `arrival_us` being the smoothed wall time. It gets none when the returned units begin
        with the key frame, when the group has more than GOP_BYTES, or when the disk does not give it.
        """
        run = self._run
        if run is None:
            return None
        pending = list(run.pending)
        left = 0 if pending[0].key else GOP_BYTES - sum(len(unit.data) for unit in pending)
        begin = _GroupBegin(run.parameters, run.file.dts0, _walls(run.line, run.file.dts0), deliver)
        self._sink.read_back(max(left, 0), begin.take)
        return pending

    def _take(self, unit: AccessUnit, line: ArrivalLine) -> None:
        run = self._run
        if run is None:
            if unit.key:
                self._begin(unit, line)
        elif unit.parameters == run.parameters:
            run.parameters = unit.parameters
            self._extend(run, unit)
        elif unit.key:
            self._begin(unit, line, self._hand_over(run, unit))
        else:  # cannot be decoded with the old sets: until the next key frame there is nothing to record
            self.end(RunEnd.NO_MEDIA, "new parameter sets without a key frame")

    def _hand_over(self, run: _Run, unit: AccessUnit) -> int:
        """End the run as `parameters` where `unit` begins the next one: no instant between them."""
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
        sound = self._sound
        file = self._new_file(run_id, video, sound, unit.dts, t0_us)
        if sound is not None:
            sound.begin_run(t0_us)
        self._sink.open_run(self._stream_id, run_id, t0_us)
        # The first fragment holds one frame: a run is on the disk at once.
        self._run = _Run(run_id, unit.parameters, video, line, file, [unit], unit.dts, sound)

    def _extend(self, run: _Run, unit: AccessUnit) -> None:
        if unit.key and unit.arrival_us >= run.file.boundary_us:
            self._cut(run, unit)
        elif unit.key or unit.dts > run.limit_dts:
            self._write_fragment(run, unit.dts)
        run.pending.append(unit)

    def _write_fragment(self, run: _Run, next_dts: int, t1_us: int | None = None) -> None:
        file, pending = run.file, run.pending
        start = pending[0].dts - file.dts0
        file.sequence += 1
        file.frames += len(pending)
        end_us = run.line.wall_us(media_us(next_dts)) if t1_us is None else t1_us
        note = FragmentNote(start, pending[0].key, file.frames, next_dts - file.dts0, end_us)
        sound = run.sound.runs(end_us) if run.sound is not None else None
        if sound:
            parts, size = sounding_fragment_parts(file.sequence, start, pending, next_dts, sound)
        else:
            parts, size = fragment_parts(file.sequence, start, pending, next_dts)
        run.interval = min(next_dts - pending[-1].dts, _LONGEST_FRAME)
        run.limit_dts = next_dts + FRAGMENT - run.interval
        run.pending = []
        self._sink.write(parts, size, note)
        file.end_us = end_us

    def _cut(self, run: _Run, unit: AccessUnit) -> None:
        t1_us = run.line.wall_us(media_us(unit.dts))
        self._write_fragment(run, unit.dts, t1_us)
        self._sink.finish(t1_us)
        run.file = self._new_file(run.id, run.video, run.sound, unit.dts, t1_us)
        if run.sound is not None:
            run.sound.begin_file(t1_us)

    def _new_file(self, run_id: UUID, video: VideoFormat, sound: SoundTrack | None, dts: int, t0_us: int) -> _File:
        segment_id = new_id(self._clock)
        identity = Identity(segment_id, self._stream_id, run_id, t0_us)
        audio = sound.track if sound is not None else None
        head = init_segment(video, identity, audio)
        codec = f"{video.codec},{audio.codec}" if audio is not None else video.codec
        start = SegmentStart(
            *(segment_id, self._stream_id, run_id, t0_us, codec, video.width, video.height, TIMESCALE, head)
        )
        self._sink.begin(start)
        return _File(dts, t0_us, next_boundary_us(t0_us, self._interval_us, self._phase_us), end_us=t0_us)

    def _flush_last(self, run: _Run) -> int:
        """Write what is pending; returns the run's end. The last frame is as long as the one before: a hole is not."""
        pending = run.pending
        if len(pending) > 1:
            run.interval = pending[-1].dts - pending[-2].dts
        next_dts = pending[-1].dts + min(run.interval, FRAGMENT)
        t1_us = run.line.wall_us(media_us(next_dts))
        self._write_fragment(run, next_dts, t1_us)
        return t1_us

    def _close(self, run: _Run, t1_us: int, end: RunEnd, detail: str) -> None:
        self._run = None
        self.ended_us = t1_us
        if run.sound is not None:
            run.sound.end_run()
        self._sink.finish(t1_us)
        self._sink.close_run(run.id, t1_us, end, detail)

    def _abandon(self, end: RunEnd, detail: str) -> None:
        """The sink failed: what it took is kept, the rest is the gap."""
        run = self._run
        if run is not None:
            self._close(run, run.file.end_us, end, detail)


Walls = Callable[[int], int]


def _walls(line: ArrivalLine, dts0: int) -> Walls:
    """From ticks since `dts0` to wall time, as the line lies now: other threads must not look at it later."""
    first_us = line.place_us(media_us(dts0))
    minute_us = line.place_us(media_us(dts0 + 60 * TIMESCALE)) - first_us
    return lambda ticks: first_us + minute_us * ticks // (60 * TIMESCALE)


@dataclass(slots=True)
class _GroupBegin:
    """Makes access units of what was read back."""

    parameters: ParameterSets
    dts0: int
    walls: Walls
    deliver: Deliver

    def take(self, data: bytes) -> None:
        try:
            units = [
                AccessUnit(
                    *(sample, facts.key, self.dts0 + facts.decode_time, self.dts0 + facts.decode_time + facts.offset),
                    *(self.walls(facts.decode_time), 0.0, self.parameters),
                )
                for facts, sample in read_samples(data)
            ]
        except MediaError:
            units = []
        self.deliver(units)
