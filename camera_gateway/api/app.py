"""The FastAPI application: parse, call, answer. Everything it needs comes in by its constructor."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from camera_gateway.api.bodies import SealBody, parse_body, seal
from camera_gateway.api.callers import Callers, Neighbours
from camera_gateway.api.condition import Observer
from camera_gateway.api.desk_client import DeskClient
from camera_gateway.api.exposition import CONTENT_TYPE
from camera_gateway.api.live_socket import LiveSocket
from camera_gateway.api.transcoding import Transcodes
from camera_gateway.live.hub import Hub
from camera_gateway.live.link_server import LinkServer
from storage.clock import Clock
from storage.errors import (
    Conflict,
    DeviceError,
    DeviceFault,
    InvalidInput,
    MediaError,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    SunhallError,
    Unavailable,
)
from storage.identity.boxes import SecretBox
from storage.model import GapReason

log = logging.getLogger(__name__)

SNAPSHOT_S = 8.0
BEAT_S = 0.5
_STATUS: tuple[tuple[type[SunhallError], int], ...] = (
    (NotAuthenticated, 401),
    (NotPermitted, 403),
    (NotFound, 404),
    (Conflict, 409),
    (InvalidInput, 422),
    (DeviceError, 422),
    (MediaError, 502),
    (Unavailable, 503),
)


_FAULTS = {
    GapReason.AUTHENTICATION.value: DeviceFault.WRONG_PASSWORD,
    GapReason.NO_MEDIA.value: DeviceFault.NO_MEDIA,
}


class LoopBeat:
    """Counts while the event loop turns, so that the supervisor notices one that does not."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        """Count for ever."""
        while True:
            self.count += 1
            await asyncio.sleep(BEAT_S)


@dataclass(frozen=True, slots=True)
class GatewayApi:
    """What the routes call."""

    clock: Clock
    callers: Callers
    hub: Hub
    desk: DeskClient
    box: SecretBox
    link: LinkServer
    staged_path: Callable[[UUID], Path | None]
    observer: Observer
    neighbours: Neighbours
    beat: LoopBeat
    transcodes: Callable[[], Transcodes]  # made in the event loop
    h265_segment: Callable[[UUID], Iterator[bytes]]  # a recorded H.265 file; blocking, raises NotFound
    known_stream: Callable[[UUID], bool]  # whether a stream is one of this gateway's; blocking


def make_app(api: GatewayApi) -> FastAPI:
    """The application around `api`; the live link runs as long as the application does."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        beating = asyncio.create_task(api.beat.run())
        await api.link.start()
        try:
            yield
        finally:
            beating.cancel()
            await api.transcodes().stop()
            await api.link.stop()
            await api.desk.stop()

    app = FastAPI(title="Sunhall camera gateway", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(SunhallError, answer_error)
    _add_media_routes(app, api)
    _add_device_routes(app, api)
    _add_state_routes(app, api)
    return app


async def answer_error(_request: Request, error: Exception) -> Response:
    """Any error of ours as `{"error": {...}}` with its status."""
    if not isinstance(error, SunhallError):
        raise error
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    body = {"error": {"code": error.code, "message": error.message, "fields": error.fields}}
    return JSONResponse(body, status_code=status)


def _add_media_routes(app: FastAPI, api: GatewayApi) -> None:
    signed = Depends(api.callers)

    @app.get("/v1/streams/{stream_id}/snapshot", dependencies=[signed])
    async def snapshot(stream_id: UUID) -> Response:
        if not await run_in_threadpool(api.known_stream, stream_id):
            raise NotFound("stream_not_found", "no stream of this gateway has that id", id=str(stream_id))
        cause = api.hub.offline_cause(stream_id)
        if cause is not None:
            raise DeviceError(_FAULTS.get(cause, DeviceFault.UNREACHABLE), f"the camera is offline: {cause}")
        try:
            media = await api.hub.key_frame(stream_id, SNAPSHOT_S)
        except TimeoutError as error:
            raise DeviceError(DeviceFault.NO_MEDIA, "no key frame came in time") from error
        answer = await api.desk.call("jpeg", media)
        picture = base64.b64decode(answer["picture"])
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @app.get("/v1/staged/{segment_id}", dependencies=[signed])
    def staged(segment_id: UUID) -> Response:
        path = api.staged_path(segment_id)
        if path is None:
            raise NotFound("staged_not_found", "no such segment is staged here", id=str(segment_id))
        return FileResponse(path, media_type="video/mp4")

    @app.get("/v1/segments/{segment_id}/converted", dependencies=[signed])
    async def converted(segment_id: UUID) -> Response:
        pieces = await run_in_threadpool(api.h265_segment, segment_id)
        made = api.transcodes().convert(pieces)
        first = await anext(made, b"")  # what is wrong shows before the first byte is answered
        return StreamingResponse(_chained(first, made), media_type="video/mp4", headers={"Cache-Control": "no-store"})

    @app.websocket("/v1/live")
    async def live(socket: WebSocket) -> None:
        try:
            await api.callers.websocket(socket)
        except (NotAuthenticated, Unavailable) as error:
            log.warning("live_refused", extra={"fields": {"code": error.code}})
            await socket.close(code=4401 if isinstance(error, NotAuthenticated) else 4503)
            return
        await socket.accept()
        await LiveSocket(socket, api.hub, api.clock, api.known_stream, api.transcodes().tile).run()


async def _chained(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


def _add_device_routes(app: FastAPI, api: GatewayApi) -> None:
    signed = Depends(api.callers)

    @app.post("/v1/probe", dependencies=[signed])
    async def probe(request: Request) -> dict[str, Any]:
        return await api.desk.call("probe", request.state.body)

    @app.post("/v1/warm", dependencies=[signed])
    async def warm() -> dict[str, Any]:
        await api.desk.warm()
        return {}

    @app.post("/v1/discover", dependencies=[signed])
    async def discover(request: Request) -> dict[str, Any]:
        return await api.desk.call("discover", request.state.body)

    @app.post("/v1/seal", dependencies=[signed])
    async def seal_password(request: Request) -> dict[str, Any]:
        body = parse_body(SealBody, request.state.body)
        return {"sealed": seal(api.box, body.device_id, body.password)}


def _add_state_routes(app: FastAPI, api: GatewayApi) -> None:
    signed = Depends(api.callers)

    @app.post("/v1/refresh", dependencies=[signed])
    async def refresh() -> dict[str, Any]:
        api.link.tell_refresh()
        return {}

    @app.get("/v1/stats", dependencies=[signed])
    async def stats() -> dict[str, Any]:
        told = [worker.to_json()["streams"] for _age_s, worker in api.observer.fleet.latest()]
        return {"streams": {key: row for rows in told for key, row in rows.items()}}

    @app.get("/v1/health", dependencies=[signed])
    async def told_health() -> dict[str, Any]:
        around = await run_in_threadpool(api.observer.look_around)
        condition = api.observer.now(around)
        return condition.health() | {
            "workers": len(condition.connected),
            "streams": condition.states,
            "staging_bytes": around.staging_bytes,
            "disk_free_bytes": around.disk_free_bytes,
        }

    @app.get("/health", dependencies=[Depends(api.neighbours)])
    async def health() -> Response:
        condition = api.observer.now(await run_in_threadpool(api.observer.look_around))
        return JSONResponse(condition.health(), status_code=503 if condition.faults() else 200)

    @app.get("/metrics", dependencies=[Depends(api.neighbours)])
    async def metrics() -> Response:
        condition = api.observer.now(await run_in_threadpool(api.observer.look_around))
        return Response(condition.metrics(), media_type=CONTENT_TYPE)
