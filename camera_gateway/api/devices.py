"""Registering cameras: probe and discover, as the console asks for them. Runs in the device desk."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import asdict
from typing import Any, Literal, Protocol
from uuid import UUID

from pydantic import Field

from camera_gateway.api.bodies import Body, parse_body, seal
from camera_gateway.api.first_look import FirstLook, Looker
from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.onvif.discovery import Discovered, DiscoveryMode
from camera_gateway.onvif.model import ProbeResult
from camera_gateway.packets import SourceSettings
from storage.clock import Clock
from storage.errors import InvalidInput
from storage.identity.boxes import SecretBox


class Prober(Protocol):
    """Port: asks a device what it is (`camera_gateway.onvif.probe.DeviceProbe`)."""

    async def probe(self, address: str, port: int, username: str, password: str) -> ProbeResult:
        """Raises DeviceError."""
        ...


class Searcher(Protocol):
    """Port: finds devices (`camera_gateway.onvif.discovery.Discovery`)."""

    async def discover(self, mode: DiscoveryMode, subnets: list[str]) -> Discovered:
        """Raises InvalidInput, DeviceError."""
        ...


class ProbeBody(Body):
    """`password` for a new device, `sealed` for one whose password the catalog keeps."""

    device_id: UUID
    address: str = Field(min_length=1, max_length=255)
    port: int
    username: str = Field(max_length=255)
    password: str | None = Field(default=None, max_length=255)
    sealed: str | None = Field(default=None, max_length=4096)


class DiscoverBody(Body):
    """How and where to look."""

    mode: Literal["multicast", "unicast"]
    subnets: list[str] = Field(default=[], max_length=64)


class DeviceDesk:
    """Answers the two calls. Nothing here is kept: the console writes what it is told into the catalog."""

    def __init__(self, prober: Prober, searcher: Searcher, looker: Looker, box: SecretBox, clock: Clock) -> None:
        self._prober = prober
        self._searcher = searcher
        self._looker = looker
        self._box = box
        self._clock = clock

    async def probe(self, raw: bytes) -> dict[str, Any]:
        """Identity, channels, a picture of the first channel and the sealed password.

        Raises:
            InvalidInput: the body is wrong. DeviceError: how the device failed.
        """
        body = parse_body(ProbeBody, raw)
        password = self._password(body)
        started = self._clock.monotonic()
        result = await self._prober.probe(body.address, body.port, body.username, password)
        answer = result.as_dict()
        waited_ms = round((self._clock.monotonic() - started) * 1000)
        look = await self._look(result, body.username, password)
        answer["sealed"] = seal(self._box, body.device_id, password)
        answer["picture"] = base64.b64encode(look.picture).decode() if look.picture else None
        answer["picture_ms"] = waited_ms + look.picture_ms if look.picture else 0
        answer["picture_cause"] = look.cause
        if look.gop_ms:
            answer["channels"][0]["streams"][0]["gop_ms"] = look.gop_ms
        return answer

    async def discover(self, raw: bytes) -> dict[str, Any]:
        """Devices that answer. Raises InvalidInput, DeviceError."""
        body = parse_body(DiscoverBody, raw)
        found = await self._searcher.discover(DiscoveryMode(body.mode), body.subnets)
        names = ("address", "port", "xaddr", "name", "hardware", "serial")
        devices = [{name: asdict(device)[name] for name in names} for device in found.devices]
        return {"devices": devices, "searched": found.searched}

    async def _look(self, result: ProbeResult, username: str, password: str) -> FirstLook:
        stream = result.channels[0].streams[0]
        codec = VideoCodec(stream.codec) if stream.codec in tuple(VideoCodec) else None
        settings = SourceSettings(stream.uri, username, password, "tcp", codec)
        return await asyncio.to_thread(self._looker.look, settings, measure_gop=stream.gop_ms == 0)

    def _password(self, body: ProbeBody) -> str:
        if body.password is not None:
            return body.password
        if body.sealed is None:
            raise InvalidInput("password_missing", "either password or sealed is needed")
        try:
            box = base64.b64decode(body.sealed, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput("sealed_invalid", "sealed is no base64") from error
        return self._box.open(box, body.device_id.bytes).decode()
