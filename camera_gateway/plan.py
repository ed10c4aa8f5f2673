"""What this gateway has to do: its devices and their streams, as the catalog says now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class PlanMode(StrEnum):
    """What a stream has to do now."""

    RECORD = "record"
    STANDBY = "standby"  # connected, kept in a pre-roll ring, not recorded
    OFF = "off"  # not recorded; connected only while somebody watches


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """One registered device and how to sign in to it. The password is still sealed."""

    id: UUID
    enabled: bool
    username: str
    password_box: bytes | None
    credential_version: int
    auth_failures: int

    def __repr__(self) -> str:
        return f"DevicePlan(id={self.id}, enabled={self.enabled}, credential_version={self.credential_version})"


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One stream of a device, and what its camera's recording plan asks of it at the moment it was read."""

    id: UUID
    channel_id: UUID
    role: str  # main | sub
    uri: str
    transport: str
    codec: str
    mode: PlanMode
    device: DevicePlan
    planned: bool = True
    """Its camera's plan takes this stream: whenever it is not recorded there is a gap. False: it never is."""
    reason: str = ""
    """Why it is not recorded now, for the gap's detail: `code` or `code: name of the schedule`; empty when it is."""
    until_us: int | None = None
    """The mode may change then by the plan alone: read the plan again at that moment. None: no such edge is near."""
    pre_roll_s: int = 0
    post_roll_s: int = 0
    """A motion's recording goes on so long after its end."""
    audio: bool = False
    metadata: bool = False
    """ONVIF motion of this camera turns STANDBY (and nothing else) into recording of all its planned streams: this
    one brings the events. Changes with the plan only, not with the time of day."""
    motion_alone: bool = False
    """STANDBY that nothing but motion could end: a camera that turns out to tell none is recorded."""
    engine: str = ""  # "" (automatic) | rtsp | libav

    @property
    def recorded(self) -> bool:
        """Whether it has to be recorded now."""
        return self.mode is PlanMode.RECORD

    @property
    def connected(self) -> bool:
        """Whether its camera has to be connected, viewers or not."""
        return self.mode is not PlanMode.OFF


class PlanSource(Protocol):
    """Port: where a worker reads its share of the streams."""

    def streams(self) -> list[StreamPlan]:
        """All streams of this worker's devices that are not retired, disabled devices too. May raise Unavailable."""
        ...

    def authentication_failed(self, device_id: UUID, credential_version: int) -> None:
        """Count a refused sign-in of these credentials."""
        ...

    def authentication_succeeded(self, device_id: UUID) -> None:
        """The device let us in."""
        ...
