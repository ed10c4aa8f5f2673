"""What is wrong now, and the counts of the status board."""

from typing import Annotated, Any

from fastapi import APIRouter

from console.routes.guard import Guard
from console.services.access import Action, Actor
from console.services.problems import Problems


def router(problems: Problems, guard: Guard) -> APIRouter:
    """Routes of problems."""
    routes = APIRouter(prefix="/api", tags=["problems"])

    @routes.get(
        "/problems", summary="What is wrong now", description="Open alarms and faulty states, the oldest first."
    )
    def list_problems(actor: Annotated[Actor, guard.actor(Action.PROBLEMS_READ)]) -> dict[str, Any]:
        found = problems.all()
        return {"count": len(found), "problems": found}

    @routes.get(
        "/status", summary="Counts for the board", description="Cameras, workstations, cases of today, problems."
    )
    def status(actor: Annotated[Actor, guard.actor(Action.PROBLEMS_READ)]) -> dict[str, Any]:
        return problems.counts()

    return routes
