"""A network cable that a test can cut: a TCP proxy on loopback."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Wire:
    """Passes bytes between `port` and a target until `cut`; after `mend` new connections pass again."""

    def __init__(self, target_port: int, port: int = 0) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._whole = threading.Event()
        self._whole.set()
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._closed = False
        self._accepting = threading.Thread(target=self._accept, name="wire", daemon=True)
        self._accepting.start()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        self._whole.clear()
        with self._lock:
            for end in self._ends:
                _break(end)
            self._ends.clear()

    def mend(self) -> None:
        """Let connections pass again."""
        self._whole.set()

    def close(self) -> None:
        """Cut, and stop listening."""
        self._closed = True
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._whole.is_set():
                self._join(near)
            else:
                _break(near)

    def _join(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(self._target, timeout=5.0)
        except OSError:
            _break(near)
            return
        far.settimeout(None)
        with self._lock:
            self._ends += [near, far]
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._copy, args=(source, sink), name="wire-copy", daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            _break(end)


def _break(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
