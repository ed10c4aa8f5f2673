"""One virtual device: its ONVIF port, its RTSP port, its streams, its account and its moods."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from pathlib import Path

from deploy.virtual_camera import encode
from deploy.virtual_camera.about import About, Profile, profiles, stream_path
from deploy.virtual_camera.accounts import Accounts
from deploy.virtual_camera.mount import LiveSource, LoopSource, Mount, Source
from deploy.virtual_camera.onvif_http import OnvifHttp
from deploy.virtual_camera.picture import Painter
from deploy.virtual_camera.plan import DevicePlan
from deploy.virtual_camera.rtsp import RtspServer
from deploy.virtual_camera.services import OnvifServices
from deploy.virtual_camera.strip import Stamp
from storage.clock import Clock

_US = 1_000_000
_LOOP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Place:
    """Where a device listens; port 0 takes a free one."""

    host: str
    onvif_port: int
    rtsp_port: int


class VirtualDevice:
    """A device that can go away and come back on the same ports."""

    def __init__(self, plan: DevicePlan, place: Place, cache: Path, clock: Clock) -> None:
        self.plan = plan
        self.place = place
        self._clock = clock
        oddities = plan.oddities
        self.accounts = Accounts(
            plan.username,
            plan.password,
            clock,
            offset_us=round(oddities.clock_offset_s * _US),
            tolerance_s=oddities.tolerance_s,
            lock_after=oddities.lock_after,
            refuse_replays=oddities.refuse_replays,
        )
        self.about = About(plan, self.accounts, self._addresses)
        self._http = OnvifHttp(OnvifServices(self.about), self.accounts, self._snapshot)
        self._http.enabled = oddities.onvif != "404"
        self._mounts = {stream_path(p.token): self._mount(p, cache) for p in profiles(plan) if p.stream is not None}
        self._rtsp = RtspServer(self.accounts, self._mounts, session_limit=oddities.session_limit)
        self._onvif = oddities.onvif
        self._tasks: list[asyncio.Task[None]] = []
        self.online = False

    def _addresses(self) -> tuple[str, int, int]:
        return self.place.host, self.place.onvif_port, self.place.rtsp_port

    def _mount(self, profile: Profile, cache: Path) -> Mount:
        assert profile.stream is not None  # noqa: S101 - the caller filters
        shape, number = profile.stream.shape, self.plan.number
        name = profile.plan.name
        source: Source
        if profile.stream.live:
            source = LiveSource(shape, name, number, encode.parameter_sets(shape))
        else:
            units = encode.cached_loop(cache, shape, name, number, _LOOP_SECONDS)
            sets = tuple(nal for nal in units[0].nals if encode.is_parameter_set(shape.codec, nal))
            source = LoopSource(shape, units, sets)
        mount = Mount(source, self._clock, self.accounts.now_us, self.plan.serial)
        mount.sprop = not self.plan.oddities.in_band_only
        return mount

    async def start(self) -> None:
        """Listen and send."""
        place = self.place
        rtsp_port = await self._rtsp.start(place.host, place.rtsp_port)
        self.place = Place(place.host, place.onvif_port, rtsp_port)
        onvif_port = await self._http.start(place.host, place.onvif_port)
        self.place = Place(place.host, onvif_port, rtsp_port)
        if self._onvif == "refused":
            await self._http.stop()
        self._tasks = [asyncio.create_task(mount.run()) for mount in self._mounts.values()]
        self.online = True

    async def stop(self) -> None:
        """Cut everything, as a power failure does."""
        self.online = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._http.stop()
        await self._rtsp.stop()

    async def set_online(self, online: bool) -> None:
        """Go away, or come back on the same ports."""
        if online and not self.online:
            await self.start()
        elif not online and self.online:
            await self.stop()

    async def set_onvif(self, state: str) -> None:
        """`on`, `404` or `refused`."""
        was_refused, self._onvif = self._onvif == "refused", state
        self._http.enabled = state != "404"
        if not self.online:
            return
        if state == "refused" and not was_refused:
            await self._http.stop()
        elif state != "refused" and was_refused:
            await self._http.start(self.place.host, self.place.onvif_port)

    def set_clock_offset(self, seconds: float) -> None:
        """Make the device's clock wrong by so much."""
        self.accounts.offset_us = round(seconds * _US)

    def set_paused(self, paused: bool) -> None:
        """Keep all connections and send no media, as a hung encoder does."""
        for mount in self._mounts.values():
            mount.paused = paused

    def players(self) -> int:
        """How many clients play now."""
        return sum(mount.players for mount in self._mounts.values())

    def _snapshot(self, token: str) -> bytes | None:
        mount = self._mounts.get(stream_path(token))
        if mount is None:
            return None
        shape = mount.source.shape
        painter = Painter(shape.width, shape.height, self.plan.name, self.plan.number)
        frame = painter.frame(Stamp(self.accounts.now_us() // 1000, 0, self.plan.number))
        buffer = io.BytesIO()
        frame.to_image().save(buffer, "JPEG", quality=85)  # type: ignore[no-untyped-call]
        return buffer.getvalue()
