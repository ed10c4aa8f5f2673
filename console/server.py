"""The HTTPS server as a part: uvicorn on uvloop in a thread of its own, so that `main` keeps the signals."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading

import h11
import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from storage.clock import Clock
from storage.errors import ConfigurationError, Unavailable

log = logging.getLogger(__name__)

SOCKET_BYTES = 64 * 1024
"""Longest message that a browser may send over a WebSocket; control messages are short."""
HEADER_BYTES = 64 * 1024
"""All headers of a request; the header of a screen segment lists its pictures."""
HEAD_S = 20.0
"""Seconds that a connection may take for the head of a request."""
BACKLOG = 1024
SEND_BYTES = 64 * 1024
"""Asked of the kernel for what it holds for one connection (Linux takes twice that): about a second of a tile."""
DRAIN_S = 5
START_S = 30.0


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that closes connections whose request does not come: uvicorn itself waits for ever for its head."""

    head_s = HEAD_S
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # it says Transport, as every server's is
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_s, self.transport.close)

    def _stop_watching(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class HttpsServer:
    """Part: serves `app` over TLS. Headers of proxies are not believed; access is not logged line by line."""

    def __init__(self, app: ASGIApp, host: str, port: int, context: ssl.SSLContext, clock: Clock) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            loop="uvloop",
            http=ImpatientProtocol,
            h11_max_incomplete_event_size=HEADER_BYTES,
            ws="websockets-sansio",
            ws_max_size=SOCKET_BYTES,
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_S,
        )
        config.load()
        config.ssl = context
        self._server = uvicorn.Server(config)
        self._host, self._port = host, port
        self._socket: socket.socket | None = None
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="https", daemon=True)

    def start(self) -> None:
        """Listen; returns when the port answers.

        Raises:
            ConfigurationError: it cannot listen there (`listen_failed`).
            Unavailable: the application did not start (`server_not_started`).
        """
        self._socket = listen(self._host, self._port)
        self._thread.start()
        deadline = self._clock.monotonic() + START_S
        while not self._server.started:
            if self._clock.wait(self._ended, 0.02) or self._clock.monotonic() > deadline:
                self._socket.close()
                raise Unavailable("server_not_started", "the HTTPS server did not start: see the lines above")
        log.info("https_listening", extra={"fields": {"host": self._host, "port": self._port}})

    def stop(self) -> None:
        """Close idle connections, give the others a few seconds, and wait."""
        self._server.should_exit = True
        self._thread.join()
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        sockets = [self._socket] if self._socket is not None else None
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._server.serve(sockets))
        finally:
            self._ended.set()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; `::` takes IPv4 as well.

    Its send buffer is small: what the kernel holds for a viewer who does not keep up is delay, not help.

    Raises:
        ConfigurationError: it cannot listen there (`listen_failed`).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")
    except OSError as error:
        message = f"cannot listen on {host}:{port} ({error.strerror}): is the port in use? change listen.port"
        raise ConfigurationError("listen_failed", message) from error
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
    return made
