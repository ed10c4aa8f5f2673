"""A TCP relay between a camera and its client that can stop relaying, reset, or end the connections."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading

_LINGER_RESET = struct.pack("ii", 1, 0)


class Relay:
    """Listens on a port of its own and relays to `port` of the loopback, until `stop`."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Every client gets a RST."""
        for client, _server in self._pairs:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self.end()

    def end(self) -> None:
        """Every client gets a FIN."""
        self._stopping.set()
        self._thread.join(20)
        for pair in self._pairs:
            for sock in pair:
                sock.close()
        self._pairs.clear()

    def stop(self) -> None:
        """Close everything."""
        self.end()
        self._listener.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            sources = [self._listener, *(sock for pair in self._pairs for sock in pair)]
            for ready in select.select(sources, [], [], 0.05)[0]:
                if ready is self._listener:
                    client, _address = self._listener.accept()
                    self._pairs.append((client, socket.create_connection(("127.0.0.1", self._target))))
                else:
                    self._relay(ready)

    def _relay(self, ready: socket.socket) -> None:
        for pair in list(self._pairs):
            if ready in pair:
                other = pair[1] if ready is pair[0] else pair[0]
                data = b""
                with contextlib.suppress(OSError):
                    data = ready.recv(65536)
                    other.sendall(data)
                if not data:
                    self._pairs.remove(pair)
                    for sock in pair:
                        sock.close()
