"""A camera read by our own engine: the sockets and timers around one RTSP session, in a reactor.

Nothing here blocks or waits. Bounded are the time to open, the silence, the requests that wait to be sent, and how
much is read of one camera before the others have their turn. A fault says what was seen, not what may be the cause.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import secrets
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from camera_gateway.engine_shared import EngineShared
from camera_gateway.name_resolver import Resolved
from camera_gateway.packets import (
    AccessUnit,
    AudioUnit,
    SenderReport,
    SourceCounters,
    SourceFault,
    SourceInfo,
    SourceListener,
    SourceSettings,
)
from camera_gateway.reactor import READ, WRITE, Reactor, Timer
from camera_gateway.rtsp.session import Session
from camera_gateway.tcp_evidence import AWAY, break_evidence, connect_fault, tcp_state, tls_evidence
from camera_gateway.udp_ports import Pair
from storage.errors import ConfigurationError, MediaError
from storage.model import GapReason

log = logging.getLogger(__name__)

REPORT_S = 5.0
"""Between two RTCP receiver reports (RFC 3550 6.2)."""
LEAVE_S = 1.0
"""How long a closed session may wait for the answer to its TEARDOWN."""
_PICTURE_PATIENCE = 6
"""Packets without a picture are borne this many read time-outs: a group of pictures may be long."""
_READS = 4
_TLS_READS = 64  # a TLS read gives one record, 16 KiB at most
_DATAGRAMS = 64
_MOST_UNSENT = 64 << 10
_WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
MISTAKES = (LookupError, ValueError, ArithmeticError, struct.error)
"""How a mistake of a parser shows. One camera's bytes must not end the worker, and with it the others' recording."""
_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a camera is."""

    host: str
    port: int
    tls: bool

    @staticmethod
    def of(uri: str) -> Target:
        """The host and port of an `rtsp` or `rtsps` URL. Raises SourceFault."""
        try:
            parts = urlsplit(uri)
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        except ValueError:
            raise SourceFault(GapReason.NO_MEDIA, "the stream's address is no URL") from None
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise SourceFault(GapReason.NO_MEDIA, "the stream's address is no rtsp or rtsps URL with a host")
        return Target(parts.hostname, port, parts.scheme == "rtsps")


class _Gate:
    """Stands between session and listener: nothing passes once it is shut, not even from the middle of a read."""

    __slots__ = ("_on_opened", "listener", "units")

    def __init__(self, listener: SourceListener, on_opened: Callable[[], None]) -> None:
        self.listener: SourceListener | None = listener
        self.units = 0
        self._on_opened = on_opened

    def opened(self, info: SourceInfo) -> None:
        if self.listener is not None:
            self._on_opened()
            self.listener.opened(info)

    def unit(self, unit: AccessUnit) -> None:
        if self.listener is not None:
            self.units += 1
            self.listener.unit(unit)

    def audio(self, unit: AudioUnit) -> None:
        if self.listener is not None:
            self.listener.audio(unit)

    def metadata(self, document: bytes, arrival_us: int) -> None:
        if self.listener is not None:
            self.listener.metadata(document, arrival_us)

    def sender_report(self, report: SenderReport) -> None:
        if self.listener is not None:
            self.listener.sender_report(report)

    def failed(self, fault: SourceFault) -> None:
        """A source fails, not its session."""
        raise fault


class EngineSource:
    """One session with one camera stream, over TCP, TLS or UDP. Use: `start`, then `close`; not used twice."""

    def __init__(self, reactor: Reactor, shared: EngineShared) -> None:
        self.counters = SourceCounters()
        self._reactor = reactor
        self._clock = reactor.clock
        self._shared = shared
        self._gate: _Gate | None = None
        self._settings = SourceSettings("")
        self._target = Target("", 0, False)
        self._session: Session | None = None
        self._socket: socket.socket | None = None
        self._peer: tuple[Any, ...] = ()  # where it is connected to, also when the connection is gone
        self._receive: Callable[[bytearray], int] | None = None
        self._datagrams: dict[int, Pair] = {}
        self._addresses: list[str] = []
        self._fault: tuple[GapReason, str] = (GapReason.UNREACHABLE, "")
        self._phase = ""
        self._unsent = bytearray()
        self._events = 0
        self._leaving = False
        self._flushing = False
        self._opening: Timer | None = None
        self._attempt: Timer | None = None
        self._pulse: Timer | None = None
        self._watch = _Silence()

    def start(self, settings: SourceSettings, listener: SourceListener) -> None:
        self._settings = settings
        self._gate = _Gate(listener, self._on_opened)
        self._opening = self._reactor.call_later(settings.open_timeout_s, self._open_late)
        try:
            self._target = Target.of(settings.uri)
        except SourceFault as fault:
            self._reactor.call_soon(partial(self._fail, fault))
            return
        self._phase = f"the name {self._target.host} was not resolved"
        self._reactor.call_soon(self._resolve)

    def close(self) -> None:
        if self._gate is None or self._leaving:
            return
        self._gate.listener = None
        if self._session is None or self._socket is None:
            self._drop()
            return
        self._leaving = True
        self._stop_timers()
        self._close_datagrams()
        self._opening = self._reactor.call_later(LEAVE_S, self._drop)
        with contextlib.suppress(SourceFault):  # it asked too much of us to say goodbye
            self._session.end()
        self._flush()

    # Connecting

    def _resolve(self) -> None:
        if self._alive():
            self._shared.names.find(self._target.host, self._on_resolved)

    def _on_resolved(self, found: Resolved) -> None:
        if not self._alive():
            return
        if not found.addresses:
            self._fail(SourceFault(GapReason.UNREACHABLE, f"DNS: {self._target.host}: {found.error}"))
            return
        self._addresses = list(found.addresses)
        self._connect_next()

    def _connect_next(self) -> None:
        """Try the next address; the last one's fault is the session's."""
        self._close_socket()
        if not self._addresses:
            reason, evidence = self._fault
            others = self._others() if reason is GapReason.UNREACHABLE else ""
            self._fail(SourceFault(reason, evidence + others))
            return
        share_s = self._settings.open_timeout_s / (len(self._addresses) + 1)
        address = self._addresses.pop(0)
        if self._addresses:
            self._attempt = self._reactor.call_later(share_s, self._connect_next)
        self._connect(address)

    def _connect(self, address: str) -> None:
        self._phase = "no answer to the connection request"
        self._fault = (GapReason.UNREACHABLE, self._phase)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:  # no descriptors are left, or the machine does not speak IPv6
            self._connect_failed(error.errno or 0)
            return
        self._socket = made
        _tune(made, self._settings.read_timeout_s, self._shared.tcp_receive_buffer)
        try:
            number = made.connect_ex((address, self._target.port))
        except OSError as error:  # an IPv6 zone that the machine does not have
            number = error.errno or errno.EINVAL
        if number in (0, errno.EINPROGRESS):
            self._reactor.watch(made.fileno(), self._on_connect, WRITE)
        else:
            self._connect_failed(number)

    def _on_connect(self, _events: int) -> None:
        made = self._socket
        if made is None:
            return
        number = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not number:
            try:
                self._peer = made.getpeername()
            except OSError as error:  # it was reset since
                number = error.errno or errno.ENOTCONN
        if number:
            self._connect_failed(number)
            return
        self._cancel_attempt()
        self._reactor.forget(made.fileno())
        self._shared.neighbours.heard(self._target.host)
        if self._target.tls:
            self._begin_tls(made)
        else:
            self._begin_session(made)

    def _connect_failed(self, number: int) -> None:
        self._fault = connect_fault(number)
        self._cancel_attempt()
        self._reactor.call_soon(self._connect_next)
        self._close_socket()

    def _begin_tls(self, made: socket.socket) -> None:
        self._phase = "TLS: connected, but the handshake did not end"
        try:
            context = self._shared.tls()
        except ConfigurationError as error:
            self._fail(SourceFault(GapReason.UNKNOWN, error.message))
            return
        name = self._target.host if context.check_hostname else None
        try:
            wrapped = context.wrap_socket(made, server_hostname=name, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:  # it was reset since, or its name can stand in no certificate
            self._fail(SourceFault(GapReason.REFUSED, f"TLS: {getattr(error, 'strerror', None) or error}"))
            return
        self._socket = wrapped
        self._events = READ | WRITE
        self._reactor.watch(wrapped.fileno(), partial(self._on_handshake, wrapped), self._events)

    def _on_handshake(self, wrapped: ssl.SSLSocket, _events: int) -> None:
        try:
            wrapped.do_handshake()
        except ssl.SSLWantReadError:
            self._wait_for(READ)
        except ssl.SSLWantWriteError:
            self._wait_for(READ | WRITE)
        except ssl.SSLError as error:
            self._fail(SourceFault(GapReason.REFUSED, tls_evidence(error)))
        except OSError as error:
            self._fail(SourceFault(GapReason.REFUSED, f"TLS: {break_evidence(error)}"))
        else:
            self._reactor.forget(wrapped.fileno())
            self._begin_session(wrapped)

    def _begin_session(self, made: socket.socket) -> None:
        self._phase = "connected, but RTSP requests were not answered"
        self._receive = made.recv_into
        assert self._gate is not None  # noqa: S101 - set by start
        self._session = Session(self._settings, self._gate, self.counters, _cnonce, self._bind_datagrams)
        self._events = READ
        self._reactor.watch(made.fileno(), self._on_tls_ready if self._target.tls else self._on_ready, READ)
        self._session.begin()
        self._flush()

    def _on_opened(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        now_s = self._clock.monotonic()
        assert self._session is not None  # noqa: S101 - it was what opened
        self._watch.begin(now_s, self._session.keep_alive_s)
        self._later_pulse()
        if not self._session.udp_peers:
            self._close_datagrams()  # the camera wanted TCP after all

    def _open_late(self) -> None:
        evidence = f"{self._phase} within {self._settings.open_timeout_s:g} s"
        if self._socket is not None and self._session is None and not self._phase.startswith("TLS"):
            self._fail(SourceFault(GapReason.UNREACHABLE, evidence + self._others()))
        elif self._session is None and self._socket is None:
            self._fail(SourceFault(GapReason.UNREACHABLE, f"DNS: {evidence}"))
        else:
            self._fail(SourceFault(GapReason.NO_MEDIA, evidence))

    # Reading

    def _on_ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        receive, buffer, view, session = self._receive, self._shared.buffer, self._shared.view, self._session
        if receive is None or session is None:
            return
        clock = self._clock
        for _ in range(_READS):
            try:
                count = receive(buffer)
            except _WOULD_BLOCK:
                return
            except OSError as error:
                self._broken(error)
                return
            if not self._take(session, view, count, clock.now_us(), clock.monotonic()) or count < len(buffer):
                return

    def _on_tls_ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        receive, buffer, view, session = self._receive, self._shared.buffer, self._shared.view, self._session
        if receive is None or session is None:
            return
        for _ in range(_TLS_READS):
            try:
                count = receive(buffer)
            except _WOULD_BLOCK:
                return
            except OSError as error:
                self._broken(error)
                return
            if not self._take(session, view, count, self._clock.now_us(), self._clock.monotonic()):
                return
        self._reactor.call_soon(partial(self._on_tls_ready, READ))  # records may wait inside TLS, where epoll is blind

    def _take(self, session: Session, view: memoryview, count: int, now_us: int, now_s: float) -> bool:
        """Give what came to the session; false when the session is over."""
        if count == 0:
            self._ended()
            return False
        if self._leaving:
            if self._shared.buffer.find(b"RTSP/1.", 0, count) >= 0:  # the answer to our TEARDOWN
                self._drop()
                return False
            return True
        self._watch.reads += 1
        self._feed(session.feed, view[:count], now_us, now_s)
        if self._session is None or self._leaving:
            return False
        output = session.take_output()
        if output:
            self._unsent += output
            self._flush()
        return self._session is not None

    def _feed(self, feed: Callable[..., None], *arguments: object) -> None:
        """What the camera sent may end this session, and none but this one."""
        try:
            feed(*arguments)
        except SourceFault as fault:
            self._fail(fault)
        except MediaError as error:
            self._fail(SourceFault(GapReason.NO_MEDIA, error.message, unreadable=True))
        except MISTAKES as error:
            log.exception("engine_mistake")
            evidence = f"our engine failed on what the camera sent ({type(error).__name__}; the log says where)"
            self._fail(SourceFault(GapReason.NO_MEDIA, evidence, unreadable=True))

    def _ended(self) -> None:
        self._hand_on_the_last()
        if self._leaving:
            self._drop()
        elif self._pictures():
            self._fail(SourceFault(GapReason.NETWORK, "the camera ended the stream"))
        elif self._playing():
            self._fail(SourceFault(GapReason.NO_MEDIA, "the camera ended the session before the first picture"))
        else:
            self._fail(SourceFault(GapReason.NO_MEDIA, "the camera closed the connection while it was being opened"))

    def _broken(self, error: OSError) -> None:
        self._hand_on_the_last()
        if self._leaving:
            self._drop()
            return
        evidence = break_evidence(error)
        if error.errno in AWAY:
            evidence += self._others()
        if self._pictures() or self._playing():
            self._fail(SourceFault(GapReason.NETWORK, evidence))
        else:
            self._fail(SourceFault(GapReason.REFUSED, f"{evidence} while the session was being opened"))

    # Writing

    def _flush(self) -> None:
        """Send what waits, as far as the socket takes it; what is left goes when it takes more."""
        made, session = self._socket, self._session
        if made is None or session is None:
            return
        self._unsent += session.take_output()
        if self._unsent:
            try:
                del self._unsent[: made.send(self._unsent)]
            except _WOULD_BLOCK:
                pass
            except OSError as error:
                self._broken(error)
                return
        if len(self._unsent) > _MOST_UNSENT:
            self._fail(SourceFault(GapReason.NETWORK, "the camera takes no more requests"))
        else:
            self._wait_for(READ | WRITE if self._unsent else READ)

    def _wait_for(self, events: int) -> None:
        if events != self._events and self._socket is not None:
            self._events = events
            self._reactor.watch_for(self._socket.fileno(), events)

    # UDP

    def _bind_datagrams(self, index: int) -> tuple[int, int]:
        """A pair of ports for a track, on our address that reaches the camera. The session asks, inside `feed`."""
        pair = self._datagrams.get(index)
        if pair is None:
            made, session = self._socket, self._session
            assert made is not None  # noqa: S101 - the session lives on it
            assert session is not None  # noqa: S101 - it asks
            pair = self._datagrams[index] = self._shared.udp_ports.take(made.family, made.getsockname()[0])
            for sock, feed in zip(pair, (session.feed_rtp, session.feed_rtcp), strict=True):
                watcher = partial(self._on_datagrams, index, sock, self._peer[0], feed)
                self._reactor.watch(sock.fileno(), watcher)
        return pair[0].getsockname()[1], pair[1].getsockname()[1]

    def _on_datagrams(
        self,
        index: int,
        sock: socket.socket,
        camera: str,
        feed: Callable[[int, memoryview, int, float], None],
        _events: int,
    ) -> None:
        buffer, view, clock = self._shared.buffer, self._shared.view, self._clock
        for _ in range(_DATAGRAMS):
            try:
                count, sender = sock.recvfrom_into(buffer)
            except _WOULD_BLOCK:
                return
            except OSError:
                continue  # an ICMP answer to one of our reports: TCP will say when the camera is gone
            if sender[0] != camera:
                continue
            self._feed(feed, index, view[:count], clock.now_us(), clock.monotonic())
            if self._session is None or self._leaving:
                return

    def _send_reports(self, session: Session, now_us: int, now_s: float) -> None:
        session.reports(now_us, now_s)
        if not self._datagrams or self._socket is None:
            return
        camera = self._peer
        for index, report in session.udp_reports():
            _host, _rtp_port, rtcp_port = session.udp_peers.get(index, ("", 0, 0))
            pair = self._datagrams.get(index)
            if pair is not None and rtcp_port:
                with contextlib.suppress(OSError):  # a report may be lost, like any datagram
                    pair[1].sendto(report, (camera[0], rtcp_port, *camera[2:]))

    # Time

    def _later_pulse(self) -> None:
        interval_s = min(1.0, self._settings.read_timeout_s / 4)
        self._pulse = self._reactor.call_later(interval_s, self._on_pulse)

    def _on_pulse(self) -> None:
        session, gate = self._session, self._gate
        if session is None or gate is None:
            return
        now_s = self._clock.monotonic()
        timeout_s = self._settings.read_timeout_s
        watch = self._watch
        if watch.look(now_s, self.counters.packets, gate.units):
            self._shared.neighbours.heard(self._target.host)
        silent_s = now_s - watch.packet_at
        if silent_s > timeout_s:
            self._fail(self._silence(f"no media for {timeout_s:g} s", now_s))
            return
        if now_s - watch.unit_at > timeout_s * _PICTURE_PATIENCE:
            seen = f"packets come, but no picture for {timeout_s * _PICTURE_PATIENCE:g} s"
            self._fail(SourceFault(GapReason.NO_MEDIA, seen, unreadable=gate.units == 0))
            return
        try:
            self._talk(session, now_s, silent_s > timeout_s / 2)
        except SourceFault as fault:
            self._fail(fault)
            return
        self._later_pulse()
        self._flush()

    def _talk(self, session: Session, now_s: float, silent: bool) -> None:
        """Send what is due, and ask a silent camera whether it is still there."""
        watch = self._watch
        if now_s >= watch.keep_alive_at or (silent and not watch.asked):
            watch.ask(now_s, silent)
            session.keep_alive()
        if now_s >= watch.report_at:
            watch.report_at = now_s + REPORT_S
            self._send_reports(session, self._clock.now_us(), now_s)

    def _silence(self, seen: str, now_s: float) -> SourceFault:
        """Who is silent: the camera's media, its RTSP server, or the whole host."""
        self._hand_on_the_last()
        reason = GapReason.NETWORK if self._pictures() else GapReason.NO_MEDIA
        watch, made = self._watch, self._socket
        if made is None or not watch.asked:
            return SourceFault(reason, seen)
        if watch.reads > watch.reads_when_asked:
            return SourceFault(reason, f"{seen}; the camera still sends on the RTSP connection")
        state = tcp_state(made)
        if state.unacknowledged == 0 and state.quiet_s <= now_s - watch.asked_at + 0.5:
            return SourceFault(reason, f"{seen}; TCP acknowledges, but RTSP requests are not answered")
        return SourceFault(GapReason.NETWORK, f"{seen}, and nothing is acknowledged: half-open{self._others()}")

    # Ending

    def _fail(self, fault: SourceFault) -> None:
        self._hand_on_the_last()
        gate = self._gate
        if gate is None or self._leaving:
            return
        listener, gate.listener = gate.listener, None
        self._say_goodbye()
        self._drop()
        if listener is not None:
            listener.failed(fault)

    def _hand_on_the_last(self) -> None:
        """The last picture may be complete; its listener may close us."""
        if self._session is None or self._flushing or self._leaving:
            return
        self._flushing = True
        try:
            self._session.flush()
        except (SourceFault, MediaError):
            return
        except MISTAKES:  # the mistake before this one left the track half-way
            log.exception("engine_mistake")

    def _say_goodbye(self) -> None:
        """A TEARDOWN as far as the socket takes it now: some cameras count sessions that nobody ended."""
        if self._session is None or self._socket is None or not self._session.playing:
            return
        with contextlib.suppress(OSError, SourceFault):
            self._session.end()
            self._socket.send(bytes(self._unsent) + self._session.take_output())

    def _drop(self) -> None:
        """Nothing is left open after this."""
        self._stop_timers()
        self._close_datagrams()
        self._close_socket()
        self._session = None
        self._leaving = True
        self._unsent.clear()

    def _stop_timers(self) -> None:
        for timer in (self._opening, self._attempt, self._pulse):
            if timer is not None:
                timer.cancel()

    def _cancel_attempt(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()

    def _close_socket(self) -> None:
        made, self._socket, self._receive = self._socket, None, None
        if made is not None:
            self._reactor.forget(made.fileno())
            made.close()

    def _close_datagrams(self) -> None:
        for pair in self._datagrams.values():
            for sock in pair:
                self._reactor.forget(sock.fileno())
                sock.close()
        self._datagrams.clear()

    def _alive(self) -> bool:
        return self._gate is not None and self._gate.listener is not None

    def _playing(self) -> bool:
        return self._session is not None and self._session.playing

    def _pictures(self) -> bool:
        return self._gate is not None and self._gate.units > 0

    def _others(self) -> str:
        return self._shared.neighbours.evidence(self._target.host)


@dataclass(slots=True)
class _Silence:
    """When what was last seen. All in monotonic seconds."""

    packets: int = 0
    packet_at: float = 0.0
    units: int = 0
    unit_at: float = 0.0
    reads: int = 0
    reads_when_asked: int = 0
    asked: bool = False  # whether we asked, by a keep-alive request, what this silence is about
    asked_at: float = 0.0
    keep_alive_s: float = 0.0
    keep_alive_at: float = 0.0
    report_at: float = 0.0

    def begin(self, now_s: float, keep_alive_s: float) -> None:
        self.packet_at = self.unit_at = now_s
        self.keep_alive_s = keep_alive_s
        self.keep_alive_at = now_s + keep_alive_s
        self.report_at = now_s + REPORT_S

    def look(self, now_s: float, packets: int, units: int) -> bool:
        """Take the counters' state; whether a packet came since the last look."""
        if units != self.units:
            self.units, self.unit_at = units, now_s
        if packets == self.packets:
            return False
        self.packets, self.packet_at, self.asked = packets, now_s, False
        return True

    def ask(self, now_s: float, about_silence: bool) -> None:
        """A keep-alive request goes out."""
        self.keep_alive_at = now_s + self.keep_alive_s
        if about_silence:
            self.asked, self.asked_at, self.reads_when_asked = True, now_s, self.reads


def _tune(made: socket.socket, silence_s: float, receive_buffer: int) -> None:
    if receive_buffer:  # before connecting: the window's scale is agreed on then
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(round(silence_s), 1))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(silence_s * 2000))


def _cnonce() -> str:
    return secrets.token_hex(8)
