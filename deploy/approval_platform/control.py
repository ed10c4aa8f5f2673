"""`GET /v1/windows/{n}`: what a window serves now. A small HTTP server on loopback for the virtual counter PC."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Serving = Callable[[int], dict[str, Any] | None]
PREFIX = "/v1/windows/"


class ControlServer:
    """A part: answers on 127.0.0.1."""

    def __init__(self, serving: Serving, port: int) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(serving))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="approval-control")

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop and wait."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def answer(serving: Serving, path: str) -> tuple[HTTPStatus, dict[str, Any]]:
    """Status and body of a GET."""
    number = path.removeprefix(PREFIX)
    if not path.startswith(PREFIX) or not (number.isascii() and number.isdigit()) or len(number) > 4:
        return HTTPStatus.NOT_FOUND, {"error": {"code": "not_found", "message": "GET /v1/windows/{n}", "fields": {}}}
    return HTTPStatus.OK, {"serving": serving(int(number))}


def _handler(serving: Serving) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            status, content = answer(serving, self.path)
            body = json.dumps(content, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """The counter PC asks twice a second: no line for each."""

    return Handler
