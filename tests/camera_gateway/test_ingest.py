"""One stream from session to session: what is recorded, what is told, and when it tries again."""

from __future__ import annotations

import itertools

from camera_gateway.board import RECORDED
from camera_gateway.ingest import Duty
from camera_gateway.packets import SenderReport, SourceFault
from storage.clock import US
from storage.model import GapReason, LiveState, RunEnd
from tests.camera_gateway.ingest_rig import AWAY, REFUSED, IngestRig

BROKE = SourceFault(GapReason.NETWORK, "connection reset by the camera")


def started(duty: Duty | None = None, *, opening: SourceFault | None = None) -> IngestRig:
    rig = IngestRig(duty, opening=opening)
    rig.ingest.start()
    rig.turn()
    return rig


def gaps(rig: IngestRig) -> list[tuple[object, ...]]:
    return [event[1:] for event in rig.sink.events if event[0] == "gap"]


def test_a_session_is_recorded_until_it_breaks_and_the_next_one_again() -> None:
    rig = started()
    rig.frames(60)
    assert rig.board.snapshot()[rig.stream_id].recording == RECORDED
    rig.sources[-1].fail(BROKE)
    assert rig.sink.ends == [RunEnd.NETWORK]
    assert gaps(rig) == []  # closing the run opened it
    state = rig.board.snapshot()[rig.stream_id]
    assert (state.live, state.recording, state.recording_cause) == (LiveState.OFFLINE, "network", BROKE.evidence)
    rig.pass_time(0.5)
    assert len(rig.sources) == 2
    rig.frames(30)
    assert rig.board.snapshot()[rig.stream_id].recording == RECORDED
    assert len({event[1] for event in rig.sink.events if event[0] == "open"}) == 2


def test_tries_grow_rarer_and_a_camera_that_sent_frames_begins_anew() -> None:
    rig = started(opening=AWAY)
    for wait_s, tries in ((0.5, 2), (1.0, 3), (2.0, 4), (4.0, 5)):
        rig.pass_time(wait_s - 0.01)
        assert len(rig.sources) == tries - 1
        rig.pass_time(0.02)
        assert len(rig.sources) == tries
    rig.opening = None
    rig.pass_time(8.0)
    rig.frames(1)
    rig.sources[-1].fail(BROKE)
    rig.pass_time(0.5)
    assert len(rig.sources) == 7


def test_the_first_gap_begins_when_the_stream_was_planned_and_a_reason_is_told_once() -> None:
    rig = started(opening=AWAY)
    began_us = rig.clock.now_us()
    rig.pass_time(0.5)
    rig.opening = SourceFault(GapReason.REFUSED, "RTSP 503")
    rig.pass_time(1.0)
    assert [(gap[0], gap[1]) for gap in gaps(rig)] == [
        (began_us, GapReason.UNREACHABLE),
        (rig.clock.now_us(), GapReason.REFUSED),
    ]


def test_two_refusals_stop_every_try() -> None:
    rig = started(opening=REFUSED)
    rig.pass_time(0.5)
    assert len(rig.sources) == 2
    for _ in range(40):
        rig.pass_time(30)
    assert len(rig.sources) == 2
    assert len(rig.counts.refusals) == 2
    assert [gap[1] for gap in gaps(rig)] == [GapReason.AUTHENTICATION]


def test_a_stream_on_standby_is_kept_in_memory_and_recorded_from_before_its_cause() -> None:
    rig = started(Duty(recorded=False, pre_roll_s=3.0, detail="event"))
    rig.frames(250)
    assert rig.sink.files == []
    cause_us = rig.clock.now_us()
    rig.ingest.perform(Duty(recorded=True))
    rig.frames(10)
    assert len(rig.sources) == 1  # the same session
    (opened,) = (event for event in rig.sink.events if event[0] == "open")
    assert isinstance(opened[2], int)
    assert rig.sink.expected == [sum(len(IngestRig.unit(index).data) for index in range(150, 250))]
    assert 3 * US <= cause_us - opened[2] <= 4 * US + 50_000  # whole groups of a second
    assert rig.board.snapshot()[rig.stream_id].recording == RECORDED
    rig.ingest.perform(Duty(recorded=False, pre_roll_s=3.0, detail="event"))
    assert rig.sink.ends == [RunEnd.PLAN]
    assert rig.board.snapshot()[rig.stream_id].recording == GapReason.PLAN.value
    files = len(rig.sink.files)
    rig.frames(30)
    assert len(rig.sink.files) == files


def test_a_stop_ends_the_run_at_once_and_nothing_is_tried_afterwards() -> None:
    rig = started()
    rig.frames(30)
    rig.ingest.stop(RunEnd.STOPPED, "the gateway was stopped")
    assert rig.sources[-1].closed
    assert rig.sink.ends == [RunEnd.STOPPED]
    for _ in range(5):
        rig.pass_time(60)
    assert len(rig.sources) == 1


def test_a_stop_while_the_camera_is_away_gives_the_gap_its_reason() -> None:
    rig = started(opening=AWAY)
    rig.ingest.stop(RunEnd.PLAN, "no longer recorded")
    assert [gap[1] for gap in gaps(rig)] == [GapReason.UNREACHABLE, GapReason.PLAN]
    rig.pass_time(60)
    assert len(rig.sources) == 1


def test_a_step_of_the_wall_clock_ends_the_run_and_the_next_begins_with_a_key_frame() -> None:
    for step_s in (3600, -3600):
        rig = started()
        rig.frames(60)
        rig.clock.step_wall(step_s)
        rig.frames(60)
        assert rig.sink.ends == [RunEnd.CLOCK_STEP]
        runs = [event[2] for event in rig.sink.events if event[0] == "open"]
        assert len(runs) == 2
        assert all(notes[0].starts_with_key for notes in rig.sink.notes)
        assert abs(runs[1] - runs[0] - step_s * US) < 5 * US  # type: ignore[operator]


def test_a_full_disk_is_told_once_and_recording_returns_by_itself() -> None:
    rig = started()
    rig.sink.refuse["begin"] = GapReason.DISK_FULL
    rig.frames(1)
    assert [gap[1] for gap in gaps(rig)] == [GapReason.DISK_FULL]
    assert rig.board.snapshot()[rig.stream_id].live is LiveState.LIVE
    rig.frames(26)
    assert rig.board.snapshot()[rig.stream_id].recording == RECORDED


def test_the_cameras_clock_is_measured_against_arrivals() -> None:
    rig = started()
    rig.frames(50)
    newest = IngestRig.unit(49)
    arrived_us = rig.clock.now_us() - 40_000
    for _ in range(3):
        rig.sources[-1].send(SenderReport(arrived_us + 75 * US, newest.dts, rig.clock.now_us()))
    stats = rig.ingest.stats(rig.clock.now_us())
    assert stats.clock_offset_us is not None
    assert abs(stats.clock_offset_us - 75 * US) < 1000
    assert stats.clock_error_us is not None
    assert stats.clock_error_us >= US // 4


def test_a_clock_that_was_never_set_says_nothing() -> None:
    rig = started()
    rig.frames(10)
    rig.sources[-1].send(SenderReport(5 * US, IngestRig.unit(9).dts, rig.clock.now_us()))
    assert rig.ingest.stats(rig.clock.now_us()).clock_offset_us is None


def test_counters_run_on_over_sessions() -> None:
    rig = started()
    rig.frames(40)
    rig.ingest.meter.measure(rig.clock.monotonic())
    rig.sources[-1].counters.lost = 3
    rig.sources[-1].fail(BROKE)
    rig.pass_time(0.5)
    rig.frames(50)
    rig.sources[-1].counters.lost = 4
    rig.ingest.meter.measure(rig.clock.monotonic())
    stats = rig.ingest.stats(rig.clock.now_us())
    assert (stats.frames, stats.lost, stats.reconnects, stats.gop_ms) == (90, 7, 1, 1000)
    assert (stats.last_cause, stats.last_evidence) == ("network", BROKE.evidence)
    assert stats.fps_milli > 0


def test_a_first_viewer_gets_the_group_from_memory_on_standby_and_from_the_disk_when_recorded() -> None:
    for duty in (Duty(recorded=False, pre_roll_s=3.0), Duty(recorded=True)):
        rig = started(duty)
        rig.frames(85)
        assert rig.outlet.units == []
        rig.ingest.watch()
        rig.turn()
        sent = [unit for _, unit in rig.outlet.units]
        assert [unit.key for unit in sent] == [True] + [False] * 9
        assert [unit.data for unit in sent] == [IngestRig.unit(index).data for index in range(75, 85)]
        rig.frames(3)
        times = [unit.time for _, unit in rig.outlet.units]
        assert len(times) == 13
        steps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert all(3500 < step < 3700 for step in steps)


def test_frames_that_come_while_the_group_is_read_are_neither_lost_nor_doubled() -> None:
    rig = started()
    rig.frames(60)
    rig.ingest.watch()  # the disk's answer waits for the next round
    rig.frames(5)
    assert rig.outlet.units == []
    rig.turn()
    assert [unit.data for _, unit in rig.outlet.units] == [IngestRig.unit(index).data for index in range(50, 65)]


def test_a_key_frame_that_comes_before_the_disk_answers_is_where_the_viewer_begins() -> None:
    rig = started()
    rig.frames(60)
    rig.ingest.watch()
    rig.frames(20)
    rig.turn()
    assert [unit.data for _, unit in rig.outlet.units] == [IngestRig.unit(index).data for index in range(75, 80)]


def test_metadata_goes_to_who_makes_something_of_it() -> None:
    rig = started()
    rig.sources[-1].send(b"<tt:MetadataStream/>")
    assert rig.events.documents == [b"<tt:MetadataStream/>"]
    rig.sources[-1].fail(BROKE)
    assert rig.events.lost == 1


def test_a_disk_that_fails_as_a_run_ends_owns_the_run_s_end_and_not_what_follows() -> None:
    for away in (False, True):
        rig = started()
        rig.frames(60)
        rig.sink.refuse["write"] = GapReason.DISK_FULL
        if away:
            rig.sources[-1].fail(BROKE)
        else:
            rig.ingest.perform(Duty(recorded=False, detail="outside_hours"))
        assert rig.sink.ends == [RunEnd.DISK_FULL]
        reason, detail = (GapReason.NETWORK, BROKE.evidence) if away else (GapReason.PLAN, "outside_hours")
        assert gaps(rig) == [(rig.clock.now_us(), reason, detail)]
        assert rig.board.snapshot()[rig.stream_id].recording == reason.value


def test_when_a_plan_begins_and_the_camera_is_away_the_gap_says_so_from_then_on() -> None:
    rig = started(Duty(recorded=False, pre_roll_s=1.0, detail="outside_hours"), opening=AWAY)
    for _ in range(10):
        rig.pass_time(30.0)
    assert gaps(rig) == []
    rig.clock.advance(10)
    rig.ingest.perform(Duty(recorded=True))  # the next try is twenty seconds away
    assert gaps(rig) == [(rig.clock.now_us(), GapReason.UNREACHABLE, AWAY.evidence)]


def test_what_goes_wrong_after_a_plan_began_is_no_matter_of_the_time_before() -> None:
    rig = started(Duty(recorded=False, pre_roll_s=1.0, detail="outside_hours"))
    rig.clock.advance(3600)
    rig.ingest.perform(Duty(recorded=True))
    began_us = rig.clock.now_us()
    rig.pass_time(2.0)
    rig.sources[-1].fail(BROKE)
    assert gaps(rig) == [(began_us, GapReason.NETWORK, BROKE.evidence)]


def test_a_pre_roll_that_a_camera_kept_over_a_break_does_not_overlap_the_run_before() -> None:
    """Some cameras begin a session with seconds that they kept, all at once."""
    rig = started()
    rig.frames(60)
    rig.sources[-1].fail(BROKE)
    rig.ingest.perform(Duty(recorded=False, pre_roll_s=5.0, detail="no_event"))
    rig.pass_time(0.5)
    for index in range(50):
        rig.sources[-1].send(IngestRig.unit(index))  # two seconds of pictures in no time
    for index in range(50, 80):
        rig.clock.advance(0.04)
        rig.sources[-1].send(IngestRig.unit(index))
    rig.ingest.perform(Duty(recorded=True))
    (ended_us,) = (event[2] for event in rig.sink.events if event[0] == "close")
    begun_us = [event[2] for event in rig.sink.events if event[0] == "open"][1]
    assert begun_us == ended_us  # the group that reaches over the break begins where the run ended
    last = rig.sink.starts[-1].run_id
    files = zip(rig.sink.starts, rig.sink.notes, strict=True)
    assert sum(notes[-1].frames for start, notes in files if start.run_id == last) in range(40, 56)


def test_a_clock_that_was_set_back_cuts_no_pre_roll() -> None:
    rig = started()
    rig.frames(60)
    rig.ingest.perform(Duty(recorded=False, pre_roll_s=3.0, detail="no_event"))
    rig.clock.step_wall(-3600)
    rig.frames(100)
    rig.ingest.perform(Duty(recorded=True))
    runs = [event[2] for event in rig.sink.events if event[0] == "open"]
    assert isinstance(runs[1], int)
    assert abs(rig.clock.now_us() - runs[1] - 3 * US) < 1.1 * US


def test_a_session_that_is_ended_has_told_its_last_motion() -> None:
    rig = started()
    rig.frames(10)
    rig.ingest.stop(RunEnd.MAINTENANCE, "settings changed")
    assert rig.events.lost == 1


def test_a_last_picture_after_a_hole_is_not_said_to_last_into_the_future() -> None:
    rig = started()
    rig.frames(30)
    rig.clock.advance(6.0)  # packets of six seconds were lost
    rig.sources[-1].send(IngestRig.unit(30 + 150))
    rig.sources[-1].fail(BROKE)
    (ended_us,) = (event[2] for event in rig.sink.events if event[0] == "close")
    assert isinstance(ended_us, int)
    assert ended_us <= rig.clock.now_us() + US // 2
