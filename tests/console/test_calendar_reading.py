"""A year's holidays from tables and notices as offices have them, in the encodings that they come in."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.services.calendar_reading import (
    MOST_BYTES,
    MOST_DAYS,
    MOST_LINES,
    checked_days,
    decode,
    read_calendar,
    stands_for,
)
from storage.errors import InvalidInput
from storage.model import DayKind
from storage.schedule import SpecialDay

NOTICE = """一、元旦：1月1日（周四）至3日（周六）放假调休，共3天。1月4日（周日）上班。
二、春节：2月15日（农历腊月二十八、周日）至23日（农历正月初七、周一）放假调休，共9天。2月14日（周六）、2月28日（周六）上班。
三、清明节：4月4日（周六）至6日（周一）放假，共3天。
四、劳动节：5月1日（周五）至5日（周二）放假调休，共5天。5月9日（周六）上班。
五、端午节：6月19日（周五）至21日（周日）放假，共3天。
六、中秋节：9月25日（周五）至27日（周日）放假，共3天。
七、国庆节：10月1日（周四）至7日（周三）放假调休，共7天。9月20日（周日）、10月10日（周六）上班。
节假日期间，各地区、各部门要妥善安排好值班和安全、保卫等工作。"""


def days_of(text: str, year: int = 2026) -> dict[str, tuple[str, int, str]]:
    """What was read, by ISO date; there must be no problem."""
    reading = read_calendar(text, year)
    assert reading.problems == []
    return {str(day): (one.kind.value, one.as_weekday, one.name) for day, one in sorted(reading.days.items())}


def test_a_whole_notice_is_read() -> None:
    found = days_of(NOTICE)
    holidays = [day for day, one in found.items() if one[0] == "holiday"]
    workdays = {day: one[1] for day, one in found.items() if one[0] == "workday"}
    assert len(holidays) == 3 + 9 + 3 + 5 + 3 + 3 + 7
    assert workdays == {
        "2026-01-04": 1,
        "2026-02-14": 5,
        "2026-02-28": 5,
        "2026-05-09": 5,
        "2026-09-20": 1,
        "2026-10-10": 5,
    }
    assert found["2026-10-07"] == ("holiday", 0, "国庆节")
    assert found["2026-10-10"][2] == "国庆节"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-10-01,放假,国庆节", {"2026-10-01": ("holiday", 0, "国庆节")}),
        ("2026/10/10\t上班\t按周四\t国庆节调班", {"2026-10-10": ("workday", 4, "国庆节调班")}),
        (
            '2026.5.1,2026.5.2,"放假","劳动节"',
            {"2026-05-01": ("holiday", 0, "劳动节"), "2026-05-02": ("holiday", 0, "劳动节")},
        ),
        ("20261001~20261002 休 国庆", {"2026-10-01": ("holiday", 0, "国庆"), "2026-10-02": ("holiday", 0, "国庆")}),
        ("2026年1月4日 补班", {"2026-01-04": ("workday", 1, "")}),
        ("2026-12-25,holiday,Christmas Day", {"2026-12-25": ("holiday", 0, "Christmas Day")}),
        ("日期,类型,名称\n2026-10-01,放假,国庆节", {"2026-10-01": ("holiday", 0, "国庆节")}),
        ("10月10日（周六，按星期二课表）上班", {"2026-10-10": ("workday", 2, "")}),
        ("10月10日上班（按星期二）", {"2026-10-10": ("workday", 2, "")}),
        (
            "元旦：2025年12月31日至2026年1月1日放假",
            {"2025-12-31": ("holiday", 0, "元旦"), "2026-01-01": ("holiday", 0, "元旦")},
        ),
        ("", {}),
    ],
)
def test_rows_and_sentences(text: str, wanted: dict[str, tuple[str, int, str]]) -> None:
    assert days_of(text) == wanted


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-10-01", "kind_missing"),
        ("2026-02-30,放假", "no_such_day"),
        ("10月1日至7日，共7天。", "kind_missing"),
        ("7日放假", "month_missing"),
        ("2026-10-07,2026-10-01,放假", "span_invalid"),
        ("2026-01-01,2026-12-31,放假", "span_invalid"),
        ("2024-10-01,放假", "other_year"),
        ("2026-10-01,放假\n2026-10-01,上班", "conflict"),
        ("10/1 放假", "unreadable"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, code: str) -> None:
    problems = read_calendar(text, 2026).problems
    assert [one.code for one in problems] == [code]
    assert problems[0].line == len(text.splitlines())


def test_files_in_every_encoding_of_the_office() -> None:
    text = "2026-10-01,放假,国庆节"
    for encoding in ("utf-8", "utf-8-sig", "gb18030", "utf-16"):
        assert days_of(decode(text.encode(encoding))) == {"2026-10-01": ("holiday", 0, "国庆节")}
    with pytest.raises(InvalidInput, match="GB18030"):
        decode(b"\xff\xff\xff\x80")
    with pytest.raises(InvalidInput) as caught:
        decode(b" " * (256 * 1024 + 1))
    assert caught.value.code == "calendar_long"


@pytest.mark.parametrize("line", ["1月1日{}x2日放假", "1月1日按{}x放假", "2026-01-01按{}x放假"])
@pytest.mark.parametrize("filler", [" ", "\t", "-", " -", "按 "])
def test_a_long_gap_in_a_line_does_not_hold_the_console_up(line: str, filler: str) -> None:
    """Patterns that go through the gap from each of its places would take half an hour for one of these."""
    long = line.format(filler * (MOST_BYTES // len(filler) // 2))
    short = line.format(filler * 3)
    assert days_of(long) == days_of(short)


def test_many_days_of_other_years_are_one_problem_a_line() -> None:
    text = "\n".join(["1999年1月1日至2月20日放假。" * 6] * MOST_LINES)
    reading = read_calendar(text, 2026)
    assert [problem.line for problem in reading.problems] == list(range(1, MOST_LINES + 1))


def test_gaps_of_spaces_and_tabs_part_the_columns_of_a_table() -> None:
    assert days_of("2026-10-01 \t  放假\t\t国庆节") == {"2026-10-01": ("holiday", 0, "国庆节")}


@given(st.text(alphabet=st.sampled_from("0123456789年月日至-/,，。（）周五六上班放假国庆节 \n\t按"), max_size=80))
def test_no_text_breaks_the_reader_and_what_it_takes_can_be_stored(text: str) -> None:
    reading = read_calendar(text, 2026)
    assert len(checked_days(reading.days.values(), 2026)) == len(reading.days)


@given(st.dates(date(2026, 1, 1), date(2026, 11, 1)), st.integers(0, 30))
def test_a_stretch_of_a_notice_is_every_day_of_it(begin: date, length: int) -> None:
    end = begin + timedelta(days=length)
    text = f"{begin.month}月{begin.day}日至{end.month}月{end.day}日放假"
    assert list(days_of(text)) == [str(begin + timedelta(days=offset)) for offset in range(length + 1)]


def test_days_that_no_calendar_takes() -> None:
    new_year = SpecialDay(date(2026, 1, 1), DayKind.HOLIDAY, 0, "元旦")
    many = [
        SpecialDay(date(2026, 1, 1) + timedelta(days=offset % 365), DayKind.HOLIDAY) for offset in range(MOST_DAYS + 1)
    ]
    for days, code in (
        ([new_year, new_year], "calendar_day_invalid"),
        ([SpecialDay(date(2026, 1, 4), DayKind.WORKDAY, 0)], "calendar_day_invalid"),
        ([SpecialDay(date(2026, 1, 4), DayKind.HOLIDAY, 3)], "calendar_day_invalid"),
        ([SpecialDay(date(2027, 2, 1), DayKind.HOLIDAY)], "calendar_day_invalid"),
        (many, "calendar_long"),
    ):
        with pytest.raises(InvalidInput) as caught:
            checked_days(days, 2026)
        assert caught.value.code == code
    assert [stands_for(date(2026, 1, day)) for day in (2, 3, 4)] == [5, 5, 1]
