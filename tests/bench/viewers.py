"""What do viewers cost? A worker's link feeds the real API process, and viewers hold real sockets.

Only the API process's CPU time counts: `live.relay_us_per_frame` for one frame of one viewer's stream, and
`live.viewer_streams_per_core`, how many streams of 25 frames a second one core carries at that price.

`python -m tests.bench.viewers URL` is the viewers' process: it reads handshake headers and stream ids
from standard input, then answers each line with what it has seen so far, until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from websockets.asyncio.client import ClientConnection, connect

from camera_gateway.live import wire
from camera_gateway.live.client import LiveClient
from camera_gateway.tap import LiveFormat, LiveUnit
from storage.clock import SystemClock
from tests.bench.report import Row
from tests.camera_gateway.hall import REPOSITORY, Hall

FPS = 25
STREAMS = 64
SOCKETS = 8
KEY_BYTES, FRAME_BYTES, GROUP = 16_000, 2_200, 50  # 640 x 360 at about 500 kbit/s, a key frame every two seconds
SETTLE_S, MEASURE_S = 6.0, 20.0
_SEQUENCE = struct.Struct(">I")
_CLOCK = SystemClock()


@dataclass(slots=True)
class Seen:
    """What all sockets of the viewers' process saw."""

    frames: int = 0
    bytes: int = 0
    holes: int = 0  # fragments whose number does not follow its predecessor's
    dropped: int = 0  # frames that the gateway said it left out


class Camera:
    """A worker's end of the link, whose cameras send as soon as they are watched."""

    def __init__(self, hall: Hall, streams: list[UUID]) -> None:
        self._streams = streams
        self._watched = threading.Event()
        self._stop = threading.Event()
        hello = [wire.pack_json(wire.Kind.HELLO, {"worker": 0})]
        path = hall.root / "run" / "gateway-live.sock"
        self._client = LiveClient(path, _CLOCK, lambda: hello, self._watch, lambda: None)
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._client.start()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._watched.set()
        self._thread.join()
        self._client.stop()

    def _watch(self, watched: frozenset[UUID]) -> None:
        if len(watched) == len(self._streams):
            self._watched.set()

    def _run(self) -> None:
        self._watched.wait()
        for stream_id in self._streams:
            self._client.send_format(stream_id, LiveFormat("avc1.64001E", 640, 360, b"init"))
        key, other = os.urandom(KEY_BYTES), os.urandom(FRAME_BYTES)
        began, number = _CLOCK.monotonic(), 0
        while not self._stop.is_set():
            for place, stream_id in enumerate(self._streams):
                first = (number + place) % GROUP == 0 or number == 0
                self._client.send_unit(stream_id, LiveUnit(first, number * 3600, 0, 14_400, key if first else other))
            number += 1
            _CLOCK.wait(self._stop, max(0.0, began + number / FPS - _CLOCK.monotonic()))


@contextmanager
def api_process(hall: Hall) -> Iterator[subprocess.Popen[bytes]]:
    """The API process alone, as the supervisor starts it."""
    with (hall.root / "api.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "camera_gateway.main", "api", "--config", str(hall.settings)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    try:
        hall.wait(hall.answers)
        yield process
    finally:
        process.terminate()
        process.wait(20)
        if process.stdin is not None:
            process.stdin.close()


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Viewers:
    """The process of the viewers, seen from the bench."""

    def __init__(self, hall: Hall, streams: list[UUID]) -> None:
        url = f"ws://127.0.0.1:{hall.port}/v1/live"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.viewers", url],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        headers = [dict(hall.signed("GET", "/v1/live")) for _ in range(SOCKETS)]
        self._say({"headers": headers, "streams": [str(key) for key in streams]})

    def seen(self) -> Seen:
        """What they have seen by now."""
        self._say("seen")
        if self._process.stdout is None:
            raise RuntimeError("the viewers' process has no output")
        return Seen(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(20)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _say(self, value: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(value).encode() + b"\n")
            self._process.stdin.flush()


def measure(settle_s: float = SETTLE_S, measure_s: float = MEASURE_S) -> list[Row]:
    """live.relay_us_per_frame and live.viewer_streams_per_core.

    Raises:
        ValueError: frames were lost on the way, so that the figures would flatter.
    """
    with tempfile.TemporaryDirectory(prefix="sunhall-bench-") as folder:
        hall = Hall(Path(folder) / "hall")
        streams = [hall.add_camera("rtsp://127.0.0.1:1/", recorded=False) for _ in range(STREAMS)]
        with api_process(hall) as process:
            camera, viewers = Camera(hall, streams), Viewers(hall, streams)
            camera.start()
            try:
                hall.wait(lambda: viewers.seen().frames > 0)
                _CLOCK.sleep(settle_s)
                spent, before = cpu_s(process.pid), viewers.seen()
                _CLOCK.sleep(measure_s)
                spent, after = cpu_s(process.pid) - spent, viewers.seen()
            finally:
                camera.stop()
                viewers.close()
        hall.close()
    frames = after.frames - before.frames
    if after.holes != before.holes or after.dropped != before.dropped or not frames:
        raise ValueError(f"frames were lost: {before} then {after}")
    return _rows(spent, frames, (after.bytes - before.bytes) / frames, measure_s)


def _rows(spent_s: float, frames: int, frame_bytes: float, measure_s: float) -> list[Row]:
    price_us = spent_s * 1e6 / frames
    note = (
        f"{SOCKETS} sockets x {STREAMS} streams, {frames / measure_s:.0f} frames/s of {frame_bytes:.0f} bytes, "
        f"API process {100 * spent_s / measure_s:.1f} % of a core"
    )
    return [
        Row("live.relay_us_per_frame", price_us, "us", note=note),
        Row("live.viewer_streams_per_core", 1e6 / price_us / FPS, "", note=f"at {FPS} frames a second"),
    ]


# --- the viewers' process ---------------------------------------------------------------------------------------------
async def _watch(url: str, headers: dict[str, str], streams: list[str], seen: Seen) -> None:
    async with connect(url, additional_headers=headers, compression=None, max_size=None, proxy=None) as socket:
        for number, stream_id in enumerate(streams):
            await socket.send(json.dumps({"op": "subscribe", "channel": number, "stream": stream_id}))
        await _count(socket, seen)


async def _count(socket: ClientConnection, seen: Seen) -> None:
    last: dict[int, int] = {}
    async for message in socket:
        if isinstance(message, str):
            told = json.loads(message)
            seen.dropped += told["frames"] if told["op"] == "dropped" else 0
        elif message[2] == 1:
            channel = message[0] << 8 | message[1]
            (number,) = _SEQUENCE.unpack_from(message, 4 + 20)  # of mfhd, the first box of moof
            seen.holes += channel in last and number != last[channel] + 1
            last[channel] = number
            seen.frames += 1
            seen.bytes += len(message)


async def _view(url: str) -> None:
    reader = asyncio.StreamReader(limit=1 << 22)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    wanted = json.loads(await reader.readline())
    seen = Seen()
    tasks = [asyncio.create_task(_watch(url, headers, wanted["streams"], seen)) for headers in wanted["headers"]]
    while await reader.readline():
        print(json.dumps(asdict(seen)), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(_view(sys.argv[1]))
