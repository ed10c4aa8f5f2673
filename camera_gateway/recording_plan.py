"""What a camera has to do now: its plan, the service hours, and what goes on at its windows. Pure, without a catalog.

In doubt a camera is recorded: without a plan, with a schedule that is gone, with a calendar that nobody has loaded, and
when its plan waits for events that nothing could ever tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from camera_gateway.plan import PlanMode
from storage.clock import US
from storage.hours import CameraPlan, HallTimetables, timetable_of
from storage.model import EventKind, RecordingMode, Span
from storage.schedule import Timetable

CONNECT_AHEAD_US = 30 * US
"""A camera is connected so long before its hours begin, so that its first second is there."""

OUTSIDE_SCHEDULE, OUTSIDE_HOURS = "outside_schedule", "outside_hours"
NO_EVENT, PLAN_OFF, NOT_PLANNED = "no_event", "plan_off", "not_planned"

ENDING = frozenset({EventKind.DECIDED, EventKind.DELIVERED, EventKind.EVALUATED})
"""Kinds that end what goes on at a window."""
OPENING = frozenset({EventKind.CALLED, EventKind.ACCEPTED})
"""Kinds that begin something new when they name another case."""
SILENT = frozenset({EventKind.SIGNED_ON, EventKind.SIGNED_OFF})
"""Kinds that say nothing of a visit."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a camera has to do at the moment it was asked, and until when that may hold."""

    mode: PlanMode
    reason: str = ""
    until_us: int | None = None
    motion_alone: bool = False
    """It stands by, and nothing but the camera's motion could start it."""


@dataclass(frozen=True, slots=True)
class WindowEvent:
    """A case event at a window. `width_us`: how much later than it says it may have been."""

    kind: EventKind
    event_us: int
    width_us: int = 1
    case: str = ""
    ticket: str = ""


def busy_spans(events: Iterable[WindowEvent], idle_us: int) -> list[Span]:
    """When somebody was served at a window: from the first event of a case to the one that ends it, or to `idle_us`
    after its last one. Spans touch where one case follows another; an end without a beginning is a span of its own.
    """
    spans: list[Span] = []
    begin_us = last_us = 0
    known: set[str] = set()
    for event in sorted((one for one in events if one.kind not in SILENT), key=lambda one: one.event_us):
        names = {name for name in (event.case, event.ticket) if name}
        open_still = bool(begin_us) and event.event_us <= last_us + idle_us
        if begin_us and not open_still:
            spans.append(Span(begin_us, last_us + idle_us))
            begin_us = 0
        if event.kind in ENDING:
            if open_still and known and names and not known & names:
                continue  # the end of a case before: the one at the window goes on
            spans.append(Span(begin_us or event.event_us, event.event_us + event.width_us))
            begin_us = 0
            continue
        if open_still and event.kind in OPENING and names and not known & names and known:
            spans.append(Span(begin_us, event.event_us))
            begin_us, known = 0, set()
        if not begin_us:
            begin_us, known = event.event_us, set()
        last_us = event.event_us
        known |= names
    if begin_us:
        spans.append(Span(begin_us, last_us + idle_us))
    return spans


def extension(busy: Sequence[Span], closed_us: int, after_us: int, cap_us: int) -> int | None:
    """Until when a window's cameras go on after it closed at `closed_us`; None: nobody was being served then.

    Visits that follow one another within `after_us` count as one.
    """
    end_us: int | None = None
    for one in busy:
        if end_us is None:
            if one.t0_us < closed_us < one.t1_us:
                end_us = one.t1_us
        elif one.t0_us <= end_us + after_us:
            end_us = max(end_us, one.t1_us)
    return None if end_us is None else min(end_us + after_us, closed_us + cap_us)


@dataclass(frozen=True, slots=True)
class Moment:
    """The hall at one moment: its hours, and when each window was busy lately."""

    now_us: int
    timetables: HallTimetables
    busy: Mapping[UUID, Sequence[Span]] = field(default_factory=dict)


def needs_activity(plan: CameraPlan, windows: Sequence[UUID], timetables: HallTimetables, now_us: int) -> bool:
    """Whether what goes on at the windows matters to the camera now."""
    if not windows or plan.mode in (RecordingMode.ALWAYS, RecordingMode.OFF):
        return False
    if plan.mode is RecordingMode.EVENT and plan.on_visit:
        return True
    table = timetable_of(plan, windows, timetables)
    return table is not None and plan.extend_visits and not table.contains(now_us)


def decide(plan: CameraPlan, windows: Sequence[UUID], moment: Moment) -> Decision:
    """What a camera that sees `windows` has to do at that moment."""
    if plan.mode is RecordingMode.OFF:
        return Decision(PlanMode.OFF, PLAN_OFF)
    table = timetable_of(plan, windows, moment.timetables)
    if table is None or table.contains(moment.now_us):
        until_us = None if table is None else table.next_change(moment.now_us)
        if plan.mode is RecordingMode.EVENT:
            return _on_event(plan, windows, moment, until_us)
        return Decision(PlanMode.RECORD, until_us=until_us)
    return _outside(plan, windows, moment, table)


def _on_event(plan: CameraPlan, windows: Sequence[UUID], moment: Moment, closing_us: int | None) -> Decision:
    if not plan.on_motion and not (plan.on_visit and windows):
        return Decision(PlanMode.RECORD, until_us=closing_us)  # nothing could ever start it
    end_us = _visit_until(plan, windows, moment) if plan.on_visit else None
    if end_us is not None:
        until_us = end_us if closing_us is None else min(end_us, closing_us)
        return Decision(PlanMode.RECORD, until_us=until_us)
    return Decision(PlanMode.STANDBY, NO_EVENT, closing_us, motion_alone=not (plan.on_visit and windows))


def _visit_until(plan: CameraPlan, windows: Sequence[UUID], moment: Moment) -> int | None:
    """When the visits of now, with their post-roll, are over; None: there is none."""
    post_us = plan.post_roll_s * US
    ends = (
        one.t1_us + post_us
        for window_id in windows
        for one in moment.busy.get(window_id, ())
        if one.t0_us <= moment.now_us < one.t1_us + post_us
    )
    return max(ends, default=None)


def _outside(plan: CameraPlan, windows: Sequence[UUID], moment: Moment, table: Timetable) -> Decision:
    """Outside the plan's hours: a visit that was open at closing time goes on being recorded."""
    opening_us = table.next_change(moment.now_us)
    end_us = _extended_until(plan, windows, moment) if plan.extend_visits else None
    if end_us is not None:
        return Decision(PlanMode.RECORD, "", end_us if opening_us is None else min(end_us, opening_us))
    if opening_us is None:
        return Decision(PlanMode.OFF, _outside_reason(plan, windows, moment))
    if opening_us - moment.now_us <= CONNECT_AHEAD_US:
        return Decision(PlanMode.STANDBY, _outside_reason(plan, windows, moment), opening_us)
    return Decision(PlanMode.OFF, _outside_reason(plan, windows, moment), opening_us - CONNECT_AHEAD_US)


def _extended_until(plan: CameraPlan, windows: Sequence[UUID], moment: Moment) -> int | None:
    after_us, cap_us = plan.extend_after_s * US, plan.extend_cap_s * US
    ends = []
    for window_id in windows:
        hours = _closing_hours(plan, window_id, moment.timetables)
        closed_us = hours.last_end(moment.now_us)
        if closed_us is not None and moment.now_us < closed_us + cap_us:
            ends.append(extension(moment.busy.get(window_id, ()), closed_us, after_us, cap_us))
    return max((end_us for end_us in ends if end_us is not None and end_us > moment.now_us), default=None)


def _closing_hours(plan: CameraPlan, window_id: UUID, timetables: HallTimetables) -> Timetable:
    """Whose closing time counts for a visit at the window: the camera's own schedule's, else the window's."""
    if plan.schedule_id is not None:
        return timetables.of_schedule(plan.schedule_id)
    return timetables.of_windows([window_id])


def _outside_reason(plan: CameraPlan, windows: Sequence[UUID], moment: Moment) -> str:
    """`outside_schedule: <names>` where schedules say so, `outside_hours` where the hall's own hours do."""
    if plan.schedule_id is not None:
        return f"{OUTSIDE_SCHEDULE}: {moment.timetables.name_of(plan.schedule_id)}"
    names = moment.timetables.own_schedules(windows)
    return f"{OUTSIDE_SCHEDULE}: {', '.join(names)}" if names else OUTSIDE_HOURS
