"""Cameras: states, names, windows, coverage of a day, and a picture of now."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from console.routes.bodies import Body, Name, Us
from console.routes.guard import Guard
from console.services.access import Action, Actor
from console.services.cameras import CameraChange, Cameras
from storage.model import CameraRole


class CameraChangeBody(Body):
    """What to change of a camera; what is left out stays. `engine` "": the product's own first, else libav."""

    name: Name | None = None
    engine: Literal["", "rtsp", "libav"] | None = None
    transport: Literal["tcp", "udp"] | None = None


class CameraWindowBody(Body):
    """A window that the camera sees, in which role, from when (now when left out)."""

    window_id: UUID
    role: CameraRole
    from_us: Us | None = None


def router(cameras: Cameras, guard: Guard) -> APIRouter:
    """Routes of cameras."""
    routes = APIRouter(prefix="/api/cameras", tags=["cameras"])

    @routes.get("", summary="All cameras", description="With live and recording states, streams and windows.")
    def list_cameras(actor: Annotated[Actor, guard.actor(Action.CAMERAS_READ)]) -> dict[str, Any]:
        return {"cameras": cameras.all()}

    @routes.get("/{camera_id}", summary="One camera", description="The camera with its device.")
    def read_camera(camera_id: UUID, actor: Annotated[Actor, guard.actor(Action.CAMERAS_READ)]) -> dict[str, Any]:
        return cameras.read(camera_id)

    @routes.get(
        "/{camera_id}/counters",
        summary="What was counted of a camera's streams",
        description="Frames, bytes, lost packets, reconnects, the last fault and measured rates, since the gateway "
        "started, asked of it now. `counted` is null for a stream that it does not read.",
    )
    def read_counters(camera_id: UUID, actor: Annotated[Actor, guard.actor(Action.CAMERAS_READ)]) -> dict[str, Any]:
        return cameras.counters(camera_id)

    @routes.patch(
        "/{camera_id}",
        summary="Change a camera",
        description="Its name, and what reads its streams by which transport.",
    )
    def change_camera(
        camera_id: UUID, body: CameraChangeBody, actor: Annotated[Actor, guard.actor(Action.CAMERAS_MANAGE)]
    ) -> dict[str, Any]:
        return cameras.change(actor, camera_id, CameraChange(body.name, body.engine, body.transport))

    @routes.post(
        "/{camera_id}/windows",
        status_code=201,
        summary="Say that it sees a window",
        description="Begins an entry of the map and logs it. 409 `map_exists`.",
    )
    def add_window(
        camera_id: UUID, body: CameraWindowBody, actor: Annotated[Actor, guard.actor(Action.CAMERAS_MANAGE)]
    ) -> dict[str, Any]:
        return cameras.add_window(actor, camera_id, body.window_id, body.role, body.from_us)

    @routes.delete(
        "/{camera_id}/windows/{map_id}",
        status_code=204,
        summary="End an entry of the map",
        description="From `to_us` (now when left out) on it does not see the window; the past stays as it was.",
    )
    def end_window(
        camera_id: UUID,
        map_id: UUID,
        actor: Annotated[Actor, guard.actor(Action.CAMERAS_MANAGE)],
        to_us: Annotated[int | None, Query(ge=0, lt=1 << 62)] = None,
    ) -> None:
        cameras.end_window(actor, camera_id, map_id, to_us)

    @routes.get(
        "/{camera_id}/coverage",
        summary="Coverage of a day",
        description="What was recorded of a day of the hall (its own midnight to midnight), gaps with their reasons.",
    )
    def coverage(
        camera_id: UUID,
        day: Annotated[str, Query(max_length=20)],
        actor: Annotated[Actor, guard.actor(Action.CAMERAS_READ)],
    ) -> dict[str, Any]:
        return cameras.coverage(camera_id, day)

    @routes.get(
        "/{camera_id}/snapshot",
        summary="A picture of now",
        description="Footage: needs X-Sunhall-Purpose and is on record before the first byte.",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )
    def snapshot(camera_id: UUID, actor: Annotated[Actor, guard.actor(Action.LIVE_VIEW)]) -> Response:
        return Response(cameras.snapshot(actor, camera_id), media_type="image/jpeg")

    return routes
