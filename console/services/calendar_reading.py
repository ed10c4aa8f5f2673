"""Reads a year's holidays and 调休 workdays from what people have: a CSV table, or the notice itself, pasted.

A line that begins with a full date is a row of a table: `day[, last day], kind, name`. Anything else is read as a
notice: 「国庆节：10月1日至7日放假，共7天。9月20日（周日）、10月10日（周六）上班。」 Nothing is guessed: a piece
that holds a date and cannot be read is a problem with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from storage.errors import InvalidInput
from storage.model import DayKind
from storage.schedule import SpecialDay

MOST_BYTES = 256 * 1024
MOST_LINES = 2000
MOST_DAYS = 400
LONGEST_SPAN = 60
_WORK = ("调休上班", "补班", "上班", "workday", "work")
_REST = ("放假", "休息", "补休", "调休", "休", "holiday", "off", "closed")
_WEEKDAYS = {"一": 1, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "日": 7, "天": 7}
_FESTIVAL = re.compile(r"(元旦|春节|除夕|清明节|劳动节|端午节|中秋节|国庆节)")
_FULL = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?|(\d{4})(\d{2})(\d{2})(?!\d)")
_DATE = re.compile(r"(?:(\d{4})\s*年\s*)?(\d{1,2})\s*月\s*(\d{1,2})\s*日|(?<![\d月])(\d{1,2})\s*日")
_UNTIL = re.compile(r"\s*(?:至|到|[-~～—–])\s*$")
_STANDS_FOR = re.compile(r"(?:按|同|as)\s*(?:周|星期|礼拜)?\s*([一二三四五六日天1-7])")
_NOTE = re.compile(r"[（(][^（()）]*[）)]")
_SEPARATORS = re.compile(r"[,，\t;；|]+")
_GAP = re.compile(r"\s{2,}")
_CODES_A_LINE = 3
"""A line that was understood has at most these problems: another year, a conflict, too many."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that cannot be taken."""

    line: int
    text: str
    code: str


@dataclass(slots=True)
class Reading:
    """What was understood, by day, and what was not."""

    days: dict[date, SpecialDay] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def decode(data: bytes) -> str:
    """A file's text: UTF-8 with or without a byte order mark, UTF-16 with one, else GB18030.

    Raises:
        InvalidInput: it is none of them (`calendar_encoding`) or too long (`calendar_long`).
    """
    if len(data) > MOST_BYTES:
        raise InvalidInput("calendar_long", f"at most {MOST_BYTES} bytes", most=MOST_BYTES)
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InvalidInput("calendar_encoding", "save the file as UTF-8 or GB18030")


def read_calendar(text: str, year: int) -> Reading:
    """The special days of `year` in `text`; days in the neighbouring December and January are taken too.

    Raises:
        InvalidInput: too many lines or characters (`calendar_long`).
    """
    lines = text.lstrip("\ufeff").splitlines()
    if len(lines) > MOST_LINES or len(text) > MOST_BYTES:
        raise InvalidInput("calendar_long", f"at most {MOST_LINES} lines", most=MOST_LINES)
    reading = Reading()
    for number, line in enumerate(lines, start=1):
        stripped = _GAP.sub(_one_of, line.strip())  # no pattern looks through a long gap from each of its places
        try:
            found = list(_row(stripped) if _FULL.match(stripped) else _notice(stripped, year))
        except _Unread as unread:
            reading.problems.append(Problem(number, stripped[:120], unread.code))
            continue
        for one in found:
            _take(reading, number, stripped, one, year)
    return reading


def _one_of(gap: re.Match[str]) -> str:
    """One character for many: a tab when one is among them, as it parts the columns of a table."""
    return "\t" if "\t" in gap[0] else " "


class _Unread(Exception):
    """A line that cannot be read; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def _take(reading: Reading, number: int, line: str, one: SpecialDay, year: int) -> None:
    known = reading.days.get(one.day)
    code = ""
    if not in_reach(one.day, year):
        code = "other_year"
    elif known is not None and (known.kind, known.as_weekday) != (one.kind, one.as_weekday):
        code = "conflict"
    elif known is None and len(reading.days) >= MOST_DAYS:
        code = "too_many"
    if code:
        problem = Problem(number, line[:120], code)
        if problem not in reading.problems[-_CODES_A_LINE:]:
            reading.problems.append(problem)
        return
    reading.days[one.day] = known or one


def in_reach(day: date, year: int) -> bool:
    """Whether a notice about `year` may speak of `day`: the year itself, the December before, the January after."""
    return day.year == year or (day.year, day.month) in ((year - 1, 12), (year + 1, 1))


def stands_for(day: date) -> int:
    """The weekday as which a worked weekend day is taken when nobody says: Saturday as Friday, Sunday as Monday."""
    return {6: 5, 7: 1}.get(day.isoweekday(), day.isoweekday())


# --- a row of a table ------------------------------------------------------------------------------------------------
def _row(line: str) -> Iterator[SpecialDay]:
    first = _FULL.match(line)
    if first is None:
        raise _Unread("unreadable")
    begin = end = _full_date(first)
    rest = line[first.end() :]
    until = re.match(r"\s*(?:至|到|[-~～—–,，\t;；|]|\s)+\s*", rest)
    last = _FULL.match(rest[until.end() :]) if until else None
    if until is not None and last is not None:
        end, rest = _full_date(last), rest[until.end() + last.end() :]
    raw = _SEPARATORS.split(rest) if _SEPARATORS.search(rest) else rest.split()
    parts = [part.strip(' "') for part in raw if part.strip(' "')]
    kind = _kind(" ".join(parts))
    if kind is None:
        raise _Unread("kind_missing")
    asked = _STANDS_FOR.search(rest)
    names = [part for part in parts if _kind(part) is None and not _STANDS_FOR.search(part) and not part.isdigit()]
    yield from _days(begin, end, kind, names[0] if names else "", _weekday(asked))


def _full_date(match: re.Match[str]) -> date:
    parts = [part for part in match.groups() if part is not None]
    return _date(int(parts[0]), int(parts[1]), int(parts[2]))


def _date(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError as error:
        raise _Unread("no_such_day") from error


# --- a notice --------------------------------------------------------------------------------------------------------
def _notice(line: str, year: int) -> Iterator[SpecialDay]:
    name = ""
    for sentence in re.split(r"[。；;]", line):
        waiting: list[tuple[date, date]] = []
        month = 0
        festivals = _FESTIVAL.findall(sentence)
        name = "、".join(dict.fromkeys(festivals)) or name
        for clause in re.split(r"[，,]", sentence):
            asked = _weekday(_STANDS_FOR.search(clause))
            plain = _NOTE.sub("", clause)
            found, month = _spans(plain, year, month)
            waiting += found
            kind = _kind(_DATE.sub("", plain))
            if kind is not None and waiting:
                for begin, end in waiting:
                    yield from _days(begin, end, kind, name, asked)
                waiting = []
        if waiting:
            raise _Unread("kind_missing")
    if _kind(line) is not None and re.search(r"\d", line) and not _DATE.search(line):
        raise _Unread("unreadable")


def _spans(clause: str, year: int, month: int) -> tuple[list[tuple[date, date]], int]:
    """Dates and stretches of dates in a clause; a day without its month is of the month before it."""
    found: list[tuple[date, date]] = []
    end_of_last = 0
    for match in _DATE.finditer(clause):
        month = int(match[2] or month)
        if not month:
            raise _Unread("month_missing")
        day = _date(int(match[1] or year), month, int(match[3] or match[4]))
        if found and _UNTIL.search(clause[end_of_last : match.start()]):
            begin = found.pop()[0]
            if day < begin and not match[1]:  # over the end of the year
                day = _date(begin.year + 1, day.month, day.day)
            found.append((begin, day))
        else:
            found.append((day, day))
        end_of_last = match.end()
    return found, month


# --- both ------------------------------------------------------------------------------------------------------------
def _kind(text: str) -> DayKind | None:
    lowered = text.casefold()
    if any(word in lowered for word in _WORK):
        return DayKind.WORKDAY
    return DayKind.HOLIDAY if any(word in lowered for word in _REST) else None


def _weekday(match: re.Match[str] | None) -> int:
    if match is None:
        return 0
    return _WEEKDAYS.get(match[1]) or int(match[1])


def _days(begin: date, end: date, kind: DayKind, name: str, asked: int) -> Iterator[SpecialDay]:
    if not 0 <= (end - begin).days < LONGEST_SPAN:
        raise _Unread("span_invalid")
    for offset in range((end - begin).days + 1):
        day = begin + timedelta(days=offset)
        weekday = (asked or stands_for(day)) if kind is DayKind.WORKDAY else 0
        yield SpecialDay(day, kind, weekday, name[:40])


def checked_days(days: Iterable[SpecialDay], year: int) -> list[SpecialDay]:
    """The days of a year in order.

    Raises:
        InvalidInput: too many (`calendar_long`), one twice or out of reach (`calendar_day_invalid`), or a workday that
            stands for no weekday.
    """
    ordered = sorted(days, key=lambda one: one.day)
    if len(ordered) > MOST_DAYS:
        raise InvalidInput("calendar_long", f"at most {MOST_DAYS} days", most=MOST_DAYS)
    seen: set[date] = set()
    for one in ordered:
        fits = 1 <= one.as_weekday <= 7 if one.kind is DayKind.WORKDAY else one.as_weekday == 0
        if one.day in seen or not in_reach(one.day, year) or not fits or len(one.name) > 40:
            raise InvalidInput("calendar_day_invalid", "a day is wrong or there twice", day=one.day.isoformat())
        seen.add(one.day)
    return ordered
