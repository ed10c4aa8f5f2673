"""What our engine does when, on a clock that the test moves; and what it bounds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from camera_gateway.engine_shared import BUFFER, EngineShared
from camera_gateway.engine_source import REPORT_S, EngineSource
from camera_gateway.packets import AccessUnit, SourceFault, SourceSettings
from camera_gateway.reactor import Reactor
from storage.clock import FakeClock
from storage.model import GapReason
from tests.camera_gateway.hearing import Hearing
from tests.camera_gateway.media import units
from tests.camera_gateway.scripted_camera import ScriptedCamera

pytestmark = pytest.mark.net

READ_TIMEOUT_S = 5.0
SHARE_OF_A_ROUND = 4 * BUFFER
_SLICE = b"\x65\x88" + bytes(range(1, 251)) * 200
BIG: AccessUnit = replace(units("h264")[0], data=len(_SLICE).to_bytes(4, "big") + _SLICE)


def send_many(camera: ScriptedCamera) -> None:
    """Sixty big pictures as fast as they are taken."""
    for number in range(1, 60):
        camera.send_unit(BIG, 3600 * number)


class Stage:
    """A scripted camera that plays to our engine."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.reactor = Reactor(self.clock)
        self.camera = ScriptedCamera(self.reactor)
        self.camera.describe(units("h264")[0])
        self.hearing = Hearing(self.reactor)
        self.source = EngineSource(self.reactor, EngineShared(self.reactor))
        self.sent = 0

    def going_on(self) -> bool:
        """Whether the session is not over."""
        return self.hearing.fault is None

    def over(self) -> SourceFault:
        """Why the session is over."""
        assert self.hearing.fault is not None
        return self.hearing.fault

    def play(self) -> None:
        """Open the session and send the first picture."""
        settings = SourceSettings(self.camera.uri, read_timeout_s=READ_TIMEOUT_S)
        self.source.start(settings, self.hearing)
        self.camera.serve_until("PLAY")
        assert self.hearing.info is not None
        self.picture()

    def picture(self) -> None:
        """One more picture of the film, heard or not."""
        self.camera.send_unit(units("h264")[self.sent % 100], self.sent * 3600)
        self.sent += 1
        self.camera.serve(2)

    def pass_time(self, seconds: float, *, playing: bool) -> None:
        """Let the time pass in steps of a second."""
        for _ in range(round(seconds)):
            self.clock.advance(1.0)
            if playing:
                self.picture()
            self.camera.serve(2)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.source.close()
    made.clock.advance(10)
    made.reactor.turn(0)
    assert made.reactor.watching == 0
    made.reactor.close()
    made.camera.close()


def test_reports_go_every_five_seconds_and_keep_alives_by_the_session_s_timeout(stage: Stage) -> None:
    stage.camera.timeout_s = 20
    stage.play()
    stage.pass_time(REPORT_S - 1, playing=True)
    assert b"$\x01" not in stage.camera.received
    stage.pass_time(2, playing=True)
    assert stage.camera.received.count(b"$\x01") == 1
    stage.pass_time(REPORT_S, playing=True)
    assert stage.camera.received.count(b"$\x01") == 2
    assert stage.camera.requests.count("GET_PARAMETER") == 1
    stage.pass_time(20, playing=True)
    assert stage.camera.requests.count("GET_PARAMETER") == 3
    assert stage.going_on()
    assert len(stage.hearing.units) >= stage.sent - 1


def test_a_silent_camera_is_asked_half_way_and_then_left(stage: Stage) -> None:
    stage.play()
    stage.camera.answers = False
    stage.pass_time(READ_TIMEOUT_S / 2, playing=False)
    assert b"GET_PARAMETER" not in stage.camera.received
    stage.pass_time(2, playing=False)
    assert stage.camera.received.count(b"GET_PARAMETER") == 1
    assert stage.going_on()
    stage.pass_time(3, playing=False)
    assert stage.over().reason is GapReason.NETWORK
    assert stage.over().evidence == "no media for 5 s; TCP acknowledges, but RTSP requests are not answered"
    assert b"TEARDOWN" in stage.camera.received


def test_a_silence_that_ends_in_time_is_none(stage: Stage) -> None:
    stage.play()
    for _ in range(4):
        stage.pass_time(READ_TIMEOUT_S - 1, playing=False)
        stage.picture()
    assert stage.going_on()


def test_packets_that_never_make_a_picture_are_no_media(stage: Stage) -> None:
    stage.source.start(SourceSettings(stage.camera.uri, read_timeout_s=READ_TIMEOUT_S), stage.hearing)
    stage.camera.serve_until("PLAY")
    for number in range(40):
        stage.clock.advance(1.0)
        stage.camera.serve()
        if not stage.going_on():
            break
        stage.camera.send_packet(b"\x7c\x05" + bytes(100), number * 90_000, marker=False)  # a middle without a start
        stage.camera.serve()
    assert (stage.over().reason, stage.over().evidence) == (
        GapReason.NO_MEDIA,
        "packets come, but no picture for 30 s",
    )
    assert stage.over().unreadable


def test_a_camera_that_asks_without_end_and_reads_no_answer_is_left(stage: Stage) -> None:
    stage.play()
    asked = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n" * 100
    for _ in range(200):
        stage.camera.send(asked)
        stage.reactor.turn(0)
        if not stage.going_on():
            break
    assert stage.over().evidence == "over 1000 RTSP messages that nobody asked for"


def test_one_camera_gets_its_share_of_a_round_and_no_more(stage: Stage) -> None:
    stage.play()
    heard = len(stage.hearing.units)
    sender = threading.Thread(target=send_many, args=(stage.camera,), daemon=True)
    sender.start()
    sizes: list[int] = []
    while sum(sizes) < 58:
        sender.join(0.01)  # let the kernel's buffer fill
        before = len(stage.hearing.units)
        stage.reactor.turn(0)
        sizes.append(len(stage.hearing.units) - before)
    sender.join(20)
    assert heard <= 1
    assert max(sizes) * len(BIG.data) <= SHARE_OF_A_ROUND + len(BIG.data)
    assert max(sizes) * len(BIG.data) > SHARE_OF_A_ROUND // 2  # the share was there to be taken


@pytest.mark.parametrize("when", ["connect", "play"])
def test_the_opening_time_covers_everything_until_it_plays(stage: Stage, when: str) -> None:
    stage.source.start(SourceSettings(stage.camera.uri, open_timeout_s=5.0), stage.hearing)
    if when == "play":
        stage.camera.serve_until("SETUP")
        stage.camera.answers = False
    else:
        stage.camera.answers = False
        stage.camera.serve(3)
    stage.clock.advance(4.9)
    stage.camera.serve(2)
    assert stage.going_on()
    stage.clock.advance(0.2)
    stage.camera.serve(2)
    assert stage.over().reason is GapReason.NO_MEDIA
    assert stage.over().evidence == "connected, but RTSP requests were not answered within 5 s"


@pytest.mark.parametrize(
    ("reset", "reason", "evidence"),
    [
        (False, GapReason.NO_MEDIA, "the camera closed the connection while it was being opened"),
        (True, GapReason.REFUSED, "connection reset by the camera while the session was being opened"),
    ],
)
def test_a_connection_that_ends_while_it_is_opened(stage: Stage, reset: bool, reason: GapReason, evidence: str) -> None:
    stage.source.start(SourceSettings(stage.camera.uri), stage.hearing)
    stage.camera.serve_until("DESCRIBE")
    stage.camera.answers = False
    stage.camera.serve(3)
    stage.camera.hang_up(reset=reset)
    stage.reactor.turn(0.05)
    assert (stage.over().reason, stage.over().evidence) == (reason, evidence)
    assert stage.hearing.info is None


def test_a_session_that_ends_before_its_first_picture_is_no_media(stage: Stage) -> None:
    stage.source.start(SourceSettings(stage.camera.uri), stage.hearing)
    stage.camera.serve_until("PLAY")
    stage.camera.hang_up()
    stage.reactor.turn(0.05)
    assert stage.over().reason is GapReason.NO_MEDIA
    assert stage.over().evidence == "the camera ended the session before the first picture"


def test_the_last_pictures_are_handed_on_when_a_camera_ends(stage: Stage) -> None:
    stage.play()
    stage.picture()
    assert stage.hearing.units == []  # held, to see how far pictures are reordered
    stage.camera.hang_up()
    stage.reactor.turn(0.05)
    assert [unit.data for unit in stage.hearing.units] == [unit.data for unit in units("h264")[:2]]
    assert stage.over().reason is GapReason.NETWORK


def test_a_description_that_cannot_be_read_is_a_matter_for_another_engine(stage: Stage) -> None:
    stage.source.start(SourceSettings(stage.camera.uri), stage.hearing)
    stage.camera.sdp = "this is no description\r\n"
    for _ in range(50):
        if stage.going_on():
            stage.camera.serve()
    assert stage.over().reason is GapReason.NO_MEDIA
    assert stage.over().unreadable


def test_a_mistake_of_our_parsers_costs_the_camera_that_showed_it_and_no_other(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.play()
    session = stage.source._session
    assert session is not None

    def mistaken(*_arguments: object) -> None:
        raise IndexError("index out of range")

    session.feed = mistaken
    monkeypatch.setattr(session, "flush", mistaken)  # what is left of a track half-way is no better
    stage.picture()
    fault = stage.over()
    assert fault.reason is GapReason.NO_MEDIA
    assert fault.unreadable  # the other engine may read it
    assert "IndexError" in fault.evidence
    assert "engine_mistake" in caplog.text


def test_a_camera_that_answers_and_resets_at_once_costs_its_own_session(stage: Stage) -> None:
    """Its answer is read although the connection is gone, and asks for UDP ports towards nobody."""
    stage.source.start(SourceSettings(stage.camera.uri, transport="udp"), stage.hearing)
    stage.camera.serve_until("OPTIONS")
    stage.camera.answers = False
    stage.camera.serve(3)
    described = f"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: {len(stage.camera.sdp)}\r\n\r\n{stage.camera.sdp}"
    stage.camera.send(described.encode())
    stage.camera.hang_up(reset=True)
    stage.reactor.turn(0.1)
    stage.reactor.turn(0.1)
    assert stage.over().reason is GapReason.REFUSED
