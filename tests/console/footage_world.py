"""Footage behind the real routes: a small hall with a camera, a screen and a case, an object store in memory, and a
browser whose session, purposes and audit table are real or fake as the test likes. No sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import numpy as np
from fastapi import FastAPI
from sqlalchemy import Connection, insert, select

from console.app import create_app
from console.routes import cases as case_routes
from console.routes import media as media_routes
from console.routes.guard import COOKIE, PURPOSE_HEADER, Guard
from console.services.access import ANONYMOUS, Actor, Purpose
from console.services.audit_log import AuditLog
from console.services.binding import VisitBinder
from console.services.cases import Cases
from console.services.footage_audit import FootageAudit
from console.services.intake import Intake
from console.services.media import Media
from console.services.screens import Screens
from console.services.sources import SignedBatch, Source
from console.services.timeline import Timelines
from console.services.view_log import ViewLog
from screen_capture.encode import SegmentEncoder
from storage.archive import tables
from storage.archive.ingest import Ingest
from storage.archive.media import MediaKind, MediaReader
from storage.archive.objects import MemoryStore
from storage.clock import US, FakeClock
from storage.errors import NotPermitted, Unavailable
from storage.ids import new_id
from storage.model import CameraSegment, PurposeCode, Role, ScreenSegment
from tests.fakes.archive import Hall
from tests.fakes.console_gateway import FakeGateway


class FakeSessions:
    """Sessions by cookie."""

    def __init__(self) -> None:
        self.actors: dict[str, Actor] = {}

    def resolve(self, token: str, address: str) -> Actor:
        return self.actors.get(token, replace(ANONYMOUS, address=address))

    def resolve_hash(self, session_hash: bytes, address: str) -> Actor:
        found = (actor for actor in self.actors.values() if actor.session_hash == session_hash)
        return next(found, replace(ANONYMOUS, address=address))


class FakePurposes:
    """Purposes by id."""

    def __init__(self) -> None:
        self.stated: dict[UUID, Purpose] = {}

    def find(self, actor: Actor, purpose_id: UUID) -> Purpose:
        if purpose_id not in self.stated:
            raise NotPermitted("purpose_unknown")
        return self.stated[purpose_id]


class FailingAudit(AuditLog):
    """An audit table that cannot be written while `away` is set."""

    away = False

    def record(self, conn: Connection, actor: Actor, action: str, *args: Any, **kwargs: Any) -> UUID:
        if FailingAudit.away:
            raise Unavailable("catalog_away", "the audit row cannot be written")
        return super().record(conn, actor, action, *args, **kwargs)


@dataclass
class FakeStaged:
    """Objects that wait at a gateway, or a gateway that is away."""

    objects: dict[UUID, bytes] = field(default_factory=dict)
    away: bool = False

    def read_staged(self, gateway_id: UUID, object_id: UUID, start: int, length: int | None) -> Iterator[bytes]:
        if self.away:
            raise Unavailable("gateway_away")
        data = self.objects[object_id]
        yield data[start : len(data) if length is None else start + length]


@dataclass
class WatchedReader:
    """The real media reader, with the openings counted."""

    inner: MediaReader
    opened: list[tuple[str, UUID, int, int | None]] = field(default_factory=list)

    def open(self, kind: MediaKind, object_id: UUID, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        self.opened.append((kind, object_id, start, length))
        return self.inner.open(kind, object_id, start, length)


class Browser:
    """Speaks HTTP to an application in this process; cookies and headers stay until they are changed."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.headers: dict[str, str] = {}
        self.cookies: dict[str, str] = {}

    def get(self, path: str, headers: Mapping[str, str]) -> httpx.Response:
        """One GET request."""
        return asyncio.run(self._get(path, {**self.headers, **headers}))

    async def _get(self, path: str, headers: Mapping[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="https://hall", cookies=self.cookies) as client:
            return await client.get(path, headers=headers)


class FootageWorld:
    """A browser in front of a small hall's footage."""

    def __init__(self, hall: Hall) -> None:
        self.hall, self.clock, self.catalog = hall, hall.clock, hall.catalog
        self.store = MemoryStore()
        self.ingest = Ingest(self.catalog, self.clock, "recorder")
        self.staged = FakeStaged()
        self.converter = FakeGateway()
        self.reader = WatchedReader(MediaReader(self.catalog, {self.store.location: self.store}, self.staged))
        self.views = ViewLog(self.catalog, self.clock)
        self.audit = FootageAudit(self.catalog, FailingAudit(self.clock), self.clock)
        self.sessions, self.purposes = FakeSessions(), FakePurposes()
        self.guard = Guard(self.sessions, self.purposes)
        self.binder = VisitBinder(self.catalog, self.clock)
        self.intake = Intake(self.catalog, self.clock, self.binder)
        FailingAudit.away = False
        self.browser = self._browser()
        self.source = self._source()
        self.sequence = 0

    def _browser(self) -> Browser:
        parts = (self.catalog, self.reader, self.audit, self.views, self.clock)
        media = Media(self.catalog, self.reader, self.converter, self.audit, self.views, self.clock)
        timelines = Timelines(self.catalog, self.audit, self.clock)
        app = create_app(
            [
                media_routes.router(timelines, media, Screens(*parts), self.guard),
                case_routes.router(Cases(self.catalog), self.guard),
            ],
            version="0",
        )
        return Browser(app)

    def _source(self) -> Source:
        source_id = new_id(self.clock)
        with self.catalog.write() as conn:
            conn.execute(
                insert(tables.event_source).values(id=source_id, code="approval", secret_box=b"-", created_us=0)
            )
        return Source(source_id, "approval", "", None)

    def log_in(self, *roles: Role, session: str = "one", purpose: PurposeCode | None = PurposeCode.COMPLAINT) -> None:
        """Give the browser a session with these roles, and put a purpose into its headers."""
        account_id = new_id(self.clock)
        with self.catalog.write() as conn:
            conn.execute(insert(tables.account).values(id=account_id, login=f"{session}-{account_id}", created_us=0))
        self.sessions.actors[session] = Actor(
            account_id, session, session, frozenset(roles), self.hall.hall_id, "", session.encode(), "csrf"
        )
        self.browser.cookies[COOKIE] = session
        self.browser.headers.pop(PURPOSE_HEADER, None)
        if purpose is not None:
            self.browser.headers[PURPOSE_HEADER] = str(self.state(account_id, purpose))

    def state(self, account_id: UUID, code: PurposeCode) -> UUID:
        """Put a purpose on record."""
        purpose_id = new_id(self.clock)
        with self.catalog.write() as conn:
            conn.execute(
                insert(tables.purpose).values(
                    id=purpose_id, account_id=account_id, code=code.value, reference="滁信访〔2026〕12号", created_us=0
                )
            )
        self.purposes.stated[purpose_id] = Purpose(purpose_id, code, "滁信访〔2026〕12号", 0)
        return purpose_id

    def get(self, path: str, **headers: str) -> httpx.Response:
        """A GET of the browser; header names with underscores for dashes."""
        return self.browser.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def send(self, kind: str, at_us: int, number: str | None = None, **more: Any) -> None:
        """One event of the approval system."""
        self.sequence += 1
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
        item: dict[str, Any] = {"sequence": self.sequence, "kind": kind, "at": moment.isoformat()} | more
        if number is not None:
            item["case_number"] = number
        answer = self.intake.take(SignedBatch(self.source, json.dumps([item]).encode()))
        assert answer["rejected"] == []

    def map_camera(self, channel_id: UUID, window_id: UUID, from_us: int, to_us: int | None, role: str) -> None:
        """A camera sees a window for a while."""
        self._insert(
            tables.camera_window, channel_id=channel_id, window_id=window_id, role=role, from_us=from_us, to_us=to_us
        )

    def map_workstation(self, window_id: UUID, from_us: int, to_us: int | None = None) -> None:
        """The workstation serves a window for a while."""
        self._insert(
            tables.workstation_window,
            workstation_id=self.hall.workstation_id,
            window_id=window_id,
            from_us=from_us,
            to_us=to_us,
        )

    def add_camera(self, name: str) -> tuple[UUID, UUID]:
        """Another channel of the device with one recorded stream: (channel, stream)."""
        with self.catalog.read() as conn:
            number = len(conn.execute(select(tables.channel.c.id)).all()) + 1
        channel_id = self._insert(tables.channel, device_id=self.hall.device_id, number=number, name=name)
        stream_id = self._insert(
            tables.stream, channel_id=channel_id, role="main", codec="h264", recorded=True, width=1920, height=1080
        )
        return channel_id, stream_id

    def record(self, stream_id: UUID, minutes: int) -> list[CameraSegment]:
        """Segments of a minute from the clock's time on; the time moves on."""
        return self.hall.record(self.ingest, self.store, minutes, stream_id=stream_id)

    def record_screen(self, t0_us: int, t1_us: int, shades: Mapping[int, int]) -> ScreenSegment:
        """A screen segment with one plain picture per (time → grey)."""
        first, *later = sorted(shades)
        assert first == t0_us
        encoder = SegmentEncoder(shade(shades[first]), t0_us)
        data = encoder.begin()
        for t_us in later:
            data += encoder.add(shade(shades[t_us]), t_us) or b""
        data += encoder.end(t1_us)
        segment = self.hall.screen(t0_us, t1_us, data, len(shades))
        self.store.put_bytes(segment.id, data)
        self.ingest.commit_screen(segment, sorted(shades), self.store.location)
        return segment

    def audited(self) -> list[tuple[str, str]]:
        """(action, subject) of the audit rows, oldest first."""
        with self.catalog.read() as conn:
            rows = conn.execute(select(tables.audit).order_by(tables.audit.c.at_us, tables.audit.c.id))
            return [(row.action, row.subject) for row in rows]

    def leaves(self, kind: str) -> list[dict[str, Any]]:
        """The facts of the leaves of a kind, in order."""
        with self.catalog.read() as conn:
            rows = conn.execute(
                select(tables.leaf.c.body).where(tables.leaf.c.kind == kind).order_by(tables.leaf.c.sequence)
            )
            return [json.loads(row.body) for row in rows]

    def _insert(self, table: Any, **values: Any) -> UUID:
        row_id = new_id(self.clock)
        with self.catalog.write() as conn:
            conn.execute(insert(table).values(id=row_id, **values))
        return row_id


def shade(grey: int) -> Any:
    """A plain 128 × 64 frame as a grabber hands it over."""
    return np.full((64, 128), 0xFF000000 | grey << 16 | grey << 8 | grey, np.uint32)


def minutes(count: float) -> int:
    """Microseconds of so many minutes."""
    return round(count * 60 * US)


def advance_to(clock: FakeClock, at_us: int) -> None:
    """Move the clock on to a moment."""
    clock.advance((at_us - clock.now_us()) / US)
