"""Signed requests, their errors, and the waits between tries."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from storage.clock import FakeClock
from storage.errors import ConfigurationError, Unavailable
from storage.identity.keys import DeviceKey, PublicKey
from storage.identity.requests import MemoryNonces, verify_headers
from storage.spool.client import MAX_ANSWER_BYTES, ConsoleClient, NotDelivered, trust
from storage.spool.uplink import Backoff


class Script(httpx.BaseTransport):
    """Answers as it was told, and remembers what it was asked."""

    def __init__(self, *answers: Callable[[httpx.Request], httpx.Response]) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        return self._answers.pop(0)(request)


def raising(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise error

    return answer


def saying(
    status: int, content: bytes = b"{}", headers: dict[str, str] | None = None
) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _request: httpx.Response(status, content=content, headers=headers)


def client(script: Script, clock: FakeClock | None = None, signer: DeviceKey | None = None) -> ConsoleClient:
    return ConsoleClient("https://console.test", clock or FakeClock(), key_id="w1", signer=signer, transport=script)


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ConnectTimeout("x")])
def test_no_connection_means_not_delivered(error: Exception) -> None:
    with pytest.raises(NotDelivered):
        client(Script(raising(error))).request("GET", "/")


@pytest.mark.parametrize("error", [httpx.ReadTimeout("x"), httpx.ReadError("x"), httpx.RemoteProtocolError("x")])
def test_a_broken_connection_leaves_it_open_whether_the_console_acted(error: Exception) -> None:
    with pytest.raises(Unavailable) as caught:
        client(Script(raising(error))).request("GET", "/")
    assert not isinstance(caught.value, NotDelivered)


def test_an_answer_that_never_ends_is_cut() -> None:
    with pytest.raises(Unavailable, match="at most"):
        client(Script(saying(200, b"x" * (MAX_ANSWER_BYTES + 1)))).request("GET", "/")


@pytest.mark.parametrize("content", [b"", b"<html>", b"[" * 100_000, b"\xff\xfe"])
def test_an_answer_that_is_no_json_has_no_body(content: bytes) -> None:
    assert client(Script(saying(200, content))).request("GET", "/").body is None


def test_redirects_are_not_followed() -> None:
    script = Script(saying(302, headers={"location": "https://elsewhere.test/"}))
    assert client(script).request("GET", "/").status == 302
    assert len(script.asked) == 1


def test_requests_verify_with_the_devices_key(tmp_path: Path) -> None:
    clock, key = FakeClock(), DeviceKey.create(tmp_path / "key")
    script = Script(saying(200))
    client(script, clock, key).request("PUT", "/a/b?c=1", b"body")
    [asked] = script.asked
    keys = {"w1": PublicKey(key.public)}
    headers = dict(asked.headers)
    assert verify_headers(headers, "PUT", "/a/b?c=1", b"body", keys.get, MemoryNonces(clock), clock) == "w1"


def test_a_wrong_clock_is_corrected_once_from_the_date_and_stays_so(tmp_path: Path) -> None:
    clock, key = FakeClock(), DeviceKey.create(tmp_path / "key")
    date = {"date": "Wed, 01 Jan 2031 00:00:00 GMT"}
    refusal = saying(401, b'{"error": {"code": "time_outside_window"}}', date)
    script = Script(refusal, saying(200), saying(200))
    speaker = client(script, clock, key)
    assert speaker.request("GET", "/").status == 200
    speaker.request("GET", "/")
    times = [int(asked.headers["x-sunhall-time"]) for asked in script.asked]
    assert times == [clock.now_us(), 1_924_992_000_000_000, 1_924_992_000_000_000]


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}])
def test_without_a_date_the_refusal_stands(tmp_path: Path, headers: dict[str, str]) -> None:
    refusal = saying(401, b'{"error": {"code": "time_outside_window"}}', headers)
    script = Script(refusal)
    assert client(script, signer=DeviceKey.create(tmp_path / "key")).request("GET", "/").status == 401


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("soon", None), ("-3", None), ("", None)])
def test_the_wait_that_the_console_asks_for(text: str, seconds: float | None) -> None:
    answer = client(Script(saying(503, headers={"retry-after": text}))).request("GET", "/")
    assert answer.retry_after_s() == seconds


def test_a_missing_authority_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"ca\.pem"):
        trust(tmp_path / "ca.pem")


def test_waits_double_to_a_limit_and_differ_between_agents() -> None:
    waits = [Backoff(random=random.Random(seed)) for seed in range(20)]
    rounds = [[backoff.next_s() for backoff in waits] for _ in range(12)]
    for number, found in enumerate(rounds):
        full = min(2.0**number, 60.0)
        assert all(full / 2 <= wait <= full for wait in found)
        assert len(set(found)) > 1
    waits[0].reset()
    assert waits[0].next_s() <= 1.0
