"""Ids, case keys, closed lists, log lines, clocks and the lifecycle of parts."""

from __future__ import annotations

import logging
import threading
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.clock import US, FakeClock
from storage.errors import InvalidInput
from storage.ids import new_id, parse_id
from storage.lifecycle import end_on_programming_errors, run_parts
from storage.logs import LineFormatter, RepeatedFault, scrub
from storage.model import CoverageState, GapReason, RunEnd, Span, case_key


def test_ids_are_version_7_and_sort_by_time() -> None:
    clock = FakeClock()
    ids = []
    for _ in range(50):
        ids.append(new_id(clock))
        clock.advance(0.001)
    assert all(one.version == 7 and one.variant == "specified in RFC 4122" for one in ids)
    assert ids == sorted(ids)
    assert ids[0].int >> 80 == FakeClock().now_us() // 1000
    assert parse_id(str(ids[0])) == ids[0]
    with pytest.raises(ValueError, match="badly formed"):
        parse_id("no id")


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("滁政务〔2026〕第000123号", "滁政务2026第000123号"),
        ("滁政务[2026]第000123号", "滁政务2026第000123号"),
        (" ab-12 / x ", "AB12/X"),
        ("ＡＢ－１２", "AB12"),
        ("AB—12–3", "AB123"),
    ],
)
def test_case_keys_fold_what_people_write_differently(written: str, key: str) -> None:
    assert case_key(written) == key


@given(st.text(max_size=12), st.text(max_size=12))
def test_case_keys_are_stable_and_ignore_ornaments(left: str, right: str) -> None:
    key = case_key(f"{left}A1{right}")
    assert case_key(f" ({left}-A1-{right}) ") == key
    assert case_key(key) == key


def test_an_empty_case_number_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        case_key(" --（） ")
    assert caught.value.code == "case_number_empty"


def test_every_gap_reason_can_end_a_run() -> None:
    assert {reason.value for reason in GapReason} <= {end.value for end in RunEnd}
    assert len({state.value for state in CoverageState}) == len(CoverageState)


def test_half_open_spans() -> None:
    assert Span(0, 10).overlaps(Span(9, 20))
    assert not Span(0, 10).overlaps(Span(10, 20))


def test_log_lines_are_one_line_and_hide_credentials() -> None:
    record = logging.LogRecord("a", logging.INFO, "f", 1, "camera_open", (), None)
    record.__dict__["fields"] = {"url": "rtsp://admin:p%40ss@10.0.0.1/x", "text": "a\nb"}
    line = LineFormatter().format(record)
    assert "p%40ss" not in line
    assert "rtsp://***@10.0.0.1/x" in line
    assert "\n" not in line
    assert scrub("no url: a@b") == "no url: a@b"


def test_repeated_faults_are_counted_and_reported_once_an_interval() -> None:
    clock = FakeClock()
    faults = RepeatedFault(clock)
    assert [faults.report("x") for _ in range(4)] == [1, 0, 0, 0]
    assert faults.report("y") == 1
    clock.advance(1.0)
    assert faults.report("x") == 4


def test_the_fake_clock_moves_when_somebody_sleeps() -> None:
    clock = FakeClock()
    before = clock.now_us()
    clock.sleep(2.5)
    assert clock.now_us() - before == 2.5 * US
    clock.step_wall(-60)
    assert clock.monotonic() == 2.5
    stop = threading.Event()
    assert clock.wait(stop, 1) is False
    stop.set()
    assert clock.wait(stop, 1) is True


class Recorder:
    def __init__(self, name: str, seen: list[str], *, fails: bool = False) -> None:
        self.name, self.seen, self.fails = name, seen, fails

    def start(self) -> None:
        if self.fails:
            raise InvalidInput("no")
        self.seen.append(f"+{self.name}")

    def stop(self) -> None:
        self.seen.append(f"-{self.name}")


def test_parts_start_bottom_up_and_stop_top_down() -> None:
    seen: list[str] = []
    stop = threading.Event()
    stop.set()
    run_parts([Recorder("a", seen), Recorder("b", seen)], stop)
    assert seen == ["+a", "+b", "-b", "-a"]


def test_a_part_that_cannot_start_stops_the_others() -> None:
    seen: list[str] = []
    with pytest.raises(InvalidInput):
        run_parts([Recorder("a", seen), Recorder("b", seen, fails=True)], threading.Event())
    assert seen == ["+a", "-a"]


def test_uuid_type() -> None:
    assert isinstance(new_id(FakeClock()), UUID)


def test_the_hook_that_ends_a_process_leaves_with_its_run() -> None:
    before = threading.excepthook
    with end_on_programming_errors():
        assert threading.excepthook is not before
    assert threading.excepthook is before
