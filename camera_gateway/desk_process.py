"""The device desk: answers `probe`, `discover` and `jpeg`, one JSON line each, until its input ends."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from camera_gateway.api.desk_client import MAX_LINE
from camera_gateway.api.devices import DeviceDesk
from camera_gateway.api.first_look import Looker
from camera_gateway.api.picture import jpeg_of
from camera_gateway.onvif.addresses import AddressPolicy
from camera_gateway.onvif.discovery import Discovery
from camera_gateway.onvif.probe import DeviceProbe
from camera_gateway.settings import GatewaySettings
from camera_gateway.source_choice import Sources, engine_options
from storage.clock import SystemClock
from storage.errors import InvalidInput, SunhallError
from storage.identity.boxes import SecretBox

Call = Callable[[bytes], Awaitable[dict[str, Any]]]


def run_desk(settings: GatewaySettings) -> int:
    """Serve standard input until it ends; returns the exit status."""
    clock = SystemClock()
    allowed = AddressPolicy.of(settings.cameras.subnets)
    box = SecretBox.load(settings.keys / "cameras.key")
    looker = Looker(lambda reactor: Sources.of(reactor, engine_options(settings.cameras)).new(), clock)
    desk = DeviceDesk(DeviceProbe(clock, allowed), Discovery(clock, allowed), looker, box, clock)
    asyncio.run(serve({"probe": desk.probe, "discover": desk.discover, "jpeg": _jpeg}))
    return 0


async def serve(calls: dict[str, Call]) -> None:
    """Answer each line in a task of its own."""
    reader = asyncio.StreamReader(limit=MAX_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        task = asyncio.create_task(_answer(calls, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _answer(calls: dict[str, Call], asked: dict[str, Any]) -> None:
    told: dict[str, Any] = {"n": asked["n"]}
    try:
        call = calls.get(asked["call"])
        if call is None:
            raise InvalidInput("call_unknown", f"the desk knows no call {asked['call']}")
        told["answer"] = await call(base64.b64decode(asked["body"]))
    except SunhallError as error:
        kind = type(error).__name__
        told["error"] = {"kind": kind, "code": error.code, "message": error.message, "fields": error.fields}
    line = json.dumps(told).encode() + b"\n"
    await asyncio.to_thread(_write, line)


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


async def _jpeg(media: bytes) -> dict[str, Any]:
    picture = await asyncio.to_thread(jpeg_of, media)
    return {"picture": base64.b64encode(picture).decode()}
