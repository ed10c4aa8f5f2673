"""Load mode: one file for many cameras, with marks and a journal."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.virtual_camera import marks
from deploy.virtual_camera.journal import Journal, count
from deploy.virtual_camera.load import LoadServer, make_file, read_file, start
from storage.clock import SystemClock
from tests.bench import frames

pytestmark = pytest.mark.peer
FAR_US = 1 << 60


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 1080p25 file of four seconds."""
    path = tmp_path_factory.mktemp("load") / "load.mp4"
    make_file(path, seconds=4)
    return path


@asynccontextmanager
async def serving(media: Path, cameras: int) -> AsyncIterator[LoadServer]:
    server = await start(media, cameras, 0, SystemClock())
    try:
        yield server
    finally:
        await server.stop()


async def order(server: LoadServer, **command: object) -> dict[str, object]:
    """One order over the control port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.control_port)
    writer.write(json.dumps(command).encode() + b"\n")
    answer: dict[str, object] = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answer


def ffmpeg(url: str, path: Path, pictures: int) -> None:
    """Record so many pictures with ffmpeg into fragmented MP4."""
    command = ["ffmpeg", "-v", "error", "-y", "-rtsp_transport", "tcp", "-i", url, "-c", "copy"]
    command += ["-frames:v", str(pictures), "-movflags", "frag_keyframe+empty_moov", str(path)]
    subprocess.run(command, timeout=60, check=True)


def test_the_file_that_is_made_is_1080p25_at_3_to_4_mbit(media: Path) -> None:
    shape, units = read_file(media)
    assert (shape.codec, shape.width, shape.height, shape.fps) == ("h264", 1920, 1080, 25)
    assert len(units) == 100
    assert [index for index, unit in enumerate(units) if unit.key] == [0, 50]
    bits = 8 * sum(len(nal) for unit in units for nal in unit.nals) / 4
    assert 3_000_000 < bits < 4_200_000
    kinds = {nal[0] & 31 for unit in units for nal in unit.nals}
    assert 12 not in kinds  # no filler: recorders drop it, and would be measured with less than was sent


async def test_what_ffmpeg_records_is_what_the_journal_says(media: Path, tmp_path: Path) -> None:
    async with serving(media, 7) as server:
        assert server.urls()[6].endswith("/cam007")
        paths = [tmp_path / f"{number}.mp4" for number in range(1, 8)]
        jobs = zip(server.urls(), paths, strict=True)
        await asyncio.gather(*(asyncio.to_thread(ffmpeg, url, path, 60) for url, path in jobs))
        assert await order(server, op="journal", path=str(tmp_path / "journal")) == {"ok": True, "playing": 0}
    journal = Journal.read(tmp_path / "journal")
    for camera, path in enumerate(paths, 1):
        found = [mark for mark in frames.marks(path) if mark is not None]
        assert len(found) == 60
        assert {mark.camera for mark in found} == {camera}
        numbers = [mark.frame for mark in found]
        assert numbers == list(range(numbers[0], numbers[0] + 60))
        (sent,) = journal.frames(camera, 0, FAR_US)
        assert set(numbers) <= set(sent)
        assert sent[0] == numbers[0]
        assert [journal.time_us(camera, mark.frame) for mark in found] == [mark.sent_us for mark in found]


async def test_key_frames_of_the_cameras_are_spread(media: Path) -> None:
    async with serving(media, 50) as server:
        keys = [[(tick + group.number) % 100 in (0, 50) for tick in range(50)] for group in server.fan.groups]
        assert len(server.fan.groups) == 50
        assert [sum(at_tick) for at_tick in zip(*keys, strict=True)] == [1] * 50


async def _first_picture(server: LoadServer, path: Path) -> int:
    await asyncio.to_thread(ffmpeg, server.urls()[0], path, 1)
    (mark,) = frames.marks(path)
    assert mark is not None
    return mark.frame


async def test_trouble_is_made_over_the_control_port(media: Path, tmp_path: Path) -> None:
    async with serving(media, 2) as server:
        first = await _first_picture(server, tmp_path / "a.mp4")
        await order(server, op="offline", cameras=[1])
        with pytest.raises(subprocess.CalledProcessError):
            await _first_picture(server, tmp_path / "b.mp4")
        await order(server, op="online", cameras=[1])
        assert await _first_picture(server, tmp_path / "c.mp4") > first
        await order(server, op="reboot", seconds=0.5)
        with pytest.raises(subprocess.CalledProcessError):
            await _first_picture(server, tmp_path / "d.mp4")
        await asyncio.sleep(1)
        assert await _first_picture(server, tmp_path / "e.mp4") > first
        answer = await order(server, op="dance")
        assert answer["ok"] is False


def test_a_mark_is_read_back_and_garbage_is_none() -> None:
    for codec in ("h264", "h265"):
        nal = marks.head(codec, 1234567, 1_790_000_000_123_456) + marks.tail(177)
        assert len(nal) == marks.nal_size(codec)
        assert b"\0\0" not in nal
        sample = len(nal).to_bytes(4, "big") + nal + b"rest"
        assert marks.find(sample, 0, len(sample)) == marks.Mark(177, 1234567, 1_790_000_000_123_456)
    assert marks.find(b"nothing" * 20, 0, 140) is None
    assert marks.find(sample[:40], 0, 40) is None


def test_a_journal_tells_what_was_sent_when(tmp_path: Path) -> None:
    journal = Journal(2)
    for frame in range(100):
        journal.times_us[0].append(frame * 40_000)
        journal.times_us[1].append(frame * 40_000 + 20_000)
    journal.begin(1, 10).last = 30
    journal.begin(1, 25).last = 40
    journal.begin(1, 60).last = 59  # a connection that got nothing
    journal.begin(1, 70).last = 80
    journal.begin(2, 0).last = 99
    journal.write(tmp_path / "journal")
    read = Journal.read(tmp_path / "journal")
    assert read == journal
    assert read.frames(1, 0, FAR_US) == [range(10, 41), range(70, 81)]
    assert read.frames(1, 20 * 40_000, 71 * 40_000) == [range(20, 41), range(70, 72)]
    assert read.frames(3, 0, FAR_US) == []
    journal.times_us[1][50] += 15_000
    assert journal.longest_pause_us(0, FAR_US) == 55_000
    assert journal.longest_pause_us(0, 40 * 40_000) == 40_000
    assert count(read.frames(2, 0, 40_000)) == 1
    (tmp_path / "other").write_bytes(b"{}\n")
    with pytest.raises(ValueError, match="no journal"):
        Journal.read(tmp_path / "other")
