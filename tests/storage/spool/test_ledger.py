"""Every second in exactly one state; silence only where nobody was there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.clock import US
from storage.model import CoverageState
from storage.spool.index import SpoolIndex
from storage.spool.ledger import Ledger, LedgerRow, Mark, amend_dropped

RECORDING, UNCHANGED = CoverageState.RECORDING, CoverageState.UNCHANGED
FAILED, POWERED_OFF = CoverageState.FAILED, CoverageState.POWERED_OFF
START = 1_790_000_000


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SpoolIndex]:
    opened = SpoolIndex.open(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def ledger(index: SpoolIndex) -> Ledger:
    made = Ledger(index)
    made.resume(START * US)
    return made


def us(second: float) -> int:
    return round((START + second) * US)


def mark(ledger: Ledger, second: float, state: CoverageState, detail: str = "", carry_s: float = 20.0) -> None:
    ledger.mark([Mark("M", state, detail)], us(second), carry_s)


def seconds(rows: list[LedgerRow]) -> list[tuple[int, int, str, str]]:
    found = [(r.t0_us // US - START, r.t1_us // US - START, r.state, r.detail) for r in rows]
    assert all(r.t0_us % US == 0 and r.t1_us % US == 0 for r in rows)
    return sorted(found)


def test_a_state_lasts_until_the_next_look(ledger: Ledger) -> None:
    mark(ledger, 0.4, RECORDING)
    mark(ledger, 5.4, UNCHANGED)
    mark(ledger, 10.4, UNCHANGED)
    mark(ledger, 15.4, RECORDING)
    assert seconds(ledger.rows()) == [
        (0, 5, "recording", ""),
        (5, 15, "unchanged", ""),
        (15, 16, "recording", ""),
    ]


def test_a_look_that_comes_much_too_late_leaves_a_failure(ledger: Ledger) -> None:
    mark(ledger, 0, RECORDING)
    mark(ledger, 100, RECORDING)
    assert seconds(ledger.rows()) == [
        (0, 21, "recording", ""),
        (21, 100, "failed", "stalled"),
        (100, 101, "recording", ""),
    ]


def test_sleep_is_powered_off(ledger: Ledger) -> None:
    mark(ledger, 0, RECORDING)
    ledger.mark([Mark("M", RECORDING)], us(3600), 20.0, (POWERED_OFF, "sleep"))
    assert seconds(ledger.rows()) == [
        (0, 2, "recording", ""),
        (2, 3600, "powered_off", "sleep"),
        (3600, 3601, "recording", ""),
    ]


def test_an_orderly_end_is_explained_at_the_next_start(ledger: Ledger, index: SpoolIndex) -> None:
    mark(ledger, 0, RECORDING)
    ledger.shut(us(7.5))
    assert seconds(ledger.rows()) == [(0, 7, "recording", ""), (7, 8, "powered_off", "")]
    again = Ledger(index)
    again.resume(us(1000.2))
    mark(again, 1000.9, RECORDING)
    assert seconds(again.rows()) == [
        (0, 7, "recording", ""),
        (7, 1000, "powered_off", ""),
        (1000, 1001, "recording", ""),
    ]


def test_a_kill_leaves_silence_and_never_powered_off(ledger: Ledger, index: SpoolIndex) -> None:
    mark(ledger, 0, RECORDING)
    mark(ledger, 5, RECORDING)
    again = Ledger(index)
    again.resume(us(1000))
    mark(again, 1000, RECORDING)
    assert seconds(again.rows()) == [(0, 6, "recording", ""), (1000, 1001, "recording", "")]


def test_an_orderly_end_explains_only_its_own_time(ledger: Ledger, index: SpoolIndex) -> None:
    mark(ledger, 0, RECORDING)
    ledger.shut(us(5))
    second = Ledger(index)
    second.resume(us(10))
    mark(second, 10, RECORDING)
    third = Ledger(index)
    third.resume(us(50))
    mark(third, 50, RECORDING)
    assert POWERED_OFF.value not in {state for t0, _, state, _ in seconds(third.rows()) if t0 >= 10}


def test_a_clock_set_back_decides_no_second_twice(ledger: Ledger) -> None:
    mark(ledger, 0, RECORDING)
    mark(ledger, 30, RECORDING, carry_s=40)
    mark(ledger, 10, FAILED)
    mark(ledger, 32, UNCHANGED)
    assert seconds(ledger.rows()) == [(0, 31, "recording", ""), (31, 32, "failed", ""), (32, 33, "unchanged", "")]


def test_a_clock_that_was_years_ahead_does_not_silence_the_ledger(ledger: Ledger) -> None:
    mark(ledger, 0, RECORDING)
    ledger.mark([Mark("M", RECORDING)], us(10_000_000), 20.0, (FAILED, "clock_step"))
    mark(ledger, 20, RECORDING)
    mark(ledger, 25, RECORDING)
    rows = seconds(ledger.rows())
    assert rows[-1][1] == 26
    assert sum(t1 - t0 for t0, t1, _, _ in rows) == 26


def test_the_agent_may_not_claim_the_servers_state(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="server"):
        mark(ledger, 0, CoverageState.AGENT_DOWN)


# --- reporting --------------------------------------------------------------------------------------------------------
def test_reported_rows_do_not_grow(ledger: Ledger) -> None:
    mark(ledger, 0, UNCHANGED)
    first = ledger.take(us(100))
    mark(ledger, 5, UNCHANGED)
    assert seconds(first) == [(0, 1, "unchanged", "")]
    again = ledger.take(us(100))
    assert seconds(again) == [(0, 1, "unchanged", ""), (1, 6, "unchanged", "")]
    ledger.confirm(first)
    assert seconds(ledger.rows()) == [(1, 6, "unchanged", "")]


def test_rows_that_never_left_may_grow_but_not_those_that_perhaps_did(ledger: Ledger) -> None:
    mark(ledger, 0, UNCHANGED)
    ledger.take(us(100))  # sent, and the answer was lost
    mark(ledger, 5, UNCHANGED)
    ledger.release(ledger.take(us(100)))  # no connection this time
    mark(ledger, 10, UNCHANGED)
    assert seconds(ledger.rows()) == [(0, 1, "unchanged", ""), (1, 11, "unchanged", "")]


def test_rows_that_end_later_wait(ledger: Ledger) -> None:
    mark(ledger, 0, UNCHANGED)
    mark(ledger, 5, RECORDING)
    assert seconds(ledger.take(us(5))) == [(0, 5, "unchanged", "")]


# --- lost pictures ----------------------------------------------------------------------------------------------------
def amend(index: SpoolIndex, t0: float, t1: float, until: float) -> None:
    with index.write() as connection:
        amend_dropped(connection, "M", us(t0), us(t1), us(until), "spool_full")


def test_lost_pictures_are_not_claimed_any_more(ledger: Ledger, index: SpoolIndex) -> None:
    for second, state in [
        (0, RECORDING),
        (10, UNCHANGED),
        (20, CoverageState.LOCKED),
        (30, RECORDING),
        (39, RECORDING),
    ]:
        mark(ledger, second, state)
    amend(index, 5.5, 12.2, 35)
    assert seconds(ledger.rows()) == [
        (0, 5, "recording", ""),
        (5, 10, "failed", "spool_full"),
        (10, 20, "failed", "spool_full"),
        (20, 30, "locked", ""),
        (30, 35, "failed", "spool_full"),
        (35, 40, "recording", ""),
    ]


def test_lost_pictures_that_were_reported_are_corrected_by_a_later_claim(ledger: Ledger, index: SpoolIndex) -> None:
    mark(ledger, 0, RECORDING)
    mark(ledger, 19, RECORDING)
    ledger.confirm(ledger.take(us(100)))
    mark(ledger, 25, RECORDING)
    amend(index, 5, 15, 60)
    assert seconds(ledger.rows()) == [(5, 15, "failed", "spool_full"), (20, 26, "failed", "spool_full")]


# --- the property -----------------------------------------------------------------------------------------------------
@dataclass
class Model:
    """Second by second what must be written, worked out the slow way."""

    states: dict[int, tuple[str, str]]
    end: int | None = None
    before: tuple[str, str] | None = None
    shut: bool = False

    def decide(self, first: int, last: int, state: tuple[str, str]) -> None:
        for second in range(first, last):
            self.states[second] = state
        if last > first:
            self.end = last

    def look(self, second: int, state: tuple[str, str], carry: int) -> None:
        if self.before is not None and self.end is not None and self.end < second:
            middle = min(second, self.end + carry)
            self.decide(self.end, middle, self.before)
            self.decide(middle, second, ("failed", "stalled"))
        self.decide(max(second, self.end or 0), second + 1, state)
        self.before = state

    def stop(self, second: int) -> None:
        if self.before is not None and self.end is not None:
            self.decide(self.end, second, self.before)
            start = max(second, self.end)
            self.decide(start, start + 1, ("powered_off", ""))
        self.before, self.shut = None, True

    def start(self, second: int) -> None:
        if self.shut and self.end is not None:
            self.decide(self.end, second, ("powered_off", ""))
        self.before, self.shut = None, False


Step = tuple[str, float, tuple[str, str]]
STEPS = st.tuples(
    st.sampled_from(["look"] * 6 + ["kill", "stop", "report", "lost answer", "no network"]),
    st.floats(0, 70),
    st.sampled_from([("recording", ""), ("unchanged", ""), ("failed", "grab_hung"), ("off_hours", "")]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
def test_the_ledger_is_an_exact_partition(tmp_path: Path, steps: list[Step]) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    index = SpoolIndex.open(folder)
    ledger, model, taken = Ledger(index), Model({}), dict[int, tuple[str, str]]()
    ledger.resume(us(0))
    now = 0.0
    for kind, wait_s, state in steps:
        now += wait_s
        if kind == "look":
            mark(ledger, now, CoverageState(state[0]), state[1])
            model.look(START + int(now), state, 20)
        elif kind in ("kill", "stop"):
            if kind == "stop":
                ledger.shut(us(now))
                model.stop(START + int(now))
            model.before = None
            ledger = Ledger(index)
            ledger.resume(us(now + 3))
            model.start(START + int(now + 3))
            now += 3
        else:
            _report(ledger, kind, us(now + 100), taken)
    while rows := ledger.take(us(now + 100)):
        _receive(rows, taken)
        ledger.confirm(rows)
    index.close()
    assert taken == model.states


def _report(ledger: Ledger, kind: str, until_us: int, taken: dict[int, tuple[str, str]]) -> None:
    rows = ledger.take(until_us)
    if kind == "no network":
        ledger.release(rows)
        return
    _receive(rows, taken)
    if kind == "report":
        ledger.confirm(rows)


def _receive(rows: list[LedgerRow], taken: dict[int, tuple[str, str]]) -> None:
    """What a server does with claims: a second that comes again must come with the same state."""
    for row in rows:
        for second in range(row.t0_us // US, row.t1_us // US):
            assert taken.setdefault(second, (row.state, row.detail)) == (row.state, row.detail)
