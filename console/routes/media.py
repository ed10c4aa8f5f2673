"""Footage: timelines, camera segments by range, screen pictures. All needs a purpose; the audit row comes first."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from console.routes.guard import Guard
from console.services.access import Action, Actor
from console.services.byte_ranges import RangeNotSatisfiable
from console.services.media import Media
from console.services.screens import Screens
from console.services.timeline import Timelines
from storage.model import Span

PRIVATE = {"Cache-Control": "private, no-store"}
_MOMENT = Query(ge=0, le=1 << 53, description="Microseconds UTC")


def router(timelines: Timelines, media: Media, screens: Screens, guard: Guard) -> APIRouter:
    """`/api/visits/{id}/timeline` and `/api/media`."""
    routes = APIRouter(prefix="/api", tags=["media"])
    viewer = guard.actor(Action.FOOTAGE_VIEW)

    @routes.get(
        "/visits/{visit_id}/timeline",
        summary="Everything that tells of a visit",
        description="Steps, a lane per camera that saw the window then, a lane per screen that served it then, with "
        "coverage. Needs a purpose.",
    )
    def read_timeline(visit_id: UUID, actor: Annotated[Actor, viewer]) -> dict[str, Any]:
        return timelines.read(actor, visit_id)

    @routes.get(
        "/media/segments/{segment_id}",
        summary="A camera segment",
        description="Fragmented MP4, exactly as recorded. `Range` and `If-Range` are honoured; the entity tag is the "
        "SHA-256 of the whole. Needs a purpose.",
        response_class=StreamingResponse,
        responses={206: {"description": "The range asked for"}, 416: {"description": "The range lies outside"}},
    )
    def read_segment(
        segment_id: UUID,
        actor: Annotated[Actor, viewer],
        byte_range: Annotated[str | None, Header(alias="Range")] = None,
        if_range: Annotated[str | None, Header(alias="If-Range")] = None,
    ) -> Response:
        try:
            found = media.open_segment(actor, segment_id, range_header=byte_range, if_range=if_range)
        except RangeNotSatisfiable as error:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{error.total}", **PRIVATE})
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Length": str(found.range.length),
            "ETag": found.etag,
            **PRIVATE,
        }
        if found.range.partial:
            headers["Content-Range"] = found.range.content_range
        status = 206 if found.range.partial else 200
        return StreamingResponse(found.pieces, status_code=status, media_type="video/mp4", headers=headers)

    @routes.get(
        "/media/segments/{segment_id}/converted",
        summary="A camera segment as H.264",
        description="A viewing copy of an H.265 segment, at most 640 x 360 and without sound, made while it is sent. "
        "404 `not_convertible` where the original plays or none are made, 503 `transcoder_busy`. Needs a purpose.",
        response_class=StreamingResponse,
    )
    def read_converted(segment_id: UUID, actor: Annotated[Actor, viewer]) -> Response:
        pieces = media.open_converted(actor, segment_id)
        return StreamingResponse(pieces, media_type="video/mp4", headers={"X-Sunhall-Derived": "h264", **PRIVATE})

    @routes.get(
        "/media/streams/{stream_id}/segments",
        summary="Segments of a stream",
        description="Segments and coverage of at most 25 hours. Needs a purpose.",
    )
    def list_segments(
        stream_id: UUID,
        from_us: Annotated[int, _MOMENT],
        to_us: Annotated[int, _MOMENT],
        actor: Annotated[Actor, viewer],
    ) -> dict[str, Any]:
        return media.list_segments(actor, stream_id, Span(from_us, to_us))

    @routes.get(
        "/media/screens/{monitor_id}/at",
        summary="A screen at a moment",
        description="The picture in force at `t_us`, bit-exact, as WebP when the browser accepts it or "
        "anything, else PNG; `X-Sunhall-Picture-Us` says when it was taken. 404 `no_picture` where there is none. "
        "Needs a purpose.",
        response_class=Response,
    )
    def read_picture(
        monitor_id: UUID, t_us: Annotated[int, _MOMENT], actor: Annotated[Actor, viewer], request: Request
    ) -> Response:
        accepted = request.headers.get(
            "accept", "*/*"
        )  # `fetch` says */*, and every browser that runs the page has WebP
        webp = "image/webp" in accepted or accepted.strip() == "*/*"
        found = screens.picture_at(actor, monitor_id, t_us, "webp" if webp else "png")
        headers = {"X-Sunhall-Picture-Us": str(found.taken_us), "Vary": "Accept", **PRIVATE}
        return Response(found.data, media_type=found.media_type, headers=headers)

    return routes
