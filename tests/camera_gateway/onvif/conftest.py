"""A virtual hall of devices that behave and devices that do not, started once for all tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from camera_gateway.onvif.addresses import LOOPBACK_SUBNETS, AddressPolicy
from camera_gateway.onvif.probe import DeviceProbe, ProbeTimeouts
from deploy.virtual_camera.plan import HEVC, SUB, ChannelPlan, DevicePlan, Oddities, StreamPlan, demo_device, recorder
from deploy.virtual_camera.process import VirtualHall
from storage.clock import SystemClock

PASSWORD = "p@ss wörd/#1?&<中文>"

NORMAL, CLOCK_75_S, CLOCK_8_H, LOCKS, OFF_404, OFF_REFUSED, FOREIGN, RECORDER = range(1, 9)
MEDIA1_ONLY, DIGEST_ONLY, FAULTS_200, SECRET_CLOCK, EMPTY_PROFILE, H265, H265_HIDDEN, LOOPS = range(9, 17)

_ODDITIES = {
    NORMAL: Oddities(refuse_replays=True),
    CLOCK_75_S: Oddities(clock_offset_s=75),
    CLOCK_8_H: Oddities(clock_offset_s=8 * 3600),
    LOCKS: Oddities(lock_after=2),
    OFF_404: Oddities(onvif="404"),
    OFF_REFUSED: Oddities(onvif="refused"),
    FOREIGN: Oddities(foreign_xaddr=True),
    MEDIA1_ONLY: Oddities(media2=False),
    DIGEST_ONLY: Oddities(http_digest_only=True),
    FAULTS_200: Oddities(fault_status=200),
    SECRET_CLOCK: Oddities(clock_needs_password=True),
    EMPTY_PROFILE: Oddities(empty_profile=True),
    H265: Oddities(),
    H265_HIDDEN: Oddities(media2=False, hide_h265=True),
}


def _device(number: int, oddities: Oddities) -> DevicePlan:
    plan = replace(demo_device(1, PASSWORD, oddities), number=number)
    if number in (H265, H265_HIDDEN):
        return replace(plan, channels=(ChannelPlan("大厅全景", StreamPlan(HEVC, live=False), StreamPlan(SUB)),))
    return plan


@pytest.fixture(scope="session")
def hall() -> Iterator[VirtualHall]:
    """All the devices above."""
    devices = [_device(number, oddities) for number, oddities in _ODDITIES.items()]
    with VirtualHall((*devices, recorder(RECORDER, 16, PASSWORD))) as running:
        yield running


@pytest.fixture
def timeouts() -> ProbeTimeouts:
    """Generous for a loaded machine."""
    return ProbeTimeouts(connect_s=5, answer_s=15, total_s=40)


@pytest.fixture
def probe(timeouts: ProbeTimeouts) -> DeviceProbe:
    """A probe that may talk to loopback and knows no RTSP port to try."""
    return DeviceProbe(SystemClock(), AddressPolicy.of(LOOPBACK_SUBNETS), timeouts, rtsp_ports=())
