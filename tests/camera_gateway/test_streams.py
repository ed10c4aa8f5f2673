"""The set of streams in a reactor: motion of one stream records all of its camera's, plans change without sessions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

import pytest

from camera_gateway.board import RECORDED, StateBoard
from camera_gateway.fake_source import FakeSource
from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.ingest import IngestParts
from camera_gateway.pacing import Pacer
from camera_gateway.packets import Engine, SourceFault, SourceInfo
from camera_gateway.plan import DevicePlan, PlanMode, StreamPlan
from camera_gateway.pre_roll import PreRollMemory
from camera_gateway.reactor import Reactor
from camera_gateway.streams import UNWATCHED_S, Reach, StreamSet
from storage.clock import FakeClock
from storage.model import GapReason, LiveState, RunEnd
from tests.camera_gateway.ingest_rig import FakeCounts, IngestRig
from tests.camera_gateway.media import MemorySink
from tests.fakes.gateway import FakeOutlet

MOTION = """<tt:MetadataStream xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2">
<tt:Event><wsnt:NotificationMessage><wsnt:Topic>tns1:VideoSource/MotionAlarm</wsnt:Topic><wsnt:Message>
<tt:Message><tt:Source><tt:SimpleItem Name="Source" Value="1"/></tt:Source>
<tt:Data><tt:SimpleItem Name="State" Value="{}"/></tt:Data></tt:Message>
</wsnt:Message></wsnt:NotificationMessage></tt:Event></tt:MetadataStream>"""


@dataclass
class Share:
    """A stream set with fakes; the source of each session is found by its URI."""

    clock: FakeClock = field(default_factory=FakeClock)
    sinks: dict[UUID, MemorySink] = field(default_factory=dict)
    sessions: list[FakeSource] = field(default_factory=list)
    outlet: FakeOutlet = field(default_factory=FakeOutlet)
    info: SourceInfo | None = None  # of sessions to come

    def __post_init__(self) -> None:
        self.reactor = Reactor(self.clock)
        self.board = StateBoard(self.clock)
        parts = IngestParts(
            self.reactor, self.board, self._source, Pacer(self.reactor, 8), 60.0, PreRollMemory(64 << 20)
        )
        self.streams = StreamSet(parts, self._sink, lambda _device: "", FakeCounts(), self.outlet, Reach())
        self._sent = 0

    def _source(self) -> FakeSource:
        self.sessions.append(FakeSource(self.reactor, stay=True, info=self.info))
        return self.sessions[-1]

    def _sink(self, stream_id: UUID) -> MemorySink:
        return self.sinks.setdefault(stream_id, MemorySink())

    def apply(self, *plans: StreamPlan) -> None:
        self.streams.apply(list(plans))
        self.turn()

    def turn(self) -> None:
        for _ in range(5):
            self.reactor.turn(0)

    def source(self, plan: StreamPlan) -> FakeSource:
        """The session of that stream that runs."""
        return next(
            each for each in self.sessions if not each.closed and each.settings and each.settings.uri == plan.uri
        )

    def frames(self, count: int, *plans: StreamPlan) -> None:
        for _ in range(count):
            for plan in plans:
                self.source(plan).send(IngestRig.unit(self._sent))
            self._sent += 1
            self.clock.advance(0.04)

    def recording(self, plan: StreamPlan) -> str:
        return self.board.snapshot()[plan.id].recording


def camera(mode: PlanMode = PlanMode.RECORD, *, role: str = "main") -> StreamPlan:
    device = DevicePlan(uuid4(), True, "", None, 1, 0)
    uri = f"rtsp://camera.invalid/{uuid4()}"
    return StreamPlan(uuid4(), uuid4(), role, uri, "tcp", "h264", mode, device, pre_roll_s=2, post_roll_s=5)


def test_motion_told_by_one_stream_records_all_planned_streams_of_its_camera_from_before_it() -> None:
    share = Share()
    main = replace(camera(PlanMode.STANDBY), metadata=True, reason="event")
    sub = replace(main, id=uuid4(), role="sub", uri="rtsp://camera.invalid/sub", metadata=False)
    other = camera(PlanMode.STANDBY)
    share.apply(main, sub, other)
    share.frames(100, main, sub, other)
    assert share.recording(main) == GapReason.PLAN.value
    share.source(main).send(MOTION.format("true").encode())
    share.frames(30, main, sub, other)
    assert [share.recording(plan) for plan in (main, sub, other)] == [RECORDED, RECORDED, GapReason.PLAN.value]
    share.source(main).send(MOTION.format("false").encode())
    share.frames(100, main, sub, other)
    share.apply(main, sub, other)
    assert share.recording(main) == RECORDED  # the post-roll
    share.frames(50, main, sub, other)
    share.apply(main, sub, other)
    assert share.recording(main) == GapReason.PLAN.value
    assert share.sinks[main.id].ends == share.sinks[sub.id].ends == [RunEnd.PLAN]
    assert share.sinks[other.id].files == []
    assert len(share.sessions) == 3


def test_a_camera_that_waits_for_its_motion_and_tells_none_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    share = Share()
    alone = replace(camera(PlanMode.STANDBY), metadata=True, motion_alone=True, reason="no_event")
    sub = replace(alone, id=uuid4(), role="sub", uri="rtsp://camera.invalid/sub", metadata=False)
    visits_too = replace(camera(PlanMode.STANDBY), metadata=True, reason="no_event")
    share.apply(alone, sub, visits_too)
    share.frames(60, alone, sub, visits_too)
    assert [share.recording(plan) for plan in (alone, sub, visits_too)] == [RECORDED, RECORDED, GapReason.PLAN.value]
    told = [one for one in caplog.records if one.message == "motion_not_told"]
    assert len(told) == 2
    share.apply(alone, sub, visits_too)
    share.apply(replace(alone, mode=PlanMode.OFF, motion_alone=False), sub, visits_too)  # its hours are over
    assert share.recording(alone) == GapReason.PLAN.value
    assert share.sinks[alone.id].ends == [RunEnd.PLAN]


def test_a_camera_whose_next_session_tells_motion_stands_by_again() -> None:
    share = Share()
    alone = replace(camera(PlanMode.STANDBY), metadata=True, motion_alone=True, reason="no_event")
    share.apply(alone)
    share.frames(60, alone)
    share.info = SourceInfo(Engine.RTSP, "tcp", VideoCodec.H264, metadata=True)
    share.source(alone).fail(SourceFault(GapReason.NETWORK, "connection reset by the camera"))
    share.clock.advance(1.0)
    share.turn()
    share.frames(60, alone)
    assert share.recording(alone) == GapReason.PLAN.value
    share.source(alone).send(MOTION.format("true").encode())
    share.frames(30, alone)
    assert share.recording(alone) == RECORDED


def test_an_edge_of_a_plan_changes_the_duty_and_not_the_session() -> None:
    share = Share()
    one = camera()
    share.apply(one)
    share.frames(30, one)
    share.apply(replace(one, mode=PlanMode.STANDBY, reason="periods: hall"))
    share.frames(30, one)
    assert share.recording(one) == GapReason.PLAN.value
    share.apply(one)
    share.frames(30, one)
    assert share.recording(one) == RECORDED
    assert len(share.sessions) == 1
    assert share.sinks[one.id].ends == [RunEnd.PLAN]


def test_a_planned_stream_that_is_off_has_a_gap_that_says_why_and_is_not_connected() -> None:
    share = Share()
    one = replace(camera(PlanMode.OFF), reason="periods: hall")
    share.apply(one)
    share.apply(one)
    assert share.sessions == []
    assert [event[2:] for event in share.sinks[one.id].events] == [(GapReason.PLAN, "periods: hall")]
    assert share.board.snapshot()[one.id].live is LiveState.OFFLINE


def test_a_stream_that_is_only_watched_is_left_a_while_after_its_last_viewer() -> None:
    share = Share()
    one = replace(camera(PlanMode.OFF), planned=False)
    share.apply(one)
    share.streams.watch(frozenset({one.id}))
    share.turn()
    share.frames(30, one)
    assert share.outlet.units
    share.streams.watch(frozenset())
    share.clock.advance(UNWATCHED_S - 0.1)
    share.turn()
    assert [source.closed for source in share.sessions] == [False]
    share.clock.advance(0.2)
    share.turn()
    assert [source.closed for source in share.sessions] == [True]
    assert share.streams.forgotten == {one.id}


def test_a_viewer_who_returns_in_time_keeps_the_session() -> None:
    share = Share()
    one = replace(camera(PlanMode.OFF), planned=False)
    share.apply(one)
    for watched in (frozenset({one.id}), frozenset[UUID](), frozenset({one.id})):
        share.streams.watch(watched)
        share.turn()
    share.clock.advance(UNWATCHED_S + 1)
    share.turn()
    assert len(share.sessions) == 1
    assert not share.sessions[0].closed


def test_new_credentials_or_another_address_make_a_new_session() -> None:
    share = Share()
    one = camera()
    share.apply(one)
    share.frames(30, one)
    for changed in (replace(one, device=replace(one.device, credential_version=2)), replace(one, transport="udp")):
        share.apply(changed)
        share.frames(30, one)
    assert [source.closed for source in share.sessions] == [True, True, False]
    assert share.sinks[one.id].ends == [RunEnd.MAINTENANCE] * 2


def test_a_watched_stream_that_is_recorded_no_longer_goes_on_for_its_viewers() -> None:
    share = Share()
    one = camera()
    share.apply(one)
    share.streams.watch(frozenset({one.id}))
    share.frames(30, one)
    before = len(share.outlet.units)
    share.apply(replace(one, mode=PlanMode.OFF, reason="periods: hall"))
    share.frames(30, one)
    assert len(share.outlet.units) == before + 30
    assert share.recording(one) == GapReason.PLAN.value


def test_a_camera_on_standby_that_is_disabled_or_retired_has_a_gap_for_maintenance() -> None:
    share = Share()
    one, two = (replace(camera(PlanMode.STANDBY), reason="no_event") for _ in range(2))
    share.apply(one, two)
    share.frames(30, one, two)
    share.apply(replace(one, device=replace(one.device, enabled=False)))
    share.apply(replace(one, mode=PlanMode.RECORD, device=replace(one.device, enabled=False)))
    gaps = [[event[2:] for event in share.sinks[plan.id].events] for plan in (one, two)]
    assert gaps[0] == [(GapReason.PLAN, "no_event"), (GapReason.MAINTENANCE, "disabled")]
    assert gaps[1] == [(GapReason.PLAN, "no_event"), (GapReason.MAINTENANCE, "retired")]


def test_an_orderly_stop_owns_what_follows_also_where_the_plan_rested() -> None:
    """The gateway may come back long after the plan's next hours have begun."""
    share = Share()
    resting, waiting, recorded = camera(PlanMode.OFF), camera(PlanMode.STANDBY), camera()
    share.apply(resting, waiting, recorded)
    share.frames(30, waiting, recorded)
    share.streams.stop(RunEnd.STOPPED, "the gateway was stopped")
    for plan in (resting, waiting):
        assert share.sinks[plan.id].events[-1][2:] == (GapReason.MAINTENANCE, "the gateway was stopped")
    assert share.sinks[recorded.id].ends == [RunEnd.STOPPED]


def test_a_change_that_also_leaves_the_plan_ends_the_run_as_plan() -> None:
    share = Share()
    one = camera()
    share.apply(one)
    share.frames(30, one)
    share.apply(replace(one, audio=True, mode=PlanMode.OFF, reason="outside_schedule: hall"))
    assert share.sinks[one.id].ends == [RunEnd.PLAN]
    assert share.recording(one) == GapReason.PLAN.value
    assert share.sessions[0].closed
