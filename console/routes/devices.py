"""Devices: discover, probe, register, change, retire."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from console.routes.bodies import Address, Body, Name, Port, Secret, Us
from console.routes.guard import Guard
from console.services.access import Action, Actor
from console.services.devices import Credentials, DeviceChange, Devices, SeenWindow, WantedChannel
from storage.model import CameraRole


class DiscoverBody(Body):
    """Multicast on the local network, or a scan of allowed subnets."""

    mode: Literal["multicast", "unicast"] = "multicast"
    subnets: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] = Field(default_factory=list)


class CredentialsBody(Body):
    """Where a device is and how to log in to it."""

    address: Address
    port: Port = 80
    username: Name
    password: Secret

    def at(self) -> Credentials:
        """The value for the service."""
        return Credentials(self.address, self.port, self.username, self.password.get_secret_value())


class SeenWindowBody(Body):
    """A window that a camera sees."""

    window_id: UUID
    role: CameraRole
    from_us: Us | None = None


class ChannelBody(Body):
    """A channel to register."""

    number: int
    name: Name
    windows: Annotated[list[SeenWindowBody], Field(max_length=100)] = Field(default_factory=list)

    def wanted(self) -> WantedChannel:
        """The value for the service."""
        windows = [SeenWindow(item.window_id, item.role, item.from_us) for item in self.windows]
        return WantedChannel(self.number, self.name, windows)


class NewDeviceBody(CredentialsBody):
    """A device to register with the channels that shall be recorded."""

    name: Name = ""
    channels: Annotated[list[ChannelBody], Field(min_length=1, max_length=256)] | None = None


class BatchItemBody(CredentialsBody):
    """One of several devices."""

    name: Name = ""


class BatchBody(Body):
    """Several devices at once."""

    items: Annotated[list[BatchItemBody], Field(max_length=200)]


class NewCredentialsBody(Body):
    """How to log in from now on."""

    username: Name
    password: Secret


class DeviceChangeBody(Body):
    """What to change of a device; what is left out stays."""

    name: Name | None = None
    enabled: bool | None = None
    credentials: NewCredentialsBody | None = None

    def change(self) -> DeviceChange:
        """The value for the service."""
        new = self.credentials
        return DeviceChange(
            name=self.name,
            enabled=self.enabled,
            username=new.username if new else None,
            password=new.password.get_secret_value() if new else None,
        )


def router(devices: Devices, guard: Guard) -> APIRouter:
    """Routes of devices."""
    routes = APIRouter(prefix="/api/devices", tags=["cameras"])

    @routes.post(
        "/discover",
        summary="Find devices",
        description="WS-Discovery. An empty multicast answer carries the note `local_subnet_only`.",
    )
    def discover(body: DiscoverBody, actor: Annotated[Actor, guard.actor(Action.CAMERAS_MANAGE)]) -> dict[str, Any]:
        return devices.discover(actor, body.mode, body.subnets)

    @routes.post(
        "/warm",
        status_code=204,
        summary="A probe will come soon",
        description="Lets the gateway make ready what probing needs, while somebody types an address.",
    )
    def warm(actor: Annotated[Actor, guard.actor(Action.CAMERAS_MANAGE)]) -> None:
        devices.warm()

    @routes.post(
        "/probe",
        summary="Look at a device",
        description="Logs in and answers what it is, its channels and a picture. 422 with a DeviceFault code.",
    )
    def probe(body: CredentialsBody, actor: Annotated[Actor, guard.actor(Action.CAMERAS_MANAGE)]) -> dict[str, Any]:
        return devices.probe(actor, body.at())

    @routes.post(
        "",
        status_code=201,
        summary="Register a device",
        description="Recording starts by itself. Without `channels` all are taken. 409 `already_registered`.",
    )
    def register(body: NewDeviceBody, actor: Annotated[Actor, guard.actor(Action.CAMERAS_MANAGE)]) -> dict[str, Any]:
        channels = None if body.channels is None else [item.wanted() for item in body.channels]
        return devices.register(actor, body.at(), body.name, channels)

    @routes.post(
        "/batch",
        summary="Register several devices",
        description="Each with all its channels; each succeeds or fails alone.",
    )
    def register_batch(body: BatchBody, actor: Annotated[Actor, guard.actor(Action.CAMERAS_MANAGE)]) -> dict[str, Any]:
        return {"results": devices.register_batch(actor, [(item.at(), item.name) for item in body.items])}

    @routes.get("", summary="Devices in service", description="With `auth_blocked` where log-ins have been stopped.")
    def list_devices(actor: Annotated[Actor, guard.actor(Action.CAMERAS_READ)]) -> dict[str, Any]:
        return {"devices": devices.all()}

    @routes.patch(
        "/{device_id}", summary="Change a device", description="New credentials end a stop after two failed log-ins."
    )
    def change_device(
        device_id: UUID, body: DeviceChangeBody, actor: Annotated[Actor, guard.actor(Action.CAMERAS_MANAGE)]
    ) -> dict[str, Any]:
        return devices.change(actor, device_id, body.change())

    @routes.delete(
        "/{device_id}", status_code=204, summary="Retire a device", description="It leaves service; its footage stays."
    )
    def retire(device_id: UUID, actor: Annotated[Actor, guard.actor(Action.CAMERAS_MANAGE)]) -> None:
        devices.retire(actor, device_id)

    return routes
