"""Probing from the console's side: sealed passwords, the first picture, and answers that never repeat a secret."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from camera_gateway.api.bodies import SealBody, parse_body, seal
from camera_gateway.api.devices import DeviceDesk
from camera_gateway.api.first_look import Looker
from camera_gateway.fake_source import FakeSource
from camera_gateway.onvif.discovery import Discovered, DiscoveryMode, FoundDevice
from camera_gateway.onvif.model import ChannelFacts, DeviceFacts, ProbeResult, StreamFacts
from camera_gateway.packets import SourceFault, SourceSettings
from camera_gateway.pyav_source import with_credentials
from camera_gateway.reactor import Reactor
from storage.clock import FakeClock
from storage.errors import ConfigurationError, InvalidInput
from storage.identity.boxes import SecretBox
from storage.model import GapReason
from tests.camera_gateway.media import units

STREAM = StreamFacts("main", "profile", "rtsp://10.0.0.9/live", "h264", 320, 180, 25_000, 0, 0)
DEVICE = DeviceFacts("Maker", "Model", "1.0", "S1", "http://10.0.0.9/onvif/device_service", 80, 10, 5)


class FakeProber:
    """Answers with one channel and remembers the password it was given."""

    def __init__(self) -> None:
        self.passwords: list[str] = []

    async def probe(self, address: str, port: int, username: str, password: str) -> ProbeResult:
        self.passwords.append(password)
        return ProbeResult(DEVICE, (ChannelFacts(1, "one", "source", False, (STREAM,)),), ("clock_off",))


class FakeSearcher:
    """Finds one device."""

    async def discover(self, mode: DiscoveryMode, subnets: list[str]) -> Discovered:
        found = FoundDevice("10.0.0.9", 80, "http://10.0.0.9/x", "cam", "hw", "S1", "urn:1")
        return Discovered((found,), len(subnets))


class Desk:
    """A desk over fakes."""

    def __init__(self, folder: Path, *, fault: SourceFault | None = None) -> None:
        self.box = SecretBox.create(folder / "cameras.key")
        self.prober = FakeProber()
        self.sources: list[FakeSource] = []
        clock = FakeClock()

        def source(reactor: Reactor) -> FakeSource:
            self.sources.append(FakeSource(reactor, units("h264"), opening=fault))
            return self.sources[-1]

        self.desk = DeviceDesk(self.prober, FakeSearcher(), Looker(source, clock), self.box, clock)


def body(**values: Any) -> bytes:
    told = {"device_id": str(uuid4()), "address": "10.0.0.9", "port": 80, "username": "admin"}
    return json.dumps(told | values).encode()


async def test_a_probe_brings_a_picture_the_real_interval_and_a_sealed_password(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    device_id = uuid4()
    answer = await desk.desk.probe(body(device_id=str(device_id), password="pä ss"))
    assert base64.b64decode(answer["picture"])[:2] == b"\xff\xd8"
    assert answer["channels"][0]["streams"][0]["gop_ms"] == 1000
    assert answer["warnings"] == ["clock_off"]
    assert answer["device"]["serial"] == "S1"
    assert desk.box.open(base64.b64decode(answer["sealed"]), device_id.bytes).decode() == "pä ss"
    assert "pä ss" not in json.dumps(answer, ensure_ascii=False)

    again = await desk.desk.probe(body(device_id=str(device_id), sealed=answer["sealed"]))
    assert desk.prober.passwords == ["pä ss", "pä ss"]
    assert again["picture"] is not None
    with pytest.raises(ConfigurationError):
        await desk.desk.probe(body(sealed=answer["sealed"]))  # another device's box


async def test_a_camera_without_a_picture_can_still_be_registered(tmp_path: Path) -> None:
    desk = Desk(tmp_path, fault=SourceFault(GapReason.REFUSED, "connection refused"))
    answer = await desk.desk.probe(body(password="x"))
    assert (answer["picture"], answer["picture_cause"]) == (None, "refused")


async def test_discovery_answers_what_the_wire_promises(tmp_path: Path) -> None:
    answer = await Desk(tmp_path).desk.discover(b'{"mode": "unicast", "subnets": ["10.0.0.0/24"]}')
    assert answer["searched"] == 1
    assert set(answer["devices"][0]) == {"address", "port", "xaddr", "name", "hardware", "serial"}


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"password": "hidden"}', b'{"device_id": "hidden", "password": 7}'])
def test_wrong_bodies_are_refused_without_repeating_them(raw: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_body(SealBody, raw)
    assert "hidden" not in caught.value.message
    assert caught.value.__cause__ is None


async def test_a_probe_needs_a_password_of_some_kind(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for values in ({}, {"sealed": "!"}):
        with pytest.raises(InvalidInput):
            await desk.desk.probe(body(**values))


def test_sealing_binds_the_password_to_its_device(tmp_path: Path) -> None:
    box = SecretBox.create(tmp_path / "key")
    one, other = uuid4(), uuid4()
    sealed = base64.b64decode(seal(box, one, "secret"))
    assert box.open(sealed, one.bytes) == b"secret"
    with pytest.raises(ConfigurationError):
        box.open(sealed, other.bytes)


@pytest.mark.parametrize(
    ("uri", "user", "password", "url"),
    [
        ("rtsp://10.0.0.9:554/live?a=1", "", "", "rtsp://10.0.0.9:554/live?a=1"),
        ("rtsp://10.0.0.9/live", "admin", "p@ss:w/ö#?", "rtsp://admin:p%40ss%3Aw%2F%C3%B6%23%3F@10.0.0.9/live"),
        ("rtsp://old:secret@10.0.0.9/live", "new", "x", "rtsp://new:x@10.0.0.9/live"),
        ("rtsp://[fe80::1]:8554/live", "a", "b", "rtsp://a:b@[fe80::1]:8554/live"),
    ],
)
def test_credentials_are_percent_encoded(uri: str, user: str, password: str, url: str) -> None:
    assert with_credentials(SourceSettings(uri, user, password)) == url
