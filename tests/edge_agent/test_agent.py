"""From the screen to the console and back to pixels, with the clock in the test's hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.platform.base import Session
from edge_agent.settings import AgentSettings, CaptureSettings, SpoolSettings
from screen_capture.decode import picture_at, read_index
from screen_capture.encode import to_rgb
from screen_capture.frames import Frame, GrabFailed, Words
from storage.errors import ConfigurationError, StorageError, Unavailable
from storage.model import CoverageState
from tests.edge_agent.table import LEFT, RIGHT, Table
from tests.fakes.agent_console import error
from tests.screen_capture.desktops import office
from tests.storage.spool.helpers import FillingDisk

State = tuple[int, int, str, str]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    made = Table(tmp_path)
    made.show(screens(1)[0])
    yield made
    made.close()


def screens(count: int, seed: int = 11) -> list[Words]:
    return office(count=count, width=320, height=200, seed=seed)


def settings_of(table: Table, **changes: Any) -> None:
    """The console pushes changed settings, and the agent takes them."""
    table.console.settings = table.console.settings | {"version": table.console.settings["version"] + 1} | changes
    table.agent.reporter.run_once()


# --- pictures ---------------------------------------------------------------------------------------------------------
def test_pictures_arrive_as_they_were(table: Table) -> None:
    shown = screens(14)
    for screen in shown:
        table.show(screen)
        table.look()
    table.clock.advance(60)
    table.look()
    table.drain()
    stored = sorted(table.console.segments.values(), key=lambda segment: segment.facts["t0_us"])
    assert [len(segment.facts["pictures"]) for segment in stored] == [12, 2]
    pictures = [picture_at(s.body, n) for s in stored for n in range(len(s.facts["pictures"]))]
    for screen, picture in zip(shown, pictures, strict=True):
        assert np.array_equal(to_rgb(screen), picture)
    assert list(table.places.spool.glob("*.spool")) == []


def test_nothing_is_kept_while_nothing_changes(table: Table) -> None:
    for _ in range(20):
        table.look()
    table.drain()
    [segment] = table.console.segments.values()
    assert len(segment.facts["pictures"]) == 1
    assert segment.facts["t1_us"] - segment.facts["t0_us"] == 60_000_000
    assert table.states() == [(0, 5, "recording", ""), (5, 96, "unchanged", "")]


def test_every_monitor_has_its_own_segments_and_coverage(tmp_path: Path) -> None:
    table = Table(tmp_path, LEFT, RIGHT)
    right = office(count=3, width=256, height=192, seed=2)
    table.show(screens(1)[0])
    for screen in right:
        table.show(screen, RIGHT)
        table.look()
    assert table.states(LEFT) == [(0, 5, "recording", ""), (5, 11, "unchanged", "")]
    assert table.states(RIGHT) == [(0, 11, "recording", "")]
    table.shutdown()
    table.restart()
    table.drain()
    assert len(table.console.times("HDMI-1")) == 1
    assert len(table.console.times("DP-2")) == 3
    table.close()


def test_a_new_resolution_begins_a_new_segment(table: Table) -> None:
    table.look()
    larger = office(count=1, width=400, height=300, seed=1)[0]
    table.show(larger)
    table.look()
    table.shutdown()
    table.restart()
    table.drain()
    sizes = {(s.facts["width"], s.facts["height"]) for s in table.console.segments.values()}
    assert sizes == {(320, 200), (400, 300)}


def test_redacted_areas_never_reach_the_spool_and_ignored_ones_make_no_picture(tmp_path: Path) -> None:
    capture = CaptureSettings(redact=("*:0,0,64,64",), ignore=("HDMI-1:300,180,20,20",))
    table = Table(tmp_path, settings=AgentSettings(capture=capture, spool=SpoolSettings(min_free_mb=0)))
    screen = screens(1)[0]
    screen[10:50, 10:50] = 0xABCDEF
    table.show(screen)
    table.look()
    clock = screen.copy()
    clock[185:195, 305:315] = 0x00FF00
    table.show(clock)
    table.look()
    table.shutdown()
    table.restart()
    table.drain()
    [segment] = table.console.segments.values()
    assert len(segment.facts["pictures"]) == 1
    picture = picture_at(segment.body, 0)
    assert (picture[:64, :64] == 0).all()
    assert (picture[64:] == to_rgb(screen)[64:]).all()
    table.close()


# --- coverage ---------------------------------------------------------------------------------------------------------
def test_a_uniform_screen_is_no_evidence(table: Table) -> None:
    table.look()
    table.show(np.zeros((200, 320), np.uint32))
    table.look()
    table.show(screens(1)[0])
    table.look()
    states = [state for _, _, state, _ in table.states()]
    assert states == ["recording", "uniform_frame", "recording"]


@pytest.mark.parametrize(
    ("code", "state"),
    [("no_display", "no_session"), ("grab_hung", "failed"), ("grab_failed", "failed"), ("no_monitor", "failed")],
)
def test_a_failing_grab_says_how(table: Table, code: str, state: str) -> None:
    table.look()
    table.grabber.failure = GrabFailed(code)
    table.look()
    table.grabber.failure = None
    table.look()
    assert table.states() == [(0, 5, "recording", ""), (5, 10, state, code), (10, 11, "recording", "")]


def test_a_frame_that_is_none_is_a_failure(table: Table) -> None:
    table.grabber.show(LEFT.name, Frame(320, 200, b"\x00" * 7))
    table.look()
    assert table.states() == [(0, 1, "failed", "frame_size")]


@pytest.mark.parametrize(
    "state", [CoverageState.NO_SESSION, CoverageState.LOCKED, CoverageState.SECURE_DESKTOP, CoverageState.UNSUPPORTED]
)
def test_what_the_session_forbids_is_not_looked_at(table: Table, state: CoverageState) -> None:
    table.look()
    table.platform.present = Session(state, "why")
    table.show(screens(1, seed=99)[0])
    table.look()
    table.platform.present = Session()
    table.look()
    assert table.states() == [(0, 5, "recording", ""), (5, 10, state.value, "why"), (10, 11, "recording", "")]


def test_without_a_visible_notice_nothing_is_captured(table: Table) -> None:
    table.notice.hidden = True
    table.look()
    table.look()
    assert list(table.places.spool.glob("*.spool")) == []
    table.notice.hidden = False
    table.look()
    assert table.notice.text == "本机正在记录 / This computer is being recorded"
    assert table.states() == [(0, 10, "notice_hidden", ""), (10, 11, "recording", "")]


def test_outside_the_service_periods_not_one_picture_is_written(table: Table) -> None:
    table.look()
    settings_of(table, service_periods=[{"weekday": 1, "from_minute": 0, "to_minute": 1}])
    for seed in range(3):
        table.show(screens(1, seed=seed)[0])
        table.look()
    table.drain()
    assert len(table.console.times(LEFT.name)) == 1
    assert [state for _, _, state, _ in table.states()][-1] == "off_hours"
    settings_of(table, service_periods=[])
    table.look()
    assert table.states()[-1][2] == "recording"


def test_a_monitor_that_is_unplugged_and_returns(tmp_path: Path) -> None:
    table = Table(tmp_path, LEFT, RIGHT)
    table.show(screens(1)[0])
    table.show(office(1, 256, 192, 2)[0], RIGHT)
    table.look()
    table.grabber.remove(RIGHT.name)
    table.look()
    table.grabber.add(RIGHT)
    table.look()
    assert table.states(RIGHT) == [
        (0, 5, "recording", ""),
        (5, 10, "failed", "monitor_gone"),
        (10, 11, "recording", ""),
    ]
    table.close()


def test_a_clock_that_was_set_is_an_event_and_every_second_keeps_one_state(table: Table) -> None:
    table.look()
    table.clock.step_wall(3600)
    table.look()
    table.look()
    assert table.states() == [
        (0, 2, "recording", ""),
        (2, 3605, "failed", "clock_step"),
        (3605, 3611, "unchanged", ""),
    ]
    table.clock.step_wall(-3600)
    table.look()
    kinds = [kind for _, kind, _ in table.agent.outbox.index.events()]
    assert kinds == ["clock_step", "clock_step"]


def test_sleep_is_not_a_clock_step(table: Table) -> None:
    table.look()
    table.clock.step_wall(7200)
    table.platform.slept_s += 7200
    table.look()
    assert [(t0, t1, state) for t0, t1, state, _ in table.states()][1] == (2, 7205, "powered_off")
    assert [kind for _, kind, _ in table.agent.outbox.index.events()] == ["slept"]


def test_an_orderly_end_then_a_kill(table: Table) -> None:
    table.look()
    table.look()
    table.shutdown()
    table.clock.advance(600)
    table.restart()
    table.look()
    table.close()  # a kill: nothing is written
    table.clock.advance(300)
    table.restart()
    table.look()
    assert table.states() == [
        (0, 5, "recording", ""),
        (5, 10, "unchanged", ""),
        (10, 610, "powered_off", ""),
        (610, 611, "recording", ""),
        (915, 916, "recording", ""),
    ]


# --- the console is away ----------------------------------------------------------------------------------------------
def test_pictures_wait_through_a_cut_and_go_out_after_it(table: Table) -> None:
    table.transport.away = True
    shown = screens(30)
    for screen in shown:
        table.show(screen)
        table.look()
        table.agent.uplink.run_once()
        with pytest.raises(Unavailable):
            table.agent.reporter.run_once()
    assert table.console.segments == {}
    table.transport.away = False
    table.shutdown()
    table.restart()
    table.drain()
    table.agent.reporter.run_once()
    assert len(table.console.times(LEFT.name)) == 30
    claimed = sum(claim["t1_us"] - claim["t0_us"] for claim in table.console.claims)
    assert claimed == 151 * 10**6  # 150 s at work and the first second of `powered_off`
    assert table.agent.outbox.dropped() == []


def test_a_lost_answer_uploads_again_and_stores_once(table: Table) -> None:
    table.look()
    table.clock.advance(60)
    table.look()
    table.console.forget_answers = 1
    table.agent.uplink.run_once()
    assert len(table.console.segments) == 1
    assert table.agent.outbox.next_due() is not None
    table.drain()
    [segment] = table.console.segments.values()
    assert segment.uploads == 2


def test_a_lost_answer_to_a_report_claims_nothing_twice(table: Table) -> None:
    table.look()
    table.agent.reporter.run_once()
    table.look()
    table.transport.broken = True
    table.agent.reporter._measured_at = table.clock.monotonic()
    with pytest.raises(Unavailable):
        table.agent.reporter.run_once()
    table.transport.broken = False
    table.look()
    table.agent.reporter.run_once()
    seconds = [t for c in table.console.claims for t in range(c["t0_us"] // 10**6, c["t1_us"] // 10**6)]
    assert len(seconds) == len(set(seconds)) == 11


def test_what_a_full_spool_drops_is_on_record_and_not_claimed(tmp_path: Path) -> None:
    settings = AgentSettings(spool=SpoolSettings(max_mb=16, min_free_mb=0))
    table = Table(tmp_path, settings=settings)
    table.transport.away = True
    table.agent.outbox.limits = type(table.agent.outbox.limits)(60_000, 0, 1e9)
    for number in range(120):
        table.show(noisy(number))
        table.look()
    dropped = table.agent.outbox.dropped()
    assert dropped
    assert {reason for *_, reason in dropped} == {"spool_full"}
    lost = {t // 10**6 for _, _, t0, t1, _ in dropped for t in range(t0, t1, 10**6)}
    start = 1_790_000_000
    failed = {start + s for t0, t1, _, detail in table.states() if detail == "spool_full" for s in range(t0, t1)}
    assert lost <= failed
    table.close()


def noisy(seed: int) -> Words:
    """A screen that compresses badly, exactly."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 1 << 24, 64, dtype=np.uint32)[rng.integers(0, 64, (200, 320))]


def test_a_disk_that_fills_is_a_failure_that_passes(tmp_path: Path) -> None:
    disk = FillingDisk()
    table = Table(tmp_path, disk=disk)
    shown = screens(4)
    table.show(shown[0])
    table.look()
    disk.room = 20
    table.show(shown[1])
    table.look()
    disk.room = 1 << 30
    table.show(shown[2])
    table.look()
    assert [(t0, state, detail) for t0, _, state, detail in table.states()] == [
        (0, "recording", ""),
        (5, "failed", "spool_disk_full"),
        (10, "recording", ""),
    ]
    table.shutdown()
    table.restart()
    table.drain()
    assert len(table.console.times(LEFT.name)) == 2
    table.close()


def test_a_nearly_full_spool_lengthens_the_interval_and_lowers_the_quality(table: Table) -> None:
    assert table.agent.capture.run_once() == 5.0
    used = table.agent.outbox.usage().bytes
    table.agent.outbox.limits = type(table.agent.outbox.limits)(int(used / 0.9), 0, 1e9)
    assert table.agent.capture.run_once() == 10.0


# --- what the console says --------------------------------------------------------------------------------------------
def test_pushed_settings_hold_at_once_and_after_a_restart(table: Table) -> None:
    settings_of(table, interval_s=2.5, notice={"version": 2, "text": "窗口工作电脑正在记录"})
    assert table.agent.capture.run_once() == 2.5
    assert table.notice.text == "窗口工作电脑正在记录"
    table.close()
    table.restart()
    assert table.agent.pushed.current.interval_s == 2.5


def test_the_console_cannot_go_below_the_floor(table: Table) -> None:
    settings_of(table, interval_s=0.01)
    assert table.agent.capture.run_once() == 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"interval_s": "often"},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../../etc/passwd"},
        {"service_periods": [{"weekday": 8, "from_minute": 0, "to_minute": 1}]},
        {"service_periods": [{"weekday": 1}]},
        {"notice": None},
        {"interval_s": float("nan")},
    ],
)
def test_settings_that_make_no_sense_are_refused_whole(table: Table, changes: dict[str, Any]) -> None:
    settings_of(table, interval_s=7.0)
    settings_of(table, **({"interval_s": 9.0} | changes))
    assert table.agent.capture.run_once() == 7.0


def test_a_clock_an_hour_off_still_gets_through(table: Table) -> None:
    table.console.clock = type(table.clock)(wall_us=table.clock.now_us() + 3600 * 10**6)
    table.console.__post_init__()
    table.agent.reporter.run_once()
    assert table.console.reports[-1]["clock"]["offset_us"] == 3600 * 10**6


def test_a_clock_ahead_waits_until_the_console_would_take_its_claims(table: Table) -> None:
    table.console.clock = type(table.clock)(wall_us=table.clock.now_us() - 3600 * 10**6)
    table.console.__post_init__()
    table.look()
    table.agent.reporter.run_once()
    assert table.console.claims == []
    table.console.clock.wall_us += 3600 * 10**6
    table.agent.reporter._measured_at = None
    table.agent.reporter.run_once()
    assert len(table.console.claims) == 1


def test_a_refused_claim_does_not_hold_up_the_others(table: Table) -> None:
    for failure in (None, GrabFailed("grab_hung"), None):
        table.grabber.failure = failure
        table.look()
    table.console.refused_states = {"failed"}
    table.agent.reporter.run_once()
    assert [claim["state"] for claim in table.console.claims] == ["recording", "recording"]
    assert table.states() == []
    assert [kind for _, kind, _ in table.agent.outbox.index.events()] == ["coverage_refused"]


@pytest.mark.parametrize(("status", "code"), [(409, "segment_conflict"), (413, "too_large"), (422, "segment_mismatch")])
def test_what_the_console_never_takes_is_set_aside_on_record(table: Table, status: int, code: str) -> None:
    table.look()
    table.clock.advance(60)
    table.look()
    table.console.refuse_segments = [error(status, code)]
    table.agent.uplink.run_once()
    assert table.agent.outbox.next_due() is None
    assert len(list((table.places.spool / "quarantine").glob("*.spool"))) == 1
    assert len(table.agent.outbox.dropped()) == 1
    assert table.agent.outbox.usage().dropped == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "key_unknown"), (403, "x"), (404, "x"), (429, "x"), (500, "x"), (503, "x"), (422, "segment_future")],
)
def test_everything_else_is_waited_out(table: Table, status: int, code: str) -> None:
    table.look()
    table.clock.advance(60)
    table.look()
    table.console.refuse_segments = [(status, {"Retry-After": "77"}, {"error": {"code": code}})]
    assert table.agent.uplink.run_once() == 77.0
    assert table.agent.outbox.next_due() is not None
    table.drain()
    assert len(table.console.segments) == 1


def test_a_damaged_segment_does_not_hold_up_the_others(table: Table) -> None:
    for screen in screens(2):
        table.show(screen)
        table.look()
        table.clock.advance(60)
        table.look()
    first = table.agent.outbox.next_due()
    assert first is not None
    path = table.agent.outbox.path(first.meta.id)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    table.drain()
    assert len(table.console.segments) == 1
    assert [reason for *_, reason in table.agent.outbox.dropped()] == ["spool_corrupt"]


# --- starting ---------------------------------------------------------------------------------------------------------
def test_a_cloned_disk_is_refused(table: Table) -> None:
    table.close()
    table.platform.machine = "another"
    with pytest.raises(ConfigurationError, match="enrol again"):
        table.restart()
    table.platform.machine = "fake-machine"
    table.restart()


def test_only_one_agent_on_a_folder(table: Table) -> None:
    with pytest.raises(ConfigurationError, match="already runs"):
        table._made()


def test_a_spool_that_cannot_be_opened_does_not_keep_the_lock(table: Table) -> None:
    table.close()
    table.places.spool.rename(table.places.folder / "elsewhere")
    table.places.spool.write_text("a file where the folder belongs")
    with pytest.raises(StorageError):
        table.restart()
    table.places.spool.unlink()
    table.restart()


def test_a_damaged_spool_key_is_set_aside(table: Table) -> None:
    table.look()
    table.close()
    table.places.spool_key.write_bytes(b"short")
    table.restart()
    assert [reason for *_, reason in table.agent.outbox.dropped()] == ["spool_corrupt"]
    table.look()
    assert table.states()[-1][2] == "recording"


def test_a_kill_in_mid_segment_keeps_every_picture(table: Table) -> None:
    shown = screens(5)
    for screen in shown:
        table.show(screen)
        table.look()
    table.close()
    table.restart()
    table.drain()
    [segment] = table.console.segments.values()
    index = read_index(segment.body)
    assert len(index.pictures) == 5
    for number, screen in enumerate(shown):
        assert np.array_equal(picture_at(segment.body, number), to_rgb(screen))
    assert index.t1_us == table.clock.wall_us - 4 * 10**6
