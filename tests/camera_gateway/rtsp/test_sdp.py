"""Session descriptions as cameras write them, and the URLs that follow from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtsp.sdp import (
    LONGEST_LINE,
    LONGEST_URL,
    MOST_MEDIA,
    MalformedDescription,
    base_url,
    clean_url,
    parse,
    resolve,
)
from tests.camera_gateway.rtsp.fakes import AAC, H264, METADATA, sdp

BASE = "rtsp://192.0.2.1:554/live/ch1"


def one(*lines: str) -> MediaDescription:
    """The only medium of a description with these lines."""
    [medium] = parse("\r\n".join(["v=0", *lines]).encode()).media
    return medium


def test_media_in_their_order() -> None:
    description = parse(sdp(H264, AAC, METADATA))
    assert description.control == "*"
    assert [(m.kind, m.payload_type, m.encoding, m.rate) for m in description.media] == [
        ("video", 96, "H264", 90_000),
        ("audio", 97, "MPEG4-GENERIC", 16_000),
        ("application", 107, "VND.ONVIF.METADATA", 90_000),
    ]
    assert [m.control for m in description.media] == ["trackID=1", "trackID=2", "trackID=3"]


def test_format_parameters() -> None:
    medium = one(
        "m=video 0 RTP/AVP 96",
        "a=rtpmap:96 H265/90000",
        "a=fmtp:96 Profile-Id=1;sprop-vps=QAEMAf//; SPROP-SPS=QgEB==; flag ;;",
        "a=fmtp:96 sprop-pps=RAHA",
        "a=fmtp:97 other=1",
    )
    assert medium.fmtp == {
        "profile-id": "1",
        "sprop-vps": "QAEMAf//",
        "sprop-sps": "QgEB==",
        "flag": "",
        "sprop-pps": "RAHA",
    }


@pytest.mark.parametrize(
    ("number", "encoding", "rate"), [(0, "PCMU", 8000), (8, "PCMA", 8000), (26, "JPEG", 90_000), (14, "MPA", 90_000)]
)
def test_static_payload_types_need_no_map(number: int, encoding: str, rate: int) -> None:
    medium = one(f"m=audio 0 RTP/AVP {number}")
    assert (medium.payload_type, medium.encoding, medium.rate) == (number, encoding, rate)


def test_a_map_replaces_a_static_payload_type() -> None:
    medium = one("m=audio 0 RTP/AVP 0", "a=rtpmap:0 MPEG4-GENERIC/16000/2", "a=fmtp:0 config=1408")
    assert (medium.encoding, medium.rate, medium.channels) == ("MPEG4-GENERIC", 16_000, 2)
    assert medium.fmtp == {"config": "1408"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("96  H264/90000 ", ("H264", 90_000, 1)),
        ("96 h264", ("H264", 90_000, 1)),
        ("96 H264/0", ("H264", 90_000, 1)),
        ("96 H264/99999999999999999999", ("H264", 90_000, 1)),
        ("96 H264/-1/x", ("H264", 90_000, 1)),
    ],
)
def test_maps_of_all_kinds(text: str, expected: tuple[str, int, int]) -> None:
    medium = one("m=video 0 RTP/AVP 96", f"a=rtpmap:{text}")
    assert (medium.encoding, medium.rate, medium.channels) == expected


@pytest.mark.parametrize("text", ["", "96", "x H264/90000", "128 H264/90000", "-96 H264/90000", "96H264/90000"])
def test_maps_that_are_none(text: str) -> None:
    assert one("m=video 0 RTP/AVP 96", f"a=rtpmap:{text}").encoding == ""


def test_what_only_accompanies_another_payload_is_passed_over() -> None:
    medium = one("m=video 0 RTP/AVP 97 96", "a=rtpmap:97 rtx/90000", "a=rtpmap:96 H264/90000", "a=fmtp:97 apt=96")
    assert (medium.payload_type, medium.encoding, medium.fmtp) == (96, "H264", {})


def test_only_what_accompanies_is_no_codec() -> None:
    assert one("m=audio 0 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000").encoding == ""


def test_a_format_that_is_no_number() -> None:
    medium = one("m=application/TP-LINK 0 RTP/AVP smart/1/90000", "a=rtpmap:95 TP-LINK/90000")
    assert (medium.kind, medium.payload_type, medium.encoding) == ("application/tp-link", 95, "TP-LINK")


@pytest.mark.parametrize("protocol", ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF", "udp"])
def test_media_that_are_encrypted_or_no_rtp_have_the_protocol_for_a_codec(protocol: str) -> None:
    assert one(f"m=video 0 {protocol} 96", "a=rtpmap:96 H264/90000").encoding == protocol.upper()


def test_a_media_line_cut_short() -> None:
    assert one("m=video").encoding == "NONE"
    assert one("m=").kind == ""


@pytest.mark.parametrize("direction", ["recvonly", "sendonly", "sendrecv", "inactive"])
def test_directions(direction: str) -> None:
    assert one("m=audio 0 RTP/AVP 0", f"a={direction}").direction == direction


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\r\n\r\n", "\0\n"])
def test_line_ends_of_all_kinds(end: str) -> None:
    text = sdp(H264, AAC).decode().replace("\r\n", end)
    assert [medium.encoding for medium in parse(text.encode()).media] == ["H264", "MPEG4-GENERIC"]


def test_lines_with_blanks_and_without_sense() -> None:
    lines = ["\ufeffv=0", "nonsense", "=", "a", "a=", " a=control:x ", " m = video 0 RTP/AVP 96"]
    text = "\n".join([*lines, "a = rtpmap : 96 H264"])
    description = parse(text.encode())
    assert description.control == "x"
    assert [medium.encoding for medium in description.media] == ["H264"]


@pytest.mark.parametrize("body", [b"", b"v=0\r\n", b"<html>no</html>", bytes(5000), b"\xff" * 5000])
def test_no_media_is_said(body: bytes) -> None:
    with pytest.raises(MalformedDescription, match="no media at all"):
        parse(body)


def test_media_have_a_bound() -> None:
    assert len(parse(b"m=video 0 RTP/AVP 96\n" * MOST_MEDIA).media) == MOST_MEDIA
    with pytest.raises(MalformedDescription, match="more than 32 media"):
        parse(b"m=video 0 RTP/AVP 96\n" * (MOST_MEDIA + 1))


def test_lines_have_a_bound() -> None:
    with pytest.raises(MalformedDescription, match="a line of over 16384 characters"):
        parse(b"m=video 0 RTP/AVP 96\na=" + b"x" * (LONGEST_LINE + 1))


def test_attributes_have_a_bound() -> None:
    medium = one("m=video 0 RTP/AVP 96", *["a=x"] * 256, "a=rtpmap:96 H264/90000")
    assert medium.encoding == ""


def test_format_parameters_have_a_bound() -> None:
    medium = one("m=video 0 RTP/AVP 96", "a=fmtp:96 " + ";".join(f"k{n}=1" for n in range(2000)))
    assert len(medium.fmtp) <= 257


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        parse(b"m=video 0 RTP/AVP 96\n" + body)
    except MalformedDescription:
        return


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["*", "", ""], BASE),
        (["", "rtsp://192.0.2.1/base/", "rtsp://192.0.2.1/location/"], "rtsp://192.0.2.1/base/"),
        (["", "", "rtsp://192.0.2.1/location/"], "rtsp://192.0.2.1/location/"),
        (["rtsp://192.0.2.1/session", "rtsp://192.0.2.1/base/", ""], "rtsp://192.0.2.1/session"),
        (["", "192.0.2.1:554/stream0/", ""], BASE),
        (["", "/stream0/", " RTSPS://192.0.2.1/l "], "rtsps://192.0.2.1/l"),
    ],
)
def test_the_base(named: list[str], expected: str) -> None:
    assert base_url(BASE, named) == expected


@pytest.mark.parametrize(
    ("base", "control", "expected"),
    [
        (BASE, "", BASE),
        (BASE, "*", BASE),
        (BASE, "trackID=1", BASE + "/trackID=1"),
        (BASE + "/", "trackID=1", BASE + "/trackID=1"),
        (BASE + "/", "/trackID=1", BASE + "/trackID=1"),
        (BASE, "/live/ch1/trackID=1", BASE + "/trackID=1"),
        (BASE, "/live/ch10", BASE + "/live/ch10"),
        ("rtsp://192.0.2.1", "/trackID=1", "rtsp://192.0.2.1/trackID=1"),
        (BASE + "?channel=1&subtype=0/", "trackID=1", BASE + "?channel=1&subtype=0/trackID=1"),
        (BASE + "?channel=1&subtype=0", "trackID=1", BASE + "?channel=1&subtype=0/trackID=1"),
        (BASE, "rtsp://198.51.100.9/x/track1", "rtsp://198.51.100.9/x/track1"),
        (BASE, "RTSP://198.51.100.9/x", "rtsp://198.51.100.9/x"),
        (BASE, " track 1\r\nX: y ", BASE + "/track%201%0D%0AX:%20y"),
        ("rtsp://[::/a", "/a/track", "rtsp://[::/a/track"),
        (BASE, "轨道", BASE + "/%E8%BD%A8%E9%81%93"),
    ],
)
def test_controls(base: str, control: str, expected: str) -> None:
    assert resolve(base, control) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtsp://admin:p%40ss@192.0.2.1:554/a", "rtsp://192.0.2.1:554/a"),
        ("rtsp://a@b@192.0.2.1/a", "rtsp://192.0.2.1/a"),
        ("rtsp://192.0.2.1/a#part", "rtsp://192.0.2.1/a"),
        ("rtsp://[2001:db8::1]:554/a", "rtsp://[2001:db8::1]:554/a"),
        ("rtsp://192.0.2.1/a b\r\nX: y", "rtsp://192.0.2.1/a%20b%0D%0AX:%20y"),
        ("rtsp://192.0.2.1/a%20b", "rtsp://192.0.2.1/a%20b"),
        ("rtsp://[192.0.2.1/a", "rtsp://[192.0.2.1/a"),
        ("rtsp://192.0.2.1?a=b@c", "rtsp://192.0.2.1?a=b@c"),
    ],
)
def test_urls_are_fit_for_a_request_line(url: str, expected: str) -> None:
    assert clean_url(url) == expected


@given(st.text(max_size=300))
def test_no_url_breaks_a_request_line(text: str) -> None:
    for url in (clean_url(text), resolve(BASE, text), clean_url("rtsp://" + text)):
        assert url.isascii()
        assert not any(character.isspace() or ord(character) < 0x21 for character in url)
        assert len(url) <= LONGEST_URL
