"""Recording plans of cameras, schedules, windows' hours, keeping classes, and what a day would be like."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from console.routes.bodies import Body, Name, Text
from console.routes.guard import Guard
from console.services.access import Action, Actor
from console.services.plan_preview import PlanPreview
from console.services.plans import MOST_CAMERAS, Plans
from console.services.retention_classes import ClassChange, RetentionClasses
from console.services.schedules import ScheduleChange, Schedules
from storage.model import RecordingMode, StreamPolicy
from storage.schedule import Period

Seconds = Annotated[int, Field(ge=0, le=86_400)]
Days = Annotated[int, Field(ge=0, le=100_000)]


class PlanChangeBody(Body):
    """What to change of a plan; what is left out stays. `null` takes the schedule or the keeping class away."""

    mode: RecordingMode | None = None
    schedule_id: UUID | None = None
    streams: StreamPolicy | None = None
    pre_roll_s: Seconds | None = None
    post_roll_s: Seconds | None = None
    on_visit: bool | None = None
    on_motion: bool | None = None
    extend_visits: bool | None = None
    extend_after_s: Seconds | None = None
    extend_cap_s: Seconds | None = None
    keep_days: Days | None = None
    retention_class_id: UUID | None = None
    audio: bool | None = None
    audio_basis: Text | None = None

    def values(self) -> Mapping[str, Any]:
        """What was given, as the service takes it."""
        given = self.model_dump(include=set(PlanChangeBody.model_fields), exclude_unset=True)
        return {name: value.value if hasattr(value, "value") else value for name, value in given.items()}


class OnePlanBody(PlanChangeBody):
    """The change of one camera's plan; with `version` it is refused when somebody was faster."""

    version: Annotated[int, Field(ge=0)] | None = None


class PlansBody(Body):
    """The same change for many cameras."""

    camera_ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_CAMERAS)]
    change: PlanChangeBody


class SchedulePeriodBody(Body):
    """A period; `to_minute` above 1440 lies on the next day."""

    weekday: int
    from_minute: int
    to_minute: int


Periods = Annotated[list[SchedulePeriodBody], Field(max_length=100)]


class ScheduleBody(Body):
    """A schedule, or what to change of it."""

    name: Name | None = None
    follows_calendar: bool | None = None
    periods: Periods | None = None

    def change(self) -> ScheduleChange:
        """The value for the service."""
        given = self.periods
        periods = None if given is None else [Period(one.weekday, one.from_minute, one.to_minute) for one in given]
        return ScheduleChange(self.name, self.follows_calendar, periods)


class WindowHoursBody(Body):
    """A window's own schedule (`null`: the hall's periods) and the weekdays of its lunch duty."""

    schedule_id: UUID | None = None
    lunch_weekdays: Annotated[list[int], Field(max_length=7, default_factory=list)]


class ClassBody(Body):
    """A keeping class, or what to change of it."""

    name: Name | None = None
    days: int | None = None
    basis: Text | None = None

    def change(self) -> ClassChange:
        """The value for the service."""
        return ClassChange(self.name, self.days, self.basis)


@dataclass(frozen=True)
class PlanServices:
    """What these routes speak to."""

    plans: Plans
    schedules: Schedules
    classes: RetentionClasses
    preview: PlanPreview


def router(services: PlanServices, guard: Guard) -> APIRouter:
    """Routes of recording plans."""
    routes = APIRouter(prefix="/api", tags=["plans"])
    _camera_plans(routes, services, guard)
    _schedules(routes, services.schedules, guard)
    _classes(routes, services.classes, guard)
    return routes


def _camera_plans(routes: APIRouter, services: PlanServices, guard: Guard) -> None:
    plans = services.plans

    @routes.get("/plans", summary="All recording plans", description="Each camera's plan, the schedules and classes.")
    def list_plans(actor: Annotated[Actor, guard.actor(Action.PLANS_READ)]) -> dict[str, Any]:
        return {
            "plans": plans.all(),
            "schedules": services.schedules.all(),
            "retention_classes": services.classes.all(),
        }

    @routes.patch("/plans", summary="Change many plans", description="The same change for all, or none is changed.")
    def change_plans(body: PlansBody, actor: Annotated[Actor, guard.actor(Action.PLANS_MANAGE)]) -> dict[str, Any]:
        return {"plans": plans.change(actor, body.camera_ids, body.change.values())}

    @routes.get(
        "/plans/preview", summary="A day as planned", description="Which cameras are recorded when; today if not told."
    )
    def preview(
        actor: Annotated[Actor, guard.actor(Action.PLANS_READ)], day: Annotated[str | None, Query(max_length=20)] = None
    ) -> dict[str, Any]:
        return services.preview.of_day(day)

    @routes.get("/cameras/{camera_id}/plan", summary="A camera's recording plan", description="Its plan as it is now.")
    def read_plan(camera_id: UUID, actor: Annotated[Actor, guard.actor(Action.PLANS_READ)]) -> dict[str, Any]:
        return plans.read(camera_id)

    @routes.patch(
        "/cameras/{camera_id}/plan",
        summary="Change a camera's recording plan",
        description="Sound needs `audio_basis`, its legal basis. 409 `plan_changed` when `version` is another one.",
    )
    def change_plan(
        camera_id: UUID, body: OnePlanBody, actor: Annotated[Actor, guard.actor(Action.PLANS_MANAGE)]
    ) -> dict[str, Any]:
        changed: dict[str, Any] = plans.change(actor, [camera_id], body.values(), body.version)[0]["plan"]
        return changed


def _schedules(routes: APIRouter, schedules: Schedules, guard: Guard) -> None:
    @routes.get("/schedules", summary="Schedules", description="Named weeks of periods, and how many go by each.")
    def list_schedules(actor: Annotated[Actor, guard.actor(Action.PLANS_READ)]) -> dict[str, Any]:
        return {"schedules": schedules.all()}

    @routes.post(
        "/schedules", status_code=201, summary="Make a schedule", description="It follows the calendar unless told."
    )
    def create_schedule(
        body: ScheduleBody, actor: Annotated[Actor, guard.actor(Action.PLANS_MANAGE)]
    ) -> dict[str, Any]:
        return schedules.create(actor, body.change())

    @routes.patch("/schedules/{schedule_id}", summary="Change a schedule", description="Periods are replaced together.")
    def change_schedule(
        schedule_id: UUID, body: ScheduleBody, actor: Annotated[Actor, guard.actor(Action.PLANS_MANAGE)]
    ) -> dict[str, Any]:
        return schedules.change(actor, schedule_id, body.change())

    @routes.delete(
        "/schedules/{schedule_id}", status_code=204, summary="Delete a schedule", description="409 `schedule_in_use`."
    )
    def delete_schedule(schedule_id: UUID, actor: Annotated[Actor, guard.actor(Action.PLANS_MANAGE)]) -> None:
        schedules.remove(actor, schedule_id)

    @routes.get("/window-hours", summary="Hours of windows", description="Schedules and lunch duty of all windows.")
    def list_hours(actor: Annotated[Actor, guard.actor(Action.PLANS_READ)]) -> dict[str, Any]:
        return {"windows": schedules.hours()}

    @routes.patch(
        "/windows/{window_id}/hours", summary="Change a window's hours", description="What is left out stays."
    )
    def change_hours(
        window_id: UUID, body: WindowHoursBody, actor: Annotated[Actor, guard.actor(Action.PLANS_MANAGE)]
    ) -> dict[str, Any]:
        return schedules.change_hours(actor, window_id, body.model_dump(exclude_unset=True))


def _classes(routes: APIRouter, classes: RetentionClasses, guard: Guard) -> None:
    @routes.get(
        "/retention-classes", summary="Keeping classes", description="How long recordings are kept, and on what basis."
    )
    def list_classes(actor: Annotated[Actor, guard.actor(Action.PLANS_READ)]) -> dict[str, Any]:
        return {"classes": classes.all()}

    @routes.post(
        "/retention-classes", status_code=201, summary="Make a keeping class", description="Needs a name and days."
    )
    def create_class(body: ClassBody, actor: Annotated[Actor, guard.actor(Action.PLANS_MANAGE)]) -> dict[str, Any]:
        return classes.create(actor, body.change())

    @routes.patch(
        "/retention-classes/{class_id}", summary="Change a keeping class", description="What is left out stays."
    )
    def change_class(
        class_id: UUID, body: ClassBody, actor: Annotated[Actor, guard.actor(Action.PLANS_MANAGE)]
    ) -> dict[str, Any]:
        return classes.change(actor, class_id, body.change())

    @routes.delete(
        "/retention-classes/{class_id}",
        status_code=204,
        summary="Delete a keeping class",
        description="409 `retention_class_in_use`.",
    )
    def delete_class(class_id: UUID, actor: Annotated[Actor, guard.actor(Action.PLANS_MANAGE)]) -> None:
        classes.remove(actor, class_id)
