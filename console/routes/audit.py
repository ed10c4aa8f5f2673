"""The audit table: who did what, when and why."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from console.routes.guard import Guard
from console.services.access import Action, Actor, may_ever
from console.services.audit_log import AuditLog
from storage.archive.catalog import Catalog


def router(audit: AuditLog, catalog: Catalog, guard: Guard) -> APIRouter:
    """Routes of the audit table."""
    routes = APIRouter(prefix="/api/audit", tags=["audit"])

    @routes.get(
        "",
        summary="Audit rows",
        description="Newest first. Auditors see what was done under a purpose; system administrators see everything.",
    )
    def list_audit(
        actor: Annotated[Actor, guard.actor(Action.AUDIT_READ)],
        before_us: Annotated[int | None, Query(ge=0, lt=1 << 62)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        action: Annotated[str | None, Query(pattern=r"^[a-z_]{1,40}$")] = None,
    ) -> dict[str, Any]:
        footage_only = not may_ever(actor, Action.AUDIT_READ_ALL)
        with catalog.read() as conn:
            rows = audit.page(conn, before_us=before_us, limit=limit, action=action, footage_only=footage_only)
        return {"rows": rows}

    return routes
