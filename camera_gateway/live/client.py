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
        self._ready = threading.Condition()
        self._connected = False
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="live-link", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._shut()
        with self._ready:
            self._ready.notify_all()
        self._thread.join()

    # --- outlet ------------------------------------------------------------------------------------------------------
    def send_format(self, stream_id: UUID, live: LiveFormat) -> None:
        self._put(wire.pack_format(stream_id, live))

    def send_unit(self, stream_id: UUID, unit: LiveUnit) -> None:
        """Queue a frame; over the queue's limit frames are dropped up to the next key frame, and counted."""
        with self._ready:
            dropped = self._dropped.get(stream_id)
            if self._queued > QUEUE_BYTES or (dropped is not None and not unit.key):
                self._dropped[stream_id] = (dropped or 0) + 1
                return
            self._dropped.pop(stream_id, None)
        if dropped is not None:
            self._put(wire.pack_json(wire.Kind.DROPPED, {"stream": str(stream_id), "frames": dropped}))
        self._put(wire.pack_unit(stream_id, unit))

    def send_states(self, roles: Mapping[UUID, str], states: Mapping[UUID, StreamState]) -> None:
        """Tell what changed."""
        if states:
            rows = [state_message(key, roles.get(key, ""), state) for key, state in states.items()]
            self._put(wire.pack_json(wire.Kind.STATES, rows))

    def send_stats(self, stats: WorkerStats) -> None:
        """Tell what the worker measured."""
        self._put(wire.pack_json(wire.Kind.STATS, stats.to_json()))

    def _put(self, message: bytes) -> None:
        with self._ready:
            if self._connected:
                self._queue.append(message)
                self._queued += len(message)
                self._ready.notify()

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
            with self._ready:
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
                with self._ready:
                    self._connected = False
                    self._ready.notify_all()
                self._shut()
                sender.join()
                self._socket = None

    def _send_forever(self, link: socket.socket) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._queue or not self._connected)
                if not self._connected:
                    return
                message = self._queue.popleft()
                self._queued -= len(message)
            try:
                link.sendall(message)
            except OSError:
                self._shut()
                return

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
