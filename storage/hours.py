"""A hall's hours and its cameras' recording plans: which timetable a camera goes by. The standard library is enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID
from zoneinfo import ZoneInfo

from storage.model import RecordingMode
from storage.schedule import Calendar, Period, Timetable, Week


@dataclass(frozen=True, slots=True)
class CameraPlan:
    """A camera's recording plan. `schedule_id` None: the hours of its windows, else the hall's; on event: any time."""

    mode: RecordingMode = RecordingMode.ALWAYS
    schedule_id: UUID | None = None
    pre_roll_s: int = 0
    post_roll_s: int = 30
    on_visit: bool = True
    on_motion: bool = True
    extend_visits: bool = True
    extend_after_s: int = 600
    extend_cap_s: int = 7200
    audio: bool = False


@dataclass(frozen=True, slots=True)
class NamedWeek:
    """A schedule (班次)."""

    name: str
    week: Week


@dataclass(frozen=True, slots=True)
class WindowHours:
    """A window's own schedule, if it has one, and the weekdays on which it serves over lunch."""

    schedule_id: UUID | None = None
    lunch_weekdays: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class HallHours:
    """Everything that service hours are made of. Equal hours give equal timetables."""

    zone: ZoneInfo
    periods: tuple[Period, ...] = ()
    schedules: Mapping[UUID, NamedWeek] = field(default_factory=dict)
    windows: Mapping[UUID, WindowHours] = field(default_factory=dict)
    calendar: Calendar = field(default_factory=Calendar)


class HallTimetables:
    """The timetables of a hall's hours by what asks for them, made once each."""

    def __init__(self, hours: HallHours) -> None:
        self.hours = hours
        self._made: dict[frozenset[Week], Timetable] = {}
        self._by_windows: dict[tuple[UUID, ...], Timetable] = {}
        lunch = frozenset(day for window in hours.windows.values() for day in window.lunch_weekdays)
        self._hall = self._of([Week(hours.periods, lunch_weekdays=lunch)])

    @property
    def of_hall(self) -> Timetable:
        """The hall's own hours, with the lunch duty of any window."""
        return self._hall

    def of_schedule(self, schedule_id: UUID) -> Timetable:
        """A schedule's hours; one that is gone is always open."""
        found = self.hours.schedules.get(schedule_id)
        return self._of([found.week if found is not None else Week()])

    def of_windows(self, window_ids: Iterable[UUID]) -> Timetable:
        """When any of the windows serves; without windows: the hall's hours."""
        key = tuple(window_ids)
        found = self._by_windows.get(key)
        if found is None:
            weeks = [self._week_of(window_id) for window_id in key]
            found = self._by_windows[key] = self._of(weeks) if weeks else self._hall
        return found

    def name_of(self, schedule_id: UUID) -> str:
        """A schedule's name, empty when it is gone."""
        found = self.hours.schedules.get(schedule_id)
        return found.name if found is not None else ""

    def own_schedules(self, window_ids: Iterable[UUID]) -> list[str]:
        """Names of the windows' own schedules, in order, once each."""
        windows = (self.hours.windows.get(window_id) for window_id in window_ids)
        return sorted({self.name_of(one.schedule_id) for one in windows if one is not None and one.schedule_id})

    def _week_of(self, window_id: UUID) -> Week:
        window = self.hours.windows.get(window_id, WindowHours())
        if window.schedule_id is None:
            return Week(self.hours.periods, lunch_weekdays=window.lunch_weekdays)
        found = self.hours.schedules.get(window.schedule_id)
        if found is None:
            return Week()
        return Week(found.week.periods, found.week.follows_calendar, window.lunch_weekdays)

    def _of(self, weeks: Sequence[Week]) -> Timetable:
        key = frozenset(weeks)
        if key not in self._made:
            self._made[key] = Timetable(self.hours.zone, weeks, self.hours.calendar)
        return self._made[key]


def timetable_of(plan: CameraPlan, windows: Sequence[UUID], timetables: HallTimetables) -> Timetable | None:
    """The hours that a plan goes by; None: it has none (always, off, or on event at any time)."""
    if plan.mode in (RecordingMode.ALWAYS, RecordingMode.OFF):
        return None
    if plan.schedule_id is not None:
        return timetables.of_schedule(plan.schedule_id)
    return timetables.of_windows(windows) if plan.mode is RecordingMode.PERIODS else None
