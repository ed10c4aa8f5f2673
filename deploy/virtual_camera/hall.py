"""The virtual hall: all its devices, their discovery and the control port, in one event loop."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from deploy.virtual_camera.about import FOREIGN_HOST, profiles, stream_path
from deploy.virtual_camera.announce import Announcer
from deploy.virtual_camera.device import Place, VirtualDevice
from deploy.virtual_camera.plan import DevicePlan
from storage.clock import Clock

log = logging.getLogger(__name__)

RTSP_PORT_STEP = 100
"""Device n listens for ONVIF on base + n and for RTSP on base + 100 + n; the control port is the base itself."""


@dataclass(frozen=True, slots=True)
class _Announced:
    device: VirtualDevice

    @property
    def endpoint(self) -> str:
        return self.device.plan.endpoint

    @property
    def xaddr(self) -> str:
        return self.device.about.xaddr("device")

    @property
    def scopes(self) -> list[str]:
        return self.device.about.scopes()

    @property
    def online(self) -> bool:
        return self.device.online


class Hall:
    """Starts and stops everything."""

    def __init__(
        self, plans: tuple[DevicePlan, ...], base_port: int, cache: Path, clock: Clock, *, discovery_port: int | None
    ) -> None:
        self._host = "127.0.0.1"
        self._base = base_port
        self._discovery_port = discovery_port
        self.devices = {plan.number: VirtualDevice(plan, self._place(plan.number), cache, clock) for plan in plans}
        self._announcer = Announcer([_Announced(device) for device in self.devices.values()])
        self._runner: web.AppRunner | None = None
        self.control_port = 0

    def _place(self, number: int) -> Place:
        if self._base == 0:
            return Place(self._host, 0, 0)
        return Place(self._host, self._base + number, self._base + RTSP_PORT_STEP + number)

    async def start(self) -> None:
        """Listen on all ports."""
        for device in self.devices.values():
            await device.start()
        if self._discovery_port is not None:
            await self._announce(self._discovery_port)
        await self._start_control()

    async def _announce(self, port: int) -> None:
        """A machine without multicast still has a hall; its cameras are registered by address."""
        try:
            await self._announcer.start(self._host, port)
        except OSError as error:
            log.warning("discovery_off", extra={"fields": {"port": port, "cause": error.strerror}})

    async def stop(self) -> None:
        """Close everything."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._announcer.stop()
        await asyncio.gather(*(device.stop() for device in self.devices.values()))

    async def _start_control(self) -> None:
        application = web.Application()
        application.router.add_get("/v1/cameras", self._list)
        application.router.add_post(r"/v1/cameras/{number:\d{1,5}}", self._change)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._base).start()
        self.control_port = int(self._runner.addresses[0][1])

    def describe(self) -> dict[str, Any]:
        """What the ready line and `GET /v1/cameras` say: addresses and credentials."""
        return {"control": self.control_port, "cameras": [_facts(device) for device in self.devices.values()]}

    async def _list(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(self.describe())

    async def _change(self, request: web.Request) -> web.Response:
        """Take `online`, `onvif`, `password`, `clock_offset_s` and `paused`, each optional."""
        device = self.devices.get(int(request.match_info["number"]))
        if device is None:
            raise web.HTTPNotFound
        try:
            changes = json.loads(await request.text())
        except ValueError as error:
            raise web.HTTPBadRequest(text="the body is no JSON") from error
        if "password" in changes:
            device.accounts.set_password(str(changes["password"]))
        if "clock_offset_s" in changes:
            device.set_clock_offset(float(changes["clock_offset_s"]))
        if "paused" in changes:
            device.set_paused(bool(changes["paused"]))
        if "onvif" in changes:
            await device.set_onvif(str(changes["onvif"]))
        if "online" in changes:
            await device.set_online(bool(changes["online"]))
        return web.json_response(_facts(device))


def _facts(device: VirtualDevice) -> dict[str, Any]:
    plan, place = device.plan, device.place
    streams = [
        {
            "channel": profile.channel,
            "role": "main" if profile.token.endswith("_main") else "sub",
            "uri": f"rtsp://{place.host}:{place.rtsp_port}{stream_path(profile.token)}",
            "codec": profile.stream.shape.codec,
            "width": profile.stream.shape.width,
            "height": profile.stream.shape.height,
            "fps": profile.stream.shape.fps,
            "gop": profile.stream.shape.gop,
            "live": profile.stream.live,
        }
        for profile in profiles(plan)
        if profile.stream is not None
    ]
    return {
        "number": plan.number,
        "name": plan.name,
        "serial": plan.serial,
        "host": place.host,
        "onvif_port": place.onvif_port,
        "rtsp_port": place.rtsp_port,
        "onvif_url": f"http://{place.host}:{place.onvif_port}/onvif/device_service",
        "username": plan.username,
        "password": device.accounts.password,
        "online": device.online,
        "players": device.players(),
        "failed_logins": device.accounts.failures,
        "channels": len(plan.channels),
        "streams": streams,
        "foreign_host": FOREIGN_HOST if plan.oddities.foreign_xaddr else None,
    }
