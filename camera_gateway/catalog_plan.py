"""The gateway's side of the catalog: its node, its plan, what its streams are doing, and its alarms."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, update

from camera_gateway.board import StreamState
from camera_gateway.catalog_duties import CatalogDuties, Duty
from camera_gateway.plan import DevicePlan, PlanMode, StreamPlan
from camera_gateway.recording_plan import NOT_PLANNED
from camera_gateway.stats import StreamStats
from storage.archive.alarms import close_alarm, open_alarm
from storage.archive.catalog import Catalog
from storage.archive.plans import PLAN_COLUMNS
from storage.archive.tables import channel, device, node, recording_plan, stream, stream_state
from storage.clock import Clock
from storage.errors import ConfigurationError, StorageFull, Unavailable
from storage.identity.keys import DeviceKey
from storage.ids import new_id
from storage.model import AlarmKind

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """An alarm to open or to close."""

    kind: AlarmKind
    subject: str
    opened: bool
    detail: tuple[tuple[str, str], ...] = ()


def register_node(catalog: Catalog, public_key: bytes, name: str, url: str) -> UUID:
    """The id of this gateway's node row, made now when its key is not known yet."""
    clock = catalog.clock
    with catalog.write() as conn:
        query = select(node.c.id).where(node.c.kind == "gateway", node.c.public_key == public_key)
        known: UUID | None = conn.execute(query).scalar_one_or_none()
        seen = {"name": name, "url": url, "seen_us": clock.now_us()}
        if known is not None:
            conn.execute(update(node).where(node.c.id == known).values(**seen))
            return known
        made = new_id(clock)
        row = {"id": made, "kind": "gateway", "public_key": public_key, "created_us": clock.now_us()}
        conn.execute(insert(node).values(**row, **seen))
        return made


def own_node(catalog: Catalog, keys: Path) -> UUID:
    """This gateway's id in the catalog, by the key in its folder `keys`.

    Raises:
        ConfigurationError: `run` has not registered it, or the key cannot be read.
    """
    key = DeviceKey.load(keys / "gateway.key")
    with catalog.read() as conn:
        query = select(node.c.id).where(node.c.kind == "gateway", node.c.public_key == key.public)
        found: UUID | None = conn.execute(query).scalar_one_or_none()
    if found is None:
        raise ConfigurationError("gateway_unregistered", "this gateway is not in the catalog: start it with `run`")
    return found


def console_key(catalog: Catalog, node_id: UUID) -> bytes | None:
    """The public key of a console, or None when no such console is known."""
    with catalog.read() as conn:
        query = select(node.c.public_key).where(node.c.id == node_id, node.c.kind == "console")
        return conn.execute(query).scalar_one_or_none()


def is_stream_of(catalog: Catalog, gateway_id: UUID, stream_id: UUID) -> bool:
    """Whether the stream is one of a device of this gateway that is not retired. Raises Unavailable."""
    joined = stream.join(channel, stream.c.channel_id == channel.c.id).join(device, channel.c.device_id == device.c.id)
    query = select(stream.c.id).select_from(joined).where(stream.c.id == stream_id, device.c.retired_us.is_(None))
    with catalog.read() as conn:
        return conn.execute(query.where(device.c.gateway_id == gateway_id)).first() is not None


class CatalogPlan:
    """The share of worker `index` of `count`: devices in the order of their ids, dealt out in turn.

    Ids are made in time order and retired devices keep their place, so a new device moves no other.
    """

    def __init__(self, catalog: Catalog, gateway_id: UUID, index: int, count: int) -> None:
        self._catalog = catalog
        self._gateway_id = gateway_id
        self._index = index
        self._count = count
        self._duties = CatalogDuties()
        self._told_years: frozenset[int] = frozenset()

    def streams(self) -> list[StreamPlan]:
        now_us = self._catalog.clock.now_us()
        with self._catalog.read() as conn:
            rows = self._rows(conn)
            decisions = self._duties.of(conn, {row["channel_id"]: row for row in rows}, now_us)
        with_main = {row["channel_id"] for row in rows if row["recorded"] and row["role"] == "main"}
        devices: dict[UUID, DevicePlan] = {}
        plans = []
        for row in rows:
            owner = devices.get(row["device_id"])
            if owner is None:
                owner = devices[row["device_id"]] = _device_plan(row)
            listens = row["role"] == "main" or row["channel_id"] not in with_main  # events come once for each camera
            plans.append(_stream_plan(row, owner, decisions[row["channel_id"]], listens=listens))
        self._tell_missing_years()
        return plans

    def _rows(self, conn: Connection) -> Sequence[RowMapping]:
        plans = recording_plan
        joined = stream.join(channel, stream.c.channel_id == channel.c.id)
        joined = joined.join(device, channel.c.device_id == device.c.id)
        joined = joined.outerjoin(plans, plans.c.channel_id == channel.c.id)
        query = select(*_STREAM_COLUMNS, *_DEVICE_COLUMNS, *PLAN_COLUMNS).select_from(joined).order_by(stream.c.id)
        mine = (device.c.id.in_(self._device_ids(conn)), device.c.retired_us.is_(None))
        return conn.execute(query.where(*mine)).mappings().all()

    def _tell_missing_years(self) -> None:
        """An alarm for each year that plans need and nobody has loaded; the one who loads it closes the alarm."""
        missing = self._duties.missing_years
        news = missing - self._told_years
        self._told_years = missing
        if news:
            changes = [AlarmChange(AlarmKind.CALENDAR_UNLOADED, f"calendar:{year}", opened=True) for year in news]
            try:
                write_alarms(self._catalog, self._catalog.clock, changes)
            except (Unavailable, StorageFull) as error:
                self._told_years = missing - news
                log.warning("calendar_alarm_unwritten", extra={"fields": {"error": error.message}})

    def stream_ids(self) -> set[UUID]:
        """All streams of this worker's devices, retired ones too: whose leftovers it recovers."""
        with self._catalog.read() as conn:
            joined = stream.join(channel, stream.c.channel_id == channel.c.id)
            query = select(stream.c.id).select_from(joined)
            return set(conn.execute(query.where(channel.c.device_id.in_(self._device_ids(conn)))).scalars())

    def authentication_failed(self, device_id: UUID, credential_version: int) -> None:
        same = (device.c.id == device_id, device.c.credential_version == credential_version)
        with self._catalog.write() as conn:
            conn.execute(update(device).where(*same).values(auth_failures=device.c.auth_failures + 1))

    def authentication_succeeded(self, device_id: UUID) -> None:
        with self._catalog.write() as conn:
            conn.execute(update(device).where(device.c.id == device_id).values(auth_failures=0))

    def _device_ids(self, conn: Connection) -> list[UUID]:
        query = select(device.c.id).where(device.c.gateway_id == self._gateway_id)
        ids = sorted(conn.execute(query).scalars())
        return ids[self._index :: self._count]


def _device_plan(row: RowMapping) -> DevicePlan:
    names = ("device_id", "enabled", "username", "password_box", "credential_version", "auth_failures")
    return DevicePlan(*(row[name] for name in names))


def _stream_plan(row: RowMapping, owner: DevicePlan, duty: Duty, *, listens: bool) -> StreamPlan:
    what = (row["id"], row["channel_id"], row["role"], row["uri"], row["transport"], row["codec"])
    if not row["recorded"]:
        return StreamPlan(*what, PlanMode.OFF, owner, planned=False, reason=NOT_PLANNED, engine=row["engine"])
    return StreamPlan(
        *what,
        duty.decision.mode,
        owner,
        reason=duty.decision.reason,
        until_us=duty.decision.until_us,
        pre_roll_s=duty.pre_roll_s,
        post_roll_s=duty.plan.post_roll_s,
        audio=duty.plan.audio,
        metadata=listens and duty.metadata,
        motion_alone=duty.decision.motion_alone,
        engine=row["engine"],
    )


_STREAM_COLUMNS = (
    stream.c.id,
    stream.c.channel_id,
    stream.c.role,
    stream.c.uri,
    stream.c.transport,
    stream.c.codec,
    stream.c.recorded,
    stream.c.engine,
)
_DEVICE_COLUMNS = (
    device.c.id.label("device_id"),
    device.c.hall_id,
    device.c.enabled,
    device.c.username,
    device.c.password_box,
    device.c.credential_version,
    device.c.auth_failures,
)


def write_states(
    catalog: Catalog, clock: Clock, states: Mapping[UUID, StreamState], stats: Mapping[UUID, StreamStats]
) -> None:
    """Put the states into `stream_state`, with what was measured. Streams that have lost their row are left out."""
    if not states:
        return
    now_us, ids = clock.now_us(), list(states)
    with catalog.write() as conn:
        known = set(conn.execute(select(stream.c.id).where(stream.c.id.in_(ids))).scalars())
        told = set(conn.execute(select(stream_state.c.stream_id).where(stream_state.c.stream_id.in_(ids))).scalars())
        rows = [_state_row(key, state, stats.get(key), now_us) for key, state in states.items() if key in known]
        changed = [row for row in rows if row["key"] in told]
        if changed:
            columns: dict[str, Any] = {name: bindparam(f"v_{name}") for name in _STATE_COLUMNS}
            conn.execute(
                update(stream_state).where(stream_state.c.stream_id == bindparam("key")).values(**columns), changed
            )
        made = [{name: row[f"v_{name}"] for name in _STATE_COLUMNS} for row in rows if row["key"] not in told]
        if made:
            conn.execute(insert(stream_state), made)


_STATE_COLUMNS = tuple(column.name for column in stream_state.columns)


def _state_row(stream_id: UUID, state: StreamState, stats: StreamStats | None, now_us: int) -> dict[str, Any]:
    stats = stats or StreamStats()
    values = {
        "stream_id": stream_id,
        "live": state.live.value,
        "live_cause": state.live_cause,
        "live_since_us": state.live_since_us,
        "recording": state.recording,
        "recording_cause": state.recording_cause,
        "recording_since_us": state.recording_since_us,
        "last_frame_us": state.last_frame_us,
        "engine": stats.engine,
        "engine_note": stats.engine_note,
        "transport": stats.transport,
        "clock_offset_us": stats.clock_offset_us,
        "clock_error_us": stats.clock_error_us,
        "fps_milli": stats.fps_milli,
        "bitrate_kbit": stats.bitrate_kbit,
        "updated_us": now_us,
    }
    return {"key": stream_id} | {f"v_{name}": value for name, value in values.items()}


def forget_state(catalog: Catalog, stream_id: UUID) -> None:
    """Remove what was said of a stream that is not connected any more and need not be."""
    with catalog.write() as conn:
        conn.execute(delete(stream_state).where(stream_state.c.stream_id == stream_id))


def write_alarms(catalog: Catalog, clock: Clock, changes: Iterable[AlarmChange]) -> None:
    """Open and close alarms in one transaction."""
    wanted = list(changes)
    if not wanted:
        return
    with catalog.write() as conn:
        for change in wanted:
            if change.opened:
                open_alarm(conn, clock, change.kind, change.subject, dict(change.detail))
            else:
                close_alarm(conn, clock, change.kind, change.subject)
