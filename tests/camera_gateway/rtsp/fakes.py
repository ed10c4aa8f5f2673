"""Stand-ins around a session: tracks that keep their packets, a listener that keeps what it hears, and a camera's side
of a digest."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.packets import (
    AccessUnit,
    AudioCodec,
    AudioFormat,
    AudioUnit,
    SenderReport,
    SourceCounters,
    SourceFault,
    SourceInfo,
    SourceListener,
    SourceSettings,
)
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtsp.session import Session, UdpPorts
from storage.model import GapReason

URI = "rtsp://192.0.2.10:554/live/ch1"
CNONCE = "0a4f113b9d2c7e55"

_VIDEO = {"H264": VideoCodec.H264, "H265": VideoCodec.H265}
_AUDIO = {"MPEG4-GENERIC": AudioCodec.AAC, "PCMA": AudioCodec.PCMA, "PCMU": AudioCodec.PCMU}
_OTHER = ("VND.ONVIF.METADATA",)


class FakeTrack:
    """Keeps what it is given; knows the codecs that the real tracks know."""

    def __init__(self, media: MediaDescription, *, ordered: bool) -> None:
        self.media = media
        self.ordered = ordered
        self.packets: list[bytes] = []
        self.controls: list[bytes] = []
        self.flushed = 0
        if media.encoding not in (*_VIDEO, *_AUDIO, *_OTHER):
            why = f"the codec {media.encoding or 'without a name'} is not recorded"
            raise SourceFault(GapReason.NO_MEDIA, why, unreadable=True)

    def take(self, data: memoryview, start: int, end: int, arrival_us: int, arrival_s: float) -> None:
        self.packets.append(bytes(data[start:end]))

    def take_control(self, data: memoryview, start: int, end: int, arrival_us: int, arrival_s: float) -> None:
        self.controls.append(bytes(data[start:end]))

    def report(self, now_us: int, now_s: float) -> bytes:
        return b"report of " + self.media.kind.encode() if self.packets else b""

    def flush(self) -> None:
        self.flushed += 1

    def described(self) -> VideoCodec | AudioFormat | None:
        if self.media.encoding in _AUDIO:
            return AudioFormat(_AUDIO[self.media.encoding], self.media.rate, self.media.channels)
        return _VIDEO.get(self.media.encoding)


@dataclass
class FakeListener:
    """Keeps what it hears."""

    infos: list[SourceInfo] = field(default_factory=list)

    def opened(self, info: SourceInfo) -> None:
        self.infos.append(info)

    def unit(self, unit: AccessUnit) -> None:
        raise AssertionError("fake tracks make no units")

    def audio(self, unit: AudioUnit) -> None:
        raise AssertionError("fake tracks make no units")

    def metadata(self, document: bytes, arrival_us: int) -> None:
        raise AssertionError("fake tracks make no documents")

    def sender_report(self, report: SenderReport) -> None:
        raise AssertionError("fake tracks read no reports")

    def failed(self, fault: SourceFault) -> None:
        raise AssertionError("a session raises its fault")


class Harness:
    """A session over fake tracks. `send` is the camera speaking; what the session said is in `said`."""

    def __init__(self, settings: SourceSettings | None = None, *, udp_ports: UdpPorts | None = None) -> None:
        self.settings = settings or SourceSettings(URI)
        self.listener = FakeListener()
        self.tracks: list[FakeTrack] = []
        self.said = b""
        self.session = Session(
            self.settings, self.listener, SourceCounters(), lambda: CNONCE, udp_ports, make_track=self._make_track
        )

    def _make_track(
        self,
        media: MediaDescription,
        settings: SourceSettings,
        listener: SourceListener,
        counters: SourceCounters,
        *,
        ordered: bool,
    ) -> FakeTrack:
        track = FakeTrack(media, ordered=ordered)
        self.tracks.append(track)
        return track

    def track(self, kind: str) -> FakeTrack:
        """The last track that was made of this kind: the one in use."""
        return next(track for track in reversed(self.tracks) if track.media.kind == kind)

    def begin(self) -> str:
        """Begin, and give the first request."""
        self.session.begin()
        return self.take()

    def take(self) -> str:
        """What the session wants to send now."""
        output = self.session.take_output()
        self.said += output
        return output.decode("latin-1")

    def send(self, data: bytes, arrival_us: int = 0, arrival_s: float = 0.0) -> str:
        """The camera sends this; gives what the session says to it."""
        self.session.feed(memoryview(data), arrival_us, arrival_s)
        return self.take()

    def answer(self, status: str = "200 OK", *fields: str, body: bytes = b"") -> str:
        """The camera answers with this status, and gives what the session says to it."""
        return self.send(response(status, *fields, body=body))

    def open_until_setup(self, body: bytes) -> str:
        """OPTIONS and DESCRIBE are granted with this description; gives the first SETUP."""
        self.begin()
        self.answer("200 OK", "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
        return self.answer("200 OK", "Content-Type: application/sdp", body=body)

    def play(self, body: bytes, session: str = "4711;timeout=60") -> str:
        """All is granted; gives what was said to the answer to PLAY, which is nothing as a rule."""
        asked = self.open_until_setup(body)
        while asked.startswith("SETUP"):
            transport = re.search("Transport: (.*)\r\n", asked)
            assert transport is not None
            asked = self.answer("200 OK", f"Session: {session}", f"Transport: {transport[1]}")
        assert asked.startswith("PLAY")
        return self.answer("200 OK", "Session: 4711", "RTP-Info: url=rtsp://192.0.2.10/x;seq=1;rtptime=2")


def response(status: str, *fields: str, body: bytes = b"") -> bytes:
    """A reply as a tidy server writes it."""
    lines = [f"RTSP/1.0 {status}", "CSeq: 1", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def frame(channel: int, payload: bytes) -> bytes:
    """One interleaved packet."""
    return b"$" + bytes([channel]) + len(payload).to_bytes(2, "big") + payload


def sdp(*media: str, session: str = "a=control:*") -> bytes:
    """A description with these media, each a few lines."""
    return "\r\n".join(["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=test", "t=0 0", session, *media, ""]).encode()


H264 = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=1"
AAC = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/16000/1\r\na=control:trackID=2"
METADATA = "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\na=control:trackID=3"

_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def digest_fits(value: str, method: str, uri: str, password: str) -> bool:
    """Whether an `Authorization: Digest` proves the password; computed from its own fields, as a server does."""
    fields = {name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', value)}
    algorithm = fields.get("algorithm", "MD5")
    name = _HASHES[algorithm.upper().replace("-SESS", "")]

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode("latin-1")).hexdigest()

    secret = digest(f"{fields['username']}:{fields['realm']}:{password}")
    if algorithm.upper().endswith("-SESS"):
        secret = digest(f"{secret}:{fields['nonce']}:{fields['cnonce']}")
    middle = fields["nonce"]
    if "qop" in fields:
        middle += f":{fields['nc']}:{fields['cnonce']}:{fields['qop']}"
    expected = digest(f"{secret}:{middle}:{digest(f'{method}:{uri}')}")
    return (fields["uri"], fields["response"]) == (uri, expected)
