"""The session's every path that the dialogues of device families do not walk."""

from __future__ import annotations

import pytest

from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.packets import AudioCodec, SourceCounters, SourceFault, SourceSettings
from camera_gateway.rtsp import early
from camera_gateway.rtsp.messages import LONGEST_BODY
from camera_gateway.rtsp.session import MOST_MESSAGES, MOST_OUTPUT, MOST_STRAY, Session
from storage.model import GapReason
from tests.camera_gateway.rtsp.fakes import (
    AAC,
    CNONCE,
    H264,
    METADATA,
    URI,
    FakeListener,
    Harness,
    digest_fits,
    frame,
    response,
    sdp,
)

MD5 = 'WWW-Authenticate: Digest realm="r", nonce="{}"'
SIGNED_IN = SourceSettings(URI, "admin", "secret word")
BACK_CHANNEL = "m=audio 0 RTP/AVP 0\r\na=control:trackID=9\r\na=sendonly"
G726 = "m=audio 0 RTP/AVP 98\r\na=rtpmap:98 G726-32/8000\r\na=control:trackID=5"
PCMA = "m=audio 0 RTP/AVP 8\r\na=control:trackID=6"


def ports(index: int) -> tuple[int, int]:
    return 5000 + 2 * index, 5001 + 2 * index


def authorization(request: str) -> str:
    [value] = [line.partition(": ")[2] for line in request.split("\r\n") if line.startswith("Authorization: ")]
    return value


def playing(*media: str, settings: SourceSettings | None = None) -> Harness:
    harness = Harness(settings)
    harness.play(sdp(*(media or (H264,))))
    assert harness.session.playing
    return harness


def fails(harness: Harness, data: bytes, reason: GapReason, evidence: str) -> None:
    with pytest.raises(SourceFault) as caught:
        harness.send(data)
    assert (caught.value.reason, caught.value.evidence) == (reason, evidence)


# Opening


def test_requests_follow_each_other_with_rising_numbers() -> None:
    harness = playing()
    methods = [line.split(" ")[0] for line in harness.said.decode().split("\r\n") if line.endswith(" RTSP/1.0")]
    assert methods == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    assert [f"CSeq: {n}\r\n" in harness.said.decode() for n in (1, 2, 3, 4)] == [True] * 4


def test_only_the_video_is_asked_for_unless_more_is_wanted() -> None:
    harness = playing(AAC, METADATA, H264)
    assert [track.media.kind for track in harness.tracks[-1:]] == ["video"]
    assert harness.said.count(b"SETUP ") == 1
    [info] = harness.listener.infos
    assert (info.codec, info.audio, info.metadata, info.note) == (VideoCodec.H264, None, False, "")


def test_the_video_is_set_up_first_whatever_the_order() -> None:
    settings = SourceSettings(URI, audio=True, metadata=True)
    harness = playing(METADATA, BACK_CHANNEL, AAC, H264, settings=settings)
    asked = [line for line in harness.said.decode().split("\r\n") if line.startswith("SETUP ")]
    assert asked == [f"SETUP {URI}/trackID={n} RTSP/1.0" for n in (1, 2, 3)]
    [info] = harness.listener.infos
    assert info.audio is not None
    assert (info.audio.codec, info.audio.rate, info.metadata, info.note) == (AudioCodec.AAC, 16_000, True, "")


def test_a_camera_without_metadata_says_so() -> None:
    harness = playing(H264, settings=SourceSettings(URI, metadata=True))
    [info] = harness.listener.infos
    assert (info.metadata, info.note) == (False, "the camera offers no metadata")


def test_metadata_that_cannot_be_set_up_is_left_out() -> None:
    harness = Harness(SourceSettings(URI, metadata=True))
    harness.open_until_setup(sdp(H264, METADATA))
    harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP/TCP;interleaved=0-1")
    assert harness.answer("404 Not Found").startswith("PLAY")
    harness.answer()
    [info] = harness.listener.infos
    assert (info.metadata, info.note) == (False, "no application: RTSP 404 Not Found to SETUP")


@pytest.mark.parametrize(
    ("media", "note"),
    [
        ([H264], "the camera offers no audio"),
        ([H264, BACK_CHANNEL], "the camera offers no audio"),
        ([H264, G726], "no audio: the codec G726-32 is not recorded"),
    ],
)
def test_audio_that_cannot_be_had_costs_nothing_but_a_note(media: list[str], note: str) -> None:
    harness = playing(*media, settings=SourceSettings(URI, audio=True))
    [info] = harness.listener.infos
    assert (info.audio, info.note) == (None, note)


def test_the_second_audio_is_taken_when_the_first_cannot_be_recorded() -> None:
    harness = playing(H264, G726, PCMA, settings=SourceSettings(URI, audio=True))
    [info] = harness.listener.infos
    assert info.audio is not None
    assert (info.audio.codec, info.note) == (AudioCodec.PCMA, "")


def test_video_marked_as_sent_by_the_camera_is_video() -> None:
    assert playing(H264 + "\r\na=sendonly").listener.infos[0].codec is VideoCodec.H264


def test_the_second_video_is_taken_when_the_first_cannot_be_recorded() -> None:
    jpeg = "m=video 0 RTP/AVP 26\r\na=control:jpeg"
    assert f"SETUP {URI}/trackID=1".encode() in playing(jpeg, H264).said


@pytest.mark.parametrize(
    ("media", "evidence"),
    [
        (["m=video 0 RTP/AVP 26"], "the codec JPEG is not recorded"),
        (["m=video 0 RTP/AVP 26", "m=video 0 RTP/AVP 33"], "the codec JPEG is not recorded"),
        (["m=video 0 RTP/SAVP 96\r\na=rtpmap:96 H264/90000"], "the codec RTP/SAVP is not recorded"),
        ([AAC], "the camera's description names no video"),
        ([], "the camera's description cannot be read: no media at all"),
    ],
)
def test_no_video_that_can_be_recorded(media: list[str], evidence: str) -> None:
    harness = Harness()
    harness.begin()
    harness.answer()
    fails(harness, response("200 OK", body=sdp(*media)), GapReason.NO_MEDIA, evidence)


@pytest.mark.parametrize("status", ["404 Not Found", "405 Method Not Allowed", "501 Not Implemented", "500"])
def test_options_may_be_refused(status: str) -> None:
    harness = Harness()
    harness.begin()
    assert harness.answer(status).startswith("DESCRIBE")


@pytest.mark.parametrize("sequence", ["1", "77", "x", ""])
def test_the_number_of_an_answer_does_not_matter(sequence: str) -> None:
    harness = Harness()
    harness.begin()
    assert harness.send(f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n\r\n".encode()).startswith("DESCRIBE")


def test_provisional_answers_are_waited_out() -> None:
    harness = Harness()
    harness.begin()
    assert harness.answer("100 Continue") == ""
    assert harness.answer().startswith("DESCRIBE")


@pytest.mark.parametrize(
    ("status", "reason", "evidence"),
    [
        ("404 Not Found", GapReason.NO_MEDIA, "RTSP 404 Not Found to DESCRIBE"),
        ("410 Gone", GapReason.NO_MEDIA, "RTSP 410 Gone to DESCRIBE"),
        ("403 Forbidden", GapReason.AUTHENTICATION, "RTSP 403 Forbidden to DESCRIBE"),
        ("453 Not Enough Bandwidth", GapReason.REFUSED, "RTSP 453 Not Enough Bandwidth to DESCRIBE"),
        ("454 Session Not Found", GapReason.REFUSED, "RTSP 454 Session Not Found to DESCRIBE"),
        ("503 Service Unavailable", GapReason.REFUSED, "RTSP 503 Service Unavailable to DESCRIBE"),
        ("551", GapReason.REFUSED, "RTSP 551 to DESCRIBE"),
        ("500 \x1b]0;x\x07" + "a" * 200, GapReason.REFUSED, "RTSP 500 ]0;x " + "a" * 74 + "… to DESCRIBE"),
        (
            "301 Moved",
            GapReason.REFUSED,
            "RTSP 301 Moved to DESCRIBE: the camera points elsewhere, and that is not followed",
        ),
    ],
)
def test_refusals_are_named_as_they_were_seen(status: str, reason: GapReason, evidence: str) -> None:
    harness = Harness()
    harness.begin()
    harness.answer()
    fails(harness, response(status, "Location: rtsp://198.51.100.1/"), reason, evidence)


def test_a_redirect_of_options_is_refused() -> None:
    harness = Harness()
    harness.begin()
    evidence = "RTSP 305 Use Proxy to OPTIONS: the camera points elsewhere, and that is not followed"
    fails(harness, response("305 Use Proxy"), GapReason.REFUSED, evidence)


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "455 Not Valid in This State"])
def test_play_may_be_refused(status: str) -> None:
    harness = Harness()
    harness.open_until_setup(sdp(H264))
    harness.answer("200 OK", "Session: 1")
    reason = GapReason.AUTHENTICATION if status.startswith("403") else GapReason.REFUSED
    fails(harness, response(status), reason, f"RTSP {status} to PLAY")


def test_a_camera_without_ranges_is_asked_without() -> None:
    harness = Harness()
    harness.open_until_setup(sdp(H264))
    assert "Range: npt=0.000-" in harness.answer("200 OK", "Session: 1")
    again = harness.answer("457 Invalid Range")
    assert again.startswith("PLAY")
    assert "Range" not in again
    fails(harness, response("457 Invalid Range"), GapReason.REFUSED, "RTSP 457 Invalid Range to PLAY")


def test_controls_are_below_content_base() -> None:
    harness = Harness()
    harness.begin()
    harness.answer()
    asked = harness.answer("200 OK", "Content-Base: rtsp://admin:x@192.0.2.10/döör/", body=sdp(H264))
    assert asked.startswith("SETUP rtsp://192.0.2.10/d%EF%BF%BD%EF%BF%BDr/trackID=1 RTSP/1.0")


def test_credentials_and_strange_letters_never_reach_a_request_line() -> None:
    harness = Harness(SourceSettings("rtsp://admin:pw@192.0.2.10/大厅 1?x=ä#end"))
    assert harness.begin().startswith("OPTIONS rtsp://192.0.2.10/%E5%A4%A7%E5%8E%85%201?x=%C3%A4 RTSP/1.0\r\n")


@pytest.mark.parametrize(
    ("data", "evidence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the camera's answer cannot be read: an HTTP answer, not RTSP"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "what answers does not speak RTSP"),
        (
            b"RTSP/1.0 200 OK\r\nContent-Length: 65537\r\n\r\n",
            "the camera's answer cannot be read: a body of over 65536 bytes",
        ),
    ],
)
def test_what_is_no_rtsp_is_said(data: bytes, evidence: str) -> None:
    harness = Harness()
    harness.begin()
    fails(harness, data, GapReason.NO_MEDIA, evidence)


# Signing in


def test_a_wrong_password_is_tried_once() -> None:
    harness = Harness(SIGNED_IN)
    harness.begin()
    harness.answer("401 Unauthorized", MD5.format("n1"))
    evidence = "RTSP 401 Unauthorized to OPTIONS: the camera refuses the user name or the password"
    fails(harness, response("401 Unauthorized", MD5.format("n2")), GapReason.AUTHENTICATION, evidence)
    assert harness.said.count(b"Authorization: ") == 1


def test_a_stale_nonce_is_no_wrong_password() -> None:
    harness = Harness(SIGNED_IN)
    harness.begin()
    harness.answer("401 Unauthorized", MD5.format("n1"))
    again = harness.answer("401 Unauthorized", MD5.format("n2") + ", stale=true")
    assert 'nonce="n2"' in again
    assert digest_fits(authorization(again), "OPTIONS", URI, "secret word")
    assert harness.answer().startswith("DESCRIBE")


def test_stale_for_ever_is_a_refusal() -> None:
    harness = Harness(SIGNED_IN)
    harness.begin()
    harness.answer("401 Unauthorized", MD5.format("n1"))
    harness.answer("401 Unauthorized", MD5.format("n2") + ", stale=true")
    evidence = "RTSP 401 Unauthorized to OPTIONS: the camera refuses the user name or the password"
    fails(harness, response("401 Unauthorized", MD5.format("n3") + ", stale=true"), GapReason.AUTHENTICATION, evidence)


def test_stale_with_the_same_nonce_is_a_refusal() -> None:
    harness = Harness(SIGNED_IN)
    harness.begin()
    harness.answer("401 Unauthorized", MD5.format("n1"))
    with pytest.raises(SourceFault):
        harness.answer("401 Unauthorized", MD5.format("n1") + ", stale=true")


def test_a_new_nonce_after_the_password_was_taken_is_answered() -> None:
    harness = Harness(SIGNED_IN)
    harness.begin()
    harness.answer("401 Unauthorized", MD5.format("n1"))
    harness.answer()
    again = harness.answer("401 Unauthorized", MD5.format("n2"))
    assert 'nonce="n2"' in again
    assert again.startswith("DESCRIBE")


def test_a_refusal_of_another_kind_proves_no_password() -> None:
    harness = Harness(SIGNED_IN)
    harness.begin()
    harness.answer("401 Unauthorized", MD5.format("n1"))
    harness.answer("404 Not Found")
    with pytest.raises(SourceFault):
        harness.answer("401 Unauthorized", MD5.format("n2"))
    assert harness.said.count(b"Authorization: ") == 2


@pytest.mark.parametrize(
    ("settings", "challenge", "why"),
    [
        (SourceSettings(URI), MD5.format("n"), "the camera wants a password, and none is set"),
        (SourceSettings(URI, "a\rb", "x"), MD5.format("n"), "the user name holds control characters"),
        (
            SIGNED_IN,
            'WWW-Authenticate: Digest realm="r", nonce="n", algorithm=SHA3-512, qop="auth-int"',
            "no known way to sign in (digest SHA3-512 auth-int)",
        ),
        (SIGNED_IN, "WWW-Authenticate: NTLM\x07", "no known way to sign in (ntlm)"),
        (SIGNED_IN, "X: y", "no known way to sign in (none offered)"),
    ],
)
def test_what_cannot_be_signed(settings: SourceSettings, challenge: str, why: str) -> None:
    harness = Harness(settings)
    harness.begin()
    evidence = f"RTSP 401 Unauthorized to OPTIONS: {why}"
    fails(harness, response("401 Unauthorized", challenge), GapReason.AUTHENTICATION, evidence)


def test_no_secret_in_a_fault() -> None:
    settings = SourceSettings("rtsp://somebody:hidden@192.0.2.10/a", "somebody", "hidden")
    harness = Harness(settings)
    harness.begin()
    harness.answer("401 Unauthorized", 'WWW-Authenticate: Basic realm="somebody hidden"')
    with pytest.raises(SourceFault) as caught:
        harness.answer("401 Unauthorized", 'WWW-Authenticate: Basic realm="somebody hidden"')
    assert "hidden" not in repr(caught.value) + caught.value.evidence
    assert "somebody" not in caught.value.evidence


# Transports


def test_the_camera_chooses_the_channels() -> None:
    harness = Harness(SourceSettings(URI, audio=True))
    harness.open_until_setup(sdp(H264, AAC))
    harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=10-12")
    harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=7")
    harness.answer()
    harness.send(frame(10, b"\x80v") + frame(12, b"\x80c") + frame(7, b"\x80a") + frame(8, b"\x80d") + frame(0, b"?"))
    assert (harness.track("video").packets, harness.track("video").controls) == ([b"\x80v"], [b"\x80c"])
    assert (harness.track("audio").packets, harness.track("audio").controls) == ([b"\x80a"], [b"\x80d"])


@pytest.mark.parametrize(
    "transport",
    [
        "X: y",
        "Transport: ",
        "Transport: RTP/AVP/TCP;unicast",
        "Transport: RTP/AVP/TCP;interleaved=300-301",
        "Transport: RTP/AVP/TCP;interleaved=0-0",
        "Transport: RTP/AVP/TCP;interleaved=x",
        "Transport: rtp/avp/tcp;UNICAST;Interleaved = 0 - 1 ;ssrc= 1",
        "Transport: RTP/AVP;unicast;interleaved=0-1",
    ],
)
def test_what_was_asked_for_holds_when_the_answer_is_poor(transport: str) -> None:
    harness = Harness()
    harness.open_until_setup(sdp(H264))
    assert harness.answer("200 OK", "Session: 1", transport).startswith("PLAY")
    harness.answer()
    harness.send(frame(0, b"\x80v") + frame(1, b"\x80c"))
    assert (harness.track("video").packets, harness.track("video").controls) == ([b"\x80v"], [b"\x80c"])


def test_two_media_never_share_a_channel() -> None:
    harness = Harness(SourceSettings(URI, audio=True))
    harness.open_until_setup(sdp(H264, AAC))
    harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP/TCP;interleaved=2-3")
    harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP/TCP;interleaved=2-3")
    harness.answer()
    harness.send(frame(2, b"\x80v") + frame(4, b"\x80a"))
    assert harness.track("video").packets == [b"\x80v"]
    assert harness.track("audio").packets == [b"\x80a"]


def test_datagrams_when_they_are_wanted() -> None:
    harness = Harness(SourceSettings(URI, transport="udp", audio=True), udp_ports=ports)
    asked = harness.open_until_setup(sdp(H264, AAC))
    assert "Transport: RTP/AVP;unicast;client_port=5000-5001\r\n" in asked
    asked = harness.answer(
        "200 OK", "Session: 1", "Transport: RTP/AVP;unicast;source=198.51.100.9;server_port=6000-6001"
    )
    assert "Transport: RTP/AVP;unicast;client_port=5002-5003\r\n" in asked
    harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP;unicast;client_port=5002-5003")
    assert harness.session.udp_peers == {0: ("", 6000, 6001), 1: ("", 0, 0)}
    harness.session.feed_rtp(0, memoryview(b"\x80early"), 1, 1.0)
    harness.answer()
    harness.session.feed_rtp(0, memoryview(b"\x80v"), 2, 2.0)
    harness.session.feed_rtcp(0, memoryview(b"\x80c"), 2, 2.0)
    harness.session.feed_rtp(1, memoryview(b"\x80a"), 2, 2.0)
    harness.session.feed_rtp(2, memoryview(b"\x80?"), 2, 2.0)
    video = harness.track("video")
    assert (video.packets, video.controls, video.ordered) == ([b"\x80early", b"\x80v"], [b"\x80c"], False)
    [info] = harness.listener.infos
    assert (info.transport, info.note) == ("udp", "")
    harness.session.reports(0, 0.0)
    assert harness.session.udp_reports() == [(0, b"report of video"), (1, b"report of audio")]
    assert harness.session.udp_reports() == []
    assert harness.take() == ""


def test_datagrams_before_anything_is_set_up_are_dropped() -> None:
    harness = Harness(SourceSettings(URI, transport="udp"), udp_ports=ports)
    harness.open_until_setup(sdp(H264))
    harness.session.feed_rtp(0, memoryview(b"\x80v"), 1, 1.0)
    harness.session.feed_rtcp(0, memoryview(b"\x80v"), 1, 1.0)
    assert harness.track("video").packets == []


def test_the_connection_instead_of_datagrams() -> None:
    harness = Harness(SourceSettings(URI, transport="udp"), udp_ports=ports)
    harness.open_until_setup(sdp(H264))
    asked = harness.answer("461 Unsupported Transport")
    assert "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n" in asked
    harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP/TCP;interleaved=0-1")
    harness.answer()
    [info] = harness.listener.infos
    assert (info.transport, info.note) == ("tcp", "tcp: RTSP 461 Unsupported Transport to SETUP")
    assert harness.track("video").ordered


def test_the_connection_though_datagrams_were_asked_for() -> None:
    harness = Harness(SourceSettings(URI, transport="udp", audio=True), udp_ports=ports)
    harness.open_until_setup(sdp(H264, AAC))
    asked = harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP/TCP;interleaved=0-1")
    assert "Transport: RTP/AVP/TCP;unicast;interleaved=2-3\r\n" in asked
    harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP/TCP;interleaved=2-3")
    harness.answer()
    harness.send(frame(0, b"\x80v"))
    assert harness.session.udp_peers == {}
    video = harness.track("video")
    assert (video.packets, video.ordered) == ([b"\x80v"], True)
    [info] = harness.listener.infos
    assert info.transport == "tcp"
    assert info.note == "tcp: the camera answers with another transport than was asked for"


def test_datagrams_though_the_connection_was_asked_for() -> None:
    harness = Harness(udp_ports=ports)
    harness.open_until_setup(sdp(H264))
    asked = harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP;unicast;server_port=6000-6001")
    assert "client_port=5000-5001" in asked
    harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP;unicast;server_port=6000-6001")
    harness.answer()
    [info] = harness.listener.infos
    assert info.transport == "udp"
    assert info.note == "udp: the camera answers with another transport than was asked for"


@pytest.mark.parametrize("transport", ["RTP/AVP;unicast;server_port=6-7", "RTP/AVP;multicast;destination=239.1.1.1"])
def test_no_way_to_receive(transport: str) -> None:
    harness = Harness()
    harness.open_until_setup(sdp(H264))
    evidence = "RTSP 200 OK to SETUP: the camera answers with another transport than was asked for"
    fails(harness, response("200 OK", f"Transport: {transport}"), GapReason.REFUSED, evidence)


def test_each_transport_is_tried_once() -> None:
    harness = Harness(udp_ports=ports)
    harness.open_until_setup(sdp(H264))
    harness.answer("461 Unsupported Transport")
    fails(harness, response("461 No"), GapReason.REFUSED, "RTSP 461 No to SETUP")


def test_tls_never_falls_back_to_datagrams() -> None:
    harness = Harness(SourceSettings("rtsps://192.0.2.10/a", transport="udp"), udp_ports=ports)
    assert "interleaved=0-1" in harness.open_until_setup(sdp(H264))
    assert harness.session.transport == "tls"
    fails(harness, response("461 No"), GapReason.REFUSED, "RTSP 461 No to SETUP")


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (["461 Unsupported Transport"], "no audio: RTSP 461 Unsupported Transport to SETUP"),
        (["404 Not Found"], "no audio: RTSP 404 Not Found to SETUP"),
        (
            ["200 OK", "Transport: RTP/AVP;multicast"],
            "no audio: the camera answers with another transport than was asked for",
        ),
    ],
)
def test_audio_that_cannot_be_set_up_is_left_out(answer: list[str], note: str) -> None:
    harness = Harness(SourceSettings(URI, audio=True), udp_ports=ports)
    harness.open_until_setup(sdp(H264, AAC))
    harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP/TCP;interleaved=0-1")
    assert harness.answer(*answer).startswith("PLAY")
    harness.answer()
    [info] = harness.listener.infos
    assert (info.audio, info.note) == (None, note)


def test_a_video_that_cannot_be_set_up_is_a_fault() -> None:
    harness = Harness()
    harness.open_until_setup(sdp(H264))
    fails(harness, response("404 Not Found"), GapReason.NO_MEDIA, "RTSP 404 Not Found to SETUP")


@pytest.mark.parametrize(
    ("data", "unreadable"),
    [
        (response("200 OK", body=sdp("m=video 0 RTP/AVP 26")), True),
        (response("200 OK", body=sdp(AAC)), True),
        (response("200 OK", body=b"v=0"), True),
        (b"HTTP/1.0 200 OK\r\n\r\n", True),
        (response("404 Not Found"), False),
        (response("302 Moved"), False),
        (response("401 Unauthorized", MD5.format("n")), False),
    ],
)
def test_another_engine_is_of_use_only_where_ours_does_not_understand(data: bytes, unreadable: bool) -> None:
    harness = Harness()
    harness.begin()
    harness.answer()
    with pytest.raises(SourceFault) as caught:
        harness.send(data)
    assert caught.value.unreadable is unreadable


def test_another_engine_may_know_the_transport() -> None:
    harness = Harness()
    harness.open_until_setup(sdp(H264))
    with pytest.raises(SourceFault) as caught:
        harness.answer("461 Unsupported Transport")
    assert caught.value.unreadable


# Before PLAY is answered


def test_packets_before_the_answer_to_play_come_after_it_in_order() -> None:
    harness = Harness()
    harness.open_until_setup(sdp(H264))
    harness.answer("200 OK", "Session: 1", "Transport: RTP/AVP/TCP;interleaved=0-1")
    harness.send(frame(0, b"\x80one") + frame(1, b"\x80two"))
    video = harness.track("video")
    assert (video.packets, video.controls, harness.listener.infos) == ([], [], [])
    harness.send(frame(0, b"\x80three") + response("200 OK") + frame(0, b"\x80four"))
    assert (video.packets, video.controls) == ([b"\x80one", b"\x80three", b"\x80four"], [b"\x80two"])
    assert len(harness.listener.infos) == 1


@pytest.mark.parametrize("length", [0, 1, 1400, 65_000])
def test_early_packets_have_a_bound(length: int) -> None:
    harness = Harness()
    harness.open_until_setup(sdp(H264))
    harness.answer("200 OK", "Session: 1")
    most = early.MOST_BYTES // (length + early.PACKET_BYTES)
    for _ in range(most + 5):
        harness.send(frame(0, bytes(length)))
    harness.answer()
    assert len(harness.track("video").packets) == most


# Playing


@pytest.mark.parametrize(
    ("session", "interval"),
    [
        ("1", 30.0),
        ("1;timeout=60", 30.0),
        ("1;timeout=90", 30.0),
        ("1;timeout=10", 5.0),
        ("1;timeout=5", 2.5),
        ("1;timeout=1", 2.0),
        ("1;timeout=0", 30.0),
        ("1;timeout=-5", 30.0),
        ("1;timeout=soon", 30.0),
        ("1;timeout=99999999999999", 30.0),
        ('  1 ;x=y; TIMEOUT = "20s"', 10.0),
    ],
)
def test_the_pace_of_keep_alives(session: str, interval: float) -> None:
    harness = Harness()
    harness.play(sdp(H264), session)
    assert harness.session.keep_alive_s == interval


@pytest.mark.parametrize("session", ["a b", "", ";timeout=9", "a" * 300, "\x01"])
def test_a_session_that_cannot_be_named_is_not_named(session: str) -> None:
    harness = Harness()
    harness.play(sdp(H264), session)
    assert b"\r\nSession:" not in harness.said
    assert harness.session.playing


def test_the_first_session_counts() -> None:
    harness = Harness(SourceSettings(URI, audio=True))
    harness.open_until_setup(sdp(H264, AAC))
    harness.answer("200 OK", "Session: first")
    assert "Session: first" in harness.answer("200 OK", "Session: second")


def test_keep_alives_wait_for_play() -> None:
    harness = Harness()
    harness.session.keep_alive()
    harness.session.reports(0, 0.0)
    harness.session.flush()
    assert harness.take() == ""


def test_keep_alives_by_what_the_camera_lists() -> None:
    harness = playing()
    harness.session.keep_alive()
    asked = harness.take()
    assert asked.startswith(f"GET_PARAMETER {URI} RTSP/1.0")
    assert "Session: 4711\r\n" in asked
    harness.answer("400 Bad Request")
    harness.session.keep_alive()
    assert harness.take().startswith("OPTIONS ")
    harness.answer("500 Oh")
    harness.session.keep_alive()
    assert harness.take().startswith("OPTIONS ")


def test_a_keep_alive_that_nobody_answers_is_sent_again() -> None:
    harness = playing()
    for _ in range(3):
        harness.session.keep_alive()
        assert harness.take().startswith("GET_PARAMETER")


def test_a_session_that_the_camera_forgot() -> None:
    harness = playing()
    harness.session.keep_alive()
    evidence = "RTSP 454 Session Not Found to GET_PARAMETER: the camera ended the session"
    fails(harness, response("454 Session Not Found"), GapReason.NETWORK, evidence)


def test_a_keep_alive_may_be_signed_anew() -> None:
    harness = playing(settings=SIGNED_IN)
    harness.session.keep_alive()
    harness.take()
    again = harness.answer("401 Unauthorized", MD5.format("n1"))
    assert digest_fits(authorization(again), "GET_PARAMETER", URI, "secret word")


def test_refused_keep_alives_stop_and_cost_no_recording() -> None:
    harness = playing(settings=SIGNED_IN)
    harness.session.keep_alive()
    harness.answer("401 Unauthorized", MD5.format("n1"))
    assert harness.answer("401 Unauthorized", MD5.format("n1")) == ""
    assert harness.session.playing
    harness.session.keep_alive()
    assert harness.take() == ""


@pytest.mark.parametrize(
    "info", ["RTP-Info: ", "RTP-Info: url=x;seq=99999999;rtptime=-1,,;", "X: y", "RTP-Info: \x80\xff"]
)
def test_rtp_info_of_any_kind_costs_nothing(info: str) -> None:
    harness = Harness()
    harness.open_until_setup(sdp(H264))
    harness.answer("200 OK", "Session: 1")
    harness.answer("200 OK", info)
    assert harness.session.playing


def test_reports_go_in_the_connection() -> None:
    harness = playing(H264, AAC, settings=SourceSettings(URI, audio=True))
    harness.send(frame(0, b"\x80v"))
    harness.session.reports(5, 5.0)
    assert harness.session.take_output() == frame(1, b"report of video")
    harness.send(frame(2, b"\x80a"))
    harness.session.reports(6, 6.0)
    assert harness.session.take_output() == frame(1, b"report of video") + frame(3, b"report of audio")


def test_the_tracks_are_flushed_when_the_connection_breaks() -> None:
    harness = playing()
    harness.session.flush()
    assert harness.track("video").flushed == 1


def test_packets_go_to_the_track_without_the_session() -> None:
    listener, counters = FakeListener(), SourceCounters()
    session = Session(SourceSettings(URI), listener, counters, lambda: CNONCE, None)
    assert session.feed.__qualname__ == "Demultiplexer.feed"


# What the camera asks


@pytest.mark.parametrize("method", ["OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "ANNOUNCE"])
def test_requests_of_the_camera_are_granted(method: str) -> None:
    harness = playing()
    said = harness.send(f"{method} {URI} RTSP/1.0\r\nCSeq: 12\r\nContent-Length: 2\r\n\r\nhi".encode())
    assert said.startswith("RTSP/1.0 200 OK\r\nCSeq: 12\r\n")
    assert harness.session.playing


def test_other_requests_are_not_known() -> None:
    assert playing().send(f"PLAY_NOTIFY {URI} RTSP/1.0\r\n\r\n".encode()) == "RTSP/1.0 501 Not Implemented\r\n\r\n"


@pytest.mark.parametrize("when", ["opening", "playing"])
def test_redirect_is_refused(when: str) -> None:
    harness = Harness()
    harness.begin() if when == "opening" else harness.play(sdp(H264))
    evidence = "REDIRECT from the camera: it points elsewhere, and that is not followed"
    fails(harness, b"REDIRECT rtsp://x RTSP/1.0\r\nLocation: rtsp://y\r\n\r\n", GapReason.REFUSED, evidence)


def test_a_request_between_request_and_answer() -> None:
    harness = Harness()
    harness.begin()
    assert harness.send(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").startswith("RTSP/1.0 200 OK")
    assert harness.answer().startswith("DESCRIBE")


def test_a_camera_that_only_asks_is_stopped() -> None:
    harness = playing()
    asked = f"OPTIONS {URI} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode()
    with pytest.raises(SourceFault, match="the camera asks without taking the answers"):
        harness.session.feed(memoryview(asked * MOST_MESSAGES), 0, 0.0)
    assert MOST_OUTPUT < len(harness.session.take_output()) < MOST_OUTPUT + 1000


def test_a_flood_of_messages_is_stopped() -> None:
    harness = playing()
    for _ in range(3):
        harness.send(response("200 OK") * (MOST_MESSAGES - 10))
        harness.session.keep_alive()
    evidence = f"over {MOST_MESSAGES} RTSP messages that nobody asked for"
    fails(harness, response("200 OK") * (MOST_MESSAGES + 1), GapReason.NETWORK, evidence)


def test_answers_that_nobody_asked_for_are_passed_over() -> None:
    harness = playing()
    assert harness.answer() == ""
    assert harness.answer("401 Unauthorized", MD5.format("n")) == ""
    assert harness.session.playing


# Stray bytes


def test_the_way_back_after_stray_bytes() -> None:
    harness = playing()
    harness.send(
        b"L\x00\x01\x02$\x63\x00\x04" + frame(0, b"\x80v") + b"ZZ$" + frame(1, b"\x80c") + b"R!" + response("200 OK")
    )
    assert harness.track("video").packets == [b"\x80v"]
    assert harness.track("video").controls == [b"\x80c"]


def test_a_message_that_cannot_be_read_while_playing_is_passed_over() -> None:
    harness = playing()
    harness.send(b"RTSP/1.0 200 OK\r\nContent-Length: no\r\n\r\n" + frame(0, b"\x80v"))
    assert harness.track("video").packets == [b"\x80v"]


def test_stray_bytes_have_a_bound() -> None:
    harness = playing()
    for _ in range(MOST_STRAY // 1024):
        harness.send(b"L" * 1024)
    fails(harness, b"L" * 1024, GapReason.NETWORK, "over 1048576 bytes that are neither RTSP nor RTP")


def test_messages_that_cannot_be_read_have_a_bound() -> None:
    harness = playing()
    for _ in range(60):
        harness.send(b"RTSP/1.0 x\n\n" + frame(0, b"\x80v"))
    assert len(harness.track("video").packets) == 60
    fails(harness, b"RTSP/1.0 x\n\n" * 10, GapReason.NETWORK, "over 1048576 bytes that are neither RTSP nor RTP")


def test_the_longest_answer_is_taken_in_small_pieces() -> None:
    harness = Harness()
    harness.begin()
    harness.answer()
    body = sdp(H264)
    data = response("200 OK", body=body + b"a=x\r\n" * ((LONGEST_BODY - len(body)) // 5))
    for at in range(0, len(data), 500):
        harness.session.feed(memoryview(data)[at : at + 500], 0, 0.0)
    assert harness.take().startswith("SETUP")


# The end


def test_teardown_names_the_session() -> None:
    harness = playing()
    harness.session.end()
    assert f"TEARDOWN {URI} RTSP/1.0\r\n" in (said := harness.take())
    assert "Session: 4711\r\n" in said
    assert not harness.session.playing
    harness.session.end()
    harness.send(response("200 OK") + b"REDIRECT rtsp://x RTSP/1.0\r\n\r\n")
    assert harness.take() == ""


def test_nothing_is_torn_down_that_was_not_set_up() -> None:
    harness = Harness()
    harness.begin()
    harness.session.end()
    assert harness.take() == ""
