"""A recording's sound: takes a session's audio units, gives each fragment its part. Never in the way of the pictures.

Sound has an arrival line of its own. In each file the first piece is placed by it against the file's first picture,
the others follow by the camera's count of samples; so nothing is carried from file to file and nothing can drift.
Samples that never came are a hole in the track's times. A piece that came too late for the file in which it began is
kept at the start of the next one, with a shorter declared duration: no sample is left out, and none is there twice.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from itertools import pairwise

from camera_gateway.audio import flac
from camera_gateway.audio.g711 import A_LAW, MU_LAW
from camera_gateway.fmp4.audio import AudioRun, AudioTrack, aac_frame_samples, aac_track, flac_track
from camera_gateway.packets import AudioCodec, AudioFormat, AudioUnit
from camera_gateway.recorder.timing import ArrivalLine, ClockWatch
from storage.clock import US
from storage.errors import MediaError

log = logging.getLogger(__name__)

KEPT_BYTES = 1 << 20
"""So much sound waits for pictures to go with, at most; over it the oldest is left out. Without a run it is what a
pre-roll can have (two minutes of G.711), in a run it is counted as lost."""

KEPT_UNITS = 8192
"""And so many units, whatever their size: a fragment's head stays small enough to be read back."""
MOST_STRETCHES = 64
"""Holes that one fragment can show, and one more; what follows is left out. No camera that works comes near."""

_SAME_PLACE_S = 0.005
"""A step of the camera's sample count below this is no hole: some cameras count by their clock."""

_MAX_CHANNELS = 8
_MAX_RATE = 192_000


class SoundTrack:
    """The sound of one session with a camera. All calls come from one thread."""

    def __init__(self, audio: AudioFormat) -> None:
        """Raises MediaError when this sound cannot be kept."""
        if not (1 <= audio.channels <= _MAX_CHANNELS and 0 < audio.rate <= _MAX_RATE):
            raise MediaError("audio_format_invalid", f"{audio.channels} channels at {audio.rate} Hz")
        self._rate = audio.rate
        self._coding = _Aac(audio) if audio.codec is AudioCodec.AAC else _G711(audio)
        self.track: AudioTrack = self._coding.track
        self.lost = 0  # units left out: broken ones, and those for which no pictures came
        self._near = max(1, round(_SAME_PLACE_S * audio.rate))
        self._units: deque[AudioUnit] = deque()
        self._bytes = 0
        self._line = ArrivalLine()
        self._watch = ClockWatch()
        self._t0_us = 0
        self._origin: int | None = None  # of the file in the session's samples; None until its first piece
        self._end = 0  # where the next sample belongs, in samples from the file's start; negative before it
        self._shown = 0  # up to where the file's declared times reach
        self._in_run = False

    def take(self, unit: AudioUnit) -> None:
        """Keep a unit until its fragment is made."""
        samples = self._coding.samples(unit.data)
        if samples == 0:
            self._lose(1, "broken unit")
            return
        if self._watch.stepped_us(unit.arrival_us, unit.arrival_s):
            self._line = ArrivalLine()
            self._clear()
        # The last sample of a unit was made when the unit could be sent.
        self._line.add((unit.time + samples) * US // self._rate, unit.arrival_us)
        self._units.append(unit)
        self._bytes += len(unit.data)
        while self._bytes > KEPT_BYTES or len(self._units) > KEPT_UNITS:
            self._bytes -= len(self._units.popleft().data)
            self._lose(self._in_run, "no pictures to go with")

    def begin_run(self, t0_us: int) -> None:
        """A run's first file begins at wall time `t0_us`: sound from before it does not belong to the recording."""
        while self._units and self._wall_us(self._units[0]) < t0_us:
            self._bytes -= len(self._units.popleft().data)
        self._in_run = True
        self.begin_file(t0_us)

    def end_run(self) -> None:
        """The run is over; what comes now may belong to the next one."""
        self._in_run = False

    def begin_file(self, t0_us: int) -> None:
        """The next file of a run begins at wall time `t0_us`."""
        self._t0_us = t0_us
        self._origin = None
        self._end = self._shown = 0

    def runs(self, until_us: int | None = None) -> list[AudioRun]:
        """What came since the last call, but nothing that begins at or after `until_us`."""
        taken: list[AudioUnit] = []
        while self._units and (until_us is None or self._wall_us(self._units[0]) < until_us):
            unit = self._units.popleft()
            self._bytes -= len(unit.data)
            taken.append(unit)
        return [self._run(place, data) for place, data in self._placed(taken)]

    def _placed(self, units: Iterable[AudioUnit]) -> list[tuple[int, list[bytes]]]:
        """The units in stretches without a hole, each with its place in samples from the file's start."""
        stretches: list[tuple[int, list[bytes]]] = []
        for unit in units:
            if self._origin is None:
                self._end = (self._wall_us(unit) - self._t0_us) * self._rate // US
                self._origin = unit.time - self._end
            place = unit.time - self._origin
            hole = place - self._end > self._near
            if hole and len(stretches) == MOST_STRETCHES:
                self._lose(1, "more holes than sound")
                continue
            if hole:
                self._end = place
            if hole or not stretches:
                stretches.append((self._end, []))
            stretches[-1][1].append(unit.data)
            self._end += self._coding.samples(unit.data)
        return stretches

    def _run(self, place: int, data: list[bytes]) -> AudioRun:
        """A stretch as it is written; times are declared from zero on and rise from piece to piece."""
        pieces, lengths = self._coding.pieces(data, place)
        times = [max(place, self._shown)]
        for length in lengths:
            place += length
            times.append(max(place, times[-1] + 1))
        self._shown = times[-1]
        return AudioRun(times[0], [after - before for before, after in pairwise(times)], pieces)

    def _wall_us(self, unit: AudioUnit) -> int:
        return self._line.place_us(unit.time * US // self._rate)

    def _clear(self) -> None:
        self._lose(len(self._units) if self._in_run else 0, "the clock stepped")
        self._units.clear()
        self._bytes = 0
        self._origin = None

    def _lose(self, count: int, why: str) -> None:
        if count and self.lost == 0:
            log.warning("sound_lost", extra={"fields": {"why": why}})
        self.lost += count


class _Aac:
    """AAC is kept as it comes: a piece for each access unit."""

    def __init__(self, audio: AudioFormat) -> None:
        self.track = aac_track(audio.rate, audio.channels, audio.config)
        self._frame = aac_frame_samples(audio.rate, audio.config)

    def samples(self, data: bytes) -> int:
        return self._frame if data else 0

    def pieces(self, data: list[bytes], _place: int) -> tuple[list[bytes], list[int]]:
        return data, [self._frame] * len(data)


class _G711:
    """G.711 becomes FLAC of its samples, in blocks."""

    def __init__(self, audio: AudioFormat) -> None:
        self._law = A_LAW if audio.codec is AudioCodec.PCMA else MU_LAW
        self._rate = audio.rate
        self._channels = audio.channels
        self.track = flac_track(audio.rate, audio.channels, flac.stream_info(audio.rate, audio.channels))

    def samples(self, data: bytes) -> int:
        count, odd = divmod(len(data), self._channels)
        return 0 if odd else count

    def pieces(self, data: list[bytes], place: int) -> tuple[list[bytes], list[int]]:
        whole = b"".join(data)
        pieces: list[bytes] = []
        lengths: list[int] = []
        step = flac.LARGEST_BLOCK * self._channels
        for at in range(0, len(whole), step):
            block = whole[at : at + step]
            channels = [self._law.decode(block[index :: self._channels]) for index in range(self._channels)]
            number = max(0, place + at // self._channels)
            pieces.append(flac.encode_frame(channels, number, self._rate, self._law.zero_bits))
            lengths.append(len(channels[0]))
        return pieces, lengths
