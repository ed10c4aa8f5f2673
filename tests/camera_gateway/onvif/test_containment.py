"""What onvif-zeep-async would do to its process, and does not do to ours."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from blockbuster import BlockBuster

from camera_gateway.onvif.probe import DeviceProbe, ProbeTimeouts
from deploy.virtual_camera.process import VirtualHall
from storage.errors import DeviceError
from tests.camera_gateway.onvif import conftest as devices
from tests.camera_gateway.onvif.conftest import PASSWORD
from tests.fakes.onvif_servers import black_hole, serving

_IMPORT = """
import logging
import camera_gateway.onvif.soap_client
assert logging.getLogger().handlers == [], logging.getLogger().handlers
assert logging.getLogger().level == logging.WARNING
"""


def test_importing_sets_up_no_logging() -> None:
    subprocess.run([sys.executable, "-c", _IMPORT], check=True, timeout=60)


@pytest.mark.net
async def test_proxy_settings_stay_and_are_not_used(
    probe: DeviceProbe, hall: VirtualHall, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    result = await probe.probe("127.0.0.1", hall.camera(devices.NORMAL).onvif_port, "admin", PASSWORD)
    assert result.device.serial
    assert os.environ["http_proxy"] == os.environ["https_proxy"] == "http://127.0.0.1:9"


class _Connections:
    """Where this process connects to, by Python's audit events (they cannot be removed, so it is switched)."""

    def __init__(self) -> None:
        self.on = False
        self.hosts: set[str] = set()
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.on:
            return
        if event == "socket.getaddrinfo":
            self.hosts.add(str(arguments[0]))
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            self.hosts.add(str(arguments[1][0]))


@pytest.fixture
def connections() -> Iterator[_Connections]:
    """Records hosts during a test."""
    found = _Connections()
    found.on = True
    yield found
    found.on = False


@pytest.mark.net
@pytest.mark.parametrize("number", [devices.NORMAL, devices.FOREIGN, devices.MEDIA1_ONLY])
async def test_nothing_is_fetched_from_anywhere_else(
    probe: DeviceProbe, hall: VirtualHall, connections: _Connections, number: int
) -> None:
    """Interface descriptions come with the packages, and foreign XAddrs are not visited."""
    await probe.probe("127.0.0.1", hall.camera(number).onvif_port, "admin", PASSWORD)
    assert connections.hosts == {"127.0.0.1"}


@pytest.fixture
def buster() -> Iterator[BlockBuster]:
    """Makes every blocking call in an event loop raise."""
    guard = BlockBuster()
    guard.activate()
    yield guard
    guard.deactivate()


@pytest.mark.net
@pytest.mark.usefixtures("buster")
async def test_a_probe_blocks_nobodys_event_loop(probe: DeviceProbe, hall: VirtualHall) -> None:
    port = hall.camera(devices.RECORDER).onvif_port
    assert len((await probe.probe("127.0.0.1", port, "admin", PASSWORD)).channels) == 16


@pytest.mark.net
async def test_a_hung_device_leaves_the_loop_free(probe: DeviceProbe) -> None:
    """The loop turns thousands of times while a probe waits for a device that never answers."""
    turns = 0
    hasty = replace(probe, timeouts=ProbeTimeouts(connect_s=5, answer_s=0.5, total_s=20))
    with serving(black_hole) as port:
        waiting = asyncio.create_task(hasty.probe("127.0.0.1", port, "admin", "secret"))
        while not waiting.done():
            turns += 1
            await asyncio.sleep(0)
        with pytest.raises(DeviceError):
            await waiting
    assert turns > 100


@pytest.mark.net
async def test_many_probes_run_at_once(probe: DeviceProbe, hall: VirtualHall) -> None:
    port = hall.camera(devices.NORMAL).onvif_port
    results = await asyncio.gather(*(probe.probe("127.0.0.1", port, "admin", PASSWORD) for _ in range(8)))
    assert len({result.device.serial for result in results}) == 1
