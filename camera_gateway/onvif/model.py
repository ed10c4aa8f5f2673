"""What a probe finds out about a device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """The device itself. Its clock is `clock_offset_us` ahead of ours, give or take `clock_error_us`; None: unknown."""

    manufacturer: str
    model: str
    firmware: str
    serial: str
    xaddr: str
    port: int
    clock_offset_us: int | None
    clock_error_us: int | None


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """A stream as the device declares it; what it really sends is measured elsewhere. Zero: not declared."""

    role: str
    profile_token: str
    uri: str
    codec: str
    width: int
    height: int
    fps_milli: int
    gop_ms: int
    bitrate_kbit: int


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """One picture of the device, numbered from 1 in the device's own order."""

    number: int
    name: str
    source_token: str
    ptz: bool
    streams: tuple[StreamFacts, ...]


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Everything a probe found. `warnings` are codes such as `clock_off`."""

    device: DeviceFacts
    channels: tuple[ChannelFacts, ...]
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The form of docs/interfaces.md, section 4, plus `warnings`."""
        return {
            "device": asdict(self.device),
            "channels": [asdict(channel) for channel in self.channels],
            "warnings": list(self.warnings),
        }
