"""Devices: discovered, probed, registered with their channels, changed and retired. Footage stays after a device."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, update

from console.services.access import Actor
from console.services.audit_log import AuditLog
from console.services.device_rows import (
    MOST_AUTH_FAILURES,
    Registration,
    channel_of,
    find_registered,
    insert_channel,
    insert_device,
    probed,
    unbox,
    warnings_of,
)
from console.services.gateway_client import Gateway, ProbeRequest
from console.services.halls import hall_row
from console.services.names import clean_name
from console.services.window_map import CAMERA, WindowMap
from storage.archive.alarms import close_alarm
from storage.archive.catalog import Catalog
from storage.archive.tables import channel, device, node
from storage.clock import Clock
from storage.errors import Conflict, InvalidInput, NotFound, SunhallError, Unavailable
from storage.ids import new_id
from storage.model import AlarmKind, CameraRole

log = logging.getLogger(__name__)

MOST_IN_BATCH = 200


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where a device is and how to log in to it; never printed."""

    address: str
    port: int
    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.address}:{self.port}, ***)"


@dataclass(frozen=True, slots=True)
class SeenWindow:
    """A window that a new camera sees."""

    window_id: UUID
    role: CameraRole
    from_us: int | None


@dataclass(frozen=True, slots=True)
class WantedChannel:
    """A channel to register, with its windows."""

    number: int
    name: str
    windows: Sequence[SeenWindow]


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """What PATCH may change; None leaves a value as it is."""

    name: str | None = None
    enabled: bool | None = None
    username: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Devices:
    """Everything about devices; the gateway does the talking to them."""

    catalog: Catalog
    clock: Clock
    gateway: Gateway
    audit: AuditLog
    window_map: WindowMap

    def discover(self, actor: Actor, mode: str, subnets: Sequence[str]) -> dict[str, Any]:
        """Devices that answer, each with the id of the one registered under the same serial number.

        An empty multicast answer says that only the local subnet can be found this way.

        Raises:
            Unavailable: the gateway is away. InvalidInput, DeviceError: a subnet may not be scanned.
        """
        with self.catalog.write() as conn:
            self.audit.record(conn, actor, "devices_discover", "hall", None, {"mode": mode, "subnets": list(subnets)})
        answer = self.gateway.discover(mode, subnets)
        with self.catalog.read() as conn:
            found = [_discovered(conn, item) for item in answer.get("devices", [])]
        note = "local_subnet_only" if mode == "multicast" and not found else None
        return {"devices": found, "searched": int(answer.get("searched", 0)), "note": note}

    def warm(self) -> None:
        """Somebody is about to look for a device. A gateway that is away will say so when it matters."""
        try:
            self.gateway.warm()
        except SunhallError as error:
            log.info("gateway_warm_missed", extra={"fields": {"code": error.code}})

    def probe(self, actor: Actor, at: Credentials) -> dict[str, Any]:
        """What a device is, with a picture; nothing is kept.

        Raises:
            DeviceError: how it failed. Unavailable: the gateway is away.
        """
        answer = dict(self._probe(actor, at, new_id(self.clock)))
        answer.pop("sealed", None)
        with self.catalog.read() as conn:
            known = find_registered(conn, str(answer["device"].get("serial") or ""), at.address, at.port)
        return {**answer, "registered": str(known) if known else None, "warnings": warnings_of(answer)}

    def register(
        self, actor: Actor, at: Credentials, name: str, channels: Sequence[WantedChannel] | None
    ) -> dict[str, Any]:
        """Register a device with the wanted channels (all of them when None); recording starts by itself.

        Raises:
            DeviceError: how it failed. Conflict: `already_registered`. InvalidInput: a name or channel. Unavailable.
        """
        self._refuse_known_address(at)
        device_id = new_id(self.clock)
        answer = self._probe(actor, at, device_id)
        new = Registration(device_id, at.address, at.port, at.username, name or at.address, answer)
        wanted = channels if channels is not None else _all_channels(answer, new.name)
        with self.catalog.write() as conn:
            hall_id = hall_row(conn).id
            insert_device(conn, self.clock, hall_id, _gateway_of(conn), new)
            for item in wanted:
                self._add_channel(conn, actor, device_id, item, answer)
            self.audit.record(conn, actor, "device_register", f"device:{device_id}", None, {"channels": len(wanted)})
            shown = _one(conn, device_id)
            made = [_channel_of_row(row) for row in _channels(conn, device_id)]
        self._refresh()
        return {"device": shown, "channels": made, "warnings": warnings_of(answer)}

    def register_batch(self, actor: Actor, items: Sequence[tuple[Credentials, str]]) -> list[dict[str, Any]]:
        """Register several devices with all their channels; each succeeds or fails alone."""
        if len(items) > MOST_IN_BATCH:
            raise InvalidInput("batch_long", f"at most {MOST_IN_BATCH} devices at once", most=MOST_IN_BATCH)
        return [self._register_one(actor, at, name) for at, name in items]

    def all(self) -> list[dict[str, Any]]:
        """All devices in service, by name."""
        with self.catalog.read() as conn:
            rows = conn.execute(select(device).where(device.c.retired_us.is_(None)).order_by(device.c.name)).mappings()
            return [_shown(row, _channel_ids(conn, row["id"])) for row in rows.all()]

    def change(self, actor: Actor, device_id: UUID, change: DeviceChange) -> dict[str, Any]:
        """Change name, credentials or whether it is enabled. New credentials end a stop after failed logins.

        Raises:
            NotFound: no such device. Unavailable: the gateway must seal a new password and is away.
        """
        values: dict[str, Any] = {}
        if change.name is not None:
            values["name"] = clean_name(change.name)
        if change.enabled is not None:
            values["enabled"] = change.enabled
        if change.password is not None:
            values["password_box"] = unbox(self.gateway.seal(device_id, change.password))
        if change.username is not None:
            values["username"] = change.username
        with self.catalog.write() as conn:
            _require(conn, device_id)
            if change.password is not None or change.username is not None:
                values |= {"credential_version": device.c.credential_version + 1, "auth_failures": 0}
            if change.enabled is False:
                self._close_alarms(conn, device_id)
            if values:
                conn.execute(update(device).where(device.c.id == device_id).values(**values))
            changed = sorted(set(values) - {"credential_version", "auth_failures"})
            named = ["password" if key == "password_box" else key for key in changed]
            self.audit.record(conn, actor, "device_change", f"device:{device_id}", None, {"changed": named})
            shown = _one(conn, device_id)
        self._refresh()
        return shown

    def retire(self, actor: Actor, device_id: UUID) -> None:
        """Take a device out of service: its windows end, its password is forgotten, its footage stays.

        Raises:
            NotFound: no such device in service.
        """
        with self.catalog.write() as conn:
            _require(conn, device_id)
            for row in _channels(conn, device_id):
                self.window_map.end_all(conn, CAMERA, row.id)
            self._close_alarms(conn, device_id)
            values = {"retired_us": self.clock.now_us(), "enabled": False, "password_box": None}
            conn.execute(update(device).where(device.c.id == device_id).values(**values))
            self.audit.record(conn, actor, "device_retire", f"device:{device_id}")
        self._refresh()

    def _close_alarms(self, conn: Connection, device_id: UUID) -> None:
        """Nobody watches a camera out of service, so nobody else would close its alarms."""
        for row in _channels(conn, device_id):
            for kind in (AlarmKind.CAMERA_OFFLINE, AlarmKind.CAMERA_AUTHENTICATION, AlarmKind.CAMERA_CLOCK):
                close_alarm(conn, self.clock, kind, f"camera:{row.id}")

    def _probe(self, actor: Actor, at: Credentials, device_id: UUID) -> Any:
        """Have the gateway knock at an address; that somebody asked for it is on record first, however it ends."""
        with self.catalog.write() as conn:
            self.audit.record(conn, actor, "device_probe", f"address:{at.address}:{at.port}")
        request = ProbeRequest(device_id, at.address.strip(), at.port, at.username, at.password)
        return probed(self.gateway.probe(request))

    def _refuse_known_address(self, at: Credentials) -> None:
        """Spare a camera that is in service the log-in of a second registration."""
        with self.catalog.read() as conn:
            known = find_registered(conn, "", at.address.strip(), at.port)
        if known is not None:
            raise Conflict("already_registered", "a device at that address is registered", device=str(known))

    def _add_channel(self, conn: Connection, actor: Actor, device_id: UUID, wanted: WantedChannel, answer: Any) -> None:
        found = channel_of(answer, wanted.number)
        channel_id = insert_channel(conn, self.clock, device_id, wanted.name, found)
        for seen in wanted.windows:
            self.window_map.add(conn, actor, CAMERA, channel_id, seen.window_id, role=seen.role, from_us=seen.from_us)

    def _register_one(self, actor: Actor, at: Credentials, name: str) -> dict[str, Any]:
        try:
            made = self.register(actor, at, name, None)
        except SunhallError as error:
            return {"address": at.address, "device": None, "error": {"code": error.code, "fields": error.fields}}
        return {"address": at.address, "device": made["device"], "error": None}

    def _refresh(self) -> None:
        try:
            self.gateway.refresh()
        except SunhallError as error:  # it looks by itself every two seconds
            log.info("gateway_refresh_missed", extra={"fields": {"code": error.code}})


def _gateway_of(conn: Connection) -> UUID:
    query = select(node.c.id).where(node.c.kind == "gateway").order_by(node.c.created_us)
    found: UUID | None = conn.execute(query).scalars().first()
    if found is None:
        raise Unavailable("gateway_missing", "no camera gateway has started yet: start sunhall-gateway")
    return found


def _all_channels(answer: Any, name: str) -> list[WantedChannel]:
    several = len(answer["channels"]) > 1
    return [
        WantedChannel(int(item["number"]), f"{name} {item['number']}" if several else name, ())
        for item in answer["channels"]
    ]


def _discovered(conn: Connection, item: Any) -> dict[str, Any]:
    serial, address, port = str(item.get("serial") or ""), str(item["address"]), int(item["port"])
    known = find_registered(conn, serial, address, port)
    return {
        "address": address,
        "port": port,
        "name": str(item.get("name") or ""),
        "hardware": str(item.get("hardware") or ""),
        "serial": serial,
        "registered": str(known) if known else None,
    }


def _require(conn: Connection, device_id: UUID) -> None:
    live = (device.c.id == device_id, device.c.retired_us.is_(None))
    if conn.execute(select(device.c.id).where(*live)).first() is None:
        raise NotFound("device_unknown", "no such device in service")


def _channels(conn: Connection, device_id: UUID) -> Sequence[Any]:
    return conn.execute(select(channel).where(channel.c.device_id == device_id).order_by(channel.c.number)).all()


def _channel_ids(conn: Connection, device_id: UUID) -> list[str]:
    return [str(row.id) for row in _channels(conn, device_id)]


def _channel_of_row(row: Any) -> dict[str, Any]:
    return {"id": str(row.id), "number": row.number, "name": row.name}


def _one(conn: Connection, device_id: UUID) -> dict[str, Any]:
    row = conn.execute(select(device).where(device.c.id == device_id)).mappings().one()
    return _shown(row, _channel_ids(conn, device_id))


def _shown(row: Any, channels: list[str]) -> dict[str, Any]:
    names = ("name", "address", "port", "username", "serial", "manufacturer", "model", "firmware", "enabled")
    return {
        "id": str(row["id"]),
        **{name: row[name] for name in names},
        "clock_offset_us": row["clock_offset_us"],
        "clock_error_us": row["clock_error_us"],
        "auth_blocked": row["auth_failures"] >= MOST_AUTH_FAILURES,
        "channels": channels,
    }
