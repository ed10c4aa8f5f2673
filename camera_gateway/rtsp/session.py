"""One RTSP session with a camera, as a pure state machine: bytes in, bytes and units out.

OPTIONS, DESCRIBE, SETUP for each wanted medium, PLAY; then keep-alives and receiver reports until TEARDOWN. One
request is in flight at a time, so the answer to it is the next answer, whatever its CSeq says: cameras get it wrong.
Once it plays, `feed` is the demultiplexer's own: the session does nothing for a packet.

Refused on purpose (docs/decisions/0081-own-rtsp-engine.md): redirects in every form, multicast, media that are
encrypted, datagrams to or from any other host than the one that was connected to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.packets import (
    AudioFormat,
    Engine,
    SourceCounters,
    SourceFault,
    SourceInfo,
    SourceListener,
    SourceSettings,
)
from camera_gateway.rtp.demultiplexer import Demultiplexer, Take
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtp.tracks import Track, make_track
from camera_gateway.rtsp import messages, sdp
from camera_gateway.rtsp.authentication import Challenge, Credentials, parse_challenges
from camera_gateway.rtsp.choice import METADATA, choose
from camera_gateway.rtsp.early import EarlyPackets
from camera_gateway.rtsp.messages import MalformedMessage, MessageReader, Method, Request, Response, shown
from camera_gateway.rtsp.refusals import refusal, seen
from camera_gateway.rtsp.stray import next_start
from camera_gateway.rtsp.transport import (
    DEFAULT_TIMEOUT_S,
    SessionAnswer,
    TransportAnswer,
    datagrams,
    interleaved,
    parse_session,
    parse_transport,
)
from storage.model import GapReason

MOST_STRAY = 1024 * 1024
"""Bytes of neither RTSP nor RTP that a session puts up with: some servers leave a few behind a packet, for ever."""
MOST_OUTPUT = 64 * 1024
"""A server that asks and asks without taking its answers ends the session here."""
MOST_MESSAGES = 1000
"""RTSP messages between two keep-alives: each costs a hundred times what a packet does, and cameras send few."""
SHORTEST_KEEP_ALIVE_S = 2.0
LONGEST_KEEP_ALIVE_S = 30.0
_STRAY_MESSAGE = 16 * 1024  # what a message that cannot be read counts for: so much of it may have been looked at
_MOST_SIGNINGS = 2
_ANOTHER = "the camera answers with another transport than was asked for"
_ANSWERED = "OPTIONS, GET_PARAMETER, SET_PARAMETER, ANNOUNCE"

UdpPorts = Callable[[int], tuple[int, int]]


class MakeTrack(Protocol):
    """Makes the track of a medium; raises `SourceFault` for one that cannot be recorded."""

    def __call__(
        self,
        media: MediaDescription,
        settings: SourceSettings,
        listener: SourceListener,
        counters: SourceCounters,
        *,
        ordered: bool,
    ) -> Track: ...


class _State(Enum):
    IDLE = auto()
    OPTIONS = auto()
    DESCRIBE = auto()
    SETUP = auto()
    PLAY = auto()
    PLAYING = auto()
    ENDED = auto()


@dataclass(slots=True)
class _Asked:
    """A request whose answer is awaited, and how often it was sent with an Authorization."""

    method: Method
    url: str
    fields: tuple[tuple[str, str], ...] = ()
    signings: int = 0


@dataclass(slots=True)
class _Medium:
    """A medium that is asked for, and how it is carried once it is set up."""

    description: MediaDescription
    track: Track
    channels: tuple[int, int] | None = None  # of the connection: RTP and RTCP
    server_ports: tuple[int, int] | None = None  # UDP; (0, 0) when the camera does not say
    take: Take | None = None
    take_control: Take | None = None


class Session:
    """Opens and keeps one stream of one camera. Every method belongs to one thread.

    `cnonce` gives a fresh client nonce; `udp_ports` gives two ports that are open for the medium of an index (RTP and
    RTCP), and is None where datagrams cannot be received.

    Everything that takes bytes raises `SourceFault`; the session is of no use after that.
    """

    def __init__(
        self,
        settings: SourceSettings,
        listener: SourceListener,
        counters: SourceCounters,
        cnonce: Callable[[], str],
        udp_ports: UdpPorts | None,
        *,
        make_track: MakeTrack = make_track,
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._counters = counters
        self._credentials = Credentials(settings.username, settings.password, cnonce)
        self._secure = settings.uri.lower().startswith("rtsps:")
        self._udp_ports = None if self._secure else udp_ports
        self._make_track = make_track
        self._over_tcp = self._udp_ports is None or settings.transport != "udp"
        self._request_url = self._base = self._aggregate = sdp.clean_url(settings.uri)
        self._reader = MessageReader()
        self._demultiplexer = Demultiplexer(self._on_text)
        self._early = EarlyPackets()
        self._state = _State.IDLE
        self._asked: _Asked | None = None
        self._sequence = 0
        self._session: SessionAnswer | None = None
        self._public: frozenset[str] = frozenset()
        self._media: list[_Medium] = []
        self._at = 0  # which medium is being set up
        self._switched = False
        self._accepted = False  # a signed request was granted: the password is right
        self._keep_alive_method = Method.OPTIONS
        self._keeps_alive = True
        self._stray = 0
        self._messages = 0
        self._heard = False
        self._notes: list[str] = []
        self._output = bytearray()
        self._udp_reports: deque[tuple[int, bytes]] = deque(maxlen=64)
        self.feed: Callable[[memoryview, int, float], None] = self._demultiplexer.feed
        """Take what came over the connection. Raises `SourceFault`."""

    @property
    def playing(self) -> bool:
        """PLAY was granted, and nothing ended the session since."""
        return self._state is _State.PLAYING

    @property
    def keep_alive_s(self) -> float:
        """Seconds between two calls of `keep_alive`: half of the camera's timeout, so that one may be late or lost.

        At least 2 s, so that a camera's odd timeout costs nobody more than that; at most 30 s, so that cameras that
        name a longer timeout than they keep, and firewalls on the way, do not forget us.
        """
        timeout = self._session.timeout_s if self._session is not None else DEFAULT_TIMEOUT_S
        return min(max(timeout / 2, SHORTEST_KEEP_ALIVE_S), LONGEST_KEEP_ALIVE_S)

    @property
    def transport(self) -> str:
        """tcp, udp or tls, as it stands so far."""
        if self._secure:
            return "tls"
        return "tcp" if self._over_tcp else "udp"

    @property
    def udp_peers(self) -> dict[int, tuple[str, int, int]]:
        """For media over UDP: host, RTP port, RTCP port by index. The host is empty: it is the connection's peer,
        whatever a camera says; ports are 0 when it says none.
        """
        return {
            index: ("", *medium.server_ports)
            for index, medium in enumerate(self._media)
            if medium.server_ports is not None
        }

    def begin(self) -> None:
        """The connection stands: queue the first request."""
        self._state = _State.OPTIONS
        self._ask(Method.OPTIONS, self._request_url)

    def take_output(self) -> bytes:
        """What is to be sent over the connection. Take it after every call that may queue something."""
        if not self._output:
            return b""
        output = bytes(self._output)
        self._output.clear()
        return output

    def keep_alive(self) -> None:
        """Queue a request that keeps the session: GET_PARAMETER where the camera lists it, else OPTIONS."""
        self._messages = 0
        if self.playing and self._keeps_alive:
            self._ask(self._keep_alive_method, self._aggregate)

    def reports(self, now_us: int, now_s: float) -> None:
        """Queue a receiver report of each medium: in the connection, or for `udp_reports`."""
        if not self.playing:
            return
        for index, medium in enumerate(self._media):
            report = medium.track.report(now_us, now_s)
            if report and medium.channels is not None:
                self._send(b"$" + bytes((medium.channels[1],)) + len(report).to_bytes(2, "big") + report)
            elif report:
                self._udp_reports.append((index, report))

    def udp_reports(self) -> list[tuple[int, bytes]]:
        """Reports to be sent to the RTCP port of the medium of that index."""
        reports = list(self._udp_reports)
        self._udp_reports.clear()
        return reports

    def feed_rtp(self, index: int, datagram: memoryview, arrival_us: int, arrival_s: float) -> None:
        """Take one RTP packet of the medium `index` that came over UDP."""
        if index < len(self._media) and (take := self._media[index].take) is not None:
            take(datagram, 0, len(datagram), arrival_us, arrival_s)

    def feed_rtcp(self, index: int, datagram: memoryview, arrival_us: int, arrival_s: float) -> None:
        """Take one RTCP packet of the medium `index` that came over UDP."""
        if index < len(self._media) and (take := self._media[index].take_control) is not None:
            take(datagram, 0, len(datagram), arrival_us, arrival_s)

    def flush(self) -> None:
        """The connection broke: let the tracks hand on what is complete."""
        if self.playing:
            for medium in self._media:
                medium.track.flush()

    def end(self) -> None:
        """Queue TEARDOWN, if there is anything to tear down. Answers are not looked at any more."""
        if self._session is not None and self._state is not _State.ENDED:
            self._ask(Method.TEARDOWN, self._aggregate)
        self._state = _State.ENDED

    # Requests

    def _ask(self, method: Method, url: str, *fields: tuple[str, str]) -> None:
        self._asked = _Asked(method, url, fields)
        self._send_asked(self._asked)

    def _send_asked(self, asked: _Asked) -> None:
        self._sequence += 1
        fields = list(asked.fields)
        if self._session is not None:
            fields.append(("Session", self._session.identity))
        authorization = self._credentials.header(asked.method, asked.url)
        if authorization is not None:
            asked.signings += 1
            fields.append(("Authorization", authorization))
        self._send(messages.request(asked.method, asked.url, self._sequence, fields))

    def _send(self, data: bytes) -> None:
        self._output += data

    # What the camera sends

    def _on_text(self, view: memoryview) -> int:
        if not messages.may_begin(view):
            return self._skip(view)
        try:
            message, length = self._reader.take(view)
        except MalformedMessage as error:
            if self._state is _State.PLAYING:
                self._stray += _STRAY_MESSAGE
                return self._skip(view)
            raise SourceFault(
                GapReason.NO_MEDIA, f"the camera's answer cannot be read: {error.message}", unreadable=True
            ) from error
        if message is not None:
            self._heard = True
            self._take(message)
        return length

    def _skip(self, view: memoryview) -> int:
        """Pass over bytes that are no message, up to what may be one or a packet of a channel that we know."""
        if not self._heard:
            raise SourceFault(GapReason.NO_MEDIA, "what answers does not speak RTSP")
        self._reader = MessageReader()
        channels = {channel for medium in self._media if medium.channels for channel in medium.channels}
        length = next_start(view, channels)
        self._stray += length
        if self._stray > MOST_STRAY:
            reason = GapReason.NETWORK if self.playing else GapReason.NO_MEDIA
            raise SourceFault(reason, f"over {MOST_STRAY} bytes that are neither RTSP nor RTP", unreadable=True)
        return length

    def _take(self, message: Response | Request) -> None:
        self._messages += 1
        if self._messages > MOST_MESSAGES:
            raise SourceFault(GapReason.NETWORK, f"over {MOST_MESSAGES} RTSP messages that nobody asked for")
        if self._state is _State.ENDED:
            return
        if isinstance(message, Request):
            self._answer(message)
        elif message.status >= 200 and self._asked is not None:
            self._take_response(self._asked, message)

    def _answer(self, asked: Request) -> None:
        if len(self._output) > MOST_OUTPUT:
            raise SourceFault(GapReason.NETWORK, "the camera asks without taking the answers")
        sequence = asked.headers.get("cseq")
        if asked.method == Method.REDIRECT:
            raise SourceFault(
                GapReason.REFUSED, "REDIRECT from the camera: it points elsewhere, and that is not followed"
            )
        if asked.method == Method.TEARDOWN:
            raise SourceFault(GapReason.NETWORK, "TEARDOWN from the camera: it ended the session")
        if asked.method in (Method.OPTIONS, Method.GET_PARAMETER, Method.SET_PARAMETER, Method.ANNOUNCE):
            self._send(messages.reply(200, "OK", sequence, (("Public", _ANSWERED),)))
        else:
            self._send(messages.reply(501, "Not Implemented", sequence))

    def _take_response(self, asked: _Asked, response: Response) -> None:
        if response.status == 401:
            self._sign_in(asked, response)
            return
        self._accepted = self._accepted or (asked.signings > 0 and response.status < 300)
        self._asked = None
        if self._state is _State.PLAYING:
            self._kept_alive(asked, response)
            return
        if 300 <= response.status < 400:
            raise refusal(response, asked.method)
        if self._state is _State.OPTIONS:
            self._take_options(response)
        elif self._state is _State.SETUP:
            self._take_setup(response)
        elif response.status >= 400:
            self._refused(asked, response)
        elif self._state is _State.DESCRIBE:
            self._take_description(response)
        else:
            self._play_granted()

    # Signing in

    def _sign_in(self, asked: _Asked, response: Response) -> None:
        """Answer the challenge, once; twice when the nonce was only too old."""
        why = self._unsignable(asked, parse_challenges(response.headers.all("www-authenticate")))
        if not why:
            self._send_asked(asked)
        elif self.playing:
            self._keeps_alive = False  # it plays on; more of the same would only lock the account
        else:
            raise refusal(response, asked.method, why)

    def _unsignable(self, asked: _Asked, challenges: list[Challenge]) -> str:
        """Take up a challenge, or say why not."""
        if asked.signings and not self._may_sign_again(asked, challenges):
            return "the camera refuses the user name or the password"
        if not self._credentials.given:
            return "the camera wants a password, and none is set"
        if not self._credentials.sendable:
            return "the user name holds control characters"
        if self._credentials.take(challenges) is None:
            return f"no known way to sign in ({_offered(challenges)})"
        return ""

    def _may_sign_again(self, asked: _Asked, challenges: list[Challenge]) -> bool:
        """Whether the refusal was the nonce's: the camera says so, or it took the password before."""
        if asked.signings >= _MOST_SIGNINGS:
            return False
        fresh = [challenge for challenge in challenges if challenge.nonce not in ("", self._credentials.nonce)]
        return any(challenge.stale or self._accepted for challenge in fresh)

    # Opening

    def _take_options(self, response: Response) -> None:
        """Whatever the answer: cameras that do not know OPTIONS still describe themselves."""
        listed = ",".join(response.headers.all("public")).upper().split(",")
        self._public = frozenset(name.strip() for name in listed)
        if Method.GET_PARAMETER in self._public:
            self._keep_alive_method = Method.GET_PARAMETER
        self._state = _State.DESCRIBE
        self._ask(Method.DESCRIBE, self._request_url, ("Accept", "application/sdp"))

    def _refused(self, asked: _Asked, response: Response) -> None:
        if response.status == 457 and asked.method is Method.PLAY and asked.fields:
            self._ask(Method.PLAY, self._aggregate)  # it knows no ranges at all
            return
        raise refusal(response, asked.method)

    def _take_description(self, response: Response) -> None:
        try:
            description = sdp.parse(response.body)
        except sdp.MalformedDescription as error:
            raise SourceFault(
                GapReason.NO_MEDIA, f"the camera's description cannot be read: {error.message}", unreadable=True
            ) from error
        named = [description.control, _text(response, "content-base"), _text(response, "content-location")]
        self._base = sdp.base_url(self._request_url, named)
        self._aggregate = sdp.resolve(self._base, description.control)
        choice = choose(description.media, self._settings, self._track)
        self._notes += choice.notes
        self._media = [_Medium(medium, self._track(medium)) for medium in choice.media]
        self._state = _State.SETUP
        self._set_up()

    def _track(self, medium: MediaDescription) -> Track:
        return self._make_track(medium, self._settings, self._listener, self._counters, ordered=self._over_tcp)

    def _set_up(self) -> None:
        """Ask for the next medium, or to play when there is none left."""
        if self._at == len(self._media):
            self._state = _State.PLAY
            self._ask(Method.PLAY, self._aggregate, ("Range", "npt=0.000-"))
            return
        medium = self._media[self._at]
        if self._over_tcp or self._udp_ports is None:
            wanted = interleaved(2 * self._at)
        else:
            wanted = datagrams(*self._udp_ports(self._at))
        self._ask(Method.SETUP, sdp.resolve(self._base, medium.description.control), ("Transport", wanted))

    def _take_setup(self, response: Response) -> None:
        if response.status >= 400:
            self._setup_refused(response)
            return
        if self._session is None:
            self._session = parse_session(response.headers.get("session"))
        answer = parse_transport(response.headers.get("transport"))
        if not self._usable(answer):
            self._switch_or_leave(response, _ANOTHER)
            return
        if self._at == 0 and answer.over_tcp and not self._over_tcp:
            self._switch(_ANOTHER)
        self._bind(self._media[self._at], answer)
        self._at += 1
        self._set_up()

    def _usable(self, answer: TransportAnswer) -> bool:
        return not answer.multicast and not (self._over_tcp and answer.over_tcp is False)

    def _setup_refused(self, response: Response) -> None:
        if response.status == 461:
            self._switch_or_leave(response, seen(response, Method.SETUP))
        elif self._at == 0:
            raise refusal(response, Method.SETUP)
        else:
            self._leave_out(seen(response, Method.SETUP))

    def _switch_or_leave(self, response: Response, why: str) -> None:
        """The transport does not suit: try the other one, once, while nothing is set up yet."""
        if self._at:
            self._leave_out(why)
        elif self._switched or self._udp_ports is None:
            raise refusal(response, Method.SETUP, "" if response.status >= 400 else why, unreadable=True)
        else:
            self._switch(why)
            self._set_up()

    def _switch(self, why: str) -> None:
        self._switched, self._over_tcp = True, not self._over_tcp
        self._notes.append(f"{self.transport}: {why}")
        self._media = [_Medium(medium.description, self._track(medium.description)) for medium in self._media]

    def _leave_out(self, why: str) -> None:
        """Only the video is worth a fault: anything else is left out, and that is said."""
        medium = self._media.pop(self._at)
        self._notes.append(f"no {medium.description.kind}: {why}")
        self._set_up()

    def _bind(self, medium: _Medium, answer: TransportAnswer) -> None:
        """Let the medium's packets in, kept back until the camera says that it plays."""
        medium.take = self._early.holding(medium.track.take)
        medium.take_control = self._early.holding(medium.track.take_control)
        if not self._over_tcp and not answer.over_tcp:
            medium.server_ports = answer.server_ports or (0, 0)
            return
        medium.channels = self._channels(answer)
        self._demultiplexer.bind(medium.channels[0], medium.take)
        self._demultiplexer.bind(medium.channels[1], medium.take_control)

    def _channels(self, answer: TransportAnswer) -> tuple[int, int]:
        """The camera's choice; ours when it names none, or names channels that another medium has."""
        taken = {channel for medium in self._media if medium.channels for channel in medium.channels}
        if answer.channels is not None and taken.isdisjoint(answer.channels):
            return answer.channels
        return next((n, n + 1) for n in range(2 * self._at, 254) if taken.isdisjoint((n, n + 1)))

    def _play_granted(self) -> None:
        """The camera plays. RTP-Info is not needed: times come from the packets, and cameras get it wrong."""
        self._state = _State.PLAYING
        for medium in self._media:
            medium.take, medium.take_control = medium.track.take, medium.track.take_control
            if medium.channels is not None:
                self._demultiplexer.bind(medium.channels[0], medium.take)
                self._demultiplexer.bind(medium.channels[1], medium.take_control)
        self._listener.opened(self._info())
        self._early.release()

    def _info(self) -> SourceInfo:
        described = [medium.track.described() for medium in self._media]
        codec = described[0]
        if not isinstance(codec, VideoCodec):
            raise SourceFault(GapReason.NO_MEDIA, "the session has no video that can be recorded")
        audio = next((format_ for format_ in described if isinstance(format_, AudioFormat)), None)
        metadata = any(medium.description.encoding.startswith(METADATA) for medium in self._media)
        return SourceInfo(Engine.RTSP, self.transport, codec, audio, shown("; ".join(self._notes), 400), metadata)

    # Playing

    def _kept_alive(self, asked: _Asked, response: Response) -> None:
        if response.status == 454:
            raise SourceFault(GapReason.NETWORK, f"{seen(response, asked.method)}: the camera ended the session")
        if response.status >= 400 and asked.method is Method.GET_PARAMETER:
            self._keep_alive_method = Method.OPTIONS  # listed, and yet not taken


def _text(response: Response, name: str) -> str:
    """A header that holds a URL: its bytes are UTF-8 where they are not ASCII."""
    return (response.headers.get(name) or "").encode("latin-1").decode("utf-8", "replace")


def _offered(challenges: list[Challenge]) -> str:
    names = (f"{c.scheme} {c.parameters.get('algorithm', '')} {c.parameters.get('qop', '')}" for c in challenges)
    return shown(", ".join(" ".join(name.split()) for name in names)) or "none offered"
