"""A camera that a test plays by hand: its socket in the test's own thread, so that a fake clock rules the time."""

from __future__ import annotations

import base64
import re
import socket
import struct
from dataclasses import dataclass, field

from camera_gateway.fmp4.nal import split_sample
from camera_gateway.packets import AccessUnit
from camera_gateway.reactor import Reactor

_PAYLOAD_TYPE = 96
_ROUNDS = 400
_REQUEST = re.compile(rb"([A-Z_]+) \S+ RTSP/1\.0\r\nCSeq: (\d+)\r\n(?:.+\r\n)*\r\n")


@dataclass
class ScriptedCamera:
    """Listens at once; `serve` answers what came. `answers` False: it reads and says nothing."""

    reactor: Reactor
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    answers: bool = True
    received: bytearray = field(default_factory=bytearray)  # all of it
    requests: list[str] = field(default_factory=list)
    sdp: str = "v=0\r\n"
    timeout_s: int = 60
    connection: socket.socket | None = None
    _sequence: int = 0
    _answered: int = 0

    @property
    def uri(self) -> str:
        return f"rtsp://127.0.0.1:{self.listener.getsockname()[1]}/live"

    def describe(self, unit: AccessUnit) -> None:
        """Have a description with the parameter sets of this unit."""
        sets = ",".join(base64.b64encode(nal).decode() for nal in unit.parameters.sps + unit.parameters.pps)
        self.sdp = (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
            f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\na=control:track1\r\n"
        )

    def serve(self, rounds: int = 1) -> None:
        """Turn the reactor and answer what came, in turns."""
        for _ in range(rounds):
            self.reactor.turn(0.005)
            self._accept()
            self._read()
            if self.answers:
                self._answer()

    def serve_until(self, method: str) -> None:
        """Until a request of that method was answered."""
        for _ in range(_ROUNDS):
            if method in self.requests:
                break
            self.serve()
        self.reactor.turn(0.005)
        assert method in self.requests, self.requests

    def send_unit(self, unit: AccessUnit, timestamp: int) -> None:
        """One picture, each of its NAL units in one packet."""
        nals = split_sample(unit.data)
        for number, nal in enumerate(nals):
            self.send_packet(nal, timestamp, marker=number == len(nals) - 1)

    def send_packet(self, payload: bytes, timestamp: int, *, marker: bool) -> None:
        """One RTP packet in the connection."""
        self._sequence = self._sequence + 1 & 0xFFFF
        head = struct.pack(
            ">BBHII", 0x80, _PAYLOAD_TYPE | (0x80 if marker else 0), self._sequence, timestamp & 0xFFFFFFFF, 77
        )
        self.send(b"$\0" + struct.pack(">H", len(head) + len(payload)) + head + payload)

    def send(self, data: bytes) -> None:
        """Bytes as they are; blocks while the client does not read."""
        assert self.connection is not None
        self.connection.setblocking(True)
        self.connection.sendall(data)
        self.connection.setblocking(False)

    def hang_up(self, *, reset: bool = False) -> None:
        """End the connection, in order or with a RST."""
        assert self.connection is not None
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.connection = None

    def close(self) -> None:
        """Listen no more."""
        self.listener.close()
        if self.connection is not None:
            self.connection.close()

    def _accept(self) -> None:
        if self.connection is None:
            self.listener.setblocking(False)
            try:
                self.connection = self.listener.accept()[0]
            except BlockingIOError:
                return
            self.connection.setblocking(False)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a fake clock waits for nobody

    def _read(self) -> None:
        try:
            while self.connection is not None and (data := self.connection.recv(65536)):
                self.received += data
        except (BlockingIOError, ConnectionResetError):
            return

    def _answer(self) -> None:
        while found := _REQUEST.search(bytes(self.received), self._answered):
            self._answered = found.end()
            method = found[1].decode()
            self.requests.append(method)
            body = self.sdp if method == "DESCRIBE" else ""
            self.send(
                f"RTSP/1.0 200 OK\r\nCSeq: {found[2].decode()}\r\nPublic: GET_PARAMETER\r\n"
                f"Session: 1234;timeout={self.timeout_s}\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
                f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
