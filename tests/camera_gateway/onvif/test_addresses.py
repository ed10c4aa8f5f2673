"""The allow-list, the one lookup, and the pinning of addresses inside replies."""

from __future__ import annotations

import ipaddress
import threading

import pytest

from camera_gateway.onvif.addresses import (
    PRIVATE_SUBNETS,
    AddressPolicy,
    parse_subnets,
    pin_stream_uri,
    pin_xaddr,
    resolve,
)
from storage.errors import ConfigurationError, DeviceError, DeviceFault

_PRIVATE = AddressPolicy.of(PRIVATE_SUBNETS)


@pytest.mark.parametrize("address", ["10.0.0.1", "172.31.255.254", "192.168.1.64", "fd00::1", "::ffff:192.168.1.2"])
def test_private_addresses_are_allowed(address: str) -> None:
    assert _PRIVATE.allows(ipaddress.ip_address(address))


_OUTSIDE = """8.8.8.8 127.0.0.1 169.254.169.254 0.0.0.0 224.0.0.1 239.255.255.250 172.32.0.1
    ::1 :: fe80::1 ::ffff:127.0.0.1 2001:db8::1"""


@pytest.mark.parametrize("address", _OUTSIDE.split())
def test_all_other_addresses_are_not(address: str) -> None:
    assert not _PRIVATE.allows(ipaddress.ip_address(address))


def test_subnets_lie_inside_the_list_or_not() -> None:
    inside, outside, wide, six = parse_subnets(["192.168.1.0/24", "8.8.8.0/24", "192.0.0.0/8", "fd00::/64"])
    assert [_PRIVATE.covers(subnet) for subnet in (inside, outside, wide, six)] == [True, False, False, True]


def test_a_bad_subnet_says_how_to_write_one() -> None:
    with pytest.raises(ConfigurationError, match=r"192\.168\.1\.0/24"):
        parse_subnets(["192.168.1.300"])


def _never(name: str) -> list[str]:
    raise AssertionError(name)


def test_an_address_needs_no_lookup() -> None:
    assert str(resolve("192.168.1.64", _PRIVATE, 1, _never)) == "192.168.1.64"


def test_one_forbidden_address_forbids_the_name() -> None:
    with pytest.raises(DeviceError) as caught:
        resolve("camera", _PRIVATE, 1, lambda _: ["192.168.1.64", "8.8.8.8"])
    assert caught.value.fault is DeviceFault.ADDRESS_NOT_ALLOWED


def _fails(name: str) -> list[str]:
    raise OSError(name)


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    with pytest.raises(DeviceError) as caught:
        resolve("camera", _PRIVATE, 1, _fails)
    assert caught.value.fault is DeviceFault.UNREACHABLE


def test_a_resolver_that_hangs_is_left_behind() -> None:
    release = threading.Event()

    def hang(name: str) -> list[str]:
        release.wait(30)
        return [name]

    with pytest.raises(DeviceError) as caught:
        resolve("camera", _PRIVATE, 0.05, hang)
    release.set()
    assert caught.value.fault is DeviceFault.UNREACHABLE


@pytest.mark.parametrize(
    ("xaddr", "pinned"),
    [
        ("http://10.9.9.9/onvif/media_service", "http://192.168.1.64:8000/onvif/media_service"),
        ("https://10.9.9.9:443/onvif/media?x=1", "http://192.168.1.64:8000/onvif/media?x=1"),
        ("http://evil.example@10.9.9.9:1:1/onvif", "http://192.168.1.64:8000/onvif"),
        ("http://a/onvif http://b/onvif", "http://192.168.1.64:8000/onvif"),
        ("file:///etc/passwd", None),
        ("gopher://10.9.9.9/", None),
        ("http://[::1/onvif", None),
        ("", None),
    ],
)
def test_service_addresses_are_pinned(xaddr: str, pinned: str | None) -> None:
    assert pin_xaddr(xaddr, "192.168.1.64", 8000) == pinned


@pytest.mark.parametrize(
    ("uri", "pinned"),
    [
        ("rtsp://10.9.9.9:554/Streaming/101?a=b", "rtsp://cam:554/Streaming/101?a=b"),
        ("rtsp://admin:secret@10.9.9.9/x", "rtsp://cam/x"),
        ("rtsps://10.9.9.9:322/x", "rtsps://cam:322/x"),
        ("http://10.9.9.9/x", None),
        ("rtsp://10.9.9.9:99999/x", None),
        ("", None),
    ],
)
def test_stream_addresses_are_pinned(uri: str, pinned: str | None) -> None:
    assert pin_stream_uri(uri, "cam") == pinned


def test_ipv6_hosts_are_bracketed() -> None:
    assert pin_stream_uri("rtsp://x:554/y", "fd00::1") == "rtsp://[fd00::1]:554/y"
    assert pin_stream_uri("rtsp://x:554/y", "fd00::1", 8554) == "rtsp://[fd00::1]:8554/y"
