"""What a virtual hall consists of: devices, their channels and streams, and their oddities by name."""

from __future__ import annotations

import dataclasses
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from deploy.virtual_camera.encode import VideoShape

SUB = VideoShape("h264", 640, 360, 10, 20)
MAIN = VideoShape("h264", 960, 540, 12, 24)
HD = VideoShape("h264", 1280, 720, 15, 30)
HEVC = VideoShape("h265", 1280, 720, 15, 30)
_SERIALS = uuid.UUID("5b1f6f0e-8a7d-4f43-9d5b-0c8f2f6d7a11")


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One stream. A live one shows the true time; a loop is coded once and kept."""

    shape: VideoShape
    live: bool = True


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """One picture (video source) of a device."""

    name: str
    main: StreamPlan
    sub: StreamPlan | None = StreamPlan(SUB)


@dataclass(frozen=True, slots=True)
class Oddities:
    """What real devices do wrong. The defaults are a device that behaves."""

    clock_offset_s: float = 0.0
    """The device's clock is this much ahead."""
    clock_needs_password: bool = False
    """GetSystemDateAndTime is refused without credentials (seen with Axis)."""
    tolerance_s: float = 5.0
    """How old a token may be, by the device's clock."""
    refuse_replays: bool = False
    """A token is taken once."""
    lock_after: int = 0
    """The account is locked after so many wrong passwords (seen with Hikvision: 5 to 7, half an hour)."""
    onvif: str = "on"
    """`on`, `404` (the web server answers, ONVIF is off) or `refused` (the port is closed, RTSP lives)."""
    foreign_xaddr: bool = False
    """XAddrs and stream addresses name a host and port that are wrong (NAT, factory default)."""
    media2: bool = True
    hide_h265: bool = False
    """Media1 lists an H.265 profile without its encoder (seen with Dahua and Hikvision)."""
    in_band_only: bool = False
    """The SDP has no parameter sets; they come in the stream alone."""
    http_digest_only: bool = False
    """WS-UsernameToken is ignored; HTTP digest is asked for."""
    fault_status: int = 400
    """HTTP status of a SOAP fault: 400, 401, 500 or, against the rules, 200."""
    session_limit: int = 0
    """Most RTSP clients that may play at a time; 0: no limit."""
    empty_profile: bool = False
    """An extra profile without encoder."""


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """One device."""

    number: int
    name: str
    channels: tuple[ChannelPlan, ...]
    username: str = "admin"
    password: str = ""
    manufacturer: str = "Sunhall Virtual"
    model: str = "SVC-540"
    firmware: str = "1.0.0"
    oddities: Oddities = field(default_factory=Oddities)

    @property
    def serial(self) -> str:
        """A serial number that stays the same for a number."""
        return f"SHVC{self.number:06d}"

    @property
    def endpoint(self) -> str:
        """The WS-Discovery endpoint reference."""
        return f"urn:uuid:{uuid.uuid5(_SERIALS, self.serial)}"

    @property
    def mac(self) -> str:
        """A locally administered MAC address."""
        return f"02:53:48:00:{self.number >> 8 & 255:02x}:{self.number & 255:02x}"


_DEMO = (
    ("1号窗口 正面", "SVC-540", StreamPlan(MAIN)),
    ("2号窗口 正面", "SVC-540", StreamPlan(MAIN)),
    ("大厅全景", "SVC-H265", StreamPlan(HEVC, live=False)),
    ("1号窗口 俯拍", "SVC-540", StreamPlan(MAIN)),
    ("取号区 全景", "SVC-720", StreamPlan(HD)),
    ("大厅入口 室外", "SVC-720", StreamPlan(HD)),
)


def demo_device(number: int, password: str, oddities: Oddities | None = None) -> DevicePlan:
    """Device `number` (from 1) of the demo hall; the third is the H.265 one, from the seventh on they are all alike."""
    name, model, main = _DEMO[number - 1] if number <= len(_DEMO) else (f"{number}号机位", "SVC-540", StreamPlan(MAIN))
    channels = (ChannelPlan(name, main),)
    return DevicePlan(number, name, channels, password=password, model=model, oddities=oddities or Oddities())


def demo_hall(cameras: int, password: str) -> tuple[DevicePlan, ...]:
    """The devices of the demo."""
    return tuple(demo_device(number, password) for number in range(1, cameras + 1))


def recorder(number: int, channels: int, password: str) -> DevicePlan:
    """A network video recorder: one address, many channels."""
    plans = tuple(ChannelPlan(f"{channel:02d}通道", StreamPlan(MAIN)) for channel in range(1, channels + 1))
    return DevicePlan(number, f"录像机{number}", plans, password=password, model=f"SVR-{channels}")


def to_json(devices: tuple[DevicePlan, ...]) -> str:
    """The plan as text for `--plan`."""
    return json.dumps([dataclasses.asdict(device) for device in devices], ensure_ascii=False)


def from_json(text: str) -> tuple[DevicePlan, ...]:
    """The plan that `to_json` wrote."""
    return tuple(_device(item) for item in json.loads(text))


def _device(item: dict[str, Any]) -> DevicePlan:
    channels = tuple(
        ChannelPlan(channel["name"], _stream(channel["main"]), _stream(channel["sub"]) if channel["sub"] else None)
        for channel in item["channels"]
    )
    return DevicePlan(**{**item, "channels": channels, "oddities": Oddities(**item["oddities"])})


def _stream(item: dict[str, Any]) -> StreamPlan:
    return StreamPlan(VideoShape(**item["shape"]), item["live"])
