"""Words of the formats, which a fuzzer would take long to find by itself."""

from __future__ import annotations

from pathlib import Path

_NUMBERS = (b"\x00\x00\x00\x01", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\xff\xff\xff\xff", b"\xff\xff", b"\x00")
_RTSP = (
    *(b"RTSP/1.0 200 OK\r\n", b"RTSP/1.0 401 Unauthorized\r\n", b"RTSP/1.0 302 Moved\r\n", b"RTSP/1.0 454 No\r\n"),
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"CSeq: 3\r\n",
        b"Content-Length: ",
        b"Content-Type: application/sdp\r\n",
        b"Content-Base: ",
    ),
    *(
        b"Session: 1;timeout=60\r\n",
        b"Transport: ",
        b"RTP/AVP/TCP;unicast;interleaved=0-1",
        b"server_port=",
        b"source=",
    ),
    *(b"Public: OPTIONS, GET_PARAMETER\r\n", b"WWW-Authenticate: ", b"OPTIONS rtsp://a/ RTSP/1.0\r\n"),
    b"Location: ",
    *(b"REDIRECT ", b"TEARDOWN ", b"ANNOUNCE ", b"SET_PARAMETER ", b"HTTP/1.1 200 OK\r\n", b"$\x00"),
    b"$\x01\x00\x08",
)
_SDP = (
    *(b"v=0\r\n", b"o=- 1 1 IN IP4 0.0.0.0\r\n", b"s=-\r\n", b"t=0 0\r\n", b"c=IN IP4 0.0.0.0\r\n"),
    b"b=AS:4000\r\n",
    *(b"m=video 0 RTP/AVP 96\r\n", b"m=audio 0 RTP/AVP 8\r\n", b"m=application 0 RTP/AVP 107\r\n", b"a=control:"),
    *(b"a=rtpmap:96 H264/90000\r\n", b"a=rtpmap:96 H265/90000\r\n", b"a=rtpmap:97 MPEG4-GENERIC/16000/2\r\n"),
    *(b"a=fmtp:96 packetization-mode=1;", b"sprop-parameter-sets=", b"sprop-vps=", b"config=1408;"),
    b"sizelength=13;",
    *(b"indexlength=3;", b"indexdeltalength=3;", b"mode=AAC-hbr;", b"trackID=1", b"rtsp://", b"a=recvonly\r\n"),
    b"*",
    *(b"VND.ONVIF.METADATA/90000", b"a=range:npt=0-", b"a=framerate:25", b"sprop-max-don-diff=1"),
)
_DIGEST = (
    *(
        b'Digest realm="',
        b'nonce="',
        b'qop="auth,auth-int"',
        b"algorithm=SHA-256",
        b"algorithm=MD5-sess",
        b"stale=true",
    ),
    *(b'opaque="', b'Basic realm="', b", ", b'\\"', b"userhash=true", b'domain="', b"charset=UTF-8"),
)
_XML = (
    *(
        b"<?xml version='1.0' encoding='",
        b"UTF-16",
        b"<!DOCTYPE ",
        b"<![CDATA[",
        b"]]>",
        b"<!--",
        b"-->",
        b"xmlns:tt='",
    ),
    *(b"&#x0;", b"&amp;", b"<a>", b"</a>", b"<a/>", b"tt:MetadataStream", b"wsnt:NotificationMessage"),
    b"wsnt:Topic",
    *(b"tt:Message", b"tt:Data", b"tt:Source", b"tt:SimpleItem", b'Name="State"', b'Value="true"', b"MotionAlarm"),
    *(b'PropertyOperation="Deleted"', b"tns1:VideoSource/MotionAlarm"),
)
_RTP = (
    *(b"\x7c\x85", b"\x7c\x05", b"\x7c\x45", b"\x67\x42\xc0\x1e\xda\x02\x80\xbf\xe5", b"\x68\xce\x3c\x80"),
    b"\x65\x88",
    *(
        b"\x78\x00",
        b"\x62\x01\x93",
        b"\x62\x01\x13",
        b"\x62\x01\x53",
        b"\x60\x01",
        b"\x40\x01\x0c\x01",
        b"\x42\x01\x01",
    ),
    *(
        b"\x44\x01",
        b"\x26\x01",
        b"\x41\x9a",
        b"$\x00\x00\x10\x80\x60",
        b"$\x01\x00\x08\x80\xc9",
        b"\x80\xe0",
        b"\x90\x60",
    ),
    *(b"\xbe\xde\x00\x01", b"\x80\xc8\x00\x06", b"\x81\xca", b"\x81\xcb\x00\x01", b"\x00\x10\x00\x20"),
)
_MP4 = (
    *(
        b"ftyp",
        b"moov",
        b"moof",
        b"mdat",
        b"uuid",
        b"mfra",
        b"traf",
        b"tfhd",
        b"tfdt",
        b"trun",
        b"mvhd",
        b"trak",
        b"mdia",
    ),
    *(
        b"minf",
        b"stbl",
        b"stsd",
        b"avc1",
        b"avcC",
        b"hvc1",
        b"hvcC",
        b"mp4a",
        b"esds",
        b"fLaC",
        b"dfLa",
        b"styp",
        b"sidx",
    ),
    *(b"mvex", b"trex", b"tkhd", b"mdhd", b"hdlr", b"prft", b"free", b"\xff\xf9"),
)
_PLACES = (
    *(
        b"http://",
        b"https://",
        b"rtsp://",
        b"rtsps://",
        b"192.0.2.7",
        b"[fe80::1]",
        b"[",
        b"]",
        b":554/",
        b"@",
        b"a:b@",
    ),
    *(b"/onvif/device_service", b"?channel=1", b"#", b"%40", b"\\", b"//", b"onvif://www.onvif.org/name/", b"\t", b" "),
    *(b"d:ProbeMatch", b"d:XAddrs", b"d:Scopes", b"a:RelatesTo", b"a:Address", b"\xe2\x84\x80", b"\xef\xbc\x8f"),
)
_JSON = (b'{"', b'":', b"[", b"]", b"}", b",", b"null", b"true", b"1e999", b'"\\u0000"', b"-1", b'"\\ud800"')
_DAYS = ("元旦", "春节", "放假", "上班", "调休", "2026年", "10月1日", "至", "，共7天", "周六", "2026-02-30", "休", "班")

_WORDS: dict[str, tuple[bytes, ...]] = {
    "rtsp_messages": _RTSP,
    "rtsp_session": (*_RTSP, *_SDP, *_DIGEST, *_RTP),
    "session_description": _SDP,
    "digest_challenge": _DIGEST,
    "soap": _XML,
    "motion": _XML,
    "rtp_metadata": _XML,
    "discovery": (*_XML, *_PLACES),
    "camera_urls": _PLACES,
    "events": _JSON,
    "recorded_file": _MP4,
    "salvaged_file": _MP4,
    "calendar": tuple(day.encode() for day in _DAYS),
}


def words(target: str) -> tuple[bytes, ...]:
    """Pieces that inputs of this target are likely made of."""
    known = _WORDS.get(target, ())
    if target.startswith(("rtp_", "rtcp_")):
        known = (*known, *_RTP)
    return (*known, *_NUMBERS)


def write_dictionary(target: str, folder: Path) -> Path:
    """The words as libFuzzer wants them, in a file of `folder`."""
    path = folder / "words"
    lines = ('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in words(target))
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path
