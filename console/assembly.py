"""Puts the console together: which concrete class stands behind which port. Only `main` and tests call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from uuid import UUID

import httpx
from fastapi import APIRouter, FastAPI
from sqlalchemy import insert, select

from console.app import create_app
from console.routes.accounts import router as accounts_router
from console.routes.agent import router as agent_router
from console.routes.audit import router as audit_router
from console.routes.calendars import router as calendars_router
from console.routes.cameras import router as cameras_router
from console.routes.cases import router as cases_router
from console.routes.devices import router as devices_router
from console.routes.guard import Guard
from console.routes.hall import router as hall_router
from console.routes.intake import router as intake_router
from console.routes.live import router as live_router
from console.routes.media import router as media_router
from console.routes.plans import PlanServices
from console.routes.plans import router as plans_router
from console.routes.problems import router as problems_router
from console.routes.session import router as session_router
from console.routes.setup import router as setup_router
from console.routes.sources import router as sources_router
from console.routes.system import BUILT, WebFiles
from console.routes.system import router as system_router
from console.routes.workstations import router as workstations_router
from console.services.accounts import Accounts
from console.services.agents import Agents, Pace
from console.services.audit_log import AuditLog
from console.services.binding import VisitBinder
from console.services.calendars import Calendars
from console.services.cameras import Cameras
from console.services.case_keeper import CaseKeeper
from console.services.cases import Cases
from console.services.devices import Devices
from console.services.footage_audit import FootageAudit
from console.services.gateway_client import Gateway, HttpGateway
from console.services.hall import Hall
from console.services.intake import Intake
from console.services.live_link import GatewayAddress, GatewayLink
from console.services.live_relay import LiveRelay
from console.services.live_session import LiveParts
from console.services.live_streams import LiveStreams
from console.services.media import Media
from console.services.passwords import Argon2Passwords, Passwords
from console.services.plan_preview import PlanPreview
from console.services.plans import Plans
from console.services.problems import Problems
from console.services.purposes import Purposes
from console.services.retention_classes import RetentionClasses
from console.services.schedules import Schedules
from console.services.screens import Screens
from console.services.sessions import Limits, Sessions
from console.services.setup import Setup
from console.services.signatures import WorkstationSignatures
from console.services.sources import Sources
from console.services.throttle import Throttle
from console.services.timeline import Timelines
from console.services.view_log import ViewLog
from console.services.watchers import SilenceWatch, interval_of
from console.services.window_map import WindowMap
from console.services.workstations import Workstations
from console.settings import ConsoleSettings
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest
from storage.archive.media import MediaReader, StagedReader
from storage.archive.nonces import CatalogNonces
from storage.archive.objects import DiskStore, ObjectStore
from storage.archive.periodic import Periodic
from storage.archive.recovery import ListedStore, scan_orphans
from storage.archive.retention import Retention, RetentionRules
from storage.archive.space import DiskVolume
from storage.archive.staging import StagingFolder
from storage.archive.tables import node
from storage.clock import US, Clock
from storage.identity.boxes import SecretBox
from storage.identity.keys import DeviceKey
from storage.ids import new_id
from storage.lifecycle import Part

VERSION = installed_version("sunhall")
SWEEP_S = 600.0
KEEP_S = 5.0


@dataclass(frozen=True)
class Ports:
    """What tests replace: clock, catalog, stores (the first takes screens), the gateway, passwords, own identity."""

    clock: Clock
    catalog: Catalog
    stores: Mapping[str, ObjectStore]
    gateway: Gateway
    staged: StagedReader
    live: GatewayAddress
    passwords: Passwords
    box: SecretBox
    node_id: UUID
    authority: Path | None = None


@dataclass(frozen=True)
class Console:
    """The application, the parts that run beside it, and the set-up code's keeper."""

    app: FastAPI
    parts: Sequence[Part]
    setup: Setup
    accounts: Accounts


def open_ports(settings: ConsoleSettings, clock: Clock, catalog: Catalog, authority: Path | None) -> Ports:
    """The real ones; keys are made at the first start."""
    key = DeviceKey.load_or_create(settings.keys / "console.key")
    node_id = register_node(catalog, clock, key.public)
    stores = open_stores(settings)
    for store in stores.values():
        if isinstance(store, DiskStore):
            store.remove_old_drafts()
    client = httpx.Client(
        timeout=httpx.Timeout(settings.gateway.timeout_s, connect=5.0), trust_env=False, follow_redirects=False
    )
    gateway = HttpGateway(client, catalog, key, node_id, clock, settings.gateway.url)
    return Ports(
        clock=clock,
        catalog=catalog,
        stores=stores,
        gateway=gateway,
        staged=gateway,
        live=gateway,
        passwords=Argon2Passwords(),
        box=SecretBox.load_or_create(settings.keys / "secrets.key"),
        node_id=node_id,
        authority=authority,
    )


def open_stores(settings: ConsoleSettings) -> dict[str, ObjectStore]:
    """The object stores by location, the one that takes new objects first."""
    if settings.storage.kind == "disk":
        return {DiskStore.location: DiskStore(settings.objects)}
    from storage.archive.s3 import S3Store, make_client  # a hall on disk needs no client for S3

    kept = settings.storage
    client = make_client(kept.endpoint, kept.access_key, kept.secret_key, secure=kept.secure)
    stores: dict[str, ObjectStore] = {S3Store.location: S3Store(client, kept.bucket)}
    if settings.objects.is_dir():  # what was recorded before the hall moved to S3
        stores[DiskStore.location] = DiskStore(settings.objects)
    return stores


def register_node(catalog: Catalog, clock: Clock, public_key: bytes) -> UUID:
    """The id of this console's row in `node`, made at the first start."""
    mine = (node.c.kind == "console", node.c.public_key == public_key)
    with catalog.write() as conn:
        known: UUID | None = conn.execute(select(node.c.id).where(*mine)).scalar()
        if known is not None:
            return known
        made = new_id(clock)
        values = {"id": made, "kind": "console", "name": "console", "public_key": public_key, "url": ""}
        conn.execute(insert(node).values(**values, created_us=clock.now_us()))
        return made


def assemble(settings: ConsoleSettings, ports: Ports) -> Console:
    """Services, routes and parts on these ports."""
    clock, catalog = ports.clock, ports.catalog
    audit = AuditLog(clock)
    limits = Limits(round(settings.sessions.hours * 3600 * US), round(settings.sessions.idle_minutes * 60 * US))
    sessions = Sessions(catalog, clock, ports.passwords, Throttle(clock), audit, limits)
    guard = Guard(sessions, Purposes(catalog, clock, audit))
    accounts = Accounts(catalog, clock, ports.passwords, audit, Throttle(clock))
    code_file = settings.data / "setup-code"
    setup = Setup(catalog, clock, accounts, Throttle(clock), audit, code_file, settings.objects)
    files = WebFiles(Path(settings.web) if settings.web else BUILT)
    routers: list[APIRouter] = []
    parts: list[Part] = [Periodic("session-sweep", sessions.forget_expired, clock, interval_s=SWEEP_S)]
    shared = _Shared(settings, ports, audit, guard, sessions, accounts, setup)
    for build in (_people, _hall, _cases):
        made, running = build(shared)
        routers += made
        parts += running
    routers.append(system_router(files, ports.authority, guard))  # last: it answers what nobody else does
    return Console(create_app(routers, version=VERSION), parts, setup, accounts)


@dataclass(frozen=True)
class _Shared:
    """What every group of services needs, and the services of people."""

    settings: ConsoleSettings
    ports: Ports
    audit: AuditLog
    guard: Guard
    sessions: Sessions
    accounts: Accounts
    setup: Setup


_Group = tuple[list[APIRouter], list[Part]]


def _people(shared: _Shared) -> _Group:
    """Set-up, sessions, accounts, the audit table."""
    clock, catalog, audit, guard = shared.ports.clock, shared.ports.catalog, shared.audit, shared.guard
    purposes = Purposes(catalog, clock, audit)
    hall = Hall(catalog, clock, audit)
    routers = [
        setup_router(shared.setup, VERSION, guard),
        session_router(shared.sessions, purposes, shared.accounts, hall, clock, VERSION, guard),
        accounts_router(shared.accounts, guard),
        hall_router(hall, guard),
        audit_router(audit, catalog, guard),
    ]
    return routers, []


def _hall(shared: _Shared) -> _Group:
    """Cameras, workstations with their agents, problems."""
    clock, catalog, audit, guard = shared.ports.clock, shared.ports.catalog, shared.audit, shared.guard
    gateway, told = shared.ports.gateway, shared.settings.agents
    silent_us = round(told.silent_s * US)
    store = next(iter(shared.ports.stores.values()))
    window_map = WindowMap(clock)
    ingest = Ingest(catalog, clock, str(shared.ports.node_id))
    cameras = Cameras(catalog, clock, gateway, audit, window_map)
    workstations = Workstations(catalog, clock, audit, window_map, silent_us)
    pace = Pace(told.interval_s, told.report_s)
    agents = Agents(catalog, clock, ingest, store, audit, window_map, Throttle(clock), pace)
    signatures = WorkstationSignatures(catalog, clock, CatalogNonces(catalog))
    silence = SilenceWatch(catalog, clock, ingest, silent_us)
    routers = [
        devices_router(Devices(catalog, clock, gateway, audit, window_map), guard),
        plans_router(_plans(shared), guard),
        calendars_router(Calendars(catalog, clock, audit), guard),
        cameras_router(cameras, guard),
        workstations_router(workstations, guard),
        agent_router(agents, signatures, clock, guard),
        problems_router(Problems(catalog, clock, cameras, workstations), guard),
    ]
    watch = Periodic("silence-watch", silence.run_once, clock, interval_s=interval_of(silent_us))
    return routers, [watch, *_retention(shared), *_orphan_scan(shared)]


def _plans(shared: _Shared) -> PlanServices:
    """When cameras are recorded, and how long that is kept."""
    clock, catalog, audit = shared.ports.clock, shared.ports.catalog, shared.audit
    services = (Plans(catalog, clock, audit), Schedules(catalog, clock, audit), RetentionClasses(catalog, clock, audit))
    return PlanServices(*services, PlanPreview(catalog, clock))


def _retention(shared: _Shared) -> list[Part]:
    """Deletion of what is too old or too much: at start and then at an interval; none when it is set to 0."""
    told, ports = shared.settings.retention, shared.ports
    if told.interval_s == 0:
        return []
    volume = DiskVolume(shared.settings.objects) if shared.settings.storage.kind == "disk" else None
    retention = Retention(ports.catalog, ports.stores, ports.clock, RetentionRules(batch=told.batch), volume)
    return [Periodic("retention", retention.run_once, ports.clock, interval_s=told.interval_s)]


def _orphan_scan(shared: _Shared) -> list[Part]:
    """Search for objects without a row, in the stores and in what waits for S3; they are reported, never deleted."""
    settings, ports = shared.settings, shared.ports
    if settings.orphans.interval_s == 0:
        return []

    def scan() -> None:
        places: dict[str, ListedStore] = {**ports.stores, **staging_folders(settings, ports.catalog)}
        scan_orphans(ports.catalog, places, ports.clock)

    return [Periodic("orphan-scan", scan, ports.clock, interval_s=settings.orphans.interval_s)]


def staging_folders(settings: ConsoleSettings, catalog: Catalog) -> dict[str, StagingFolder]:
    """What the hall's own gateways have not copied to S3 yet, by location."""
    if not settings.staging.is_dir():
        return {}
    with catalog.read() as conn:
        ids = conn.execute(select(node.c.id).where(node.c.kind == "gateway")).scalars().all()
    folders = [StagingFolder(settings.staging, gateway_id) for gateway_id in ids]
    return {folder.location: folder for folder in folders}


def _cases(shared: _Shared) -> _Group:
    """Event sources, cases, and the media that belong to them."""
    clock, catalog, guard = shared.ports.clock, shared.ports.catalog, shared.guard
    sources = Sources(catalog, shared.ports.box, clock, shared.audit)
    binder = VisitBinder(catalog, clock)
    footage = FootageAudit(catalog, shared.audit, clock)
    views = ViewLog(catalog, clock)
    relay = LiveRelay(lambda gateway_id, events: GatewayLink(gateway_id, shared.ports.live, events, clock), clock)
    live = LiveParts(relay, LiveStreams(catalog), footage, views, clock, guard.recheck, guard.with_purpose)
    reader = MediaReader(catalog, shared.ports.stores, shared.ports.staged)
    media = Media(catalog, reader, shared.ports.gateway, footage, views, clock)
    screens = Screens(catalog, reader, footage, views, clock)
    routers = [
        intake_router(sources, Intake(catalog, clock, binder), guard),
        sources_router(sources, guard),
        cases_router(Cases(catalog), guard),
        media_router(Timelines(catalog, footage, clock), media, screens, guard),
        live_router(live, guard),
    ]
    keeper = CaseKeeper(catalog, clock, binder)
    return routers, [Periodic("case-keeper", keeper.run_once, clock, interval_s=KEEP_S), views]
