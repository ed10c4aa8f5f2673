"""A worker with fake cameras: it follows the plan, tells states and alarms, and spares accounts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from camera_gateway.board import RECORDED, StateBoard
from camera_gateway.fake_source import FakeSource
from camera_gateway.ingest import IngestParts
from camera_gateway.pacing import Pacer
from camera_gateway.packets import AccessUnit, SourceFault
from camera_gateway.plan import DevicePlan, PlanMode, StreamPlan
from camera_gateway.pre_roll import PreRollMemory
from camera_gateway.reactor import Reactor
from camera_gateway.recorder.disk import DiskSettings, DiskWriter
from camera_gateway.worker import Worker, WorkerSettings
from storage.clock import SystemClock
from storage.model import AlarmKind, GapReason, LiveState, RunEnd
from tests.camera_gateway.media import units
from tests.fakes.gateway import FakeArchive, FakeGuard, FakeOutlet, FakePlan, FakeReports, FolderPlacement

REFUSED = SourceFault(GapReason.AUTHENTICATION, "RTSP 401")
AWAY = SourceFault(GapReason.UNREACHABLE, "no answer in time")


@dataclass
class Rig:
    """A worker and all its fakes; `next_source` makes the source of the next session."""

    root: Path
    frames: tuple[AccessUnit, ...] = ()
    clock: SystemClock = field(default_factory=SystemClock)
    archive: FakeArchive = field(default_factory=FakeArchive)
    plan: FakePlan = field(default_factory=FakePlan)
    reports: FakeReports = field(default_factory=FakeReports)
    outlet: FakeOutlet = field(default_factory=FakeOutlet)
    guard: FakeGuard = field(default_factory=FakeGuard)
    sessions: list[FakeSource] = field(default_factory=list)
    opening: SourceFault | None = None
    slow: str = ""  # what the disk side says of itself
    make: Callable[[], FakeSource] | None = None

    def __post_init__(self) -> None:
        settings = DiskSettings(self.root / "staging")
        self.disk = DiskWriter(settings, FolderPlacement(self.root / "placed"), self.archive, self.guard, self.clock)
        self.reactor = Reactor(self.clock)
        board = StateBoard(self.clock)
        parts = IngestParts(self.reactor, board, self._source, Pacer(self.reactor, 2), 60.0, PreRollMemory(64 << 20))
        limits = WorkerSettings(offline_alarm_s=0.0, disk_subject="gateway:test")
        self.worker = Worker(
            self.plan,
            self.reports,
            parts,
            self.disk.channel,
            lambda _device: "secret",
            lambda _worker: self.outlet,
            lambda: replace(self.disk.health(), slow=self.slow),
            limits,
        )

    def _source(self) -> FakeSource:
        """Plays all its frames at once and then says nothing more until `end_session`."""
        source = self.make() if self.make else FakeSource(self.reactor, self.frames, opening=self.opening, stay=True)
        self.sessions.append(source)
        return source

    def end_session(self) -> None:
        """Let the sessions that run now break."""
        sessions = list(self.sessions)

        def end() -> None:
            for source in sessions:
                source.fail(SourceFault(GapReason.NETWORK, "the camera ended the stream"))

        self.reactor.call_threadsafe(end)

    def tried(self) -> int:
        """How many sessions were begun."""
        return sum(source.settings is not None for source in self.sessions)

    @contextmanager
    def running(self) -> Iterator[None]:
        self.disk.start()
        self.worker.start()
        try:
            yield
        finally:
            self.worker.stop()
            self.disk.stop()

    def wait(self, what: Callable[[], bool]) -> None:
        deadline = self.clock.monotonic() + 20
        while not what():
            assert self.clock.monotonic() < deadline, "it did not happen"
            self.clock.sleep(0.02)


def camera(*, recorded: bool = True, version: int = 1, enabled: bool = True, failures: int = 0) -> StreamPlan:
    device = DevicePlan(uuid4(), enabled, "admin", b"", version, failures)
    return StreamPlan(
        uuid4(),
        uuid4(),
        "main",
        "rtsp://127.0.0.1/x",
        "tcp",
        "h264",
        PlanMode.RECORD if recorded else PlanMode.OFF,
        device,
    )


def test_a_planned_stream_is_recorded_and_a_stop_is_told(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"))
    one = camera()
    rig.plan.plans = [one]
    with rig.running():
        rig.wait(lambda: one.id in rig.reports.last and rig.reports.last[one.id].recording == RECORDED)
        assert rig.reports.last[one.id].live is LiveState.LIVE
    assert rig.archive.ends == [RunEnd.STOPPED]
    assert sum(segment.frames for segment, _ in rig.archive.segments) >= len(rig.frames) - 1
    assert rig.reports.last[one.id].recording == GapReason.MAINTENANCE.value
    assert rig.sessions[0].settings is not None
    assert rig.sessions[0].settings.password == "secret"
    assert "secret" not in repr(rig.sessions[0].settings)


def test_a_stop_waits_until_cameras_were_told_goodbye(tmp_path: Path) -> None:
    """A camera that was not told keeps the session, and some have few."""
    rig = Rig(tmp_path, units("h264"))
    reading, writing = os.pipe()
    goodbyes: list[str] = []

    class Slow(FakeSource):
        """It says goodbye and waits for the answer."""

        def close(self) -> None:
            if not self.closed:
                rig.reactor.watch(reading, lambda _events: None)
                rig.reactor.call_later(0.1, self._answered)
            super().close()

        def _answered(self) -> None:
            rig.reactor.forget(reading)
            goodbyes.append("heard")

    rig.make = lambda: Slow(rig.reactor, rig.frames, stay=True)
    rig.plan.plans = [camera()]
    with rig.running():
        rig.wait(lambda: [state.recording for state in rig.reports.last.values()] == [RECORDED])
    os.close(reading)
    os.close(writing)
    assert goodbyes == ["heard"]


def test_two_refusals_stop_all_tries_until_the_credentials_change(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"), opening=REFUSED)
    main = camera()
    sub = replace(camera(), device=main.device)
    rig.plan.plans = [main, sub]
    with rig.running():
        rig.wait(lambda: len(rig.plan.refusals) == 2)
        rig.wait(lambda: (AlarmKind.CAMERA_AUTHENTICATION, f"camera:{main.channel_id}") in rig.reports.open_alarms)
        rig.clock.sleep(1.5)
        assert rig.tried() == 2
        rig.wait(lambda: rig.archive.gaps == [GapReason.AUTHENTICATION] * 2)

        rig.opening = None
        fresh = replace(main.device, credential_version=2)
        rig.plan.plans = [replace(main, device=fresh), replace(sub, device=fresh)]
        rig.worker.refresh()
        rig.wait(lambda: all(rig.reports.last[plan.id].recording == RECORDED for plan in (main, sub)))
        rig.wait(lambda: not rig.reports.open_alarms)


def test_a_device_that_was_refused_twice_before_is_not_tried_at_all(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"))
    one = camera(failures=2)
    rig.plan.plans = [one]
    with rig.running():
        rig.wait(lambda: rig.archive.gaps == [GapReason.AUTHENTICATION])
        rig.wait(lambda: one.id in rig.reports.last and rig.reports.last[one.id].live is LiveState.OFFLINE)
        assert rig.tried() == 0


def test_refusals_are_counted_when_the_catalog_is_back_and_the_account_is_guarded_meanwhile(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"), opening=REFUSED)
    rig.plan.away = True
    one = camera()
    rig.plan.plans = [one]
    with rig.running():
        rig.wait(lambda: rig.tried() == 2)
        rig.clock.sleep(1.5)
        assert rig.tried() == 2
        assert rig.plan.refusals == []
        rig.plan.away = False
        rig.wait(lambda: rig.plan.refusals == [(one.device.id, 1)] * 2)


def test_a_camera_that_is_away_has_a_gap_with_its_reason_an_alarm_and_comes_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"), opening=AWAY)
    one = camera()
    rig.plan.plans = [one]
    subject = f"camera:{one.channel_id}"
    with rig.running():
        rig.wait(lambda: (AlarmKind.CAMERA_OFFLINE, subject) in rig.reports.open_alarms)
        rig.wait(lambda: rig.archive.gaps == [GapReason.UNREACHABLE])
        rig.opening = None
        rig.wait(lambda: rig.reports.last[one.id].recording == RECORDED)
        rig.wait(lambda: not rig.reports.open_alarms)


def test_a_camera_of_which_one_stream_is_away_has_one_alarm_until_both_are_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"))
    main = camera()
    sub = replace(main, id=uuid4(), role="sub")
    rig.plan.plans = [main, sub]
    with rig.running():
        rig.wait(lambda: [state.recording for state in rig.reports.last.values()] == [RECORDED] * 2)
        rig.opening = AWAY
        lost = rig.sessions[1]
        rig.reactor.call_threadsafe(lambda: lost.fail(AWAY))
        rig.wait(lambda: (AlarmKind.CAMERA_OFFLINE, f"camera:{main.channel_id}") in rig.reports.open_alarms)
        told, looked = rig.reports.told, len(rig.outlet.sent)
        rig.wait(lambda: len(rig.outlet.sent) >= looked + 4)
        assert rig.reports.told == told
        rig.opening = None
        rig.wait(lambda: not rig.reports.open_alarms)


def test_a_disabled_camera_rests_as_maintenance_and_an_unrecorded_one_as_plan(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"))
    one, two = camera(), camera()
    rig.plan.plans = [one, two]
    with rig.running():
        rig.wait(lambda: len(rig.reports.last) == 2)
        rig.wait(lambda: all(state.recording == RECORDED for state in rig.reports.last.values()))
        rig.plan.plans = [replace(one, device=replace(one.device, enabled=False)), replace(two, mode=PlanMode.OFF)]
        rig.worker.refresh()
        rig.wait(lambda: rig.reports.last[one.id].recording == GapReason.MAINTENANCE.value)
        rig.wait(lambda: sorted(rig.archive.ends) == [RunEnd.MAINTENANCE, RunEnd.PLAN])


def test_a_stream_that_is_unplanned_while_its_camera_is_away_rests_as_plan(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"), opening=AWAY)
    one, two, three = camera(), camera(), camera()
    rig.plan.plans = [one, two, three]
    with rig.running():
        rig.wait(lambda: rig.archive.gaps == [GapReason.UNREACHABLE] * 3)
        rig.plan.plans = [replace(one, mode=PlanMode.OFF, planned=False), three]  # the second one is retired
        rig.worker.refresh()
        rig.wait(lambda: len(rig.archive.gaps) == 5)
        assert rig.archive.last_gaps[one.id] is GapReason.PLAN
        assert rig.archive.last_gaps[two.id] is GapReason.MAINTENANCE
        rig.wait(lambda: one.id not in rig.reports.last)  # nothing is said any more of what it did when recorded
    assert rig.archive.last_gaps[three.id] is GapReason.MAINTENANCE  # the gateway was stopped in order
    assert len(rig.archive.gaps) == 6


def test_a_full_disk_is_told_and_recording_returns(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"))
    rig.guard.full = True
    one = camera()
    rig.plan.plans = [one]
    with rig.running():
        rig.wait(lambda: (AlarmKind.DISK_FULL, "gateway:test") in rig.reports.open_alarms)
        rig.wait(lambda: rig.archive.gaps == [GapReason.DISK_FULL])
        assert rig.reports.last[one.id].live is LiveState.LIVE  # live is not recording
        rig.guard.full = False
        rig.disk.room.measure()
        rig.end_session()
        rig.wait(lambda: rig.reports.last[one.id].recording == RECORDED)
        rig.wait(lambda: not rig.reports.open_alarms)


def test_a_disk_that_grows_slow_is_an_alarm_before_anything_is_lost(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"))
    one = camera()
    rig.plan.plans = [one]
    with rig.running():
        rig.wait(lambda: one.id in rig.reports.last and rig.reports.last[one.id].recording == RECORDED)
        rig.slow = "5 MB wait to be written"
        rig.wait(lambda: (AlarmKind.DISK_SLOW, "gateway:test") in rig.reports.open_alarms)
        assert rig.reports.last[one.id].recording == RECORDED


def test_an_alarm_of_the_disk_that_another_worker_closed_is_raised_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camera_gateway.worker._REPEAT_S", 0.2)
    rig = Rig(tmp_path, units("h264"))
    rig.plan.plans = [camera()]
    alarm = (AlarmKind.DISK_SLOW, "gateway:test")
    with rig.running():
        rig.slow = "5 MB wait to be written"
        rig.wait(lambda: alarm in rig.reports.open_alarms)
        rig.reports.open_alarms.discard(alarm)  # the other worker has just been started, and its disk side is idle
        rig.wait(lambda: alarm in rig.reports.open_alarms)


def test_an_unrecorded_stream_is_opened_only_when_somebody_watches(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"))
    one = camera(recorded=False)
    rig.plan.plans = [one]
    with rig.running():
        rig.clock.sleep(0.6)
        assert rig.sessions == []
        rig.worker.watch(frozenset({one.id}))
        rig.wait(lambda: len(rig.outlet.units) >= len(rig.frames) - 1)
        assert rig.outlet.formats[0][1].codec.startswith("avc1.")
        times = [unit.time for _, unit in rig.outlet.units]
        assert times == sorted(set(times))
        assert rig.outlet.units[0][1].key
    assert rig.archive.segments == []


def test_viewers_of_an_unrecorded_substream_are_told_whether_the_camera_is_recorded(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"))
    main = camera()
    sub = replace(main, id=uuid4(), role="sub", mode=PlanMode.OFF)
    rig.plan.plans = [main, sub]

    def told(recording: str) -> bool:
        return any(states[sub.id].recording == recording for states in rig.outlet.sent if sub.id in states)

    with rig.running():
        rig.worker.watch(frozenset({sub.id}))
        rig.wait(lambda: told(RECORDED))
        assert rig.worker.states_for_viewers()[sub.id].recording == RECORDED
        assert rig.reports.last[sub.id].recording == GapReason.PLAN.value  # the catalog keeps the stream's own
        away = replace(main, device=replace(main.device, enabled=False))
        rig.outlet.sent.clear()
        rig.plan.plans = [away, replace(sub, device=replace(main.device))]
        rig.worker.refresh()
        rig.wait(lambda: told(GapReason.MAINTENANCE.value))


def test_a_new_viewer_of_a_recorded_stream_gets_the_group_of_pictures_at_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"))
    one = camera()
    rig.plan.plans = [one]
    with rig.running():
        rig.wait(lambda: bool(rig.archive.events) and one.id in rig.reports.last)
        rig.wait(lambda: rig.reports.last[one.id].recording == RECORDED)
        rig.clock.sleep(0.5)
        assert rig.outlet.units == []
        rig.worker.watch(frozenset({one.id}))
        rig.wait(lambda: len(rig.outlet.units) == 25)  # a key frame every 25 of the 100 frames
        assert rig.outlet.units[0][1].key
        times = [unit.time for _, unit in rig.outlet.units]
        assert times == sorted(set(times))
        assert {stream_id for stream_id, _ in rig.outlet.units} == {one.id}


def test_states_name_streams_by_id(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"))
    one = camera()
    rig.plan.plans = [one]
    with rig.running():
        rig.wait(lambda: any(one.id in states for states in rig.outlet.sent))
        assert rig.worker.roles == {one.id: "main"}
        assert isinstance(one.id, UUID)


def test_a_camera_on_standby_that_is_away_is_an_alarm_though_it_is_not_recorded(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"), opening=AWAY)
    one = replace(camera(), mode=PlanMode.STANDBY, reason="no_event")
    rig.plan.plans = [one]
    subject = (AlarmKind.CAMERA_OFFLINE, f"camera:{one.channel_id}")
    with rig.running():
        rig.wait(lambda: subject in rig.reports.open_alarms)
        rig.opening = None
        rig.wait(lambda: subject not in rig.reports.open_alarms)
        assert rig.reports.last[one.id].recording == GapReason.PLAN.value


def test_an_edge_that_passes_while_the_catalog_is_away_is_taken_in_doubt_as_the_begin(tmp_path: Path) -> None:
    rig = Rig(tmp_path, units("h264"))
    one = replace(camera(), mode=PlanMode.OFF, reason="outside_hours", until_us=rig.clock.now_us() + 3_000_000)
    other = replace(camera(), mode=PlanMode.OFF, reason="plan_off")
    rig.plan.plans = [one, other]
    with rig.running():
        rig.wait(lambda: rig.archive.gaps == [GapReason.PLAN] * 2)
        rig.plan.unreadable = True
        rig.wait(lambda: one.id in rig.reports.last and rig.reports.last[one.id].recording == RECORDED)
        assert rig.reports.last[other.id].recording == GapReason.PLAN.value
