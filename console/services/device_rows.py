"""What the gateway says about a device, as rows: device, channels, streams, and which of them are recorded."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select

from console.services.names import clean_name, natural_key
from storage.archive.tables import channel, device, stream
from storage.clock import US, Clock
from storage.errors import Conflict, InvalidInput, Unavailable
from storage.ids import new_id

MOST_AUTH_FAILURES = 2
"""After so many the gateway stops trying until the credentials change."""
CLOCK_WARNING_US = 30 * US
"""A camera whose clock is further off than this is registered with a warning."""
LONG_GOP_MS = 4000
"""A key-frame interval above this makes seeking and live slow to start."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A device to insert: what the user said and what the gateway found."""

    device_id: UUID
    address: str
    port: int
    username: str
    name: str
    found: Mapping[str, Any]


def probed(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The gateway's answer, when it has the parts that registering needs.

    Raises:
        Unavailable: it has not (`gateway_error`): console and gateway differ in version.
    """
    if not isinstance(answer.get("device"), dict) or not isinstance(answer.get("channels"), list):
        raise Unavailable("gateway_error", "the gateway's answer lacks device or channels: update both programs")
    return answer


def warnings_of(answer: Mapping[str, Any]) -> list[str]:
    """Codes of what an administrator should know before registering the device."""
    found: list[str] = []
    offset = answer["device"].get("clock_offset_us")
    if offset is not None and abs(int(offset)) > CLOCK_WARNING_US:
        found.append("clock_off")
    streams = [item for part in answer["channels"] for item in part.get("streams", [])]
    if any(int(item.get("gop_ms") or 0) > LONG_GOP_MS for item in streams):
        found.append("long_key_interval")
    if any(_needs_substitute(part) and not _substitute(part) for part in answer["channels"]):
        found.append("h265_without_h264")
    return found


def recorded_roles(streams: Iterable[Mapping[str, Any]]) -> set[str]:
    """Which streams of a channel are recorded: the main one, and beside an H.265 main its H.264 substream."""
    part = {"streams": list(streams)}
    recorded = {"main"}
    if _needs_substitute(part) and _substitute(part):
        recorded.add("sub")
    return recorded


def find_registered(conn: Connection, serial: str, address: str, port: int) -> UUID | None:
    """The device in service with that serial number; without one, at that address and port."""
    live = device.c.retired_us.is_(None)
    if serial:
        found: UUID | None = conn.execute(select(device.c.id).where(live, device.c.serial == serial)).scalar()
        return found
    same = (device.c.address == address, device.c.port == port)
    return conn.execute(select(device.c.id).where(live, *same)).scalar()


def insert_device(conn: Connection, clock: Clock, hall_id: UUID, gateway_id: UUID, new: Registration) -> None:
    """Insert the device's own row.

    Raises:
        Conflict: it is registered already (`already_registered`, with `device`).
    """
    facts = new.found["device"]
    serial = str(facts.get("serial") or "")
    known = find_registered(conn, serial, new.address, new.port)
    if known is not None:
        raise Conflict("already_registered", "a device of that serial number is registered", device=str(known))
    conn.execute(
        insert(device).values(
            id=new.device_id,
            hall_id=hall_id,
            gateway_id=gateway_id,
            name=clean_name(new.name),
            address=new.address,
            port=int(facts.get("port") or new.port),
            username=new.username,
            password_box=_box(new.found),
            credential_version=1,
            auth_failures=0,
            serial=serial,
            manufacturer=str(facts.get("manufacturer") or ""),
            model=str(facts.get("model") or ""),
            firmware=str(facts.get("firmware") or ""),
            xaddr=str(facts.get("xaddr") or ""),
            clock_offset_us=facts.get("clock_offset_us"),
            clock_error_us=facts.get("clock_error_us"),
            enabled=True,
            created_us=clock.now_us(),
            retired_us=None,
        )
    )


def insert_channel(conn: Connection, clock: Clock, device_id: UUID, name: str, found: Mapping[str, Any]) -> UUID:
    """Insert a channel with its streams and their recorded flags; returns its id."""
    channel_id = new_id(clock)
    cleaned = clean_name(name)
    conn.execute(
        insert(channel).values(
            id=channel_id,
            device_id=device_id,
            number=int(found["number"]),
            name=cleaned,
            name_sort=natural_key(cleaned),
            source_token=str(found.get("source_token") or ""),
        )
    )
    streams = found.get("streams", [])
    recorded = recorded_roles(streams)
    rows = [_stream_values(clock, channel_id, item, recorded) for item in streams]
    if rows:
        conn.execute(insert(stream), rows)
    return channel_id


def channel_of(found: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    """The probed channel of that number.

    Raises:
        InvalidInput: the device has none (`channel_unknown`).
    """
    channels: Sequence[Mapping[str, Any]] = found["channels"]
    for item in channels:
        if int(item["number"]) == number:
            return item
    raise InvalidInput("channel_unknown", "the device has no channel of that number", number=number)


def _needs_substitute(part: Mapping[str, Any]) -> bool:
    return any(item["role"] == "main" and item["codec"] == "h265" for item in part.get("streams", []))


def _substitute(part: Mapping[str, Any]) -> bool:
    return any(item["role"] == "sub" and item["codec"] == "h264" for item in part.get("streams", []))


def _stream_values(clock: Clock, channel_id: UUID, item: Mapping[str, Any], recorded: set[str]) -> dict[str, Any]:
    return {
        "id": new_id(clock),
        "channel_id": channel_id,
        "role": str(item["role"]),
        "profile_token": str(item.get("profile_token") or ""),
        "uri": str(item.get("uri") or ""),
        "transport": "tcp",
        "codec": str(item["codec"]),
        "width": int(item.get("width") or 0),
        "height": int(item.get("height") or 0),
        "fps_milli": int(item.get("fps_milli") or 0),
        "gop_ms": int(item.get("gop_ms") or 0),
        "bitrate_kbit": int(item.get("bitrate_kbit") or 0),
        "recorded": item["role"] in recorded,
    }


def _box(found: Mapping[str, Any]) -> bytes:
    return unbox(str(found.get("sealed") or ""))


def unbox(sealed: str) -> bytes:
    """The gateway's box from base64.

    Raises:
        Unavailable: it is none (`gateway_error`).
    """
    try:
        box = base64.b64decode(sealed, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unavailable("gateway_error", "the gateway's sealed password is no base64") from error
    if not box:
        raise Unavailable("gateway_error", "the gateway did not seal the password")
    return box
