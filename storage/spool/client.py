"""Signed requests from a workstation to its console: one border where httpx's errors become ours."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from storage.clock import US, Clock
from storage.errors import ConfigurationError, Unavailable
from storage.identity.requests import Signer, sign_headers

MAX_ANSWER_BYTES = 1024 * 1024
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class NotDelivered(Unavailable):
    """The request certainly never reached the console: no connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, headers in lower case, the bytes, and them as JSON (None when they are none)."""

    status: int
    headers: dict[str, str]
    body: Any
    raw: bytes = b""

    @property
    def error_code(self) -> str:
        """The console's error code, "" when there is none."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return str(error.get("code", "")) if isinstance(error, dict) else ""

    def retry_after_s(self) -> float | None:
        """Seconds that the console asks to wait, if it does so in seconds."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdigit() else None


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """TLS that believes `ca_file` only (None: the system's authorities).

    Raises:
        ConfigurationError: the file is missing or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError("ca_unreadable", f"cannot read certificates from {ca_file}: {error}") from error


class ConsoleClient:
    """Speaks to one console. Safe for several threads. No redirects, no proxies, bounded answers."""

    def __init__(
        self,
        base_url: str,
        clock: Clock,
        *,
        verify: ssl.SSLContext | bool = True,
        key_id: str = "",
        signer: Signer | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Without `signer` requests go unsigned (enrolment, fetching the authority)."""
        self._clock = clock
        self._key_id = key_id
        self._signer = signer
        self._shift_us = 0
        self._http = httpx.Client(
            base_url=base_url, verify=verify, timeout=_TIMEOUT, transport=transport, trust_env=False
        )

    def request(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """Send and wait for the answer.

        When the console finds our clock wrong (`time_outside_window`), the request is signed again with the time of
        its `Date` header, and so are all later ones: a wrong clock must not silence a workstation.

        Raises:
            NotDelivered: no connection.
            Unavailable: the connection broke or timed out; the console may have acted.
        """
        answer = self._send(method, target, body, headers or {})
        if answer.status == 401 and answer.error_code == "time_outside_window" and self._take_time(answer):
            answer = self._send(method, target, body, headers or {})
        return answer

    def request_json(self, method: str, target: str, value: Any) -> Answer:
        """The same with a JSON body."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        return self.request(method, target, body, {"Content-Type": "application/json"})

    def close(self) -> None:
        self._http.close()

    def _send(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        sent = dict(headers)
        if self._signer is not None:
            shifted = _ShiftedClock(self._clock, self._shift_us)
            sent |= sign_headers(self._signer, self._key_id, method, target, body, shifted)
        try:
            with self._http.stream(method, target, content=body, headers=sent) as response:
                raw = _read_bounded(response)
                found = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, found, _json(raw), raw)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotDelivered("console_unreachable", f"no connection to the console: {error}") from error
        except httpx.HTTPError as error:
            raise Unavailable("console_no_answer", f"the console did not answer: {error}") from error

    def _take_time(self, answer: Answer) -> bool:
        try:
            date = parsedate_to_datetime(answer.headers.get("date", ""))
        except ValueError:
            return False
        self._shift_us = round(date.timestamp()) * US - self._clock.now_us()
        return True


class _ShiftedClock:
    """A clock that is off by a known amount: only `now_us` differs."""

    def __init__(self, clock: Clock, shift_us: int) -> None:
        self._clock = clock
        self._shift_us = shift_us
        self.monotonic = clock.monotonic
        self.sleep = clock.sleep
        self.wait = clock.wait
        self.sleep_async = clock.sleep_async

    def now_us(self) -> int:
        return self._clock.now_us() + self._shift_us


def _read_bounded(response: httpx.Response) -> bytes:
    raw = b""
    for piece in response.iter_bytes():
        raw += piece
        if len(raw) > MAX_ANSWER_BYTES:
            raise Unavailable("console_answer_too_large", f"an answer has at most {MAX_ANSWER_BYTES} bytes")
    return raw


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
