"""The console's side of the agent API, small and in memory: for tests of the agent without the console's code.

`FakeConsole.handle` is the whole behaviour. `FakeTransport` puts it behind httpx without a socket; `FakeConsoleServer`
behind a real one, to be started and stopped as a network is cut and returns.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import httpx

from screen_capture.decode import read_index
from storage.clock import US, Clock, SystemClock
from storage.errors import MediaError, NotAuthenticated
from storage.identity.keys import PublicKey
from storage.identity.requests import MemoryNonces, verify_headers

WORKSTATION = UUID("0190a000-0000-7000-8000-000000000001")
CODE = "ABCD-EFGH-JKLM"

Reply = tuple[int, dict[str, str], Any]


@dataclass
class StoredSegment:
    """What an agent has handed over."""

    facts: dict[str, Any]
    body: bytes
    uploads: int = 1


@dataclass
class FakeConsole:
    """Takes what agents send, checks signatures, and can be told to misbehave."""

    clock: Clock = field(default_factory=SystemClock)
    key: PublicKey | None = None
    segments: dict[UUID, StoredSegment] = field(default_factory=dict)
    claims: list[dict[str, Any]] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    enrolments: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    pace_s: float = 1.0
    authority: bytes = b""
    refuse_segments: list[Reply] = field(default_factory=list)  # answers given instead, one for each upload
    refuse_reports: list[Reply] = field(default_factory=list)
    refused_states: set[str] = field(default_factory=set)
    forget_answers: int = 0  # so many uploads are stored, but their answer is lost
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._nonces = MemoryNonces(self.clock)
        if not self.settings:
            self.settings = default_settings()

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        with self.lock:
            if (method, target) == ("GET", "/ca.pem"):
                return (200, {}, self.authority) if self.authority else error(404, "not_found")
            if (method, target) == ("POST", "/agent/v1/enrol"):
                return self._enrol(json.loads(body))
            try:
                known = {str(WORKSTATION): self.key}
                verify_headers(headers, method, target, body, known.get, self._nonces, self.clock)
            except NotAuthenticated as problem:
                return error(401, problem.code)
            if (method, target) == ("GET", "/agent/v1/time"):
                return 200, {}, {"now_us": self.clock.now_us()}
            if (method, target) == ("POST", "/agent/v1/report"):
                return self._report(json.loads(body))
            if method == "PUT" and target.startswith("/agent/v1/segments/"):
                return self._segment(UUID(target.rsplit("/", 1)[1]), headers, body)
            return error(404, "not_found")

    def _enrol(self, asked: dict[str, Any]) -> Reply:
        if asked["code"] != CODE:
            return error(401, "enrolment_code_invalid")
        self.enrolments.append(asked)
        self.key = PublicKey(base64.b64decode(asked["public_key"]))
        return 201, {}, {"workstation_id": str(WORKSTATION), "name": "3号窗口", "settings": self.settings}

    def _report(self, report: dict[str, Any]) -> Reply:
        if self.refuse_reports:
            return self.refuse_reports.pop(0)
        if any(row["state"] in self.refused_states for row in report["coverage"]):
            return error(422, "coverage_invalid")
        if any(row["t1_us"] > self.clock.now_us() + 300 * US for row in report["coverage"]):
            return error(422, "coverage_future")
        self.reports.append(report)
        self.claims.extend(row for row in report["coverage"] if row not in self.claims)
        return 200, {}, {"now_us": self.clock.now_us(), "pace_s": self.pace_s, "settings": self.settings}

    def _segment(self, segment_id: UUID, headers: Mapping[str, str], body: bytes) -> Reply:
        if self.refuse_segments:
            return self.refuse_segments.pop(0)
        lowered = {name.lower(): value for name, value in headers.items()}
        facts = json.loads(base64.b64decode(lowered["x-sunhall-segment"]))
        if hashlib.sha256(body).hexdigest() != facts["sha256"] or not _agrees(facts, body):
            return error(422, "segment_mismatch")
        before = self.segments.get(segment_id)
        if before is not None:
            before.uploads += 1
            return (200, {}, {}) if before.body == body else error(409, "segment_conflict")
        self.segments[segment_id] = StoredSegment(facts, body)
        if self.forget_answers:
            self.forget_answers -= 1
            return 0, {}, None
        return 201, {}, {}

    def times(self, monitor: str) -> list[int]:
        """When the pictures of a monitor that have arrived were taken."""
        with self.lock:
            return sorted(
                t for s in self.segments.values() if s.facts["monitor"] == monitor for t in s.facts["pictures"]
            )


class FakeTransport(httpx.BaseTransport):
    """The fake console without a socket. `away`: no connection; `broken`: the answer is lost."""

    def __init__(self, console: FakeConsole) -> None:
        self.console = console
        self.away = False
        self.broken = False
        self.requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.away:
            raise httpx.ConnectError("no route")
        body = request.read()
        target = request.url.raw_path.decode()
        status, headers, value = self.console.handle(request.method, target, request.headers, body)
        if self.broken or status == 0:
            raise httpx.ReadTimeout("no answer")
        date = formatdate(self.console.clock.now_us() / US, usegmt=True)
        return httpx.Response(status, headers={"Date": date, **headers}, content=_content(value))


class FakeConsoleServer:
    """The fake console on a real socket on loopback. Stopping and starting again keeps the port."""

    def __init__(self, console: FakeConsole, tls: ssl.SSLContext | None = None) -> None:
        self.console = console
        self.port = 0
        self._tls = tls
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self.console))
        self._server.daemon_threads = False
        self.port = self._server.server_address[1]
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None


def default_settings() -> dict[str, Any]:
    """What the console pushes when nobody changed anything."""
    return {
        "version": 1,
        "interval_s": 5.0,
        "service_periods": [],
        "timezone": "Asia/Shanghai",
        "notice": {"version": 1, "text": "本机正在记录"},
    }


def error(status: int, code: str) -> Reply:
    """An error as the console answers it."""
    return status, {}, {"error": {"code": code, "message": code, "fields": {}}}


def _agrees(facts: dict[str, Any], body: bytes) -> bool:
    try:
        index = read_index(body)
    except MediaError:
        return False
    told = [facts[key] for key in ("width", "height", "t0_us", "t1_us", "pictures")]
    return told == [index.width, index.height, index.t0_us, index.t1_us, [entry.t_us for entry in index.pictures]]


def _content(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def _handler(console: FakeConsole) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, headers, value = console.handle(self.command, self.path, dict(self.headers), body)
            if status == 0:
                return
            content = _content(value)
            self.send_response(status)
            for name, text in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815  # names that the standard library looks for

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the tests' output quiet."""

    return Handler
