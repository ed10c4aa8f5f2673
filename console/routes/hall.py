"""The hall and its service windows."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from console.routes.bodies import Body, Name, PeriodBody, Text, WindowsBody
from console.routes.guard import Guard
from console.services.access import Action, Actor
from console.services.hall import Hall, HallChange, WindowRange


class HallChangeBody(Body):
    """What to change of the hall; what is left out stays."""

    name: Name | None = None
    timezone: Name | None = None
    notice_staff: Text | None = None
    notice_visitors: Text | None = None
    quota_bytes: Annotated[int, Field(ge=0, lt=1 << 62)] | None = None
    video_days: int | None = None
    screen_days: int | None = None
    visit_minutes: int | None = None
    time_source: Name | None = None
    periods: Annotated[list[PeriodBody], Field(max_length=100)] | None = None

    def change(self) -> HallChange:
        """The value for the service."""
        periods = None if self.periods is None else [item.period() for item in self.periods]
        return HallChange(**self.model_dump(exclude={"periods"}), periods=periods)


class WindowChangeBody(Body):
    """What to change of a window."""

    name: Name | None = None
    retired: bool | None = None


def router(hall: Hall, guard: Guard) -> APIRouter:
    """Routes of the hall."""
    routes = APIRouter(prefix="/api", tags=["hall"])

    @routes.get("/hall", summary="The hall", description="Name, zone, notices, keeping times and service periods.")
    def read_hall(actor: Annotated[Actor, guard.actor(Action.HALL_READ)]) -> dict[str, Any]:
        return hall.read()

    @routes.patch(
        "/hall", summary="Change the hall", description="A changed notice gets a new version, which agents show."
    )
    def change_hall(body: HallChangeBody, actor: Annotated[Actor, guard.actor(Action.HALL_MANAGE)]) -> dict[str, Any]:
        return hall.change(actor, body.change())

    @routes.get("/windows", summary="Service windows", description="All windows by number, retired ones too.")
    def list_windows(actor: Annotated[Actor, guard.actor(Action.HALL_READ)]) -> dict[str, Any]:
        return {"windows": hall.windows()}

    @routes.post(
        "/windows",
        status_code=201,
        summary="Make windows in bulk",
        description="Numbers that exist are left alone; `{n}` in the pattern stands for the number.",
    )
    def add_windows(body: WindowsBody, actor: Annotated[Actor, guard.actor(Action.WINDOWS_MANAGE)]) -> dict[str, Any]:
        return {"windows": hall.add_windows(actor, WindowRange(body.first, body.last, body.name_pattern))}

    @routes.patch(
        "/windows/{window_id}", summary="Rename or retire a window", description="A retired one keeps its past."
    )
    def change_window(
        window_id: UUID, body: WindowChangeBody, actor: Annotated[Actor, guard.actor(Action.WINDOWS_MANAGE)]
    ) -> dict[str, Any]:
        return hall.change_window(actor, window_id, body.name, body.retired)

    return routes
