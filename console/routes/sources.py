"""Event sources: list with their holes, and add. The secret is in the answer to POST, once."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from console.routes.guard import Guard
from console.services.access import Action, Actor
from console.services.sources import Sources


class NewSource(BaseModel):
    """A source to add. `timezone` is an IANA name, or empty when all its times carry an offset."""

    model_config = ConfigDict(extra="forbid")

    code: str
    name: str
    timezone: str = ""


def router(sources: Sources, guard: Guard) -> APIRouter:
    """`/api/sources`."""
    routes = APIRouter(prefix="/api/sources", tags=["sources"])

    @routes.get(
        "",
        summary="Event sources",
        description="Every source with its last sequence number and the holes.",
        dependencies=[guard.actor(Action.SOURCES_READ)],
    )
    def list_sources() -> dict[str, Any]:
        return {"sources": sources.list_all()}

    @routes.post(
        "",
        status_code=201,
        summary="Add an event source",
        description="Answers the source and its secret. The secret is shown this once: keep it where the sender runs.",
    )
    def add_source(wanted: NewSource, actor: Annotated[Actor, guard.actor(Action.SOURCES_MANAGE)]) -> dict[str, Any]:
        return sources.create(actor, wanted.code, wanted.name, wanted.timezone)

    return routes
