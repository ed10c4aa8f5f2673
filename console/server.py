"""The HTTPS server as a part: uvicorn on uvloop in a thread of its own, so that `main` keeps the signals."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading

import uvicorn
import uvloop
from starlette.types import ASGIApp

from storage.clock import Clock
from storage.errors import ConfigurationError

log = logging.getLogger(__name__)

SOCKET_BYTES = 64 * 1024
"""Longest message that a browser may send over a WebSocket; control messages are short."""
HEADER_BYTES = 64 * 1024
"""All headers of a request; the header of a screen segment lists its pictures."""
DRAIN_S = 5
START_S = 30.0


class HttpsServer:
    """Part: serves `app` over TLS. Headers of proxies are not believed; access is not logged line by line."""

    def __init__(self, app: ASGIApp, host: str, port: int, context: ssl.SSLContext, clock: Clock) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            loop="uvloop",
            http="h11",
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
        self._where = f"{host}:{port}"
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="https", daemon=True)

    def start(self) -> None:
        """Listen; returns when the port answers.

        Raises:
            ConfigurationError: it cannot listen there (`listen_failed`).
        """
        self._thread.start()
        deadline = self._clock.monotonic() + START_S
        while not self._server.started:
            if self._clock.wait(self._ended, 0.02) or self._clock.monotonic() > deadline:
                raise ConfigurationError("listen_failed", f"cannot listen on {self._where}: is the port in use?")
        log.info("https_listening", extra={"fields": {"at": self._where}})

    def stop(self) -> None:
        """Close idle connections, give the others a few seconds, and wait."""
        self._server.should_exit = True
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._server.serve())
        except SystemExit as error:  # uvicorn's way to say that it cannot bind
            log.error("https_not_started", extra={"fields": {"at": self._where, "status": str(error.code)}})
        finally:
            self._ended.set()
