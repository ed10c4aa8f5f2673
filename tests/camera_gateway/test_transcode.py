"""H.265 shown as H.264: the same pictures at the same times, by real processes that die, hang and meet damage."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import struct
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import av
import numpy as np
import pytest

from camera_gateway.api import transcoding
from camera_gateway.api.transcoding import BUSY, FAILED, HUNG, UNDECODABLE, Transcodes, derived_id
from camera_gateway.fmp4.nal import VideoCodec, parse_access_unit
from camera_gateway.fmp4.parameters import ParameterLearner, ParameterSets, video_format
from camera_gateway.fmp4.writer import frame_fragment, init_segment, split_frame
from camera_gateway.live.hub import Hub, Viewer
from camera_gateway.settings import TranscodeSettings
from camera_gateway.tap import LiveFormat, LiveUnit
from camera_gateway.transcode_process import fitted, hvcc_of
from deploy.virtual_camera import strip
from deploy.virtual_camera.encode import VideoShape, make_loop
from storage.clock import SystemClock
from storage.errors import InvalidInput, MediaError, NotFound, Unavailable

SOURCE = uuid4()
START = 160_000_000_000_000  # a Unix time in 1/90000 s
TRANSCODER = [sys.executable, "-m", "camera_gateway.main", "transcode", "--mode"]


@dataclass(frozen=True)
class Footage:
    """A painted camera's H.265: its parameter sets and its frames as samples with their times."""

    sets: ParameterSets
    units: tuple[LiveUnit, ...]

    @property
    def format(self) -> LiveFormat:
        video = video_format(self.sets)
        return LiveFormat(video.codec, video.width, video.height, init_segment(video))

    def file(self) -> bytes:
        """As a recorded file, times from 0."""
        parts = [self.format.init]
        for number, unit in enumerate(self.units, 1):
            parts.append(frame_fragment(number, unit.time - START, 3600, unit.offset, unit.key, unit.data))
        return b"".join(parts)


@cache
def footage(b_frames: int = 0, seconds: int = 3) -> Footage:
    loop = make_loop(VideoShape("h265", 1280, 720, 25, 25, b_frames), "camera", 7, seconds)
    learner = ParameterLearner(VideoCodec.H265)
    units: list[LiveUnit] = []
    for number, unit in enumerate(loop):
        parsed = parse_access_unit(VideoCodec.H265, list(unit.nals))
        sets = learner.take(parsed)
        dts, pts = number * 3600, unit.pts + b_frames * 3600
        units.append(LiveUnit(parsed.key, START + dts, pts - dts, 14_400, parsed.sample))
    assert sets is not None
    return Footage(sets, tuple(units))


def strips(media: bytes) -> list[tuple[int, strip.Stamp | None]]:
    """Presentation time in 1/90000 s and strip of each picture of an H.264 file, by an independent decoder."""
    with av.open(io.BytesIO(media), format="mp4", mode="r") as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.time_base is not None
        scale = 90_000 * stream.time_base
        return [
            (round((frame.pts or 0) * scale), strip.read(np.asarray(frame.to_ndarray(format="gray"), np.uint8)))
            for frame in container.decode(stream)
        ]


@dataclass
class Tile:
    """A hub with one camera whose frames the test sends, and a viewer of its derived stream."""

    settings: TranscodeSettings = field(default_factory=lambda: TranscodeSettings(at_once=1, linger_s=0.2))
    command: list[str] = field(default_factory=lambda: list(TRANSCODER))

    def __post_init__(self) -> None:
        self.watched: list[frozenset[Any]] = []
        self.hub = Hub(SystemClock(), self.watched.append)
        self.hub.take_states([_live()])
        self.transcodes = Transcodes(self.hub, self.command, self.settings, SystemClock())
        self.viewer = Viewer()
        self.init = b""
        self.frames: list[bytes] = []
        self.told: list[dict[str, Any]] = []

    def watch(self) -> None:
        self.hub.subscribe(self.viewer, 4, self.transcodes.tile(SOURCE))

    def send(self, made: Footage) -> None:
        self.hub.take_format(SOURCE, made.format)
        for unit in made.units:
            self.hub.take_unit(SOURCE, unit)

    async def until_asked(self) -> None:
        """Until the transcoder is there and wants the camera."""
        await self.until(lambda: SOURCE in self.hub.watched)

    async def collect(self, enough: Callable[[], bool]) -> None:
        """Read what the viewer is sent until there is enough."""
        async with asyncio.timeout(60):
            while not enough():
                message = await self.viewer.next()
                if isinstance(message, str):
                    self.told.append(json.loads(message))
                elif message[2] == 0:
                    self.init = message[4:]
                else:
                    self.frames.append(message[4:])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - other tasks and processes make it true
                await asyncio.sleep(0.02)

    def causes(self) -> list[str]:
        return [message["cause"] for message in self.told if message["op"] == "state"]


def _live() -> dict[str, object]:
    told: dict[str, object] = {"stream": str(SOURCE), "role": "main", "live": "live", "cause": "", "since_us": 1}
    return told | {"recording": "recorded", "recording_since_us": 1}


@asynccontextmanager
async def tile(**changes: Any) -> AsyncIterator[Tile]:
    made = Tile(**changes)
    try:
        yield made
    finally:
        await made.transcodes.stop()


@pytest.mark.net
async def test_a_tile_shows_the_cameras_pictures_at_their_times_and_says_that_they_are_derived() -> None:
    made = footage()
    async with tile() as shown:
        shown.watch()
        await shown.until_asked()
        shown.send(made)
        await shown.collect(lambda: len(shown.frames) >= len(made.units))
        info = next(message for message in shown.told if message["op"] == "info")
        assert info | {"derived": True, "stream": str(SOURCE), "role": "main", "width": 640, "height": 360} == info
        assert info["codec"].startswith("avc1.")
        seen = strips(shown.init + b"".join(shown.frames))
    assert [time - START for time, _ in seen] == [number * 3600 for number in range(75)]
    assert [stamp.counter if stamp else None for _, stamp in seen] == list(range(75))
    assert {stamp.camera for _, stamp in seen if stamp} == {7}
    keys = [number for number, frame in enumerate(shown.frames) if split_frame(frame).key]
    assert keys == [0, 50], "a key frame every two seconds"


@pytest.mark.net
@pytest.mark.parametrize("b_frames", [0, 2])
async def test_a_recorded_file_keeps_every_picture_at_its_place(b_frames: int) -> None:
    made = footage(b_frames)
    whole = made.file()
    pieces = iter([whole[at : at + 50_000] for at in range(0, len(whole), 50_000)])
    async with tile() as shown:
        media = b"".join([piece async for piece in shown.transcodes.convert(pieces)])
        assert shown.hub.transcoders == 0
    seen = strips(media)
    times = sorted(unit.time - START + unit.offset for unit in made.units)
    assert [time for time, _ in seen] == times
    assert [stamp.counter if stamp else None for _, stamp in seen] == list(range(75))


@pytest.mark.net
async def test_a_browser_that_leaves_a_clip_leaves_no_transcoder_behind() -> None:
    """The server cancels at every wait from then on, not once."""
    made = footage().file()
    never = threading.Event()

    def slow() -> Iterator[bytes]:
        yield made
        never.wait(60)

    async def read(shown: Tile, begun: asyncio.Event) -> None:
        async for _ in shown.transcodes.convert(slow()):
            begun.set()

    async with tile() as shown:
        begun = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(read, shown, begun)
            await begun.wait()
            asyncio.get_running_loop().call_later(0.3, never.set)
            group.cancel_scope.cancel()
        assert shown.hub.transcoders == 0
        again = b"".join([piece async for piece in shown.transcodes.convert(iter([made]))])
        assert len(strips(again)) == 75


@pytest.mark.net
async def test_a_clip_that_nobody_takes_loses_its_turn_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcoding, "STALL_S", 0.2)
    made = footage().file()
    async with tile() as shown, aclosing(shown.transcodes.convert(iter([made]))) as stalled:
        await anext(stalled)
        again = b"".join([piece async for piece in shown.transcodes.convert(iter([made]))])
        assert len(strips(again)) == 75
        assert [piece async for piece in stalled if not piece] == [], "what is there still comes, and then the end"
        assert shown.hub.transcoders == 0
        again = b"".join([piece async for piece in shown.transcodes.convert(iter([made]))])
        assert len(strips(again)) == 75, "its turn was given back once"


@pytest.mark.net
async def test_the_last_viewer_ends_the_transcoder_and_another_one_starts_it_again() -> None:
    made = footage()
    async with tile() as shown:
        for _ in range(2):
            shown.frames.clear()
            shown.watch()
            await shown.until_asked()
            shown.send(made)
            await shown.collect(lambda: bool(shown.frames))
            shown.hub.leave(shown.viewer)
            await shown.until(lambda: not shown.hub.watched and not shown.hub.transcoders)
        assert shown.watched[-1] == frozenset()


@pytest.mark.net
async def test_a_killed_transcoder_costs_its_tile_a_moment_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcoding, "_PAUSES_S", (0.05,))
    made = footage()
    async with tile() as shown:
        shown.watch()
        await shown.until_asked()
        shown.send(made)
        await shown.collect(lambda: bool(shown.frames))
        os.kill(_transcoder(), signal.SIGKILL)
        await shown.collect(lambda: FAILED in shown.causes())
        await shown.until_asked()
        shown.frames.clear()
        shown.send(made)
        await shown.collect(lambda: len(shown.frames) >= 25)
        await shown.collect(lambda: shown.causes()[-1] == "")


async def test_a_transcoder_that_cannot_be_started_is_a_fault_of_its_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcoding, "_PAUSES_S", (30.0,))
    async with tile(command=["/nowhere/at/all"]) as shown:
        shown.watch()
        await shown.collect(lambda: FAILED in shown.causes())
        with pytest.raises(Unavailable):
            await anext(shown.transcodes.convert(iter([b"x"])))
    shown.hub.leave(shown.viewer)  # after its derived stream is gone


@pytest.mark.net
async def test_a_stopped_transcoder_is_found_out_and_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcoding, "HANG_S", 1.0)
    monkeypatch.setattr(transcoding, "_PAUSES_S", (30.0,))
    async with tile(command=[sys.executable, "-c", "import time; time.sleep(600)"]) as shown:
        shown.watch()
        await shown.until_asked()
        shown.send(footage())
        await shown.collect(lambda: HUNG in shown.causes())
        assert shown.hub.transcoders == 0


@pytest.mark.net
async def test_pictures_that_nobody_can_decode_end_the_tile_with_that_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcoding, "_PAUSES_S", (30.0,))
    made = footage()
    noise = [LiveUnit(True, unit.time, 0, 14_400, struct.pack(">I", 500) + os.urandom(500)) for unit in made.units] * 3
    async with tile() as shown:
        shown.watch()
        await shown.until_asked()
        shown.send(Footage(made.sets, tuple(noise)))
        await shown.collect(lambda: UNDECODABLE in shown.causes())


@pytest.mark.net
async def test_one_too_many_waits_for_its_turn_and_says_so() -> None:
    made = footage()
    async with tile() as shown:
        shown.watch()
        await shown.until_asked()
        other = uuid4()
        second = Viewer()
        shown.hub.take_states([_live() | {"stream": str(other)}])
        shown.hub.subscribe(second, 9, shown.transcodes.tile(other))
        told: list[dict[str, Any]] = []
        async with asyncio.timeout(30):
            while not told or told[-1]["cause"] != BUSY:
                told.append(json.loads(await second.next()))
        assert told[-1]["live"] == "unsupported"
        with pytest.raises(Unavailable) as caught:
            await anext(shown.transcodes.convert(iter([made.file()])))
        assert caught.value.code == BUSY
        shown.hub.leave(shown.viewer)
        await shown.until(lambda: other in shown.hub.watched)
        assert SOURCE not in shown.hub.watched


@pytest.mark.net
@pytest.mark.parametrize("data", [b"", b"no file at all" * 100, footage().file()[:900]])
async def test_a_damaged_file_is_refused(data: bytes) -> None:
    async with tile() as shown:
        with pytest.raises(InvalidInput):
            await anext(shown.transcodes.convert(iter([data])))


@pytest.mark.net
async def test_what_the_store_says_goes_on_to_the_caller() -> None:
    def gone() -> Any:
        yield footage().file()[:5000]
        raise Unavailable("store_away", "S3 does not answer")

    async with tile() as shown:
        with pytest.raises(Unavailable):
            [piece async for piece in shown.transcodes.convert(gone())]


async def test_none_are_made_where_the_settings_allow_none() -> None:
    async with tile(settings=TranscodeSettings(at_once=0)) as shown:
        with pytest.raises(NotFound):
            shown.watch()
        with pytest.raises(NotFound):
            await anext(shown.transcodes.convert(iter([b""])))


def test_a_derived_id_is_another_one_and_leads_back() -> None:
    assert derived_id(SOURCE) != SOURCE
    assert derived_id(derived_id(SOURCE)) == SOURCE


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((1920, 1080), (640, 360)),
        ((2560, 1920), (480, 360)),
        ((3840, 1080), (640, 180)),
        ((1080, 1920), (202, 360)),
        ((352, 288), (352, 288)),
        ((3, 3), (4, 4)),
    ],
)
def test_pictures_keep_their_shape(size: tuple[int, int], small: tuple[int, int]) -> None:
    assert fitted(*size) == small


def test_only_h265_has_its_record() -> None:
    assert hvcc_of(footage().format.init)[0] == 1
    with pytest.raises(MediaError):
        hvcc_of(b"\0\0\0\x08moov")


def _transcoder() -> int:
    """The one child of this process that transcodes; servers of other tests are its children too."""
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    children = [int(pid) for pid in path.read_text(encoding="ascii").split()]
    (found,) = (pid for pid in children if b"transcode" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return found
