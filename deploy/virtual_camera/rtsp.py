"""A small RTSP 1.0 server (RFC 2326) with digest authentication; media over the same TCP connection or over UDP."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from deploy.virtual_camera import rtp
from deploy.virtual_camera.accounts import Accounts, Verdict
from deploy.virtual_camera.mount import Batch, Mount

_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN"
_SESSION_TIMEOUT_S = 60
_MAX_REQUEST = 64 * 1024
_WRITE_LIMIT = 4 << 20
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    453: "Not Enough Bandwidth",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request; header names in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]


def parse_request(head: bytes) -> Request | None:
    """The request in `head` (without the empty line), or None when it is none."""
    lines = head.decode("utf-8", errors="replace").split("\r\n")
    first = lines[0].split(" ")
    if len(first) != 3 or not first[2].startswith("RTSP/1."):
        return None
    pairs = (line.split(":", 1) for line in lines[1:] if ":" in line)
    return Request(first[0], first[1], {name.strip().lower(): value.strip() for name, value in pairs})


@dataclass
class RtspServer:
    """The RTSP side of one device: its mounts by path, behind one account list."""

    accounts: Accounts
    mounts: dict[str, Mount]
    realm: str = "Virtual Camera"
    session_limit: int = 0
    connections: set[Connection] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and cut all clients."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self.connections):
            connection.abort()

    def mount(self, url: str) -> Mount | None:
        """The mount that `url` names, with or without a track at its end."""
        path = re.sub(r"/trackID=0/?$", "", urlsplit(url).path.rstrip("/"))
        return self.mounts.get(path)

    def full(self) -> bool:
        """Whether the device's session limit is reached."""
        playing = sum(connection.playing for connection in self.connections)
        return bool(self.session_limit) and playing >= self.session_limit


class Connection(asyncio.Protocol):
    """One RTSP client: a player of at most one mount."""

    def __init__(self, server: RtspServer) -> None:
        self._server = server
        self._buffer = b""
        self._nonce = secrets.token_hex(16)
        self._session = secrets.token_hex(8)
        self._mount: Mount | None = None
        self._channel = 0
        self._udp: tuple[asyncio.DatagramTransport, asyncio.DatagramTransport] | None = None
        self._wait_key = True
        self._transport: asyncio.Transport | None = None
        self._pending: asyncio.Task[None] | None = None
        self.playing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows asyncio's type
        self._transport = transport
        transport.set_write_buffer_limits(high=_WRITE_LIMIT * 2)
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._leave()
        self._server.connections.discard(self)

    def abort(self) -> None:
        """Cut the connection without a word, as a power failure does."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer:
            if self._buffer[:1] == b"$":
                size = 4 + int.from_bytes(self._buffer[2:4], "big")
                if len(self._buffer) < max(4, size):
                    return
                self._buffer = self._buffer[size:]
                continue
            if not self._take_request():
                return

    def _take_request(self) -> bool:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            if len(self._buffer) > _MAX_REQUEST:
                self.abort()
            return False
        request = parse_request(head)
        if request is None:
            self._buffer = b""
            self._answer(400, "0")
            if self._transport is not None:
                self._transport.close()
            return False
        length = request.headers.get("content-length", "0")
        body = int(length) if length.isdigit() else 0
        if len(rest) < body:
            return False
        self._buffer = rest[body:]
        self._handle(request)
        return True

    def _handle(self, request: Request) -> None:
        sequence = request.headers.get("cseq", "0")
        if request.method == "OPTIONS":
            return self._answer(200, sequence, f"Public: {_METHODS}\r\n")
        if not self._authorised(request):
            challenge = f'WWW-Authenticate: Digest realm="{self._server.realm}", nonce="{self._nonce}"\r\n'
            return self._answer(401, sequence, challenge)
        handlers: dict[str, Callable[[Request, str], None]] = {
            "DESCRIBE": self._describe,
            "SETUP": self._setup,
            "PLAY": self._play,
            "PAUSE": self._pause,
            "TEARDOWN": self._teardown,
            "GET_PARAMETER": self._keep_alive,
            "SET_PARAMETER": self._keep_alive,
        }
        handler = handlers.get(request.method)
        if handler is None:
            return self._answer(405, sequence, f"Allow: {_METHODS}\r\n")
        return handler(request, sequence)

    def _authorised(self, request: Request) -> bool:
        header = request.headers.get("authorization", "")
        if not header:
            return self._server.accounts.open
        verdict = self._server.accounts.check_http_digest(header, request.method, self._server.realm, self._nonce)
        return verdict is Verdict.OK

    def _describe(self, request: Request, sequence: str) -> None:
        mount = self._server.mount(request.url)
        if mount is None:
            return self._answer(404, sequence)
        base = request.url.rstrip("/")
        return self._answer(
            200, sequence, f"Content-Base: {base}/\r\nContent-Type: application/sdp\r\n", mount.describe()
        )

    def _setup(self, request: Request, sequence: str) -> None:
        mount = self._server.mount(request.url)
        if mount is None:
            return self._answer(404, sequence)
        if self._server.full():
            return self._answer(453, sequence)
        self._mount = mount
        offers = request.headers.get("transport", "").split(",")
        for offer in offers:
            if "RTP/AVP/TCP" in offer:
                return self._setup_tcp(offer, sequence)
            ports = re.search(r"client_port=([1-6]?\d{1,4})-([1-6]?\d{1,4})\b", offer)
            if ports is not None and "multicast" not in offer:
                self._pending = asyncio.create_task(self._setup_udp(int(ports[1]), int(ports[2]), sequence))
                return None
        return self._answer(461, sequence)

    def _setup_tcp(self, offer: str, sequence: str) -> None:
        channels = re.search(r"interleaved=(\d+)", offer)
        self._channel = int(channels[1]) & 0xFE if channels else 0
        transport = f"RTP/AVP/TCP;unicast;interleaved={self._channel}-{self._channel + 1}"
        self._answer(200, sequence, f"Transport: {transport};ssrc={self._ssrc()}\r\n{self._session_line()}")

    async def _setup_udp(self, rtp_port: int, rtcp_port: int, sequence: str) -> None:
        if self._transport is None:
            return
        peer = self._transport.get_extra_info("peername")[0]
        local = self._transport.get_extra_info("sockname")[0]
        loop = asyncio.get_running_loop()
        senders = []
        for port in (rtp_port, rtcp_port):
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=(local, 0), remote_addr=(peer, port), family=socket.AF_INET
            )
            senders.append(transport)
        self._udp = senders[0], senders[1]
        ports = "-".join(str(sender.get_extra_info("sockname")[1]) for sender in senders)
        text = f"RTP/AVP;unicast;client_port={rtp_port}-{rtcp_port};server_port={ports};ssrc={self._ssrc()}"
        self._answer(200, sequence, f"Transport: {text}\r\n{self._session_line()}")

    def _play(self, request: Request, sequence: str) -> None:
        if self._mount is None:
            return self._answer(455, sequence)
        number, timestamp = self._mount.position()
        info = f"RTP-Info: url={request.url.rstrip('/')}/trackID=0;seq={number};rtptime={timestamp}\r\n"
        self._answer(200, sequence, f"Range: npt=now-\r\n{info}{self._session_line()}")
        self._wait_key = True
        self.playing = True
        return self._mount.add(self)

    def _pause(self, request: Request, sequence: str) -> None:
        del request
        self._leave(keep=True)
        self._answer(200, sequence, self._session_line())

    def _teardown(self, request: Request, sequence: str) -> None:
        del request
        self._leave()
        self._answer(200, sequence)
        if self._transport is not None:
            self._transport.close()

    def _keep_alive(self, request: Request, sequence: str) -> None:
        del request
        self._answer(200, sequence, self._session_line())

    def _leave(self, *, keep: bool = False) -> None:
        self.playing = False
        if self._mount is not None:
            self._mount.remove(self)
        if keep:
            return
        self._mount = None
        for sender in self._udp or ():
            sender.close()
        self._udp = None

    def _ssrc(self) -> str:
        return f"{self._mount.ssrc:08X}" if self._mount is not None else "00000000"

    def _session_line(self) -> str:
        return f"Session: {self._session};timeout={_SESSION_TIMEOUT_S}\r\n"

    def _answer(self, status: int, sequence: str, headers: str = "", body: bytes = b"") -> None:
        if self._transport is None or self._transport.is_closing():
            return
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        first = f"RTSP/1.0 {status} {_REASONS[status]}\r\nCSeq: {sequence}\r\nServer: Virtual Camera\r\n"
        self._transport.write(f"{first}{headers}{length}\r\n".encode() + body)

    def send(self, batch: Batch, *, key: bool) -> None:
        """A player that falls behind skips to the next key frame."""
        if self._transport is None or (self._wait_key and not key):
            return
        if self._transport.get_write_buffer_size() > _WRITE_LIMIT:
            self._wait_key = True
            return
        self._wait_key = False
        if self._udp is not None:
            for packet in batch.packets:
                self._udp[0].sendto(packet)
            return
        self._transport.write(batch.framed(self._channel))

    def report(self, packet: bytes) -> None:
        if self._udp is not None:
            self._udp[1].sendto(packet)
        elif self._transport is not None:
            self._transport.write(rtp.interleaved(self._channel + 1, packet))
