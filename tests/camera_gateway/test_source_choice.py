"""Which engine reads a camera: ours first, libav for what ours cannot read, and how long that is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from camera_gateway.engine_shared import EngineOptions
from camera_gateway.fake_source import FakeSource
from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.packets import Engine, PacketSource, SourceFault, SourceInfo, SourceSettings
from camera_gateway.reactor import Reactor
from camera_gateway.settings import CameraSettings
from camera_gateway.source_choice import (
    REMEMBER_S,
    UNREADABLE_S,
    ChoiceMemory,
    EngineMakers,
    Sources,
    engine_options,
)
from storage.clock import FakeClock, SystemClock
from storage.model import GapReason
from tests.camera_gateway.hearing import Hearing
from tests.camera_gateway.media import units
from tests.peers.gst_rtsp import GstServer, make_h264

ODD = SourceFault(GapReason.NO_MEDIA, "the codec MP2T is not recorded", unreadable=True)
AWAY = SourceFault(GapReason.UNREACHABLE, "no route to the host")
NO_VIDEO = SourceFault(GapReason.NO_MEDIA, "the session has no video")
CAMERA = SourceSettings("rtsp://camera/live")


@dataclass
class Engines:
    """Two engines that do as they are told; `made` keeps which were used."""

    ours_opening: SourceFault | None = None
    ours_fault: SourceFault | None = None
    libav_opening: SourceFault | None = None
    made: list[str] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.reactor = Reactor(self.clock)
        self.sources = Sources(EngineMakers(self.ours, self.libav), ChoiceMemory(self.clock))
        self.fakes: list[FakeSource] = []

    def ours(self) -> PacketSource:
        self.made.append("ours")
        items = units("h264")[:3]
        return self._keep(FakeSource(self.reactor, items, opening=self.ours_opening, fault=self.ours_fault))

    def libav(self, note: str) -> PacketSource:
        self.made.append("libav")
        info = SourceInfo(Engine.LIBAV, "tcp", VideoCodec.H264, None, note)
        return self._keep(FakeSource(self.reactor, units("h264")[:3], opening=self.libav_opening, info=info))

    def read(self, settings: SourceSettings = CAMERA) -> Hearing:
        """One session from its beginning to its fault."""
        hearing = Hearing(self.reactor)
        self.sources.new().start(settings, hearing)
        for _ in range(20):
            self.reactor.turn(0)
        assert hearing.faults == 1
        return hearing

    def _keep(self, fake: FakeSource) -> FakeSource:
        self.fakes.append(fake)
        return fake


@pytest.fixture
def engines() -> Iterator[Engines]:
    made = Engines()
    yield made
    made.reactor.close()


def test_ours_is_first_and_says_what_it_says(engines: Engines) -> None:
    heard = engines.read()
    assert heard.info is not None
    assert (heard.info.engine, heard.info.note) == (Engine.RTSP, "")
    assert len(heard.units) == 3
    assert heard.fault is not None
    assert heard.fault.evidence == "the camera ended the stream"
    assert engines.made == ["ours"]


def test_a_device_that_ours_cannot_read_goes_to_libav_with_the_reason_shown(engines: Engines) -> None:
    engines.ours_opening = ODD
    heard = engines.read()
    assert heard.info is not None
    assert heard.info.note == "our engine: the codec MP2T is not recorded"
    assert len(heard.units) == 3
    assert engines.made == ["ours", "libav"]

    again = engines.read()  # remembered: no second try of ours
    assert engines.made == ["ours", "libav", "libav"]
    assert again.info is not None
    assert again.info.note == heard.info.note
    engines.read(SourceSettings("rtsp://other/live"))  # for that stream alone
    assert engines.made[3:] == ["ours", "libav"]

    engines.clock.advance(REMEMBER_S + 1)  # it may have got a new firmware
    engines.ours_opening = None
    assert engines.read().info == SourceInfo(Engine.RTSP, "tcp", VideoCodec.H264)


def test_the_log_names_the_host_and_not_the_url(engines: Engines, caplog: pytest.LogCaptureFixture) -> None:
    """Some makers put name and password into the path."""
    caplog.set_level("INFO")
    engines.ours_opening = ODD
    engines.read(SourceSettings("rtsp://10.0.0.9/user=admin&password=tangerine&channel=1"))
    (told,) = (record for record in caplog.records if record.message == "engine_changed")
    assert "tangerine" not in str(vars(told))
    assert "10.0.0.9" in str(vars(told))


def test_remembering_is_not_prolonged_by_each_session(engines: Engines) -> None:
    engines.ours_opening = ODD
    engines.read()
    engines.clock.advance(REMEMBER_S - 1)
    engines.read()
    engines.clock.advance(2)
    engines.made.clear()
    engines.read()
    assert engines.made == ["ours", "libav"]


@pytest.mark.parametrize("reason", [GapReason.AUTHENTICATION, GapReason.UNREACHABLE, GapReason.REFUSED])
def test_what_is_the_same_for_every_engine_is_not_tried_twice(engines: Engines, reason: GapReason) -> None:
    engines.ours_opening = SourceFault(reason, "seen")
    heard = engines.read()
    assert heard.fault is engines.ours_opening
    assert engines.made == ["ours"]


def test_a_session_that_gave_pictures_is_readable_whatever_ends_it(engines: Engines) -> None:
    engines.ours_fault = SourceFault(GapReason.NETWORK, "neither RTSP nor RTP", unreadable=True)
    assert engines.read().fault is engines.ours_fault
    engines.read()
    assert engines.made == ["ours", "ours"]


def test_a_device_that_neither_reads_is_tried_with_ours_alone_for_a_while(engines: Engines) -> None:
    engines.ours_opening, engines.libav_opening = ODD, NO_VIDEO
    heard = engines.read()
    assert heard.fault is not None
    assert heard.fault.reason is GapReason.NO_MEDIA
    assert heard.fault.evidence == ("the session has no video (libav); our engine: the codec MP2T is not recorded")
    assert engines.read().fault is ODD
    assert engines.made == ["ours", "libav", "ours"]
    engines.clock.advance(UNREADABLE_S + 1)
    engines.read()
    assert engines.made[3:] == ["ours", "libav"]


def test_a_remembered_device_that_is_away_stays_remembered(engines: Engines) -> None:
    engines.ours_opening = ODD
    engines.read()
    engines.libav_opening = AWAY
    assert engines.read().fault is AWAY
    engines.libav_opening = None
    engines.read()
    assert engines.made == ["ours", "libav", "libav", "libav"]


def test_an_engine_that_was_chosen_is_kept(engines: Engines) -> None:
    engines.ours_opening = ODD
    assert engines.read(SourceSettings(CAMERA.uri, engine=Engine.RTSP)).fault is ODD
    heard = engines.read(SourceSettings(CAMERA.uri, engine=Engine.LIBAV))
    assert heard.info is not None
    assert heard.info.note == "chosen in the settings"
    assert engines.made == ["ours", "libav"]
    engines.ours_opening = None
    engines.read()
    assert engines.made[2:] == ["ours"]


def test_closing_reaches_the_source_of_the_moment_and_silences_it(engines: Engines) -> None:
    engines.ours_opening = ODD
    hearing = Hearing(engines.reactor)
    choice = engines.sources.new()
    choice.start(CAMERA, hearing)
    while not hearing.units:
        engines.reactor.turn(0)
    choice.close()
    for _ in range(10):
        engines.reactor.turn(0)
    assert (len(hearing.units), hearing.faults) == (1, 0)
    assert engines.fakes[-1].closed
    assert choice.counters is engines.fakes[-1].counters


def test_the_settings_reach_the_engine() -> None:
    cameras = CameraSettings(tls_trust="system", udp_first_port=5000, udp_last_port=5999)
    assert engine_options(cameras) == EngineOptions(5000, 5999, "system")


@pytest.mark.peer
def test_a_transport_stream_over_rtp_is_read_by_libav(tmp_path: Path) -> None:
    """A real device of a kind that ours refuses: H.264 in MPEG-TS in RTP."""
    media = make_h264(tmp_path, seconds=60)
    with GstServer({"/ts": {"media": str(media), "kind": "mp2t"}}) as server:
        reactor = Reactor(SystemClock())
        sources = Sources.of(reactor)
        for tries in range(2):
            hearing = Hearing(reactor)
            source = sources.new()
            source.start(SourceSettings(server.url("/ts")), hearing)
            hearing.until(lambda hearing=hearing: len(hearing.units) > 30 or hearing.fault)  # type: ignore[misc]  # mypy cannot type a lambda's defaults
            assert hearing.fault is None, (tries, hearing.fault.evidence)
            assert hearing.info is not None
            assert hearing.info.engine is Engine.LIBAV
            assert hearing.info.note.startswith("our engine: the codec MP2T")
            assert hearing.units[0].key
            source.close()
        reactor.close()
