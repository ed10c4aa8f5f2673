"""A load source: packetises one H.264 file once and sends it over RTSP/TCP to any number of viewers of any mount.

`python -m tests.bench.live_source PORT FILE.h264 [FPS]` prints "ready PORT" and serves until it is killed. Every mount
shows the same pictures at the same time; a viewer starts at a key frame. Costs a few per cent of a core at 177 viewers.
"""

from __future__ import annotations

import asyncio
import base64
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from camera_gateway.fmp4.nal import split_annexb
from storage.clock import SystemClock

_MTU = 1400
_MAX_QUEUED = 4 << 20
_RTP = struct.Struct(">cBHBBHII")
_SSRC = 0x53554E48


@dataclass(frozen=True, slots=True)
class Frame:
    """One access unit as RTP payloads."""

    key: bool
    payloads: list[bytes]


def make_media(folder: Path, *, kbit_s: int = 2000, size: str = "1920x1080", fps: int = 25, seconds: int = 10) -> Path:
    """An H.264 file of about that bit rate with a key frame every two seconds."""
    made = folder / f"load-{size}-{kbit_s}.h264"
    source = f"testsrc2=s={size}:r={fps},noise=alls=12:allf=t"
    rate = f"{kbit_s}k"
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, "-t", str(seconds), "-c:v", "libx264"),
            *("-preset", "ultrafast", "-bf", "0", "-g", str(fps * 2), "-sc_threshold", "0", "-pix_fmt", "yuv420p"),
            *("-b:v", rate, "-maxrate", rate, "-bufsize", rate, str(made)),
        ],
        check=True,
        timeout=180,
    )
    return made


def frames_of(data: bytes) -> tuple[list[Frame], bytes, bytes]:
    """The frames of an Annex B file with one slice each, and its first SPS and PPS."""
    frames: list[Frame] = []
    waiting: list[bytes] = []
    sps = pps = b""
    for nal in split_annexb(data):
        kind = nal[0] & 31
        waiting.append(nal)
        if kind == 7:
            sps = sps or nal
        elif kind == 8:
            pps = pps or nal
        elif kind in (1, 5):
            frames.append(Frame(kind == 5, [part for unit in waiting for part in payloads(unit)]))
            waiting = []
    return frames, sps, pps


def payloads(nal: bytes) -> list[bytes]:
    """RTP payloads of a NAL unit: itself, or FU-A fragments (RFC 6184, 5.8)."""
    if len(nal) <= _MTU:
        return [nal]
    parts: list[bytes] = []
    for start in range(1, len(nal), _MTU - 2):
        chunk = nal[start : start + _MTU - 2]
        marks = (0x80 if start == 1 else 0) | (0x40 if start + _MTU - 2 >= len(nal) else 0)
        parts.append(bytes((nal[0] & 0xE0 | 28, marks | nal[0] & 31)) + chunk)
    return parts


@dataclass
class Fan:
    """The frames and who gets them."""

    frames: list[Frame]
    sps: bytes
    pps: bytes
    fps: int = 25
    viewers: set[Viewer] = field(default_factory=set)
    sequence: int = 0

    def description(self) -> bytes:
        """The SDP of every mount."""
        sets = f"{base64.b64encode(self.sps).decode()},{base64.b64encode(self.pps).decode()}"
        lines = (
            *("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=load", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*"),
            *("m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000"),
            f"a=fmtp:96 packetization-mode=1;profile-level-id={self.sps[1:4].hex()};sprop-parameter-sets={sets}",
            "a=control:trackID=0",
        )
        return ("\r\n".join(lines) + "\r\n").encode()

    async def play(self) -> None:
        """Send one frame after the other, for ever."""
        clock = SystemClock()
        started = clock.monotonic()
        number = 0
        while True:
            await asyncio.sleep(max(0.0, started + number / self.fps - clock.monotonic()))
            frame = self.frames[number % len(self.frames)]
            data = self._packets(frame, number * 90_000 // self.fps & 0xFFFFFFFF)
            for viewer in list(self.viewers):
                viewer.send(frame.key, data)
            number += 1

    def _packets(self, frame: Frame, timestamp: int) -> bytes:
        parts: list[bytes] = []
        for index, payload in enumerate(frame.payloads):
            self.sequence = self.sequence + 1 & 0xFFFF
            mark = 0x80 if index == len(frame.payloads) - 1 else 0
            parts.append(_RTP.pack(b"$", 0, len(payload) + 12, 0x80, 96 | mark, self.sequence, timestamp, _SSRC))
            parts.append(payload)
        return b"".join(parts)


class Viewer(asyncio.Protocol):
    """One RTSP connection."""

    def __init__(self, fan: Fan) -> None:
        self._fan = fan
        self._buffer = b""
        self._waiting = True
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._fan.viewers.discard(self)

    def send(self, key: bool, data: bytes) -> None:
        """Pass a frame on; a viewer that does not keep up starts again at a key frame."""
        transport = self._transport
        if transport is None or (self._waiting and not key):
            return
        self._waiting = transport.get_write_buffer_size() > _MAX_QUEUED
        if not self._waiting:
            transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer:
            if self._buffer[:1] == b"$":
                end = 4 + int.from_bytes(self._buffer[2:4], "big")
                if len(self._buffer) < end:
                    return
                self._buffer = self._buffer[end:]
            elif b"\r\n\r\n" in self._buffer:
                head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
                self._answer(head.decode().split("\r\n"))
            else:
                return

    def _answer(self, lines: list[str]) -> None:
        method, url, _ = lines[0].split(" ", 2)
        sequence = next((line.split(":", 1)[1].strip() for line in lines if line.lower().startswith("cseq:")), "0")
        extra, body = "Session: 1;timeout=60\r\n", b""
        if method == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n"
        elif method == "DESCRIBE":
            body = self._fan.description()
            extra = f"Content-Base: {url}/\r\nContent-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP":
            extra += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        if self._transport is not None:
            self._transport.write(f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{extra}\r\n".encode() + body)
        if method == "PLAY":
            self._fan.viewers.add(self)
        elif method == "TEARDOWN":
            self._fan.viewers.discard(self)


async def serve(fan: Fan, port: int) -> None:
    """Listen on the loopback and play."""
    server = await asyncio.get_running_loop().create_server(lambda: Viewer(fan), "127.0.0.1", port)
    sys.stdout.write(f"ready {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await fan.play()


class LiveSource:
    """The source as a process of its own, so that its cost is not the recorder's."""

    def __init__(self, media: Path, *, fps: int = 25, port: int = 0) -> None:
        self._arguments = [sys.executable, "-m", "tests.bench.live_source", str(port), str(media), str(fps)]
        self._process: subprocess.Popen[str] | None = None
        self.port = port

    def start(self) -> None:
        self._process = subprocess.Popen(self._arguments, stdout=subprocess.PIPE, text=True)
        if self._process.stdout is not None:
            self.port = int(self._process.stdout.readline().split()[1])

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            if self._process.stdout is not None:
                self._process.stdout.close()

    def url(self, number: int) -> str:
        """The address of camera `number`."""
        return f"rtsp://127.0.0.1:{self.port}/cam{number:03d}"


def main() -> None:
    frames, sps, pps = frames_of(Path(sys.argv[2]).read_bytes())
    asyncio.run(serve(Fan(frames, sps, pps, int(sys.argv[3])), int(sys.argv[1])))


if __name__ == "__main__":
    main()
