"""What this gateway has to do: its devices and their streams, as the catalog says now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


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
    """One stream of a device."""

    id: UUID
    channel_id: UUID
    role: str  # main | sub
    uri: str
    transport: str
    codec: str
    recorded: bool
    device: DevicePlan


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
