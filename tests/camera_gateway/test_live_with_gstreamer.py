"""Live pictures over the gateway's WebSocket, and who may ask for them."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from camera_gateway.fmp4.boxes import find
from storage.archive import tables
from storage.clock import US
from storage.identity.keys import DeviceKey
from storage.identity.requests import sign_headers
from tests.camera_gateway.hall import Hall
from tests.camera_gateway.media import packets, picture_hashes
from tests.peers.gst_rtsp import GstServer, make_h264

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GstServer]:
    media = str(make_h264(tmp_path_factory.mktemp("media")))
    made = GstServer({"/main": {"media": media, "kind": "h264"}, "/sub": {"media": media, "kind": "h264"}}).start()
    yield made
    made.stop()


class Wall(Hall):
    """A hall with one camera whose substream is not recorded."""

    def add(self, server: GstServer) -> tuple[UUID, UUID]:
        main = self.add_camera(server.url("/main"), sub=server.url("/sub"))
        (sub,) = self.rows(tables.stream, role="sub")
        return main, sub.id


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory, server: GstServer) -> Iterator[tuple[Wall, UUID, UUID]]:
    """A gateway that runs for all tests of this file."""
    hall = Wall(tmp_path_factory.mktemp("wall"))
    main, sub = hall.add(server)
    with hall.gateway():
        hall.wait(lambda: hall.rows(tables.stream_state, stream_id=main, recording="recorded"))
        yield hall, main, sub
    hall.close()


@asynccontextmanager
async def viewer(hall: Hall) -> AsyncIterator[ClientConnection]:
    url = f"ws://127.0.0.1:{hall.port}/v1/live"
    async with connect(url, additional_headers=dict(hall.signed("GET", "/v1/live")), proxy=None) as socket:
        yield socket


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def collect(socket: ClientConnection, frames: int) -> tuple[list[dict[str, Any]], list[tuple[int, int, bytes]]]:
    """Control messages and (type, flags, payload) until so many fragments came."""
    control: list[dict[str, Any]] = []
    media: list[tuple[int, int, bytes]] = []
    async with asyncio.timeout(30):
        while sum(kind for kind, _, _ in media) < frames:
            message = await socket.recv()
            if isinstance(message, str):
                control.append(json.loads(message))
            else:
                _channel, kind, flags = struct.unpack_from(">HBB", message)
                media.append((kind, flags, message[4:]))
    return control, media


@pytest.mark.parametrize("which", ["main", "sub"])
async def test_a_subscription_plays(wall: tuple[Wall, UUID, UUID], which: str, tmp_path: Path) -> None:
    hall, main, sub = wall
    stream_id = main if which == "main" else sub
    async with viewer(hall) as socket:
        await say(socket, op="subscribe", channel=7, stream=str(stream_id))
        control, media = await collect(socket, 60)

    info = next(message for message in control if message["op"] == "info")
    assert (info["channel"], info["stream"], info["width"], info["height"]) == (7, str(stream_id), 320, 180)
    assert info["codec"].startswith("avc1.")
    assert info["role"] in (which, "")
    assert {message["op"] for message in control} == {"info", "state"}
    assert media[0][0] == 0
    assert media[1][1] == 1
    times = [
        struct.unpack_from(">Q", data, find(data, b"moof", b"traf", b"tfdt").body + 4)[0] for _, _, data in media[1:]
    ]
    assert times == sorted(set(times))
    assert abs(times[-1] * 100 // 9 - hall.clock.now_us()) < 30 * US
    played = tmp_path / "live.mp4"
    played.write_bytes(b"".join(data for _, _, data in media))
    found = packets(played)
    assert len(found) == len(picture_hashes(played)) == 60
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    assert all(0 < step < 90_000 for step in steps)
    first = media[1][2]
    assert struct.unpack_from(">I", first, find(first, b"moof", b"traf", b"tfhd").body + 8)[0] == 4 * 3600


async def test_a_recorded_streams_picture_comes_from_the_cache(wall: tuple[Wall, UUID, UUID]) -> None:
    hall, main, _ = wall
    async with viewer(hall) as socket:
        await say(socket, op="subscribe", channel=1, stream=str(main))
        control, media = await collect(socket, 1)
    states = [message for message in control if message["op"] == "state"]
    assert (states[0]["live"], states[0]["recording"]) == ("live", "recorded")
    assert [kind for kind, _, _ in media] == [0, 1]


async def test_key_frames_only_pings_and_unsubscribing(wall: tuple[Wall, UUID, UUID]) -> None:
    hall, main, sub = wall
    async with viewer(hall) as socket:
        await say(socket, op="subscribe", channel=1, stream=str(main), keys_only=True)
        await say(socket, op="subscribe", channel=2, stream=str(sub), keys_only=True)
        _, media = await collect(socket, 6)
        assert all(flags == 1 for kind, flags, _ in media if kind == 1)
        await say(socket, op="unsubscribe", channel=1)
        await say(socket, op="unsubscribe", channel=2)
        await say(socket, op="ping", n=3)
        async with asyncio.timeout(10):
            while True:
                message = await socket.recv()
                if isinstance(message, str) and json.loads(message)["op"] == "pong":
                    break
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await socket.recv()


@pytest.mark.parametrize(
    "text", ["nonsense", "[]", "{}", '{"op":"dance"}', '{"op":"subscribe","channel":-1,"stream":"x"}', "7" * 200]
)
async def test_a_wrong_message_is_answered_and_the_socket_lives(wall: tuple[Wall, UUID, UUID], text: str) -> None:
    hall, _, _ = wall
    async with viewer(hall) as socket:
        await socket.send(text)
        assert json.loads(await socket.recv())["op"] == "error"
        await say(socket, op="ping", n=1)
        assert json.loads(await socket.recv())["op"] == "pong"


async def test_a_stranger_gets_no_pictures(wall: tuple[Wall, UUID, UUID], tmp_path: Path) -> None:
    hall, _main, _ = wall
    stranger = DeviceKey.create(tmp_path / "stranger.key")
    signed = sign_headers(stranger, str(hall.console_id), "GET", "/v1/live", b"", hall.clock)
    for headers in ({}, signed):
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            async with connect(f"ws://127.0.0.1:{hall.port}/v1/live", additional_headers=headers, proxy=None) as socket:
                await socket.recv()


def test_requests_are_verified(wall: tuple[Wall, UUID, UUID]) -> None:
    hall, main, _ = wall
    assert hall.request("GET", "/v1/health").json()["ok"] is True
    headers = dict(hall.signed("GET", "/v1/health"))
    assert hall.request("GET", "/v1/health", headers=headers).status_code == 200
    assert hall.request("GET", "/v1/health", headers=headers).json()["error"]["code"] == "nonce_repeated"
    assert hall.request("POST", "/v1/refresh", headers=headers).status_code == 401
    stranger = hall.request("GET", "/v1/health", headers={"X-Sunhall-Key": str(uuid4())})
    assert (stranger.status_code, stranger.json()["error"]["code"]) == (401, "key_unknown")
    snapshot = hall.request("GET", f"/v1/streams/{main}/snapshot")
    assert (snapshot.headers["content-type"], snapshot.content[:2]) == ("image/jpeg", b"\xff\xd8")
    missing = hall.request("GET", f"/v1/staged/{uuid4()}")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "staged_not_found")
    wrong = hall.request("POST", "/v1/probe", b'{"password": "secret"}')
    assert wrong.status_code == 422
    assert "secret" not in wrong.text
    large = hall.request("POST", "/v1/probe", b"x" * (2 << 20))
    assert large.json()["error"]["code"] == "body_too_large"


def test_health_tells_of_each_stream(wall: tuple[Wall, UUID, UUID]) -> None:
    hall, main, _ = wall
    answer = hall.request("GET", "/v1/health").json()
    assert answer["workers"] == 1
    assert answer["streams"][str(main)]["recording"] == "recorded"
    assert answer["disk_free_bytes"] > 0


def test_sealed_passwords_open_for_their_device_only(wall: tuple[Wall, UUID, UUID]) -> None:
    hall, _, _ = wall
    device_id = uuid4()
    body = json.dumps({"device_id": str(device_id), "password": "hünt er/2"}).encode()
    box = base64.b64decode(hall.request("POST", "/v1/seal", body).json()["sealed"])
    assert hall.box.open(box, device_id.bytes).decode() == "hünt er/2"


def test_metrics_count_a_real_camera_and_health_is_good(wall: tuple[Wall, UUID, UUID]) -> None:
    hall, main, _ = wall

    def sample(name: str) -> float | None:
        """The camera's sample of that name, as Prometheus' own parser reads the page."""
        page = hall.request("GET", "/metrics").text
        for family in text_string_to_metric_families(page):
            for found in family.samples:
                if found.name == name and found.labels.get("stream") == str(main):
                    assert (found.labels["camera"], found.labels["role"]) == ("one", "main")
                    return found.value
        return None

    before = hall.wait(lambda: sample("sunhall_stream_frames_total"))
    assert hall.wait(lambda: (sample("sunhall_stream_frames_total") or 0) > before + 50)
    assert sample("sunhall_stream_recorded") == 1
    assert hall.wait(lambda: 20 < (sample("sunhall_stream_frames_per_second") or 0) < 30)
    told = hall.request("GET", "/health")
    assert (told.status_code, told.json()["faults"]) == (200, [])
    assert told.json()["workers"] == {"expected": 1, "connected": [0], "beating": [0]}
    counted = hall.request("GET", "/v1/stats").json()["streams"][str(main)]
    assert (counted["engine"], counted["transport"], counted["lost"]) == ("rtsp", "tcp", 0)
