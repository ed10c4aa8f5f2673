"""Workstations: enrolment codes, states, windows, coverage, revocation."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from console.routes.bodies import Body, Name, Us
from console.routes.guard import Guard
from console.services.access import Action, Actor
from console.services.workstations import Workstations


class CodeBody(Body):
    """A workstation's name, the windows that it will serve, and how long its code is good for."""

    name: Name
    window_ids: Annotated[list[UUID], Field(max_length=50)] = Field(default_factory=list)
    minutes: int = 60


class WorkstationWindowBody(Body):
    """A window that it serves, from when (now when left out)."""

    window_id: UUID
    from_us: Us | None = None


def router(workstations: Workstations, guard: Guard) -> APIRouter:
    """Routes of workstations."""
    routes = APIRouter(prefix="/api/workstations", tags=["workstations"])

    @routes.post(
        "/codes",
        status_code=201,
        summary="Make an enrolment code",
        description="A one-time code, shown only in this answer.",
    )
    def make_code(body: CodeBody, actor: Annotated[Actor, guard.actor(Action.WORKSTATIONS_MANAGE)]) -> dict[str, Any]:
        return workstations.make_code(actor, body.name, body.window_ids, body.minutes)

    @routes.get("", summary="All workstations", description="With states, clocks, spools, windows and monitors.")
    def list_workstations(actor: Annotated[Actor, guard.actor(Action.WORKSTATIONS_READ)]) -> dict[str, Any]:
        return {"workstations": workstations.all()}

    @routes.get(
        "/{workstation_id}/coverage",
        summary="Coverage of a day",
        description="Every second of a day of the hall in exactly one state, for each monitor.",
    )
    def coverage(
        workstation_id: UUID,
        day: Annotated[str, Query(max_length=20)],
        actor: Annotated[Actor, guard.actor(Action.WORKSTATIONS_READ)],
    ) -> dict[str, Any]:
        return workstations.coverage(workstation_id, day)

    @routes.post(
        "/{workstation_id}/windows",
        status_code=201,
        summary="Say that it serves a window",
        description="Begins an entry of the map and logs it. 409 `map_exists`.",
    )
    def add_window(
        workstation_id: UUID,
        body: WorkstationWindowBody,
        actor: Annotated[Actor, guard.actor(Action.WORKSTATIONS_MANAGE)],
    ) -> dict[str, Any]:
        return workstations.add_window(actor, workstation_id, body.window_id, body.from_us)

    @routes.delete(
        "/{workstation_id}/windows/{map_id}",
        status_code=204,
        summary="End an entry of the map",
        description="From `to_us` (now when left out) on it does not serve the window; the past stays as it was.",
    )
    def end_window(
        workstation_id: UUID,
        map_id: UUID,
        actor: Annotated[Actor, guard.actor(Action.WORKSTATIONS_MANAGE)],
        to_us: Annotated[int | None, Query(ge=0, lt=1 << 62)] = None,
    ) -> None:
        workstations.end_window(actor, workstation_id, map_id, to_us)

    @routes.post(
        "/{workstation_id}/revoke",
        status_code=204,
        summary="Revoke a workstation",
        description="Its key is refused from the next request on; what it sent stays.",
    )
    def revoke(workstation_id: UUID, actor: Annotated[Actor, guard.actor(Action.WORKSTATIONS_MANAGE)]) -> None:
        workstations.revoke(actor, workstation_id)

    return routes
