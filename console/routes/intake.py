"""Event intake: one event or a list of them, signed with the source's secret (docs/intake.md)."""

from typing import Annotated, Any

from fastapi import APIRouter

from console.routes.guard import Guard, SignedRequest
from console.services.intake import Intake
from console.services.sources import SignedBatch, Sources


def router(sources: Sources, intake: Intake, guard: Guard) -> APIRouter:
    """`/intake/v1/events`."""
    routes = APIRouter(prefix="/intake/v1", tags=["intake"])

    def verify(request: SignedRequest) -> SignedBatch:
        return sources.authenticate(request.headers, request.method, request.target, request.body)

    @routes.post(
        "/events",
        summary="Take in case events",
        description="One event or a list of up to 500, signed with HMAC-SHA256 (docs/intake.md). Events that cannot be "
        "taken are named by index in `rejected`; the others are stored. Sending the same event again is harmless.",
    )
    def take_events(batch: Annotated[SignedBatch, guard.signed("source", verify)]) -> dict[str, Any]:
        return intake.take(batch)

    return routes
