"""The worker's end of the live link: two threads and a bounded queue. Recording never waits for it."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from camera_gateway.board import StreamState
from camera_gateway.live import unix_path, wire
from camera_gateway.stats import WorkerStats
from camera_gateway.tap import LiveFormat, LiveUnit
from storage.clock import Clock

log = logging.getLogger(__name__)

QUEUE_BYTES = 8 << 20
_RETRY_S = 0.5
_PACE_S = 0.005
_AT_ONCE = 256 << 10


def state_message(stream_id: UUID, role: str, state: StreamState) -> dict[str, Any]:
    """A stream's state as it goes over the link and on to viewers."""
    return {
        "stream": str(stream_id),
        "role": role,
        "live": state.live.value,
        "cause": state.live_cause,
        "since_us": state.live_since_us,
        "recording": state.recording,
        "recording_since_us": state.recording_since_us,
        "last_frame_us": state.last_frame_us,
    }


class LiveClient:
    """Connects to the API process and comes back when it restarts.

    `on_watch` is called with the set of watched streams whenever it changes, `on_refresh` when a console asks for the
    plan to be read again, `hello` makes the messages sent after each connect.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        hello: Callable[[], list[bytes]],
        on_watch: Callable[[frozenset[UUID]], None],
        on_refresh: Callable[[], None],
    ) -> None:
        self._path = path
        self._clock = clock
        self._hello = hello
        self._on_watch = on_watch
        self._on_refresh = on_refresh
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._dropped: dict[UUID, int] = {}
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._connected = False
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="live-link", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._shut()
        self._thread.join()

    # --- outlet ------------------------------------------------------------------------------------------------------
    def send_format(self, stream_id: UUID, live: LiveFormat) -> None:
        self._put(wire.pack_format(stream_id, live))

    def send_unit(self, stream_id: UUID, unit: LiveUnit) -> None:
        """Queue a frame; over the queue's limit frames are dropped up to the next key frame, and counted."""
        parts = wire.unit_parts(stream_id, unit)
        with self._lock:
            if not self._connected or self._drops(stream_id, unit.key):
                return
            self._queue += parts
            self._queued += len(parts[0]) + len(parts[1])
        if not self._ready.is_set():
            self._ready.set()

    def send_states(self, roles: Mapping[UUID, str], states: Mapping[UUID, StreamState]) -> None:
        """Tell what changed."""
        if states:
            rows = [state_message(key, roles.get(key, ""), state) for key, state in states.items()]
            self._put(wire.pack_json(wire.Kind.STATES, rows))

    def send_stats(self, stats: WorkerStats) -> None:
        """Tell what the worker measured."""
        self._put(wire.pack_json(wire.Kind.STATS, stats.to_json()))

    def _put(self, message: bytes) -> None:
        with self._lock:
            if self._connected:
                self._queue.append(message)
                self._queued += len(message)
        self._ready.set()

    def _drops(self, stream_id: UUID, key: bool) -> bool:
        """Whether a frame is left out; when a stream goes on after that, how many were is told first."""
        full = self._queued > QUEUE_BYTES
        if not full and not self._dropped:
            return False
        dropped = self._dropped.get(stream_id)
        if full or (dropped is not None and not key):
            self._dropped[stream_id] = (dropped or 0) + 1
            return True
        if dropped is not None:
            del self._dropped[stream_id]
            told = wire.pack_json(wire.Kind.DROPPED, {"stream": str(stream_id), "frames": dropped})
            self._queue.append(told)
            self._queued += len(told)
        return False

    # --- threads -----------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._session()
            except OSError as error:
                log.debug("live_link_down", extra={"fields": {"error": error.strerror}})
            self._on_watch(frozenset())
            self._clock.wait(self._stopping, _RETRY_S)

    def _session(self) -> None:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with link:
            with unix_path.address(self._path) as address:
                link.connect(address)
            self._socket = link
            sender = threading.Thread(target=self._send_forever, args=(link,), name="live-sender", daemon=True)
            with self._lock:
                self._queue.clear()
                self._queued = 0
                self._dropped.clear()
                self._connected = True
            for message in self._hello():
                self._put(message)
            sender.start()
            try:
                self._receive_forever(link)
            finally:
                with self._lock:
                    self._connected = False
                self._ready.set()
                self._shut()
                sender.join()
                self._socket = None

    def _send_forever(self, link: socket.socket) -> None:
        while self._ready.wait():
            with self._lock:
                if not self._connected:
                    return
                data = self._take()
            try:
                link.sendall(data)
            except OSError:
                self._shut()
                return
            if not self._ready.is_set():
                self._clock.wait(self._stopping, _PACE_S)  # what comes meanwhile goes together

    def _take(self) -> bytes:
        """What goes out next, whole messages or not; the link is a stream."""
        parts: list[bytes] = []
        size = 0
        while self._queue and size < _AT_ONCE:
            part = self._queue.popleft()
            size += len(part)
            parts.append(part)
        self._queued -= size
        if not self._queue:
            self._ready.clear()
        return b"".join(parts)

    def _receive_forever(self, link: socket.socket) -> None:
        with link.makefile("rb") as lines:
            while not self._stopping.is_set():
                head = lines.read(wire.HEAD.size)
                if len(head) < wire.HEAD.size:
                    return
                length, kind = wire.HEAD.unpack(head)
                body = lines.read(length - 1)
                if kind == wire.Kind.WATCH:
                    self._on_watch(frozenset(UUID(text) for text in json.loads(body)))
                elif kind == wire.Kind.REFRESH:
                    self._on_refresh()

    def _shut(self) -> None:
        link = self._socket
        if link is None:
            return
        try:
            link.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
