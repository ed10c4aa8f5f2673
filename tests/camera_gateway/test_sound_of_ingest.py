"""Sound through a stream's sessions: of a pre-roll, of a second session, and of a stream that is only watched."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from camera_gateway.fake_source import FakeSource
from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.fmp4.reader import SoundFacts, read_fragments, read_head
from camera_gateway.ingest import Duty
from camera_gateway.packets import AudioCodec, AudioFormat, AudioUnit, Engine, SourceFault, SourceInfo
from storage.model import GapReason
from tests.camera_gateway.ingest_rig import IngestRig

PACKET = 320
BROKE = SourceFault(GapReason.NETWORK, "connection reset by the camera")


class SoundRig(IngestRig):
    """Each frame is followed by 40 ms of G.711, counted from the session's first sample."""

    codec = AudioCodec.PCMA
    _samples = 0

    def _source(self) -> FakeSource:
        info = SourceInfo(Engine.RTSP, "tcp", VideoCodec.H264, AudioFormat(self.codec, 8000, 1))
        source = FakeSource(self.reactor, stay=True, info=info)
        self.sources.append(source)
        self._samples = 0
        return source

    def frames(self, count: int) -> None:
        for _ in range(count):
            super().frames(1)
            self.sources[-1].send(AudioUnit(b"\xd5" * PACKET, self._samples, 0, 0.0))
            self._samples += PACKET

    def sound(self, index: int) -> list[SoundFacts]:
        file = io.BytesIO(self.sink.files[index])
        return [piece for fragment in read_fragments(file, read_head(file).size) for piece in fragment.sound]


def started(duty: Duty | None = None) -> SoundRig:
    rig = SoundRig(duty)
    rig.ingest.start()
    rig.turn()
    return rig


def length(pieces: list[SoundFacts]) -> float:
    return sum(piece.duration for piece in pieces) / 8000


def test_a_pre_roll_has_its_sound() -> None:
    rig = started(Duty(recorded=False, pre_roll_s=3.0, detail="event"))
    rig.frames(250)
    rig.ingest.perform(Duty(recorded=True))
    rig.frames(25)
    rig.ingest.perform(Duty(recorded=False, detail="event"))
    (notes,) = rig.sink.notes
    pieces = rig.sound(0)
    assert notes[-1].media_duration / 90_000 > 4
    assert pieces[0].time <= PACKET
    assert abs(length(pieces) - notes[-1].media_duration / 90_000) <= 0.1


def test_each_session_brings_its_own_sound() -> None:
    rig = started()
    rig.frames(50)
    rig.codec = AudioCodec.PCMU
    rig.sources[-1].fail(BROKE)
    rig.pass_time(0.5)
    rig.frames(50)
    rig.ingest.perform(Duty(recorded=False))
    assert len(rig.sink.files) == 2
    for index in range(2):
        pieces = rig.sound(index)
        assert pieces[0].time <= PACKET
        assert abs(length(pieces) - rig.sink.notes[index][-1].media_duration / 90_000) <= 0.1
    assert rig.ingest.stats(rig.clock.now_us()).sound_lost == 0


def test_a_stream_that_is_only_watched_keeps_no_sound() -> None:
    rig = started(Duty(recorded=False))
    rig.frames(50)
    rig.ingest.perform(Duty(recorded=True))
    rig.frames(60)
    rig.ingest.perform(Duty(recorded=False))
    pieces = rig.sound(0)
    assert abs(length(pieces) - rig.sink.notes[0][-1].media_duration / 90_000) <= 0.1


def test_sound_that_the_camera_does_not_give_is_said(caplog: pytest.LogCaptureFixture) -> None:
    rig = IngestRig()
    rig.settings = replace(rig.settings, audio=True)
    rig.ingest.start()
    rig.turn()
    assert [one.message for one in caplog.records if one.message.startswith("sound")] == ["sound_not_recorded"]
    caplog.clear()
    started()
    assert [one.message for one in caplog.records if one.message.startswith("sound")] == []


def test_sound_that_no_picture_goes_with_is_counted_over_sessions() -> None:
    rig = started()
    rig.frames(30)
    for number in range(30):
        rig.sources[-1].send(AudioUnit(b"\xd5" * 60_000, 10_000_000 + number * 60_000, 0, 0.0))
    lost = rig.ingest.stats(rig.clock.now_us()).sound_lost
    assert lost > 10
    rig.sources[-1].fail(BROKE)
    rig.pass_time(0.5)
    rig.frames(30)
    assert rig.ingest.stats(rig.clock.now_us()).sound_lost == lost
