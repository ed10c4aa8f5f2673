"""Puts the API and live process together from its concrete classes."""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import uvicorn

from camera_gateway.api.app import GatewayApi, LoopBeat, make_app
from camera_gateway.api.batch_socket import BatchSocket
from camera_gateway.api.callers import Callers, Neighbours
from camera_gateway.api.condition import Observer
from camera_gateway.api.desk_client import DeskClient
from camera_gateway.api.recorded import RecordedH265
from camera_gateway.api.surroundings import Lookout
from camera_gateway.api.transcoding import Transcodes
from camera_gateway.catalog_plan import console_key, is_stream_of, own_node
from camera_gateway.live.hub import Hub
from camera_gateway.live.link_server import LinkServer
from camera_gateway.settings import GatewaySettings
from camera_gateway.stats import FleetStats
from camera_gateway.supervisor import Pulse
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest
from storage.archive.objects import DiskStore, ObjectStore
from storage.archive.periodic import Periodic
from storage.archive.space import DiskGuard, DiskVolume, SpaceRules
from storage.archive.staging import StagingFolder
from storage.archive.uploader import Uploader
from storage.clock import SystemClock
from storage.errors import ConfigurationError
from storage.identity.boxes import SecretBox
from storage.lifecycle import Part, end_on_programming_errors

log = logging.getLogger(__name__)

SEND_BUFFER = 64 << 10
"""Bytes that the kernel may hold for a viewer: its own default is over a minute of a tile."""


@end_on_programming_errors()
def run_api(
    settings: GatewaySettings, desk_command: Sequence[str], transcode_command: Sequence[str], stop: threading.Event
) -> int:
    """Answer consoles until `stop`; returns the exit status.

    `desk_command` starts the device desk; `transcode_command` with a mode behind it starts a transcoder.
    """
    clock = SystemClock()
    catalog = Catalog.open(settings.catalog, clock)
    gateway_id = own_node(catalog, settings.keys)
    staging = StagingFolder(settings.staging, gateway_id)
    horizon_s = round(settings.recording.forecast_alarm_h * 3600)
    rules = SpaceRules(reserve_bytes=settings.recording.reserve_mb << 20, horizon_s=horizon_s)
    volume = DiskVolume(settings.data)
    guard = DiskGuard(volume, catalog, clock, rules, f"gateway:{gateway_id}")
    links: list[LinkServer] = []
    hub = Hub(clock, lambda watched: links[0].tell_watched(watched))
    fleet = FleetStats(clock)
    beat = LoopBeat()
    links.append(LinkServer(settings.live_socket, hub, fleet))
    lookout = Lookout(catalog, gateway_id, staging, volume, guard, rules.reserve_bytes, clock)
    api = GatewayApi(
        clock,
        Callers(lambda node_id: console_key(catalog, node_id), clock),
        hub,
        DeskClient(desk_command),
        SecretBox.load(settings.keys / "cameras.key"),
        links[0],
        lambda segment_id: _existing(staging, segment_id),
        Observer(clock, hub, links[0], fleet, settings.worker_count, lookout, lambda: hub.transcoders),
        Neighbours(settings.metrics.subnets),
        beat,
        functools.cache(lambda: Transcodes(hub, transcode_command, settings.transcode, clock)),
        RecordedH265(catalog, _stores(settings), staging),
        lambda stream_id: is_stream_of(catalog, gateway_id, stream_id),
    )
    listening = listen(settings.listen.host, settings.listen.port)
    pulse = Pulse(lambda: beat.count, clock)
    keepers: list[Part] = [pulse, Periodic("disk-guard", guard.check, clock, interval_s=60.0)]
    if settings.storage.kind == "s3":
        uploader = Uploader(catalog, staging, s3_store(settings), Ingest(catalog, clock, str(gateway_id)), clock)
        keepers.append(Periodic("uploader", uploader.run_once, clock, interval_s=5.0))
    for part in keepers:
        part.start()
    serve(QuietServer(server_config(make_app(api))), listening, stop)
    for part in reversed(keepers):
        part.stop()
    catalog.close()
    return 0


def _stores(settings: GatewaySettings) -> dict[str, ObjectStore]:
    """Where recordings of this hall are, by location."""
    store = s3_store(settings) if settings.storage.kind == "s3" else DiskStore(settings.objects)
    return {store.location: store}


def s3_store(settings: GatewaySettings) -> ObjectStore:
    """The S3 store that the settings name."""
    from storage.archive.s3 import S3Store, make_client

    s3 = settings.storage
    return S3Store(make_client(s3.endpoint, s3.access_key, s3.secret_key, secure=s3.secure), s3.bucket)


def server_config(app: object) -> uvicorn.Config:
    """How uvicorn runs the API: uvloop, the sans-IO WebSocket, no compression of media."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # any ASGI application
        loop="uvloop",
        ws=BatchSocket,
        ws_per_message_deflate=False,
        ws_max_size=64 << 10,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=3,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket whose connections have a small send buffer.

    Raises:
        ConfigurationError: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            "listen_failed", f"cannot listen on {host}:{port} ({error.strerror}): change listen.port"
        ) from error
    return listening


class QuietServer(uvicorn.Server):
    """Leaves signals alone: ours drain at the first and leave at once at the second."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(server: uvicorn.Server, listening: socket.socket, stop: threading.Event) -> None:
    """Run the server on `listening` until `stop`."""

    def watch() -> None:
        stop.wait()
        server.should_exit = True

    threading.Thread(target=watch, name="stop-watch", daemon=True).start()
    server.run([listening])


def _existing(staging: StagingFolder, segment_id: UUID) -> Path | None:
    path = staging.path(segment_id)
    return path if path.is_file() else None
