"""A camera gateway in memory: devices at addresses, as the console's services see them."""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from console.services.gateway_client import ProbeRequest
from storage.errors import DeviceError, DeviceFault, NotFound, ObjectMissing, Unavailable

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


def stream_facts(role: str, codec: str, *, gop_ms: int = 2000) -> dict[str, Any]:
    """What a probe says of one stream."""
    width, height = (1920, 1080) if role == "main" else (640, 360)
    return {
        "role": role,
        "profile_token": f"profile-{role}",
        "uri": f"rtsp://192.0.2.10:554/{role}",
        "codec": codec,
        "width": width,
        "height": height,
        "fps_milli": 25_000,
        "gop_ms": gop_ms,
        "bitrate_kbit": 2048,
    }


def device_facts(serial: str, *, channels: int = 1, codec: str = "h264", sub: str = "h264") -> dict[str, Any]:
    """What a probe says of a device, without the box."""
    return {
        "device": {
            "manufacturer": "Virtual",
            "model": "V1",
            "firmware": "1.0",
            "serial": serial,
            "xaddr": "http://192.0.2.10/onvif/device_service",
            "port": 80,
            "clock_offset_us": 250_000,
            "clock_error_us": 20_000,
        },
        "channels": [
            {
                "number": number,
                "name": f"channel {number}",
                "source_token": f"source-{number}",
                "ptz": False,
                "streams": [stream_facts("main", codec), stream_facts("sub", sub)],
            }
            for number in range(1, channels + 1)
        ],
        "picture": base64.b64encode(JPEG).decode(),
        "picture_ms": 120,
    }


@dataclass
class FakeGateway:
    """`Gateway`, `StagedReader` and `GatewayAddress`.

    `away` makes every call fail; `password` is the only one that devices take.
    """

    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    password: str = "camera-Secret-9"
    away: bool = False
    refreshed: int = 0
    sealed: dict[UUID, str] = field(default_factory=dict)
    warmed: int = 0
    counted: dict[UUID, dict[str, Any]] = field(default_factory=dict)  # of streams that it reads
    convertible: set[UUID] = field(default_factory=set)  # segments

    def probe(self, request: ProbeRequest) -> dict[str, Any]:
        self._answers()
        if request.address not in self.devices:
            raise DeviceError(DeviceFault.UNREACHABLE, "nothing answers there")
        if request.password != self.password:
            raise DeviceError(DeviceFault.WRONG_PASSWORD, "the device refused the password")
        return {
            **copy.deepcopy(self.devices[request.address]),
            "sealed": self._box(request.device_id, request.password),
        }

    def discover(self, mode: str, subnets: Sequence[str]) -> dict[str, Any]:
        self._answers()
        found = [
            {"address": address, "port": 80, "xaddr": "", "name": "cam", "hardware": "V1", "serial": serial}
            for address, facts in self.devices.items()
            if (serial := facts["device"]["serial"]) and (mode == "multicast" or subnets)
        ]
        return {"devices": found, "searched": len(self.devices)}

    def seal(self, device_id: UUID, password: str) -> str:
        self._answers()
        return self._box(device_id, password)

    def snapshot(self, stream_id: UUID) -> bytes:
        self._answers()
        if stream_id.int == 0:
            raise NotFound("stream_not_found", "no such stream")
        return JPEG

    def refresh(self) -> None:
        self._answers()
        self.refreshed += 1

    def warm(self) -> None:
        self._answers()
        self.warmed += 1

    def stats(self, gateway_id: UUID) -> dict[str, Any]:
        self._answers()
        return {"streams": {str(key): row for key, row in self.counted.items()}}

    def converted(self, gateway_id: UUID, segment_id: UUID) -> Iterator[bytes]:
        self._answers()
        if segment_id not in self.convertible:
            raise NotFound("not_convertible", "it plays as it is")
        return iter((b"derived ", b"picture"))

    def health(self) -> dict[str, Any]:
        self._answers()
        return {"ok": True}

    def read_staged(self, gateway_id: UUID, object_id: UUID, start: int, length: int | None) -> Iterator[bytes]:
        raise ObjectMissing(
            "object_missing", f"gateway {gateway_id} stages nothing from {start} on", object=str(object_id)
        )

    def live_url(self, gateway_id: UUID | None = None) -> str:
        raise Unavailable("gateway_missing", f"gateway {gateway_id} has no live socket")

    def signed(self, method: str, target: str) -> dict[str, str]:
        return {"X-Sunhall-Key": f"{method} {target}"}

    def _box(self, device_id: UUID, password: str) -> str:
        """A box that does not show the password: its characters turned round by the device's id."""
        self.sealed[device_id] = password
        return base64.b64encode(bytes(byte ^ 0xA5 for byte in password.encode()) + device_id.bytes).decode()

    def _answers(self) -> None:
        if self.away:
            raise Unavailable("gateway_away", "the camera gateway does not answer")
