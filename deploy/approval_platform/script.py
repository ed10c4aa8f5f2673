"""What happens at a service window, made up from a seed: cases with their events. Nobody and nothing in it is real."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from storage.clock import US
from storage.model import EventKind

HALL_ZONE = ZoneInfo("Asia/Shanghai")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ITEMS: tuple[tuple[str, str], ...] = (
    ("340000-SCJG-0101", "企业设立登记"),
    ("340000-SCJG-0107", "食品经营许可"),
    ("340000-RSJ-0213", "社会保险登记"),
    ("340000-ZJW-0302", "建筑工程施工许可"),
    ("340000-ZRZY-0119", "不动产转移登记"),
    ("340000-GAJ-0410", "机动车注册登记"),
    ("340000-WJW-0206", "公共场所卫生许可"),
    ("340000-MZJ-0105", "社会团体成立登记"),
    ("340000-JTJ-0311", "道路运输经营许可"),
    ("340000-SWJ-0502", "水土保持方案审批"),
)
STAFF: tuple[str, ...] = (
    "1001 王芳",
    "1002 李静",
    "1003 张伟",
    "1004 刘洋",
    "1005 陈敏",
    "1006 杨磊",
    "1007 赵倩",
    "1008 黄勇",
)
REVIEWERS = ("2001 周建国", "2002 吴晓梅", "2003 孙立")
CASES_A_SHIFT = 12


@dataclass(frozen=True, slots=True)
class Planned:
    """An event that will happen at `at_us`: its fields but for the sequence and the time."""

    at_us: int
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """A case and everything that will happen to it. It is at the window during [called_us, left_us)."""

    number: str
    item_code: str
    item: str
    ticket: str
    staff: str
    window: int
    called_us: int
    left_us: int
    events: tuple[Planned, ...]


@dataclass(slots=True)
class Counters:
    """What goes on counting over restarts."""

    case: int = 122
    ticket: int = 0
    ticket_day: str = ""

    def next_case(self, year: int) -> str:
        """`滁政务〔2026〕第000123号`."""
        self.case += 1
        return f"滁政务〔{year}〕第{self.case:06}号"

    def next_ticket(self, day: str) -> str:
        """`A012`; begins again each day."""
        if day != self.ticket_day:
            self.ticket, self.ticket_day = 0, day
        self.ticket += 1
        return f"A{self.ticket:03}"


@dataclass(slots=True)
class Window:
    """One window's staff and pace. `pace` 2 halves every duration."""

    number: int
    random: random.Random
    pace: float = 1.0
    zone: ZoneInfo = HALL_ZONE
    staff: str = ""
    served: int = field(default=0)

    def sign_on(self, at_us: int) -> Iterator[Planned]:
        """The next person sits down; whoever sat there leaves first."""
        if self.staff:
            yield self._planned(EventKind.SIGNED_OFF, at_us, staff=self.staff)
        self.staff = self.random.choice([name for name in STAFF if name != self.staff])
        yield self._planned(EventKind.SIGNED_ON, at_us + round(US / self.pace), staff=self.staff)

    def sign_off(self, at_us: int) -> Iterator[Planned]:
        """The window closes for the day."""
        if self.staff:
            yield self._planned(EventKind.SIGNED_OFF, at_us, staff=self.staff)
        self.staff = ""

    def next_case(self, called_us: int, counters: Counters) -> PlannedCase:
        """The next citizen's case, called at `called_us`."""
        local = wall_time(called_us, self.zone)
        number, ticket = counters.next_case(local.year), counters.next_ticket(local.date().isoformat())
        item_code, item = self.random.choice(ITEMS)
        self.served += 1
        case = {"case_number": number, "item_code": item_code}
        events: list[Planned] = []

        def add(kind: EventKind, after_s: float, **more: Any) -> int:
            at_us = called_us + round(after_s * US / self.pace)
            events.append(self._planned(kind, at_us, **more))
            return at_us

        seconds = self.random.uniform
        add(EventKind.CALLED, 0, ticket=ticket, staff=self.staff)
        accepted = seconds(12, 25)
        add(EventKind.APPLIED, accepted - 4, ticket=ticket, staff=self.staff, **case)
        add(EventKind.ACCEPTED, accepted, ticket=ticket, staff=self.staff, **case)
        at = accepted + seconds(25, 45)
        if self.random.random() < 0.3:
            add(EventKind.NOTIFIED, at, staff=self.staff, step="一次性告知", **case)
            at += seconds(15, 30)
            add(EventKind.SUPPLEMENT, at, staff=self.staff, step="补正材料", **case)
            at += seconds(10, 20)
        add(EventKind.STEP, at, staff=self.staff, step="材料核对", **case)
        at += seconds(25, 60)
        left_us = add(EventKind.EVALUATED, at, staff=self.staff, **case)
        events += self._back_office(left_us, case)
        return PlannedCase(number, item_code, item, ticket, self.staff, self.number, called_us, left_us, tuple(events))

    def pause_us(self) -> int:
        """How long until the next citizen is called."""
        return round(self.random.uniform(8, 20) * US / self.pace)

    def _back_office(self, from_us: int, case: dict[str, Any]) -> Iterator[Planned]:
        """What happens away from the window: no window in these events."""
        at_us = from_us
        plan: list[tuple[EventKind, str]] = [(EventKind.STEP, "初审")]
        if self.random.random() < 0.25:
            plan += [(EventKind.SUSPENDED, "专家评审"), (EventKind.RESUMED, "专家评审")]
        plan += [(EventKind.STEP, "复审"), (EventKind.DECIDED, "准予许可"), (EventKind.DELIVERED, "窗口送达")]
        for kind, step in plan:
            at_us += round(self.random.uniform(30, 90) * US / self.pace)
            fields = {"kind": kind.value, "step": step, "staff": self.random.choice(REVIEWERS)}
            yield Planned(at_us, fields | case)

    def _planned(self, kind: EventKind, at_us: int, **fields: Any) -> Planned:
        return Planned(at_us, {"kind": kind.value, "window": str(self.number)} | fields)


def seeded_day(
    seed: int, day: date, windows: Sequence[int], *, pace: float = 0.3, zone: ZoneInfo = HALL_ZONE
) -> list[dict[str, Any]]:
    """All events of one working day (9 to 12 and 13 to 17), in order of time, with sequences from 1."""
    counters = Counters()
    planned: list[Planned] = []
    for number in windows:
        window = Window(number, random.Random(f"{seed}/{day}/{number}"), pace, zone)
        for from_hour, to_hour in ((9, 12), (13, 17)):
            at_us, end_us = (moment_us(day, hour, zone) for hour in (from_hour, to_hour))
            planned += window.sign_on(at_us)
            while at_us < end_us - round(120 * US / pace):
                case = window.next_case(at_us + window.pause_us(), counters)
                planned += case.events
                at_us = case.left_us
            planned += window.sign_off(end_us)
    planned.sort(key=lambda item: item.at_us)
    return [written(item, sequence, zone) for sequence, item in enumerate(planned, 1)]


def written(item: Planned, sequence: int, zone: ZoneInfo = HALL_ZONE) -> dict[str, Any]:
    """The event as it goes over the wire; the platform's clock shows whole seconds."""
    at = wall_time(item.at_us, zone).isoformat(timespec="seconds")
    return {"sequence": sequence, "at": at, **item.fields}


def wall_time(at_us: int, zone: ZoneInfo) -> datetime:
    """What the hall's clock shows."""
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone)


def moment_us(day: date, hour: int, zone: ZoneInfo) -> int:
    """Microseconds of a full hour of the hall's day."""
    return (datetime.combine(day, time(hour), tzinfo=zone) - _EPOCH) // timedelta(microseconds=1)
