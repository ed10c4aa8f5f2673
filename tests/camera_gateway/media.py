"""Media made for tests with ffmpeg, and what ffprobe says of files."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import UUID

import av

from camera_gateway.fmp4.nal import VideoCodec, parse_access_unit, split_annexb
from camera_gateway.fmp4.parameters import ParameterLearner
from camera_gateway.packets import AccessUnit
from camera_gateway.recorder.ports import FragmentNote, SegmentStart, SinkFault
from storage.model import GapReason, RunEnd

_ENCODERS = {
    "h264": ("libx264", "-bf", "0"),
    "h264b": ("libx264", "-bf", "2"),
    "h265": ("libx265", "-x265-params", "log-level=none:bframes=0:keyint=25"),
    "h265b": ("libx265", "-x265-params", "log-level=none:keyint=25"),
}


@cache
def transport_stream(kind: str, *, seconds: int = 4, size: str = "320x180", gop: int = 25) -> Path:
    """An MPEG-TS file: Annex B with times, as a camera would send them. Made once a session."""
    encoder, *options = _ENCODERS[kind]
    made = Path(mkdtemp(prefix="sunhall-media-")) / f"{kind}.ts"
    source = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r=25", "-t", str(seconds)]
    common = ["-preset", "ultrafast", "-g", str(gop), "-sc_threshold", "0", "-pix_fmt", "yuv420p"]
    run("ffmpeg", "-v", "error", "-y", *source, "-c:v", encoder, *common, *options, str(made))
    return made


@cache
def units(kind: str, *, seconds: int = 4, size: str = "320x180", gop: int = 25) -> tuple[AccessUnit, ...]:
    """The access units of such a file, arriving exactly at their decoding times."""
    codec = VideoCodec.H264 if kind.startswith("h264") else VideoCodec.H265
    learner = ParameterLearner(codec)
    found: list[AccessUnit] = []
    first: int | None = None
    with av.open(str(transport_stream(kind, seconds=seconds, size=size, gop=gop)), mode="r") as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size == 0 or packet.dts is None or packet.pts is None:
                continue
            first = packet.dts if first is None else first
            parsed = parse_access_unit(codec, split_annexb(bytes(packet)))
            parameters = learner.take(parsed)
            assert parameters is not None
            dts = packet.dts - first
            arrival_us = 1_790_000_000_000_000 + dts * 100 // 9
            times = (dts, packet.pts - first, arrival_us, arrival_us / 1e6)
            found.append(AccessUnit(parsed.sample, parsed.key, *times, parameters))
    return tuple(found)


def frame_hashes(path: Path) -> list[str]:
    """A hash of the coded slices of each frame of any file, however it wraps them."""
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        annexb = Path(folder) / "copy.ts"
        run("ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-c", "copy", str(annexb))
        with av.open(str(annexb), mode="r") as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                if packet.size:
                    slices = [nal for nal in split_annexb(bytes(packet)) if _is_slice(stream.codec_context.name, nal)]
                    found.append(hashlib.sha256(b"".join(slices)).hexdigest())
    return found


def _is_slice(codec: str, nal: bytes) -> bool:
    return 1 <= nal[0] & 31 <= 5 if codec == "h264" else nal[0] >> 1 & 63 < 32


def run(*arguments: str) -> str:
    """Run a tool and return its output; its failure fails the test."""
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=120)
    return done.stdout


def packets(path: Path) -> list[dict[str, Any]]:
    """The packets of a file's video as ffprobe reads them."""
    shown = run(
        *("ffprobe", "-v", "error", "-select_streams", "v", "-show_packets", "-of", "json"),
        *("-show_data_hash", "sha256", str(path)),
    )
    found: list[dict[str, Any]] = json.loads(shown)["packets"]
    return found


def stream_facts(path: Path) -> dict[str, Any]:
    """What ffprobe says of a file's first stream."""
    facts: dict[str, Any] = json.loads(run("ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)))
    stream: dict[str, Any] = facts["streams"][0]
    return stream


def picture_hashes(path: Path) -> list[str]:
    """A hash of each decoded picture, in the order of presentation."""
    lines = run("ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-f", "framemd5", "-").splitlines()
    return [line.rsplit(",", 1)[1].strip() for line in lines if line and not line.startswith("#")]


class MemorySink:
    """A segment sink that keeps files in memory; `refuse` makes the next call of that name fail."""

    def __init__(self) -> None:
        self.files: list[bytes] = []
        self.starts: list[SegmentStart] = []
        self.notes: list[list[FragmentNote]] = []
        self.finished: list[int] = []
        self.events: list[tuple[object, ...]] = []
        self.expected: list[int] = []
        self.refuse: dict[str, GapReason] = {}
        self._key_at = 0

    def begin(self, start: SegmentStart) -> None:
        self._maybe_refuse("begin")
        self.starts.append(start)
        self.files.append(start.head)
        self.notes.append([])

    def write(self, parts: list[bytes], size: int, note: FragmentNote) -> None:
        self._maybe_refuse("write")
        data = b"".join(parts)
        assert len(data) == size
        if note.starts_with_key:
            self._key_at = len(self.files[-1])
        self.files[-1] += data
        self.notes[-1].append(note)

    def expect(self, size: int) -> None:
        self.expected.append(size)

    def read_back(self, limit: int, deliver: Callable[[bytes], None]) -> None:
        data = self.files[-1][self._key_at :]
        deliver(data if len(data) <= limit else b"")

    def finish(self, t1_us: int) -> None:
        self.finished.append(t1_us)

    def open_run(self, stream_id: UUID, run_id: UUID, t0_us: int) -> None:
        self.events.append(("open", run_id, t0_us))

    def close_run(self, run_id: UUID, t1_us: int, end: RunEnd, detail: str) -> None:
        self.events.append(("close", run_id, t1_us, end, detail))

    def open_gap(self, t_us: int, reason: GapReason, detail: str) -> None:
        self.events.append(("gap", t_us, reason, detail))

    @property
    def ends(self) -> list[RunEnd]:
        return [event[3] for event in self.events if event[0] == "close" and isinstance(event[3], RunEnd)]

    def _maybe_refuse(self, name: str) -> None:
        reason = self.refuse.pop(name, None)
        if reason is not None:
            raise SinkFault(reason, f"{name} refused by the test")
