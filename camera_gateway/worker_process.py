"""Puts an ingest worker together from its concrete classes."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from uuid import UUID

from camera_gateway.board import StateBoard, StreamState
from camera_gateway.catalog_plan import AlarmChange, CatalogPlan, forget_state, own_node, write_alarms, write_states
from camera_gateway.ingest import IngestParts
from camera_gateway.live import wire
from camera_gateway.live.client import LiveClient, state_message
from camera_gateway.objects import placement_of
from camera_gateway.pacing import Pacer
from camera_gateway.plan import DevicePlan
from camera_gateway.pre_roll import PreRollMemory
from camera_gateway.reactor import Reactor
from camera_gateway.recorder.disk import DiskSettings, DiskWriter, FreeSpaceGuard, Placement
from camera_gateway.recovery import Recovery
from camera_gateway.recovery_task import LeftoverReport, RecoveryTask
from camera_gateway.settings import GatewaySettings
from camera_gateway.source_choice import Sources, engine_options
from camera_gateway.stats import StreamStats
from camera_gateway.streams import Reach
from camera_gateway.supervisor import Pulse
from camera_gateway.worker import Worker, WorkerSettings
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest
from storage.clock import Clock, SystemClock
from storage.identity.boxes import SecretBox
from storage.lifecycle import end_on_programming_errors, run_parts
from storage.model import AlarmKind

log = logging.getLogger(__name__)


class CatalogReports:
    """`Reports` into the catalog."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock

    def states(self, states: dict[UUID, StreamState], stats: dict[UUID, StreamStats]) -> None:
        write_states(self._catalog, self._clock, states, stats)

    def forget(self, stream_id: UUID) -> None:
        forget_state(self._catalog, stream_id)

    def alarm(self, kind: AlarmKind, subject: str, opened: bool, detail: str) -> None:
        change = AlarmChange(kind, subject, opened, (("cause", detail),) if detail else ())
        write_alarms(self._catalog, self._clock, [change])


@end_on_programming_errors()
def run_worker(settings: GatewaySettings, index: int, stop: threading.Event) -> int:
    """Record this worker's share until `stop`; returns the exit status."""
    clock = SystemClock()
    catalog = Catalog.open(settings.catalog, clock)
    gateway_id = own_node(catalog, settings.keys)
    ingest = Ingest(catalog, clock, str(gateway_id))
    plan = CatalogPlan(catalog, gateway_id, index, settings.worker_count)
    placement = placement_of(settings, gateway_id)
    leftovers = LeftoverReport(settings.staging, catalog, gateway_id, clock)
    recovery = Recovery(settings.staging, placement, ingest, catalog)
    disk = _disk(settings, placement, ingest, clock)
    disk.hold_rows()
    rescue = RecoveryTask(recovery, plan, leftovers, clock, disk.allow_rows, always=index == 0)
    waiting = Pulse(lambda: rescue.looks, clock)  # a catalog that is away for long is no hanging process
    waiting.start()
    rescue.look(stop)
    waiting.stop()
    links: list[LiveClient] = []

    def link_of(worker: Worker) -> LiveClient:
        live = LiveClient(*(settings.live_socket, clock, lambda: _hello(index, worker), worker.watch, worker.refresh))
        links.append(live)
        return live

    reports = CatalogReports(catalog, clock)
    opener = _opener(SecretBox.load(settings.keys / "cameras.key"))
    parts = _parts(settings, clock)
    worker = Worker(
        *(plan, reports, parts, disk.channel, opener, link_of, disk.health, _limits(settings, index, gateway_id))
    )
    pulse = Pulse(lambda: worker.beat, clock)
    # What lives as long as the process is not looked at again by the collector of cycles.
    gc.freeze()
    run_parts([pulse, disk, worker, links[0], rescue], stop)
    catalog.close()
    return 0


def _disk(settings: GatewaySettings, placement: Placement, ingest: Ingest, clock: Clock) -> DiskWriter:
    recording = settings.recording
    guard = FreeSpaceGuard(settings.staging, recording.reserve_mb << 20)
    rings = (recording.ring_mb << 20, recording.rings_mb << 20)
    disk = DiskSettings(settings.staging, recording.sync_interval_s, *rings)
    return DiskWriter(disk, placement, ingest, guard, clock)


def _parts(settings: GatewaySettings, clock: Clock) -> IngestParts:
    reactor = Reactor(clock)
    pacer = Pacer(reactor, settings.cameras.opening_at_once)
    memory = PreRollMemory(settings.recording.pre_rolls_mb << 20)
    sources = Sources.of(reactor, engine_options(settings.cameras))
    return IngestParts(reactor, StateBoard(clock), sources.new, pacer, settings.recording.segment_s, memory)


def _limits(settings: GatewaySettings, index: int, gateway_id: UUID) -> WorkerSettings:
    cameras = settings.cameras
    reach = Reach(cameras.open_timeout_s, cameras.read_timeout_s)
    return WorkerSettings(index, reach, cameras.offline_alarm_s, f"gateway:{gateway_id}")


def _opener(box: SecretBox) -> Callable[[DevicePlan], str]:
    def open_password(device: DevicePlan) -> str:
        return box.open(device.password_box, device.id.bytes).decode() if device.password_box else ""

    return open_password


def _hello(index: int, worker: Worker) -> list[bytes]:
    roles = worker.roles
    states = [state_message(key, roles.get(key, ""), state) for key, state in worker.states_for_viewers().items()]
    return [wire.pack_json(wire.Kind.HELLO, {"worker": index}), wire.pack_json(wire.Kind.STATES, states)]
