"""Real SOAP between our client and the virtual cameras."""

from __future__ import annotations

from dataclasses import replace

import pytest

from camera_gateway.onvif.model import ProbeResult
from camera_gateway.onvif.probe import ClockLimits, DeviceProbe
from deploy.virtual_camera.process import VirtualHall
from storage.clock import US
from storage.errors import DeviceError, DeviceFault
from tests.camera_gateway.onvif import conftest as devices
from tests.camera_gateway.onvif.conftest import PASSWORD

pytestmark = pytest.mark.net


async def _probe(probe: DeviceProbe, hall: VirtualHall, number: int, password: str = PASSWORD) -> ProbeResult:
    camera = hall.camera(number)
    return await probe.probe("127.0.0.1", camera.onvif_port, "admin", password)


async def _fault(probe: DeviceProbe, hall: VirtualHall, number: int, password: str = PASSWORD) -> DeviceFault:
    with pytest.raises(DeviceError) as caught:
        await _probe(probe, hall, number, password)
    return caught.value.fault


async def test_a_camera_tells_what_it_is(probe: DeviceProbe, hall: VirtualHall) -> None:
    camera = hall.camera(devices.NORMAL)
    result = await _probe(probe, hall, devices.NORMAL)
    assert (result.device.manufacturer, result.device.model) == ("Sunhall Virtual", "SVC-540")
    assert result.device.serial == camera.serial
    assert result.device.xaddr == camera.onvif_url
    assert result.device.port == camera.onvif_port
    assert result.warnings == ()
    (channel,) = result.channels
    assert (channel.number, channel.name, channel.source_token, channel.ptz) == (1, "1号窗口 正面", "vs1", False)
    main, sub = channel.streams
    assert (main.role, main.codec, main.width, main.height) == ("main", "h264", 960, 540)
    assert (main.fps_milli, main.gop_ms, main.uri) == (12_000, 2000, camera.stream("main").uri)
    assert (sub.role, sub.codec, sub.width, sub.height, sub.uri) == ("sub", "h264", 640, 360, camera.stream("sub").uri)


async def test_the_result_has_the_form_of_the_gateway_api(probe: DeviceProbe, hall: VirtualHall) -> None:
    answer = (await _probe(probe, hall, devices.NORMAL)).as_dict()
    assert set(answer) == {"device", "channels", "warnings"}
    device = {"manufacturer", "model", "firmware", "serial", "xaddr", "port", "clock_offset_us", "clock_error_us"}
    assert set(answer["device"]) == device
    assert set(answer["channels"][0]) == {"number", "name", "source_token", "ptz", "streams"}
    stream = {"role", "profile_token", "uri", "codec", "width", "height", "fps_milli", "gop_ms", "bitrate_kbit"}
    assert set(answer["channels"][0]["streams"][0]) == stream


async def test_the_clock_is_measured_to_the_error_it_states(probe: DeviceProbe, hall: VirtualHall) -> None:
    for number, offset_s in ((devices.NORMAL, 0), (devices.CLOCK_75_S, 75)):
        device = (await _probe(probe, hall, number)).device
        assert device.clock_offset_us is not None
        assert device.clock_error_us is not None
        assert abs(device.clock_offset_us - offset_s * US) <= device.clock_error_us


async def test_a_clock_75_s_off_is_signed_for_and_warned_of(probe: DeviceProbe, hall: VirtualHall) -> None:
    result = await _probe(probe, hall, devices.CLOCK_75_S)
    assert result.warnings == ("clock_off",)
    assert len(result.channels) == 1


async def test_a_clock_far_off_is_refused_but_only_after_the_password(probe: DeviceProbe, hall: VirtualHall) -> None:
    assert await _fault(probe, hall, devices.CLOCK_8_H) is DeviceFault.CLOCK_OFF
    assert await _fault(probe, hall, devices.CLOCK_8_H, "wrong") is DeviceFault.WRONG_PASSWORD
    patient = replace(probe, limits=ClockLimits(warn_s=5, refuse_s=86_400))
    assert (await _probe(patient, hall, devices.CLOCK_8_H)).warnings == ("clock_off",)


async def test_a_wrong_password_is_one_failed_login(probe: DeviceProbe, hall: VirtualHall) -> None:
    before = hall.state(devices.FOREIGN)["failed_logins"]
    assert await _fault(probe, hall, devices.FOREIGN, "wrong") is DeviceFault.WRONG_PASSWORD
    assert hall.state(devices.FOREIGN)["failed_logins"] == before + 1


@pytest.mark.parametrize("number", [devices.FAULTS_200, devices.DIGEST_ONLY, devices.MEDIA1_ONLY])
async def test_a_wrong_password_is_seen_however_the_device_says_it(
    probe: DeviceProbe, hall: VirtualHall, number: int
) -> None:
    assert await _fault(probe, hall, number, "wrong") is DeviceFault.WRONG_PASSWORD


async def test_a_locked_account_is_told_from_a_wrong_password(probe: DeviceProbe, hall: VirtualHall) -> None:
    hall.change(devices.LOCKS, password=PASSWORD)
    assert await _fault(probe, hall, devices.LOCKS, "wrong") is DeviceFault.WRONG_PASSWORD
    assert await _fault(probe, hall, devices.LOCKS, "wrong") is DeviceFault.WRONG_PASSWORD
    assert await _fault(probe, hall, devices.LOCKS) is DeviceFault.ACCOUNT_LOCKED
    hall.change(devices.LOCKS, password=PASSWORD)
    assert (await _probe(probe, hall, devices.LOCKS)).device.serial


@pytest.mark.parametrize("number", [devices.OFF_404, devices.OFF_REFUSED])
async def test_onvif_switched_off_is_seen_by_rtsp_that_lives(
    probe: DeviceProbe, hall: VirtualHall, number: int
) -> None:
    knowing = replace(probe, rtsp_ports=(hall.camera(number).rtsp_port,))
    assert await _fault(knowing, hall, number) is DeviceFault.ONVIF_DISABLED


async def test_without_rtsp_a_closed_port_is_a_wrong_port(probe: DeviceProbe, hall: VirtualHall) -> None:
    assert await _fault(probe, hall, devices.OFF_REFUSED) is DeviceFault.WRONG_PORT


async def test_the_rtsp_port_is_a_wrong_port(probe: DeviceProbe, hall: VirtualHall) -> None:
    with pytest.raises(DeviceError) as caught:
        await probe.probe("127.0.0.1", hall.camera(devices.NORMAL).rtsp_port, "admin", PASSWORD)
    assert caught.value.fault is DeviceFault.WRONG_PORT


async def test_foreign_addresses_in_answers_are_pinned(probe: DeviceProbe, hall: VirtualHall) -> None:
    result = await _probe(probe, hall, devices.FOREIGN)
    port = hall.camera(devices.FOREIGN).rtsp_port
    assert [stream.uri for stream in result.channels[0].streams] == [
        f"rtsp://127.0.0.1:{port}/stream/ch1_main",
        f"rtsp://127.0.0.1:{port}/stream/ch1_sub",
    ]


async def test_a_recorder_has_sixteen_channels(probe: DeviceProbe, hall: VirtualHall) -> None:
    result = await _probe(probe, hall, devices.RECORDER)
    assert [channel.number for channel in result.channels] == list(range(1, 17))
    assert [channel.name for channel in result.channels] == [f"{number:02d}通道" for number in range(1, 17)]
    assert len({stream.uri for channel in result.channels for stream in channel.streams}) == 32


@pytest.mark.parametrize(
    "number", [devices.MEDIA1_ONLY, devices.DIGEST_ONLY, devices.SECRET_CLOCK, devices.EMPTY_PROFILE]
)
async def test_odd_devices_are_read_all_the_same(probe: DeviceProbe, hall: VirtualHall, number: int) -> None:
    result = await _probe(probe, hall, number)
    assert [stream.role for stream in result.channels[0].streams] == ["main", "sub"]
    assert result.device.serial == hall.camera(number).serial


async def test_a_clock_that_strangers_may_not_read_is_read_after_the_login(
    probe: DeviceProbe, hall: VirtualHall
) -> None:
    device = (await _probe(probe, hall, devices.SECRET_CLOCK)).device
    assert device.clock_offset_us is not None
    assert device.clock_error_us is not None
    assert abs(device.clock_offset_us) <= device.clock_error_us


async def test_h265_is_seen_through_media2(probe: DeviceProbe, hall: VirtualHall) -> None:
    main, sub = (await _probe(probe, hall, devices.H265)).channels[0].streams
    assert (main.codec, main.width, sub.codec) == ("h265", 1280, "h264")


async def test_a_hidden_h265_profile_leaves_the_substream(probe: DeviceProbe, hall: VirtualHall) -> None:
    (only,) = (await _probe(probe, hall, devices.H265_HIDDEN)).channels[0].streams
    assert (only.role, only.codec, only.width) == ("main", "h264", 640)


async def test_a_camera_that_comes_back_is_read_again(probe: DeviceProbe, hall: VirtualHall) -> None:
    hall.change(devices.EMPTY_PROFILE, online=False)
    assert await _fault(probe, hall, devices.EMPTY_PROFILE) is DeviceFault.WRONG_PORT
    hall.change(devices.EMPTY_PROFILE, online=True)
    assert (await _probe(probe, hall, devices.EMPTY_PROFILE)).channels
