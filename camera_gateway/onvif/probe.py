"""Asks one device what it is: clock, identity, channels, streams; or says in which of twelve ways that failed.

Order: allow-list → connect → time without login → everything else signed with the device's time → Media2, then Media1.
Each probe runs in a thread with an event loop of its own, because zeep parses XML synchronously; the caller's loop
never waits on it, and everything is bounded by `ProbeTimeouts.total_s`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from camera_gateway.onvif.addresses import AddressPolicy, Lookup, pin_stream_uri, pin_xaddr, resolve, system_lookup
from camera_gateway.onvif.evidence import Port, connect, speaks_rtsp
from camera_gateway.onvif.model import ChannelFacts, DeviceFacts, ProbeResult, StreamFacts
from camera_gateway.onvif.profiles import Encoding, choose, clean, read_media1, read_media2, whole
from camera_gateway.onvif.soap_client import Credentials, NoSoap, NotSupported, Service, Silence, SoapClient
from storage.clock import US, Clock
from storage.errors import DeviceError, DeviceFault

CLOCK_OFF_WARNING = "clock_off"
_MAX_CHANNELS = 256
_SECOND_STEP_US = US // 2
"""ONVIF tells the time in whole seconds: the true time is half a second later, give or take half a second."""


@dataclass(frozen=True, slots=True)
class ProbeTimeouts:
    """Seconds. `total_s` bounds a whole probe, whatever the device does."""

    connect_s: float = 3.0
    answer_s: float = 8.0
    total_s: float = 30.0


@dataclass(frozen=True, slots=True)
class ClockLimits:
    """How wrong a device's clock may be: above `warn_s` a warning, above `refuse_s` no registration."""

    warn_s: float = 5.0
    refuse_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class _Offset:
    offset_us: int
    error_us: int


@dataclass(frozen=True, slots=True)
class DeviceProbe:
    """Probes devices. Safe to use from several threads and tasks at once."""

    clock: Clock
    allowed: AddressPolicy
    timeouts: ProbeTimeouts = field(default_factory=ProbeTimeouts)
    limits: ClockLimits = field(default_factory=ClockLimits)
    rtsp_ports: Sequence[int] = (554, 8554)
    lookup: Lookup = system_lookup

    async def probe(self, address: str, port: int, username: str, password: str) -> ProbeResult:
        """What the device at `address`:`port` is.

        Raises:
            DeviceError: `fault` says how it failed.
        """
        return await asyncio.to_thread(self.probe_blocking, address, port, username, password)

    def probe_blocking(self, address: str, port: int, username: str, password: str) -> ProbeResult:
        """The same for a thread without an event loop."""
        if not 0 < port < 65536:
            raise DeviceError(DeviceFault.WRONG_PORT, f"{port} is no port", port=port)
        host = str(resolve(address, self.allowed, self.timeouts.connect_s, self.lookup))
        return asyncio.run(self._bounded(_Target(address, host, port), username, password))

    async def _bounded(self, target: _Target, username: str, password: str) -> ProbeResult:
        try:
            async with asyncio.timeout(self.timeouts.total_s):
                return await self._run(target, username, password)
        except TimeoutError as error:
            message = f"the device took longer than {self.timeouts.total_s:g} s"
            raise DeviceError(DeviceFault.TIMEOUT, message, address=target.address) from error

    async def _run(self, target: _Target, username: str, password: str) -> ProbeResult:
        if await connect(target.host, target.port, self.timeouts.connect_s) is Port.REFUSED:
            raise await self._explain(target, NoSoap(Silence.REFUSED, "connection refused"))
        try:
            async with SoapClient(target.host, target.port, self.timeouts.answer_s, self.timeouts.connect_s) as client:
                offset = await self._read_clock(client)
                await client.sign_in(Credentials(username, password, offset.offset_us if offset else 0))
                return await _Conversation(client, target, self.limits, self._read_clock).read(offset)
        except NoSoap as silence:
            raise await self._explain(target, silence) from silence

    async def _read_clock(self, client: SoapClient) -> _Offset | None:
        """The device's clock against ours; None when the device does not tell strangers."""
        await client.prepare(Service.DEVICE, client.device_url)
        before, started = self.clock.now_us(), self.clock.monotonic()
        try:
            answer = await client.call(Service.DEVICE, client.device_url, "GetSystemDateAndTime")
        except NotSupported:
            return None
        except DeviceError as error:
            if error.fault in (DeviceFault.WRONG_PASSWORD, DeviceFault.PROTOCOL):
                return None
            raise
        round_trip_us = round((self.clock.monotonic() - started) * US)
        device_us = read_utc(answer)
        if device_us is None:
            return None
        middle = before + round_trip_us // 2
        return _Offset(device_us + _SECOND_STEP_US - middle, _SECOND_STEP_US + round_trip_us // 2)

    async def _explain(self, target: _Target, silence: NoSoap) -> DeviceError:
        """Which fault it is that no SOAP came, by what else can be seen."""
        where = f"{target.address}:{target.port}"
        if silence.silence is Silence.REDIRECT:
            message = f"{where} redirects ({silence.detail}); register the port it points to, plain HTTP only"
            return DeviceError(DeviceFault.WRONG_PORT, message, port=target.port)
        if silence.silence is not Silence.REFUSED and await self._rtsp(target, target.port):
            return DeviceError(DeviceFault.WRONG_PORT, f"{where} is an RTSP port; ONVIF has another", port=target.port)
        for port in self.rtsp_ports:
            if port != target.port and await self._rtsp(target, port):
                message = f"{where} has no ONVIF ({silence.detail}) but RTSP on port {port}: switch ONVIF on there"
                return DeviceError(DeviceFault.ONVIF_DISABLED, message, port=target.port, rtsp_port=port)
        if silence.silence is Silence.REFUSED:
            return DeviceError(DeviceFault.WRONG_PORT, f"{where} refuses connections", port=target.port)
        return DeviceError(DeviceFault.NOT_A_CAMERA, f"{where} is no ONVIF device: {silence.detail}", port=target.port)

    async def _rtsp(self, target: _Target, port: int) -> bool:
        return await speaks_rtsp(target.host, port, self.timeouts.connect_s)


@dataclass(frozen=True, slots=True)
class _Target:
    """`address` as registered, `host` the one IP address that it means for this conversation."""

    address: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class _Media:
    """The media service in use and its profiles."""

    service: Service
    url: str
    encodings: list[Encoding]


@dataclass(frozen=True, slots=True)
class _Conversation:
    """The signed part of a probe."""

    client: SoapClient
    target: _Target
    limits: ClockLimits
    read_clock: Callable[[SoapClient], Awaitable[_Offset | None]]

    async def read(self, offset: _Offset | None) -> ProbeResult:
        """All facts.

        Raises:
            DeviceError, NoSoap: see `SoapClient.call`.
        """
        information = await self._call(Service.DEVICE, self.client.device_url, "GetDeviceInformation")
        if not any(information.get(name) for name in ("Manufacturer", "Model", "SerialNumber")):
            raise DeviceError(DeviceFault.PROTOCOL, "the device answers SOAP, but not as an ONVIF device")
        if offset is None:  # it does not tell strangers, but now we are none
            offset = await self.read_clock(self.client)
        self._check_clock(offset)
        services = await self._services()
        channels = await self._channels(await self._media(services))
        device = DeviceFacts(
            manufacturer=clean(information.get("Manufacturer")),
            model=clean(information.get("Model")),
            firmware=clean(information.get("FirmwareVersion")),
            serial=clean(information.get("SerialNumber")),
            xaddr=pin_xaddr(self.client.device_url, self.target.address, self.target.port) or "",
            port=self.target.port,
            clock_offset_us=offset.offset_us if offset else None,
            clock_error_us=offset.error_us if offset else None,
        )
        return ProbeResult(device, tuple(channels), self._warnings(offset))

    def _check_clock(self, offset: _Offset | None) -> None:
        """After the login, so that a wrong password is told first."""
        if offset is not None and abs(offset.offset_us) > self.limits.refuse_s * US:
            seconds = offset.offset_us // US
            message = f"the device's clock is {seconds} s off; set its clock or time zone, or give it a time server"
            raise DeviceError(DeviceFault.CLOCK_OFF, message, offset_s=seconds)

    def _warnings(self, offset: _Offset | None) -> tuple[str, ...]:
        if offset is not None and abs(offset.offset_us) > self.limits.warn_s * US + offset.error_us:
            return (CLOCK_OFF_WARNING,)
        return ()

    async def _call(
        self, service: Service, url: str, operation: str, parameters: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            return await self.client.call(service, url, operation, parameters)
        except NotSupported as error:
            raise DeviceError(DeviceFault.PROTOCOL, f"the device does not know {error}") from error

    async def _services(self) -> dict[str, str]:
        """URL by namespace, pinned to the address we talk to; from GetCapabilities where GetServices is unknown."""
        try:
            answer = await self.client.call(
                Service.DEVICE, self.client.device_url, "GetServices", {"IncludeCapability": False}
            )
            found = self._pinned((_get(item, "Namespace"), _get(item, "XAddr")) for item in _listed(answer))
        except NotSupported:
            found = {}
        if Service.MEDIA2 in found or Service.MEDIA in found:
            return found
        answer = await self._call(Service.DEVICE, self.client.device_url, "GetCapabilities", {"Category": "All"})
        return found | self._pinned([(Service.MEDIA.value, _get(answer.get("Media"), "XAddr"))])

    def _pinned(self, pairs: Iterable[tuple[object, object]]) -> dict[str, str]:
        found = {}
        for namespace, xaddr in pairs:
            url = pin_xaddr(str(xaddr or ""), self.target.host, self.target.port)
            if namespace and url:
                found[str(namespace)] = url
        return found

    async def _media(self, services: Mapping[str, str]) -> _Media:
        """The media service that knows profiles to record: Media2 first, because Media1 hides H.265."""
        others = 0
        for service, parameters in ((Service.MEDIA2, {"Type": ["All"]}), (Service.MEDIA, {})):
            if service not in services:
                continue
            try:
                answer = await self.client.call(service, services[service], "GetProfiles", parameters)
            except NotSupported:
                continue
            profiles = _listed(answer)
            encodings = read_media2(profiles) if service is Service.MEDIA2 else read_media1(profiles)
            if encodings:
                return _Media(service, services[service], encodings)
            others += len(profiles)
        if others:
            message = f"none of the device's {others} profiles has H.264 or H.265 video"
            raise DeviceError(DeviceFault.UNSUPPORTED_CODEC, message, profiles=others)
        raise DeviceError(DeviceFault.NO_MEDIA, "the device offers no media profiles to this user")

    async def _channels(self, media: _Media) -> list[ChannelFacts]:
        found = []
        for number, choice in enumerate(choose(media.encodings)[:_MAX_CHANNELS], start=1):
            streams = [await self._stream(media, "main", choice.main)]
            if choice.sub is not None:
                streams.append(await self._stream(media, "sub", choice.sub))
            kept = tuple(stream for stream in streams if stream is not None)
            if kept:
                found.append(ChannelFacts(number, choice.name, choice.source_token, choice.ptz, kept))
        if not found:
            raise DeviceError(DeviceFault.NO_MEDIA, "the device gives no RTSP address for any of its profiles")
        return found

    async def _stream(self, media: _Media, role: str, encoding: Encoding) -> StreamFacts | None:
        """A stream with its address; None when the device has none to give (the profile of an empty channel)."""
        if media.service is Service.MEDIA2:
            parameters: dict[str, Any] = {"Protocol": "RTSP", "ProfileToken": encoding.token}
        else:
            setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
            parameters = {"StreamSetup": setup, "ProfileToken": encoding.token}
        try:
            answer = await self.client.call(media.service, media.url, "GetStreamUri", parameters)
        except DeviceError as error:
            if error.fault is DeviceFault.PROTOCOL:
                return None
            raise
        raw = answer.get("Uri") or answer.get("value") or ""
        uri = pin_stream_uri(clean(raw, longest=1024), self.target.address)
        if uri is None:
            return None
        return StreamFacts(
            role=role,
            profile_token=encoding.token,
            uri=uri,
            codec=encoding.codec,
            width=encoding.width,
            height=encoding.height,
            fps_milli=encoding.fps_milli,
            gop_ms=encoding.gop_ms,
            bitrate_kbit=encoding.bitrate_kbit,
        )


def read_utc(answer: Mapping[str, Any]) -> int | None:
    """The UTC time in a GetSystemDateAndTime answer, µs; None when it has none or an impossible one."""
    utc = answer.get("UTCDateTime")
    date, time = _get(utc, "Date"), _get(utc, "Time")
    parts = [_get(date, name) for name in ("Year", "Month", "Day")]
    parts += [_get(time, name) for name in ("Hour", "Minute", "Second")]
    year, month, day, hour, minute, second = (whole(part) for part in parts)
    try:
        return round(datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC).timestamp()) * US
    except (ValueError, OverflowError):
        return None


def _get(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _listed(answer: Mapping[str, Any]) -> list[object]:
    """The items of an answer that is a list, one item, or nothing."""
    value = answer.get("value", answer)
    if isinstance(value, list):
        return value
    return [value] if value else []
