"""The console's client against the gateway itself and a virtual camera: both ends of interfaces.md, section 4."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from console.services.gateway_client import HttpGateway, ProbeRequest
from storage.archive.staging import StagingFolder
from storage.errors import DeviceError, DeviceFault, InvalidInput, ObjectMissing, Unavailable
from storage.identity.boxes import SecretBox
from storage.identity.keys import DeviceKey
from tests.camera_gateway.hall import Hall, free_port
from tests.e2e.cameras import virtual_cameras

pytestmark = pytest.mark.net

PASSWORD = "a-camera-Word-7"
STAGED = bytes(range(256)) * 40


@dataclass
class Both:
    """A hall with a running gateway, a camera, and the console's client."""

    hall: Hall
    camera: dict[str, Any]
    client: HttpGateway
    http: httpx.Client

    def at(self, **changes: Any) -> ProbeRequest:
        """The camera with its right password, unless told."""
        known = {"address": "127.0.0.1", "port": self.camera["onvif_port"], "username": "admin", "password": PASSWORD}
        return ProbeRequest(**{"device_id": uuid4(), **known, **changes})

    def stranger(self) -> HttpGateway:
        """A client whose key the gateway does not know."""
        key = DeviceKey.create(self.hall.root / f"{uuid4()}.key")
        return HttpGateway(self.http, self.hall.catalog, key, self.hall.console_id, self.hall.clock, self.url)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.hall.port}"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    root = tmp_path_factory.mktemp("both")
    hall = Hall(root / "hall")
    with virtual_cameras(root / "cameras", 1, PASSWORD) as cameras, hall.gateway(), httpx.Client(timeout=30) as http:
        url = f"http://127.0.0.1:{hall.port}"
        client = HttpGateway(http, hall.catalog, hall.console, hall.console_id, hall.clock, url)
        yield Both(hall, cameras[0], client, http)
    hall.close()


def test_a_probe_answers_what_registering_reads(both: Both) -> None:
    request = both.at()
    answer = both.client.probe(request)
    assert answer["device"]["serial"]
    assert {"port", "clock_offset_us", "clock_error_us", "xaddr"} <= answer["device"].keys()
    streams = answer["channels"][0]["streams"]
    assert {item["role"] for item in streams} >= {"main"}
    assert all(item["uri"].startswith("rtsp://127.0.0.1") and PASSWORD not in item["uri"] for item in streams)
    assert opened(both.hall, answer["sealed"], request.device_id) == PASSWORD


def opened(hall: Hall, sealed: str, device_id: UUID) -> str:
    """What a box holds: only the gateway's key opens it, and only for that device."""
    box = SecretBox.load(hall.root / "keys" / "cameras.key")
    return box.open(base64.b64decode(sealed), device_id.bytes).decode()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"password": "another-Word-8"}, DeviceFault.WRONG_PASSWORD),
        ({"port": 0}, DeviceFault.WRONG_PORT),  # one where nobody listens
        ({"address": "no..name"}, DeviceFault.UNREACHABLE),
        ({"address": "198.51.100.7"}, DeviceFault.ADDRESS_NOT_ALLOWED),
    ],
)
def test_how_a_probe_fails(both: Both, changes: dict[str, Any], fault: DeviceFault) -> None:
    if changes.get("port") == 0:
        changes = {"port": free_port()}
    with pytest.raises(DeviceError) as raised:
        both.client.probe(both.at(**changes))
    assert raised.value.code == fault.value
    said = f"{raised.value.message} {raised.value.fields}"
    assert PASSWORD not in said
    assert "another-Word-8" not in said


def test_a_search_says_how_much_was_searched_and_keeps_to_allowed_subnets(both: Both) -> None:
    answer = both.client.discover("unicast", ["127.0.0.1/32"])
    assert isinstance(answer["devices"], list)
    assert answer["searched"] >= 1
    with pytest.raises((InvalidInput, DeviceError)):
        both.client.discover("unicast", ["198.51.100.0/24"])
    with pytest.raises(InvalidInput):
        both.client.discover("broadcast", [])


def test_a_sealed_password_opens_for_its_device_only(both: Both) -> None:
    device_id = uuid4()
    assert opened(both.hall, both.client.seal(device_id, PASSWORD), device_id) == PASSWORD


def test_a_snapshot_of_a_stream_that_nobody_knows(both: Both) -> None:
    with pytest.raises((DeviceError, Unavailable)) as raised:
        both.client.snapshot(uuid4())
    assert raised.value.code != "gateway_error"


def test_a_staged_object_is_read_by_ranges_and_its_absence_said(both: Both) -> None:
    object_id = uuid4()
    path = staged_path(both.hall, object_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(STAGED)
    for start, length in ((0, None), (0, 10), (300, 700), (len(STAGED) - 5, None)):
        end = None if length is None else start + length
        pieces = both.client.read_staged(both.hall.gateway_id, object_id, start, length)
        assert b"".join(pieces) == STAGED[start:end]
    with pytest.raises(InvalidInput):
        both.client.read_staged(both.hall.gateway_id, object_id, len(STAGED) + 1, 5)
    with pytest.raises(ObjectMissing):
        both.client.read_staged(both.hall.gateway_id, uuid4(), 0, None)


def staged_path(hall: Hall, object_id: UUID) -> Path:
    return StagingFolder(hall.root / "staging", hall.gateway_id).path(object_id)


def test_refresh_and_health_answer(both: Both) -> None:
    both.client.refresh()
    assert {"ok", "workers", "staging_bytes", "disk_free_bytes"} <= both.client.health().keys()


def test_a_stranger_and_a_gateway_that_is_not_there_are_unavailable(both: Both) -> None:
    with pytest.raises(Unavailable) as refused:
        both.stranger().health()
    assert refused.value.code == "gateway_error"
    away = HttpGateway(
        both.http,
        both.hall.catalog,
        both.hall.console,
        both.hall.console_id,
        both.hall.clock,
        f"http://127.0.0.1:{free_port()}",
    )
    with pytest.raises(Unavailable) as missing:
        away.health()
    assert missing.value.code == "gateway_away"
