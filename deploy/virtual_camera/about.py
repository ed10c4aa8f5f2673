"""What all services of a virtual device know: its plan, its account, its addresses and its profiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from deploy.virtual_camera.accounts import Accounts
from deploy.virtual_camera.plan import ChannelPlan, DevicePlan, StreamPlan
from deploy.virtual_camera.soap import Call, SoapFault

FOREIGN_HOST = "192.0.2.64"
"""The host that a device with a wrong XAddr names (TEST-NET-1: never answers)."""

Handlers = dict[tuple[str, str], Callable[[Call], str]]
"""By namespace and operation: from the call to the response element."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A media profile: one stream of one channel, or an empty one."""

    token: str
    name: str
    channel: int
    plan: ChannelPlan
    stream: StreamPlan | None

    @property
    def source(self) -> str:
        """The video source's token."""
        return f"vs{self.channel}"


def profiles(device: DevicePlan) -> list[Profile]:
    """All profiles, main before sub, channel by channel."""
    found = []
    for number, channel in enumerate(device.channels, start=1):
        found.append(Profile(f"ch{number}_main", "mainStream", number, channel, channel.main))
        if channel.sub is not None:
            found.append(Profile(f"ch{number}_sub", "subStream", number, channel, channel.sub))
        if device.oddities.empty_profile:
            found.insert(0, Profile(f"ch{number}_none", "empty", number, channel, None))
    return found


def stream_path(token: str) -> str:
    """The RTSP path of a profile's stream."""
    return f"/stream/{token}"


@dataclass(frozen=True, slots=True)
class About:
    """One device. `addresses` gives (host, ONVIF port, RTSP port) as they are."""

    device: DevicePlan
    accounts: Accounts
    addresses: Callable[[], tuple[str, int, int]]

    def xaddr(self, service: str) -> str:
        """Where the device says that a service is."""
        host, port, _ = self.addresses()
        if self.device.oddities.foreign_xaddr:
            host, port = FOREIGN_HOST, 80
        return f"http://{host}:{port}/onvif/{service}_service"

    def stream_uri(self, token: str) -> str:
        host, _, port = self.addresses()
        host = FOREIGN_HOST if self.device.oddities.foreign_xaddr else host
        return f"rtsp://{host}:{port}{stream_path(self.profile(token).token)}"

    def snapshot_uri(self, token: str) -> str:
        host, port, _ = self.addresses()
        return f"http://{host}:{port}/onvif/snapshot/{quote(self.profile(token).token)}"

    def profile(self, token: str) -> Profile:
        for profile in profiles(self.device):
            if profile.token == token and profile.stream is not None:
                return profile
        raise SoapFault("Sender", ("ter:InvalidArgVal", "ter:NoProfile"), "no such profile")

    def scopes(self) -> list[str]:
        """The device's scopes, as WS-Discovery and GetScopes give them."""
        base = "onvif://www.onvif.org"
        return [
            f"{base}/type/video_encoder",
            f"{base}/Profile/Streaming",
            f"{base}/Profile/T",
            f"{base}/name/{quote(self.device.name)}",
            f"{base}/hardware/{quote(self.device.model)}",
            f"{base}/location/hall",
            f"{base}/serial/{self.device.serial}",
        ]

    def with_stream(self) -> Iterator[tuple[Profile, StreamPlan]]:
        for profile in profiles(self.device):
            if profile.stream is not None:
                yield profile, profile.stream

    def mains(self) -> Iterator[Profile]:
        return (profile for profile in profiles(self.device) if profile.token.endswith("_main"))
