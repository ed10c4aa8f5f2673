"""Event intake: one event or a list of them, signed with the source's secret (docs/intake.md)."""

from typing import Annotated, Any

from fastapi import APIRouter

from console.routes.guard import Guard, SignedRequest
from console.services.event_parsing import MAX_EVENTS, TEXT_LIMITS
from console.services.intake import Intake
from console.services.sources import SignedBatch, Sources
from storage.model import EventKind, TimePrecision

EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["sequence", "kind", "at"],
    "additionalProperties": False,
    "properties": {
        "sequence": {"type": "integer", "minimum": 0, "description": "The source's own counter"},
        "kind": {"type": "string", "enum": [kind.value for kind in EventKind]},
        "at": {"type": "string", "examples": ["2026-11-21T09:30:00+08:00"]},
        "precision": {"type": "string", "enum": [precision.value for precision in TimePrecision]},
        **{name: {"type": "string", "maxLength": limit} for name, limit in TEXT_LIMITS.items()},
    },
}
BODY = {"oneOf": [EVENT, {"type": "array", "maxItems": MAX_EVENTS, "items": EVENT}]}
"""The body as the API's description shows it; `event_parsing` is what reads it."""


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
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": BODY}}}},
    )
    def take_events(batch: Annotated[SignedBatch, guard.signed("source", verify)]) -> dict[str, Any]:
        return intake.take(batch)

    return routes
