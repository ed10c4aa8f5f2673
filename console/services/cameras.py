"""Cameras: one picture of a device each, with its states, its streams, its windows and what was recorded of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, update

from console.services.access import Actor
from console.services.audit_log import AuditLog
from console.services.days import day_span, parse_day
from console.services.device_rows import MOST_AUTH_FAILURES
from console.services.gateway_client import Gateway
from console.services.halls import hall_clock
from console.services.names import clean_name, natural_key
from console.services.window_map import CAMERA, WindowMap, windows_now
from storage.archive.catalog import Catalog
from storage.archive.queries import channel_coverages
from storage.archive.tables import channel, device, stream, stream_state
from storage.clock import US, Clock
from storage.errors import NotFound
from storage.model import CameraRole, DerivedState, GapReason, LiveState

STATE_LIFE_US = 35 * US
"""The gateway writes states every 10 s; older ones mean that the gateway itself is silent."""
GATEWAY_SILENT = "gateway_silent"
_SEEN = ("engine", "engine_note", "transport", "fps_milli", "bitrate_kbit", "clock_offset_us", "clock_error_us")
"""What the gateway measures of a stream and writes into its state."""


@dataclass(frozen=True, slots=True)
class CameraChange:
    """What to change of a camera; None leaves it as it is. `engine` "": ours first, libav when ours cannot."""

    name: str | None = None
    engine: str | None = None  # "" | rtsp | libav
    transport: str | None = None  # tcp | udp


@dataclass(frozen=True, slots=True)
class Cameras:
    """Reads and changes cameras."""

    catalog: Catalog
    clock: Clock
    gateway: Gateway
    audit: AuditLog
    window_map: WindowMap

    def all(self) -> list[dict[str, Any]]:
        """All cameras of devices in service, in natural order of their names."""
        with self.catalog.read() as conn:
            return self._shown(conn, None)

    def read(self, camera_id: UUID) -> dict[str, Any]:
        """One camera with its device. Raises NotFound (`camera_unknown`)."""
        with self.catalog.read() as conn:
            found = self._one(conn, camera_id)
            row = conn.execute(select(device).where(device.c.id == UUID(found["device_id"]))).mappings().one()
            names = ("name", "address", "port", "username", "serial", "manufacturer", "model", "firmware", "enabled")
            about = {name: row[name] for name in (*names, "clock_offset_us", "clock_error_us")}
        return {
            **found,
            "device": {"id": found["device_id"], **about, "auth_blocked": row["auth_failures"] >= MOST_AUTH_FAILURES},
        }

    def counters(self, camera_id: UUID) -> dict[str, Any]:
        """What the gateway counted of the camera's streams since it started: frames, loss, reconnects, last fault.

        A stream that it does not read now has `counted` null. Raises NotFound, Unavailable.
        """
        with self.catalog.read() as conn:
            _require(conn, camera_id)
            streams = _streams(conn, camera_id).get(camera_id, [])
            query = select(device.c.gateway_id).join(channel).where(channel.c.id == camera_id)
            gateway_id = conn.execute(query).scalar_one()
        told = self.gateway.stats(gateway_id)["streams"]
        return {
            "streams": [
                {"id": str(item["id"]), "role": item["role"], "counted": told.get(str(item["id"]))} for item in streams
            ]
        }

    def change(self, actor: Actor, camera_id: UUID, wanted: CameraChange) -> dict[str, Any]:
        """Change what is given: the name, and what reads all its streams by which transport. Raises NotFound,
        InvalidInput."""
        named: dict[str, str] = {}
        if wanted.name is not None:
            cleaned = clean_name(wanted.name)
            named = {"name": cleaned, "name_sort": natural_key(cleaned)}
        read = {"engine": wanted.engine, "transport": wanted.transport}
        reached = {name: value for name, value in read.items() if value is not None}
        with self.catalog.write() as conn:
            _require(conn, camera_id)
            if named:
                conn.execute(update(channel).where(channel.c.id == camera_id).values(**named))
            if reached:
                conn.execute(update(stream).where(stream.c.channel_id == camera_id).values(**reached))
            changed = sorted([*(["name"] if named else []), *reached])
            self.audit.record(
                conn, actor, "camera_change", f"camera:{camera_id}", None, {"changed": changed, **reached}
            )
            return self._one(conn, camera_id)

    def add_window(
        self, actor: Actor, camera_id: UUID, window_id: UUID, role: CameraRole, from_us: int | None
    ) -> dict[str, Any]:
        """Say that the camera sees a window in a role from then on. Raises NotFound, Conflict, InvalidInput."""
        with self.catalog.write() as conn:
            _require(conn, camera_id)
            map_id = self.window_map.add(conn, actor, CAMERA, camera_id, window_id, role=role, from_us=from_us)
            detail = {"window": str(window_id), "role": role.value}
            self.audit.record(conn, actor, "camera_window_add", f"camera:{camera_id}", None, detail)
            entries = windows_now(conn, CAMERA, self.clock.now_us()).get(camera_id, [])
            return next(entry for entry in entries if entry["map_id"] == str(map_id))

    def end_window(self, actor: Actor, camera_id: UUID, map_id: UUID, to_us: int | None) -> None:
        """Say that it does not see the window any more. Raises NotFound, Conflict, InvalidInput."""
        with self.catalog.write() as conn:
            self.window_map.end(conn, CAMERA, camera_id, map_id, to_us)
            self.audit.record(conn, actor, "camera_window_end", f"camera:{camera_id}", None, {"map": str(map_id)})

    def coverage(self, camera_id: UUID, day: str) -> dict[str, Any]:
        """What was recorded of the camera on a day of the hall. Raises NotFound, InvalidInput."""
        asked = parse_day(day)
        now_us = self.clock.now_us()
        with self.catalog.read() as conn:
            span = day_span(asked, hall_clock(conn).zone)
            streams = {camera_id: _preferred_streams(conn, camera_id)}
            spans = channel_coverages(conn, streams, span, now_us)[camera_id]
        shown = [asdict(item) for item in spans]
        return {"day": asked.isoformat(), "t0_us": span.t0_us, "t1_us": span.t1_us, "now_us": now_us, "spans": shown}

    def snapshot(self, actor: Actor, camera_id: UUID) -> bytes:
        """A JPEG of now; the audit row is committed before the gateway is asked. Raises NotFound, Unavailable."""
        with self.catalog.read() as conn:
            stream_id = _preferred_streams(conn, camera_id)[0]
        with self.catalog.write() as conn:
            self.audit.record(conn, actor, "camera_snapshot", f"camera:{camera_id}")
        return self.gateway.snapshot(stream_id)

    def _one(self, conn: Connection, camera_id: UUID) -> dict[str, Any]:
        found = self._shown(conn, camera_id)
        if not found:
            raise NotFound("camera_unknown", "no such camera in service")
        return found[0]

    def _shown(self, conn: Connection, camera_id: UUID | None) -> list[dict[str, Any]]:
        now_us = self.clock.now_us()
        query = (
            select(channel, device.c.enabled, device.c.auth_failures)
            .join(device, device.c.id == channel.c.device_id)
            .where(device.c.retired_us.is_(None))
            .order_by(channel.c.name_sort, channel.c.id)
        )
        if camera_id is not None:
            query = query.where(channel.c.id == camera_id)
        streams = _streams(conn, camera_id)
        windows = windows_now(conn, CAMERA, now_us)
        rows = conn.execute(query).mappings().all()
        return [_camera(row, streams.get(row["id"], []), windows.get(row["id"], []), now_us) for row in rows]


def _streams(conn: Connection, camera_id: UUID | None) -> dict[UUID, list[Mapping[Any, Any]]]:
    state = stream_state
    query = (
        select(
            stream,
            state.c.live,
            state.c.live_cause,
            state.c.live_since_us,
            state.c.recording,
            state.c.recording_cause,
            state.c.recording_since_us,
            state.c.updated_us,
            *(state.c[name].label(f"seen_{name}") for name in _SEEN),
        )
        .outerjoin(state, state.c.stream_id == stream.c.id)
        .order_by(stream.c.role)
    )
    if camera_id is not None:
        query = query.where(stream.c.channel_id == camera_id)
    found: dict[UUID, list[Mapping[Any, Any]]] = {}
    for row in conn.execute(query).mappings():
        found.setdefault(row["channel_id"], []).append(row)
    return found


def _camera(
    row: Mapping[Any, Any], streams: list[Mapping[Any, Any]], windows: list[dict[str, Any]], now_us: int
) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "device_id": str(row["device_id"]),
        "number": row["number"],
        "name": row["name"],
        "enabled": row["enabled"],
        "live": _live(streams, now_us, enabled=row["enabled"]),
        "recording": _recording(streams, now_us, enabled=row["enabled"]),
        "streams": [_stream(item, now_us) for item in streams],
        "clock": _clock(streams, now_us),
        "windows": windows,
    }


def _stream(item: Mapping[Any, Any], now_us: int) -> dict[str, Any]:
    names = ("role", "codec", "width", "height", "fps_milli", "gop_ms", "recorded", "engine", "transport")
    fresh = item["updated_us"] is not None and now_us - item["updated_us"] <= STATE_LIFE_US
    seen = {name: item[f"seen_{name}"] for name in _SEEN} if fresh else None
    return {"id": str(item["id"]), **{name: item[name] for name in names}, "seen": seen}


def _clock(streams: list[Mapping[Any, Any]], now_us: int) -> dict[str, int] | None:
    """How far the camera's clock is off, by the stream that knows it best; None: nobody knows."""
    known = [
        (item["seen_clock_error_us"], item["seen_clock_offset_us"])
        for item in streams
        if item["seen_clock_offset_us"] is not None
        and item["seen_clock_error_us"] is not None
        and now_us - item["updated_us"] <= STATE_LIFE_US
    ]
    if not known:
        return None
    error_us, offset_us = min(known)
    return {"offset_us": offset_us, "error_us": error_us}


def _live(streams: list[Mapping[Any, Any]], now_us: int, *, enabled: bool) -> dict[str, Any]:
    """The best state among the camera's streams, for any of them can be shown."""
    known = [item for item in streams if item["updated_us"] is not None]
    if not enabled:
        return {"state": LiveState.OFFLINE.value, "cause": GapReason.MAINTENANCE.value, "since_us": 0}
    if not known:
        return {"state": LiveState.CONNECTING.value, "cause": "", "since_us": 0}
    fresh = [item for item in known if now_us - item["updated_us"] <= STATE_LIFE_US]
    if not fresh:
        last = max(item["updated_us"] for item in known)
        return {"state": LiveState.OFFLINE.value, "cause": GATEWAY_SILENT, "since_us": last}
    best = next((item for item in fresh if item["live"] == LiveState.LIVE.value), fresh[0])
    return {"state": best["live"], "cause": best["live_cause"], "since_us": best["live_since_us"]}


def _recording(streams: list[Mapping[Any, Any]], now_us: int, *, enabled: bool) -> dict[str, Any]:
    """The state of the main stream, unless another recorded one is in a worse state."""
    recorded = [item for item in streams if item["recorded"]]
    known = [item for item in recorded if item["updated_us"] is not None]
    if not enabled:
        return {"state": GapReason.MAINTENANCE.value, "cause": "", "since_us": 0}
    if not known:
        return {"state": DerivedState.PENDING.value, "cause": "", "since_us": 0}
    if all(now_us - item["updated_us"] > STATE_LIFE_US for item in known):
        last = max(item["updated_us"] for item in known)
        return {"state": GapReason.UNKNOWN.value, "cause": GATEWAY_SILENT, "since_us": last}
    worst = next((item for item in known if item["recording"] != DerivedState.RECORDED.value), known[0])
    cause, since_us = worst["recording_cause"], worst["recording_since_us"]
    return {"state": worst["recording"], "cause": cause, "since_us": since_us}


def _preferred_streams(conn: Connection, camera_id: UUID) -> list[UUID]:
    """The camera's streams: those that its plan takes before the others, main before sub."""
    query = select(stream.c.id, stream.c.recorded).where(stream.c.channel_id == camera_id).order_by(stream.c.role)
    rows = conn.execute(query).all()
    if not rows:
        raise NotFound("camera_unknown", "no such camera")
    return [row.id for row in sorted(rows, key=lambda row: not row.recorded)]


def _require(conn: Connection, camera_id: UUID) -> None:
    if conn.execute(select(channel.c.id).where(channel.c.id == camera_id)).first() is None:
        raise NotFound("camera_unknown", "no such camera")
