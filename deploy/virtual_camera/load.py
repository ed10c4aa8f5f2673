"""Load mode: one file, packetised once, sent to any number of RTSP/TCP clients on /cam001, /cam002, …

Every picture carries its camera, its number and its send time (`marks.py`); what was sent is kept in a journal
(`journal.py`). A control port makes trouble: one JSON object a line, answered by one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import secrets
import socket
from pathlib import Path
from typing import Any

import av
from av.video.frame import PictureType

from deploy.virtual_camera import encode, rtp
from deploy.virtual_camera.encode import AccessUnit, VideoShape
from deploy.virtual_camera.fan import Fan, Viewer
from deploy.virtual_camera.rtsp import Request, parse_request
from storage.clock import Clock

_DEFAULT_SECONDS = 10
_MAX_REQUEST = 64 * 1024
_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, SET_PARAMETER, TEARDOWN"
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 455: "Method Not Valid in This State"}
_REASONS |= {405: "Method Not Allowed", 461: "Unsupported Transport"}


def read_file(path: Path) -> tuple[VideoShape, list[AccessUnit]]:
    """The first video stream of a file (anything PyAV opens) as access units, from its first key frame on."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codec = "h265" if stream.codec_context.name == "hevc" else "h264"
        fps = round(float(stream.average_rate or stream.guessed_rate or 25))
        shape = VideoShape(codec, stream.codec_context.width, stream.codec_context.height, fps, fps * 2)
        annexb = av.BitStreamFilterContext(f"{'hevc' if codec == 'h265' else 'h264'}_mp4toannexb", in_stream=stream)
        packets = [packet for source in container.demux(stream) for packet in annexb.filter(source) if packet.size]
    units = [
        AccessUnit(encode.split_nals(bytes(packet)), index * encode.VIDEO_CLOCK // fps, bool(packet.is_keyframe))
        for index, packet in enumerate(packets)
    ]
    first = next(index for index, unit in enumerate(units) if unit.key)
    return shape, units[first:]


def make_file(path: Path, seconds: int = _DEFAULT_SECONDS, kbit_s: int = 3400) -> None:
    """A 1920×1080 H.264 file at 25 pictures and about `kbit_s` a second, with a key frame every two seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        rate = f"bitrate={kbit_s}:vbv-maxrate={kbit_s}:vbv-bufsize={kbit_s * 2}"
        stream.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x264-params": f"keyint=50:min-keyint=50:scenecut=0:sliced-threads=0:{rate}",
        }
        graph = _moving_noise(seconds)
        for _ in range(seconds * 25):
            frame = graph.pull()
            assert isinstance(frame, av.VideoFrame)  # noqa: S101 - a video graph gives video
            frame.pict_type = PictureType.NONE  # the source calls each frame a key frame
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _moving_noise(seconds: int) -> av.filter.Graph:
    """A test picture under noise, so that the bits are spent on pictures and not on filler."""
    graph = av.filter.Graph()
    parts = [
        graph.add("testsrc2", f"size=1920x1080:rate=25:duration={seconds}"),
        graph.add("noise", "alls=10:allf=t"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ]
    for before, after in itertools.pairwise(parts):
        before.link_to(after)
    graph.configure()
    return graph


class LoadServer:
    """Many cameras of one file, no ONVIF and no password."""

    def __init__(self, shape: VideoShape, units: list[AccessUnit], cameras: int, clock: Clock) -> None:
        sets = tuple(nal for nal in units[0].nals if encode.is_parameter_set(shape.codec, nal))
        self.cameras = cameras
        self.port = 0
        self.control_port = 0
        self.fan = Fan(shape.codec, units, shape.fps, cameras, clock)
        self.connections: set[Connection] = set()
        self.offline: set[int] = set()
        self.silent: set[int] = set()
        self.attempts: dict[int, list[int]] = {}
        self._clock = clock
        self._sdp = rtp.sdp(shape.codec, "load", sets, shape.fps)
        self._tasks: list[asyncio.Task[None]] = []
        self._listener: socket.socket | None = None
        self._control: asyncio.Server | None = None

    async def start(self, port: int) -> None:
        """Listen and send."""
        self.port = port
        self.listen()
        self._control = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.control_port = self._control.sockets[0].getsockname()[1]
        self._tasks.append(asyncio.create_task(self.fan.run()))

    async def stop(self) -> None:
        """Close everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.refuse()
        for connection in tuple(self.connections):
            connection.close()
        if self._control is not None:
            self._control.close()

    def listen(self) -> None:
        """Accept connections (again)."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
            self._listener.setblocking(False)
            self.port = self._listener.getsockname()[1]
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def note_attempt(self, camera: int) -> None:
        """Somebody asks for a camera that is offline."""
        self.attempts.setdefault(camera, []).append(self._clock.now_us())

    def refuse(self) -> None:
        """Refuse new connections, as a device that starts up does."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def describe(self) -> dict[str, Any]:
        """The ready line."""
        return {"urls": self.urls(), "control": self.control_port}

    def urls(self) -> list[str]:
        """The RTSP URL of each camera."""
        return [f"rtsp://127.0.0.1:{self.port}/cam{number:03d}" for number in range(1, self.cameras + 1)]

    def sdp(self) -> bytes:
        """The description of every camera."""
        return self._sdp

    def camera(self, url: str) -> int:
        """The camera that a URL names, or 0."""
        found = re.search(r"/cam(\d{3,5})(?:/trackID=0)?/?$", url)
        return int(found[1]) if found and 0 < int(found[1]) <= self.cameras else 0

    # --- trouble -----------------------------------------------------------------------------------------------------
    async def command(self, order: dict[str, Any]) -> dict[str, Any]:
        """One order of the control port: `cut`, `offline`, `online`, `silent`, `loud` (with `cameras`), `reboot`
        (all cameras, `seconds`), `journal` (`path`), `attempts` (answers when each offline camera was tried, µs)."""
        name, cameras = order.get("op"), set(order.get("cameras", ()))
        if name == "journal":
            await asyncio.to_thread(self.fan.journal.write, Path(order["path"]))
        elif name == "reboot":
            self.refuse()
            self._cut(set(range(1, self.cameras + 1)))
            asyncio.get_running_loop().call_later(float(order["seconds"]), self.listen)
        elif name in ("cut", "offline"):
            self.offline |= cameras if name == "offline" else set()
            self._cut(cameras)
        elif name == "online":
            self.offline -= cameras
        elif name == "attempts":
            return {"ok": True, "attempts": self.attempts}
        elif name in ("silent", "loud"):
            self._mute(cameras, name == "silent")
        else:
            return {"ok": False, "error": f"no such order: {name}"}
        return {"ok": True, "playing": sum(len(group.viewers) for group in self.fan.groups)}

    def _cut(self, cameras: set[int]) -> None:
        for connection in tuple(self.connections):
            if connection.camera in cameras:
                connection.close()

    def _mute(self, cameras: set[int], silent: bool) -> None:
        self.silent = self.silent | cameras if silent else self.silent - cameras
        for connection in self.connections:
            if connection.viewer is not None and connection.camera in cameras:
                connection.viewer.silent = silent

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(await self.command(json.loads(line))).encode() + b"\n")
            await writer.drain()
        writer.close()

    def _accept(self) -> None:
        while self._listener is not None:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            self.connections.add(Connection(self, connection))


class Connection:
    """One RTSP client on a socket of its own: a player of at most one camera."""

    def __init__(self, server: LoadServer, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.camera = 0
        self.viewer: Viewer | None = None
        self._server = server
        self._socket = connection
        self._buffer = b""
        self._session = secrets.token_hex(8)
        asyncio.get_running_loop().add_reader(connection, self._readable)

    def close(self) -> None:
        """Cut the connection without a word."""
        if self not in self._server.connections:
            return
        self._server.connections.discard(self)
        self._leave()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        self._socket.close()

    def _leave(self) -> None:
        viewers = self._server.fan.group(self.camera).viewers if self.camera else []
        if self.viewer in viewers:
            viewers.remove(self.viewer)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._buffer += data
        if not data or len(self._buffer) > _MAX_REQUEST:
            self.close()
            return
        while self._take_one():
            continue

    def _take_one(self) -> bool:
        """Take a packet or a request from the buffer; false when there is no whole one."""
        if self._buffer[:1] == b"$":
            size = 4 + int.from_bytes(self._buffer[2:4], "big")
            whole = 4 <= size <= len(self._buffer)
            self._buffer = self._buffer[size:] if whole else self._buffer
            return whole and bool(self._buffer)
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        request = parse_request(head)
        self._buffer = rest
        if request is None:
            self.close()
            return False
        self._handle(request)
        return bool(self._buffer)

    def _handle(self, request: Request) -> None:
        sequence = request.headers.get("cseq", "0")
        camera = self._server.camera(request.url)
        if camera in self._server.offline:
            self._server.note_attempt(camera)
            self.close()
        elif request.method == "OPTIONS":
            self._answer(200, sequence, f"Public: {_METHODS}\r\n")
        elif not camera:
            self._answer(404, sequence)
        elif request.method == "DESCRIBE":
            head = f"Content-Base: {request.url.rstrip('/')}/\r\nContent-Type: application/sdp\r\n"
            self._answer(200, sequence, head, self._server.sdp())
        elif request.method == "SETUP":
            self._setup(request, sequence, camera)
        elif request.method == "PLAY":
            self._play(request, sequence)
        elif request.method == "TEARDOWN":
            self._leave()
            self._answer(200, sequence, self._session_line())
        elif request.method in ("GET_PARAMETER", "SET_PARAMETER"):
            self._answer(200, sequence, self._session_line())
        else:
            self._answer(405, sequence, f"Allow: {_METHODS}\r\n")

    def _setup(self, request: Request, sequence: str, camera: int) -> None:
        if "RTP/AVP/TCP" not in request.headers.get("transport", ""):
            self._answer(461, sequence)
            return
        self._leave()
        self.camera = camera
        self.viewer = Viewer(self._socket, camera, self._server.fan.journal, self.close)
        self.viewer.silent = camera in self._server.silent
        self._answer(200, sequence, f"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n{self._session_line()}")

    def _play(self, request: Request, sequence: str) -> None:
        if self.viewer is None:
            self._answer(455, sequence)
            return
        number, timestamp = self._server.fan.position(self.camera)
        info = f"RTP-Info: url={request.url.rstrip('/')}/trackID=0;seq={number};rtptime={timestamp}\r\n"
        self._answer(200, sequence, f"Range: npt=now-\r\n{info}{self._session_line()}")
        viewers = self._server.fan.group(self.camera).viewers
        if self.viewer not in viewers:
            viewers.append(self.viewer)

    def _session_line(self) -> str:
        return f"Session: {self._session};timeout=60\r\n"

    def _answer(self, status: int, sequence: str, extra: str = "", body: bytes = b"") -> None:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"RTSP/1.0 {status} {_REASONS[status]}\r\nCSeq: {sequence}\r\n{extra}{length}\r\n"
        data = head.encode() + body
        if self.viewer is not None:
            self.viewer.answer(data)
            return
        try:
            self._socket.send(data)  # nothing else was sent on this connection: it fits the socket's buffer
        except OSError:
            self.close()


def _read_or_make(path: Path) -> tuple[VideoShape, list[AccessUnit]]:
    if not path.exists():
        make_file(path)
    return read_file(path)


async def start(path: Path, cameras: int, port: int, clock: Clock) -> LoadServer:
    """Serve `path` (made when it does not exist) as `cameras` cameras."""
    shape, units = await asyncio.to_thread(_read_or_make, path)
    server = LoadServer(shape, units, cameras, clock)
    await server.start(port)
    return server
