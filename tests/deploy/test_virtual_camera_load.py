"""Load mode: one file for many cameras."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from deploy.virtual_camera.encode import VideoShape, make_loop
from deploy.virtual_camera.load import LoadServer, make_file, read_file, start
from storage.clock import SystemClock

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 1080p25 file of four seconds."""
    path = tmp_path_factory.mktemp("load") / "load.mp4"
    make_file(path, seconds=4)
    return path


def test_the_file_that_is_made_is_1080p25_at_3_mbit(media: Path) -> None:
    shape, units = read_file(media)
    assert (shape.codec, shape.width, shape.height, shape.fps) == ("h264", 1920, 1080, 25)
    assert len(units) == 100
    assert [index for index, unit in enumerate(units) if unit.key] == [0, 50]
    bits = 8 * sum(len(nal) for unit in units for nal in unit.nals) / 4
    assert 2_000_000 < bits < 4_500_000


def _packets(url: str, transport: str, seconds: int) -> int:
    command = ["ffprobe", "-v", "error", "-rtsp_transport", transport, "-read_intervals", f"%+{seconds}"]
    command += ["-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", url]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return int(answer.stdout)


async def test_every_camera_of_a_load_plays(media: Path) -> None:
    server: LoadServer = await start(media, 7, 0, SystemClock())
    try:
        assert len(server.urls()) == 7
        assert server.urls()[6].endswith("/cam007")
        counts = await asyncio.gather(*(asyncio.to_thread(_packets, url, "tcp", 2) for url in server.urls()))
        assert all(45 <= count <= 76 for count in counts), counts
    finally:
        await server.stop()


def test_cameras_share_few_phases_with_key_frames_at_different_times() -> None:
    shape = VideoShape("h264", 640, 360, 10, 5)
    units = make_loop(shape, "x", 1, 4)
    server = LoadServer(shape, units, 20, SystemClock())
    assert len(server.phases) == 5
    starts = {bytes(mount.source.next(0)[0].nals[-1][:200]) for mount in server.phases}
    assert len(starts) == 5
