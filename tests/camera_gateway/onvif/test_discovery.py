"""WS-Discovery messages, and searches against a real virtual hall and an independent implementation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from camera_gateway.onvif import ws_discovery
from camera_gateway.onvif.addresses import LOOPBACK_SUBNETS, AddressPolicy
from camera_gateway.onvif.discovery import Discovery, DiscoveryMode
from camera_gateway.onvif.ws_discovery import Match, place, probe_message, read_matches
from deploy.virtual_camera.announce import read_probe
from deploy.virtual_camera.plan import demo_hall
from deploy.virtual_camera.process import VirtualHall
from storage.clock import SystemClock
from storage.errors import DeviceError, DeviceFault, InvalidInput
from tests.fakes.onvif_servers import ENTITY_BOMB, answers, serving

_ID = UUID("6bbdae2d-f229-42c8-a27b-93880fb80826")
_MATCH = """<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery">
 <s:Header><a:RelatesTo>{relates}</a:RelatesTo></s:Header><s:Body><d:ProbeMatches><d:ProbeMatch>
 <a:EndpointReference><a:Address>urn:uuid:1</a:Address></a:EndpointReference>
 <d:Scopes>onvif://www.onvif.org/name/%E9%97%A8%E5%8F%A3 onvif://www.onvif.org/hardware/DS-2CD</d:Scopes>
 <d:XAddrs>http://192.168.1.64/onvif/device_service http://[fe80::1]/onvif/device_service</d:XAddrs>
 </d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"""


@pytest.mark.parametrize("relates", [f"urn:uuid:{_ID}", f"uuid:{_ID}", str(_ID).upper()])
def test_a_match_is_read(relates: str) -> None:
    (match,) = read_matches(_MATCH.format(relates=relates).encode(), frozenset({_ID}))
    assert (match.endpoint, match.name, match.hardware, match.serial) == ("urn:uuid:1", "门口", "DS-2CD", "")
    assert match.xaddrs[0] == "http://192.168.1.64/onvif/device_service"


@pytest.mark.parametrize(
    "data", [b"", b"hello", ENTITY_BOMB, _MATCH.format(relates=f"urn:uuid:{uuid4()}").encode(), probe_message(_ID)]
)
def test_what_answers_no_probe_of_ours_is_ignored(data: bytes) -> None:
    assert read_matches(data, frozenset({_ID})) == []


def test_our_probe_is_understood_by_a_device() -> None:
    assert read_probe(probe_message(_ID)) == f"urn:uuid:{_ID}"


def test_a_device_is_looked_for_where_its_answer_came_from() -> None:
    match = Match("e", ("http://10.0.0.9:8080/a", "http://192.168.1.64:81/b"), "", "", "")
    assert place(match, "192.168.1.64") == ("192.168.1.64", 81, "http://192.168.1.64:81/b")
    assert place(match, "192.168.1.65") == ("192.168.1.65", 8080, "http://10.0.0.9:8080/a")
    assert place(replace(match, xaddrs=("ftp://x/", "http://x:bad/")), "192.168.1.65") is None


@pytest.fixture
def discovery() -> Discovery:
    """A search that may ask loopback and does not knock at any port."""
    allowed = AddressPolicy.of(LOOPBACK_SUBNETS)
    return Discovery(SystemClock(), allowed, wait_s=1.0, scan_ports=(), interfaces=lambda: ["127.0.0.1"])


_PORT = 13_702


@pytest.fixture(scope="module")
def announced() -> Iterator[VirtualHall]:
    """Three cameras that answer probes on a port of their own."""
    with VirtualHall(demo_hall(3, "secret"), discovery_port=_PORT) as hall:
        yield hall


def _expected(hall: VirtualHall) -> list[tuple[str, int, str]]:
    return [(camera.name, camera.onvif_port, camera.serial) for camera in hall.cameras]


@pytest.mark.net
async def test_multicast_finds_each_camera_once(discovery: Discovery, announced: VirtualHall) -> None:
    here = replace(discovery, discovery_port=_PORT, interfaces=lambda: ["127.0.0.1", "127.0.0.1"])
    found = await here.discover(DiscoveryMode.MULTICAST)
    assert found.searched == 2
    devices = [(device.name, device.port, device.serial) for device in found.devices]
    assert sorted(devices) == sorted(_expected(announced))
    assert {device.address for device in found.devices} == {"127.0.0.1"}
    assert found.devices[0].hardware.startswith("SVC-")
    assert found.devices[0].xaddr.endswith("/onvif/device_service")


@pytest.mark.net
async def test_unicast_asks_each_address_of_a_subnet(discovery: Discovery, announced: VirtualHall) -> None:
    here = replace(discovery, discovery_port=_PORT)
    found = await here.discover(DiscoveryMode.UNICAST, ["127.0.0.0/29"])
    assert found.searched == 6
    assert sorted((d.name, d.port, d.serial) for d in found.devices) == sorted(_expected(announced))


@pytest.mark.net
async def test_a_camera_that_is_silent_on_udp_is_found_by_knocking(
    discovery: Discovery, announced: VirtualHall
) -> None:
    port = announced.camera(2).onvif_port
    with serving(answers(b"<html/>")) as web:
        here = replace(discovery, discovery_port=_PORT + 1, scan_ports=(web, announced.camera(2).rtsp_port, port))
        found = await here.discover(DiscoveryMode.UNICAST, ["127.0.0.1/32"])
    assert [(device.address, device.port) for device in found.devices] == [("127.0.0.1", port)]


@pytest.mark.net
async def test_answers_from_outside_the_list_are_not_believed(discovery: Discovery, announced: VirtualHall) -> None:
    here = replace(discovery, discovery_port=_PORT, allowed=AddressPolicy.of(("10.0.0.0/8",)))
    assert (await here.discover(DiscoveryMode.MULTICAST)).devices == ()
    assert announced.cameras


@pytest.mark.parametrize("subnet", ["8.8.8.0/24", "0.0.0.0/0", "10.0.0.0/8"])
async def test_subnets_outside_the_list_are_refused(discovery: Discovery, subnet: str) -> None:
    with pytest.raises(DeviceError) as caught:
        await discovery.discover(DiscoveryMode.UNICAST, [subnet])
    assert caught.value.fault is DeviceFault.ADDRESS_NOT_ALLOWED


async def test_a_search_has_a_limit(discovery: Discovery) -> None:
    with pytest.raises(InvalidInput) as caught:
        await discovery.discover(DiscoveryMode.UNICAST, ["127.0.0.0/16"])
    assert caught.value.code == "subnet_large"


async def test_what_is_no_subnet_is_refused(discovery: Discovery) -> None:
    with pytest.raises(InvalidInput) as caught:
        await discovery.discover(DiscoveryMode.UNICAST, ["hall"])
    assert caught.value.code == "subnet_invalid"


def test_the_group_and_port_are_the_standards() -> None:
    assert (ws_discovery.GROUP, ws_discovery.PORT) == ("239.255.255.250", 3702)
