"""Load mode: one file, packetised once, sent to any number of RTSP/TCP clients on /cam001, /cam002, …

Cameras are spread over a few phases of the file, so that their key frames do not all come at the same moment.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import av
from av.video.frame import PictureType

from deploy.virtual_camera import encode
from deploy.virtual_camera.accounts import Accounts
from deploy.virtual_camera.encode import AccessUnit, VideoShape
from deploy.virtual_camera.mount import LoopSource, Mount
from deploy.virtual_camera.rtsp import RtspServer
from storage.clock import Clock

PHASES = 5
_DEFAULT_SECONDS = 10


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


def make_file(path: Path, seconds: int = _DEFAULT_SECONDS) -> None:
    """A 1920×1080 H.264 file at 25 pictures and about 3 Mbit a second, with a key frame every two seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x264-params": "keyint=50:min-keyint=50:scenecut=0:bitrate=3000:vbv-maxrate=3000:vbv-bufsize=6000:filler=1",
        }
        graph = av.filter.Graph()
        source = graph.add("testsrc2", f"size=1920x1080:rate=25:duration={seconds}")
        sink = graph.add("buffersink")
        shade = graph.add("format", "yuv420p")
        source.link_to(shade)
        shade.link_to(sink)
        graph.configure()
        for _ in range(seconds * 25):
            frame = graph.pull()
            assert isinstance(frame, av.VideoFrame)  # noqa: S101 - a video graph gives video
            frame.pict_type = PictureType.NONE  # the source calls each frame a key frame
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


class LoadServer:
    """Many mounts, few phases, no ONVIF and no password."""

    def __init__(self, shape: VideoShape, units: list[AccessUnit], cameras: int, clock: Clock) -> None:
        sets = tuple(nal for nal in units[0].nals if encode.is_parameter_set(shape.codec, nal))
        keys = [index for index, unit in enumerate(units) if unit.key]
        self.phases = []
        for phase in range(min(PHASES, cameras)):
            start = keys[phase * len(keys) // PHASES]
            turned = _turned(units, start)
            self.phases.append(Mount(LoopSource(shape, turned, sets), clock, clock.now_us, f"load{phase}"))
        mounts = {f"/cam{number:03d}": self.phases[number % len(self.phases)] for number in range(1, cameras + 1)}
        self._rtsp = RtspServer(Accounts("", "", clock, open=True), mounts)
        self._clock = clock
        self._paths = list(mounts)
        self._tasks: list[asyncio.Task[None]] = []
        self._interval = 1 / shape.fps
        self.port = 0

    async def start(self, port: int) -> None:
        """Listen and send; the phases tick one after the other within a frame time."""
        self.port = await self._rtsp.start("127.0.0.1", port)
        for mount in self.phases:
            self._tasks.append(asyncio.create_task(mount.run()))
            await self._clock.sleep_async(self._interval / len(self.phases))

    async def stop(self) -> None:
        """Close everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._rtsp.stop()

    def urls(self) -> list[str]:
        """The RTSP URL of each camera."""
        return [f"rtsp://127.0.0.1:{self.port}{path}" for path in self._paths]

    def describe(self) -> dict[str, Any]:
        """The ready line."""
        return {"urls": self.urls()}


def _turned(units: list[AccessUnit], start: int) -> list[AccessUnit]:
    """The loop begun at `start`, with times from zero."""
    turned = units[start:] + units[:start]
    return [AccessUnit(unit.nals, original.pts, unit.key) for unit, original in zip(turned, units, strict=True)]


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
