"""States of streams: since when, and what counts as news."""

from __future__ import annotations

from uuid import uuid4

from camera_gateway.board import RECORDED, StateBoard
from storage.clock import US, FakeClock
from storage.model import GapReason, LiveState

ONE = uuid4()


def test_an_outage_lasts_from_its_first_moment_whatever_its_cause_becomes() -> None:
    clock = FakeClock()
    board = StateBoard(clock)
    board.live(ONE, LiveState.LIVE)
    board.recording(ONE, RECORDED)
    clock.advance(10)
    began_us = clock.now_us()
    board.live(ONE, LiveState.OFFLINE, "network")
    assert board.recording(ONE, GapReason.NETWORK.value, "reset")
    clock.advance(10)
    board.live(ONE, LiveState.OFFLINE, "refused")
    assert board.recording(ONE, GapReason.REFUSED.value, "refused")
    state = board.snapshot()[ONE]
    assert (state.live_cause, state.live_since_us) == ("refused", began_us)
    assert (state.recording, state.recording_since_us) == ("refused", began_us)


def test_a_reason_of_another_kind_begins_anew() -> None:
    clock = FakeClock()
    board = StateBoard(clock)
    board.recording(ONE, GapReason.MAINTENANCE.value)
    clock.advance(60)
    board.recording(ONE, GapReason.UNREACHABLE.value)
    assert board.snapshot()[ONE].recording_since_us == clock.now_us()


def test_only_changes_are_handed_out_and_each_once() -> None:
    board = StateBoard(FakeClock())
    board.live(ONE, LiveState.CONNECTING)
    assert set(board.take_changed()) == {ONE}
    board.live(ONE, LiveState.CONNECTING)
    assert board.take_changed() == {}
    board.live(ONE, LiveState.LIVE)
    assert set(board.take_changed()) == {ONE}
    assert not board.recording(ONE, GapReason.UNKNOWN.value)
    board.live(ONE, LiveState.LIVE)
    assert board.take_changed() == {}


def test_a_stream_without_frames_becomes_stale_and_recovers_with_the_next() -> None:
    clock = FakeClock()
    board = StateBoard(clock)
    board.live(ONE, LiveState.LIVE)
    board.last_frame(ONE).us = clock.now_us()
    clock.advance(2)
    board.find_stale()
    assert board.snapshot()[ONE].live is LiveState.LIVE
    clock.advance(2)
    board.find_stale()
    assert board.snapshot()[ONE].live is LiveState.STALE
    assert board.snapshot()[ONE].last_frame_us == clock.now_us() - 4 * US
    board.last_frame(ONE).us = clock.now_us()
    board.find_stale()
    assert board.snapshot()[ONE].live is LiveState.LIVE


def test_a_removed_stream_is_not_told_any_more() -> None:
    board = StateBoard(FakeClock())
    board.live(ONE, LiveState.LIVE)
    board.remove(ONE)
    assert board.take_changed() == board.snapshot() == {}
