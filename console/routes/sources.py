"""Event sources: list with their holes, add, change. A secret is in the answer that makes it, once."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter

from console.routes.bodies import Body, Name
from console.routes.guard import Guard
from console.services.access import Action, Actor
from console.services.sources import Sources


class NewSource(Body):
    """A source to add. `timezone` is an IANA name, or empty when all its times carry an offset."""

    code: Name
    name: Name
    timezone: Name = ""


class SourceChange(Body):
    """What to change of a source; what is left out stays."""

    name: Name | None = None
    disabled: bool | None = None


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

    @routes.patch(
        "/{source_id}",
        summary="Change an event source",
        description="Rename it, stop taking its events (`disabled`) or take them again; what it sent stays.",
    )
    def change_source(
        source_id: UUID, change: SourceChange, actor: Annotated[Actor, guard.actor(Action.SOURCES_MANAGE)]
    ) -> dict[str, Any]:
        return sources.change(actor, source_id, name=change.name, disabled=change.disabled)

    @routes.post(
        "/{source_id}/secret",
        summary="Give a source a new secret",
        description="The old one is refused from the next request on. The new one is shown this once.",
    )
    def renew_secret(source_id: UUID, actor: Annotated[Actor, guard.actor(Action.SOURCES_MANAGE)]) -> dict[str, Any]:
        return sources.renew_secret(actor, source_id)

    return routes
