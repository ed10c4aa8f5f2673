"""A camera that sends over UDP on a bad network: RTSP in the middle, with a source behind it that speaks TCP alone.

The client asks for UDP and gets it; the source is asked for TCP. Interleaved packets become datagrams, of which some
are dropped, sent twice, or sent after the one that follows them: by a seed, never two of these in one place, and all of
them counted. RTCP passes unharmed.
"""

from __future__ import annotations

import contextlib
import random
import re
import select
import socket
import threading
from dataclasses import dataclass, field

from deploy.virtual_camera import marks

_TRANSPORT = re.compile(rb"Transport: RTP/AVP[^\r]*client_port=(\d+)-(\d+)[^\r]*", re.IGNORECASE)
_GRANTED = re.compile(rb"Transport: RTP/AVP/TCP[^\r]*", re.IGNORECASE)


@dataclass(frozen=True)
class Weather:
    """The parts of all packets that meet each fate."""

    lost: float = 0.0
    doubled: float = 0.0
    swapped: float = 0.0


@dataclass
class Done:
    """What became of the packets of all sessions."""

    packets: int = 0
    lost: int = 0
    doubled: int = 0
    swapped: int = 0
    pictures: dict[int, str] = field(default_factory=dict)
    """By picture number: one sign a packet in the order of sending, `.` when it was sent on, `x` when it was lost."""


class UdpRelay:
    """Listens on a port of its own for one client at a time; `weather` may change while it runs."""

    def __init__(self, port: int, seed: int) -> None:
        self.weather = Weather()
        self.done = Done()
        self._random = random.Random(seed)
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="udp-relay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close everything."""
        self._stopping.set()
        self._thread.join(20)
        self._listener.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if select.select([self._listener], [], [], 0.05)[0]:
                client, _ = self._listener.accept()
                with (
                    client,
                    socket.create_connection(("127.0.0.1", self._target)) as source,
                    contextlib.ExitStack() as s,
                ):
                    pair = [s.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
                    for each in pair:
                        each.bind(("127.0.0.1", 0))
                    self._serve(_Session(self, client, source, pair))

    def _serve(self, session: _Session) -> None:
        with contextlib.suppress(OSError):
            while not self._stopping.is_set() and session.once():
                continue

    def fate(self) -> str:
        """What becomes of the next packet."""
        weather, drawn = self.weather, self._random.random()
        if drawn < weather.lost:
            return "lost"
        if drawn < weather.lost + weather.doubled:
            return "doubled"
        return "swapped" if drawn < weather.lost + weather.doubled + weather.swapped else ""


class _Session:
    """One client and its way to the source."""

    def __init__(
        self, relay: UdpRelay, client: socket.socket, source: socket.socket, pair: list[socket.socket]
    ) -> None:
        self._relay = relay
        self._client, self._source, self._pair = client, source, pair
        self._ports = (0, 0)
        self._rest = b""
        self._held: bytes | None = None
        self._stamp = -1
        self._frame = -1

    def once(self) -> bool:
        """Take what comes next; false when somebody left."""
        for ready in select.select([self._client, self._source, *self._pair], [], [], 0.05)[0]:
            if ready in self._pair:
                ready.recv(2048)  # receiver reports
                continue
            data = ready.recv(65536)
            if not data:
                return False
            if ready is self._client:
                self._source.sendall(self._asked(data))
            else:
                self._rest += data
                while self._take_one():
                    continue
        return True

    def _asked(self, request: bytes) -> bytes:
        found = _TRANSPORT.search(request)
        if found is None:
            return request
        self._ports = int(found[1]), int(found[2])
        return request.replace(found[0], b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1")

    def _take_one(self) -> bool:
        """One packet or one answer of the source; false when there is no whole one."""
        rest = self._rest
        if rest[:1] == b"$":
            end = 4 + int.from_bytes(rest[2:4], "big")
            if not 4 <= end <= len(rest):
                return False
            self._rest = rest[end:]
            if rest[1]:
                self._send(1, rest[4:end])
            else:
                self._packet(rest[4:end])
            return True
        head, found, _ = rest.partition(b"\r\n\r\n")
        if not found:
            return False
        length = re.search(rb"Content-Length: (\d+)", head)
        end = len(head) + 4 + (int(length[1]) if length else 0)
        if len(rest) < end:
            return False
        self._rest = rest[end:]
        client, server = self._ports, [each.getsockname()[1] for each in self._pair]
        ours = f"Transport: RTP/AVP;unicast;client_port={client[0]}-{client[1]};server_port={server[0]}-{server[1]}"
        self._client.sendall(_GRANTED.sub(ours.encode(), rest[:end]))
        return True

    def _packet(self, packet: bytes) -> None:
        done, fate = self._relay.done, self._relay.fate()
        done.packets += 1
        self._note(packet, lost=fate == "lost" and self._held is None)
        if self._held is not None:  # it goes after this one, which meets no fate of its own
            self._send(0, packet)
            self._send(0, self._held)
            self._held = None
            done.swapped += 1
        elif fate == "lost":
            done.lost += 1
        elif fate == "swapped":
            self._held = packet
        else:
            self._send(0, packet)
            if fate == "doubled":
                self._send(0, packet)
                done.doubled += 1

    def _note(self, packet: bytes, *, lost: bool) -> None:
        stamp = int.from_bytes(packet[4:8], "big")
        if stamp != self._stamp:
            mark = marks.find(packet, 0, len(packet))
            assert mark is not None, "a picture's first packet is its mark"
            self._stamp, self._frame = stamp, mark.frame
        pictures = self._relay.done.pictures
        pictures[self._frame] = pictures.get(self._frame, "") + ("x" if lost else ".")

    def _send(self, index: int, packet: bytes) -> None:
        self._pair[index].sendto(packet, ("127.0.0.1", self._ports[index]))
