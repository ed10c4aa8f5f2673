"""The API process: nothing blocks its event loop, with the live link, viewers, snapshots and signatures at work."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from blockbuster import BlockBuster, BlockingError
from websockets.sync.client import connect

from camera_gateway.api.app import GatewayApi, LoopBeat, make_app
from camera_gateway.api.callers import Callers, Neighbours
from camera_gateway.api.condition import Observer, StreamName, Surroundings
from camera_gateway.api.desk_client import DeskClient
from camera_gateway.api.transcoding import Transcodes
from camera_gateway.api_process import QuietServer, listen, server_config
from camera_gateway.live import wire
from camera_gateway.live.hub import Hub
from camera_gateway.live.link_server import LinkServer
from camera_gateway.main import main
from camera_gateway.settings import TranscodeSettings
from camera_gateway.stats import FleetStats
from camera_gateway.tap import LiveFormat, LiveUnit
from storage.clock import SystemClock
from storage.errors import DeviceError, DeviceFault, NotFound, Unavailable
from storage.identity.boxes import SecretBox
from storage.identity.keys import DeviceKey
from storage.identity.requests import sign_headers

STREAM, AWAY, LOST = uuid4(), uuid4(), uuid4()


@pytest.fixture
def nothing_blocks() -> Iterator[None]:
    """Any blocking call in an event loop raises."""
    guard = BlockBuster()
    guard.activate()
    yield
    guard.deactivate()


class Console:
    """A test client whose requests are signed, over an API without a catalog."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.key = DeviceKey.create(folder / "console.key")
        self.id = uuid4()
        box = SecretBox.create(folder / "cameras.key")
        links: list[LinkServer] = []
        hub = Hub(self.clock, lambda watched: links[0].tell_watched(watched))
        self.socket = folder / "live.sock"
        callers = Callers(lambda node_id: self.key.public if node_id == self.id else None, self.clock)
        self.fleet = FleetStats(self.clock)
        links.append(LinkServer(self.socket, hub, self.fleet))
        names = {STREAM: StreamName('一号 "窗口"', "main")}
        self.around = Surroundings(True, 10 << 30, 100 << 30, 2 << 30, 7200, 5, 1, 2.5, names)
        self.staged = folder / "staged.mp4"
        self.staged.write_bytes(bytes(range(256)))
        api = GatewayApi(
            *(self.clock, callers, hub, DeskClient(fake_desk()), box, links[0]),
            lambda segment_id: self.staged if segment_id == STREAM else None,
            Observer(self.clock, hub, links[0], self.fleet, 1, lambda: self.around),
            Neighbours(("127.0.0.0/8",)),
            LoopBeat(),
            cache(lambda: Transcodes(hub, fake_transcoder(), TranscodeSettings(), self.clock)),
            self._recorded,
            self._known,
        )
        self.app = make_app(api)

    def _known(self, stream_id: UUID) -> bool:
        """As a catalog would, in a thread: `LOST` is asked while it is away."""
        self.clock.sleep(0.001)
        if stream_id == LOST:
            raise Unavailable("catalog_away", "the catalog does not answer")
        return stream_id in (STREAM, AWAY)

    @staticmethod
    def _recorded(segment_id: UUID) -> Iterator[bytes]:
        if segment_id != STREAM:
            raise NotFound("segment_plays", "no H.265")
        return iter((b"one", b"two"))

    def signed(self, method: str, target: str, body: bytes = b"") -> dict[str, str]:
        return sign_headers(self.key, str(self.id), method, target, body, self.clock)


def fake_transcoder() -> list[str]:
    """Answers whatever comes with itself in capitals, in both modes."""
    return [sys.executable, "-c", "import sys; print(sys.stdin.read().upper(), end='')"]


def fake_desk() -> list[str]:
    """A desk that answers `probe` with a fault and everything else with its own name."""
    script = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    told = {"n": asked["n"]}
    if asked["call"] == "probe":
        told["error"] = {"kind": "DeviceError", "code": "wrong_password", "message": "no", "fields": {"port": 80}}
    elif asked["call"] == "crash":
        sys.exit(3)
    else:
        told["answer"] = {"picture": "/9g=", "call": asked["call"]}
    print(json.dumps(told), flush=True)
"""
    return [sys.executable, "-c", script]


@contextmanager
def worker(path: Path) -> Iterator[threading.Thread]:
    """A worker's end of the link, to be started: answers each watch with a format and two frames."""

    def run() -> None:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            lines = link.makefile("rb")
            link.sendall(wire.pack_json(wire.Kind.HELLO, {"worker": 0}))
            link.sendall(wire.pack_json(wire.Kind.STATES, [_state(), _state() | _OFFLINE]))
            while head := lines.read(wire.HEAD.size):
                length, kind = wire.HEAD.unpack(head)
                body = lines.read(length - 1)
                if kind == wire.Kind.WATCH and str(STREAM) in json.loads(body):
                    link.sendall(wire.pack_format(STREAM, LiveFormat("avc1.64001F", 640, 360, b"init")))
                    link.sendall(wire.pack_unit(STREAM, LiveUnit(True, 10, 0, 14_400, b"key")))
                    link.sendall(wire.pack_unit(STREAM, LiveUnit(False, 20, 0, 14_400, b"next")))
            lines.close()

    thread = threading.Thread(target=run, daemon=True)
    yield thread
    thread.join(10)


_OFFLINE: dict[str, object] = {"stream": str(AWAY), "live": "offline", "cause": "authentication"}


def _state() -> dict[str, object]:
    told: dict[str, object] = {"stream": str(STREAM), "role": "main", "live": "live", "cause": "", "since_us": 1}
    return told | {"recording": "recorded", "recording_since_us": 1, "last_frame_us": 1}


@contextmanager
def served(console: Console) -> Iterator[int]:
    """The API as it is in production, in a thread of its own; yields its port."""
    listening = listen("127.0.0.1", 0)
    server = QuietServer(server_config(console.app))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        while not server.started and thread.is_alive():
            console.clock.sleep(0.02)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)


def http(port: int) -> httpx.Client:
    """A client that does not look at proxy variables."""
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)


@pytest.mark.net
def test_the_whole_api_never_blocks_its_loop(tmp_path: Path, nothing_blocks: None) -> None:
    console = Console(tmp_path)
    with worker(console.socket) as other_end, served(console) as port, http(port) as client:
        other_end.start()
        signed = console.signed("GET", "/v1/live")
        with connect(f"ws://127.0.0.1:{port}/v1/live", additional_headers=signed, proxy=None) as viewer:
            viewer.send(json.dumps({"op": "subscribe", "channel": 1, "stream": str(STREAM)}))
            seen: list[bytes] = []
            while len(seen) < 3:
                message = viewer.recv(10)
                if isinstance(message, bytes):
                    seen.append(message)
            assert [data[2] for data in seen] == [0, 1, 1]
        target = f"/v1/streams/{STREAM}/snapshot"
        snapshot = client.get(target, headers=console.signed("GET", target))
        assert (snapshot.status_code, snapshot.content) == (200, b"\xff\xd8")
        health = client.get("/v1/health", headers=console.signed("GET", "/v1/health")).json()
        assert health["streams"][str(STREAM)]["live"] == "live"
        probed = client.post("/v1/probe", content=b"{}", headers=console.signed("POST", "/v1/probe", b"{}"))
        assert (probed.status_code, probed.json()["error"]["code"]) == (422, "wrong_password")
        target = f"/v1/staged/{STREAM}"
        ranged = client.get(target, headers=console.signed("GET", target) | {"Range": "bytes=16-19"})
        assert (ranged.status_code, ranged.content) == (206, bytes(range(16, 20)))
        target = f"/v1/streams/{AWAY}/snapshot"
        away = client.get(target, headers=console.signed("GET", target))
        assert (away.status_code, away.json()["error"]["code"]) == (422, "wrong_password")
        assert client.post("/v1/refresh", headers=console.signed("POST", "/v1/refresh")).json() == {}
        assert client.get("/v1/health").status_code == 401
        target = f"/v1/streams/{uuid4()}/snapshot"
        assert client.get(target, headers=console.signed("GET", target)).status_code == 404
        target = f"/v1/segments/{STREAM}/converted"
        converted = client.get(target, headers=console.signed("GET", target))
        assert (converted.status_code, converted.content) == (200, b"ONETWO")
        target = f"/v1/segments/{uuid4()}/converted"
        assert client.get(target, headers=console.signed("GET", target)).status_code == 404
        assert client.post("/v1/warm", headers=console.signed("POST", "/v1/warm")).json() == {}


@pytest.mark.net
def test_a_stream_that_is_not_the_gateways_is_an_error_on_its_channel(tmp_path: Path, nothing_blocks: None) -> None:
    console = Console(tmp_path)
    with served(console) as port:
        signed = console.signed("GET", "/v1/live")
        with connect(f"ws://127.0.0.1:{port}/v1/live", additional_headers=signed, proxy=None) as viewer:
            viewer.send(json.dumps({"op": "subscribe", "channel": 4, "stream": str(uuid4())}))
            assert json.loads(viewer.recv(10)) == {"op": "error", "channel": 4, "code": "stream_not_found"}
            viewer.send(json.dumps({"op": "subscribe", "channel": 5, "stream": str(LOST)}))
            told = json.loads(viewer.recv(10))
            assert (told["op"], told["channel"], told["live"]) == ("state", 5, "connecting")


async def test_the_guard_of_this_file_works(nothing_blocks: None) -> None:
    with pytest.raises(BlockingError):
        SystemClock().sleep(0.01)


async def test_a_desk_that_dies_fails_its_calls_and_the_next_call_starts_another() -> None:
    desk = DeskClient(fake_desk())
    assert (await desk.call("first", b""))["call"] == "first"
    with pytest.raises(Unavailable):
        await desk.call("crash", b"")
    assert (await desk.call("second", b""))["call"] == "second"
    with pytest.raises(DeviceError) as caught:
        await desk.call("probe", b"")
    assert (caught.value.fault, caught.value.fields) == (DeviceFault.WRONG_PASSWORD, {"port": 80})
    await desk.stop()


async def test_an_idle_desk_leaves() -> None:
    desk = DeskClient(fake_desk(), idle_s=0.01)
    await desk.call("one", b"")
    process = desk._process
    assert process is not None
    async with asyncio.timeout(10):
        assert await process.wait() == 0
    assert (await desk.call("two", b""))["call"] == "two"
    await desk.stop()


def test_check_shows_settings_with_secrets_starred(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        'catalog_url = "postgresql://hall:hidden@db/hall"\n'
        '[storage]\nkind = "s3"\nendpoint = "x:1"\nbucket = "b"\nsecret_key = "hidden"\n',
        encoding="utf-8",
    )
    assert main(["check", "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "storage.secret_key = ***" in shown
    assert "catalog_url = postgresql://***@db/hall" in shown
    assert "hidden" not in shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[recording]\nsegmnt_s = 60\n", "did you mean recording.segment_s"),
        ("[recording]\nsegment_s = 0\n", "recording.segment_s must be greater than 0"),
        ('[cameras]\nsubnets = ["here"]\n', "here is no network"),
        ('[storage]\nkind = "tape"\n', 'must be "disk" or "s3"'),
    ],
)
def test_wrong_settings_are_refused_with_the_fix(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(text, encoding="utf-8")
    assert main(["check", "--config", str(config)]) == 2
    assert words in capsys.readouterr().err
