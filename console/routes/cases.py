"""Cases: search by number, and one case with its events and visits. Footage is behind `media`."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from console.routes.bodies import Name
from console.routes.guard import Guard
from console.services.access import Action
from console.services.cases import Cases


def router(cases: Cases, guard: Guard) -> APIRouter:
    """`/api/cases`."""
    routes = APIRouter(prefix="/api/cases", tags=["cases"])

    @routes.get(
        "",
        summary="Search cases by number",
        description="The exact number first, then numbers that begin with it; spaces, brackets, dashes, width and case "
        "do not matter. The same number from two sources is two cases.",
        dependencies=[guard.actor(Action.CASES_READ)],
    )
    def search_cases(
        q: Annotated[Name, Query(min_length=1)],
    ) -> dict[str, Any]:
        return {"cases": cases.search(q)}

    @routes.get(
        "/{case_id}",
        summary="One case",
        description="Its events in order and its visits.",
        dependencies=[guard.actor(Action.CASES_READ)],
    )
    def read_case(case_id: UUID) -> dict[str, Any]:
        return cases.read(case_id)

    return routes
