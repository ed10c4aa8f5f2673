"""Sound from GStreamer's RTSP server through the whole gateway: every sample comes back, in all files of a run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert

from camera_gateway.audio.g711 import A_LAW
from camera_gateway.fmp4.reader import read_fragments, read_head
from camera_gateway.fmp4.salvage import inspect
from storage.archive import tables
from storage.model import RecordingMode, StreamPolicy
from tests.camera_gateway.hall import Hall
from tests.camera_gateway.media import packets, run
from tests.camera_gateway.sound import decoded_sound
from tests.peers.gst_rtsp import GstServer, make_h264

pytestmark = pytest.mark.peer

CODECS = {"h264aac": ("aac.mp4", ["-c:a", "aac"], 48_000), "h264pcma": ("pcma.mkv", ["-c:a", "pcm_alaw"], 8000)}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A picture with noise, of which no two stretches are the same."""
    folder = tmp_path_factory.mktemp("media")
    video = make_h264(folder)
    made = {}
    for kind, (name, options, rate) in CODECS.items():
        made[kind] = folder / name
        noise = ["-f", "lavfi", "-i", f"anoisesrc=seed=7:r={rate}:a=0.3", "-ac", "1", "-t", "120"]
        run("ffmpeg", "-v", "error", "-y", "-i", str(video), *noise, "-c:v", "copy", *options, str(made[kind]))
    return made


@pytest.fixture
def server(library: dict[str, Path]) -> Iterator[GstServer]:
    made = GstServer({f"/{kind}": {"media": str(path), "kind": kind} for kind, path in library.items()}).start()
    yield made
    made.stop()


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path / "hall", segment_s=3)
    yield made
    made.close()


def turn_sound_on(hall: Hall, stream_id: UUID) -> None:
    """What the console writes when a hall's administrator gives a legal basis."""
    (stream,) = hall.rows(tables.stream, id=stream_id)
    with hall.catalog.write() as conn:
        conn.execute(
            insert(tables.recording_plan).values(
                channel_id=stream.channel_id,
                mode=RecordingMode.ALWAYS.value,
                streams=StreamPolicy.AUTO.value,
                audio=True,
                audio_basis="a notice at the counter",
                updated_us=hall.clock.now_us(),
            )
        )


def files_of(hall: Hall, stream_id: UUID) -> list[Path]:
    return [hall.object_path(row.id) for row in hall.segments(stream_id)]


def sound_hashes(path: Path) -> list[str]:
    shown = run(
        *("ffprobe", "-v", "error", "-select_streams", "a", "-show_packets", "-of", "json"),
        *("-show_data_hash", "sha256", str(path)),
    )
    found: list[dict[str, Any]] = json.loads(shown)["packets"]
    times = [int(packet["dts"]) for packet in found]
    assert times == sorted(set(times)), path
    return [packet["data_hash"] for packet in found]


def require_no_hole(path: Path) -> None:
    """In a file, sound follows on sound and ends with the pictures."""
    with path.open("rb") as file:
        head = read_head(file)
        fragments = list(read_fragments(file, head.size))
    pieces = [piece for fragment in fragments for piece in fragment.sound]
    assert all(early.time + early.duration == late.time for early, late in pairwise(pieces))
    rate = 8000 if head.codec.endswith("flac") else 48_000
    assert pieces[0].time < rate / 4
    assert abs((pieces[-1].time + pieces[-1].duration) / rate - fragments[-1].end_time / 90_000) < 0.3


def test_sound_is_recorded_when_the_plan_says_so(hall: Hall, server: GstServer, library: dict[str, Path]) -> None:
    streams = {kind: hall.add_camera(server.url(f"/{kind}")) for kind in CODECS}
    silent = {kind: hall.add_camera(server.url(f"/{kind}")) for kind in CODECS}
    for stream_id in streams.values():
        turn_sound_on(hall, stream_id)
    with hall.gateway():
        everyone = [*streams.values(), *silent.values()]
        hall.wait(lambda: all(len(hall.segments(stream_id)) >= 4 for stream_id in everyone), 60)

    for stream_id in silent.values():
        assert not any("," in row.codec for row in hall.segments(stream_id))
        assert all(len(inspect(path).head.codec.split(",")) == 1 for path in files_of(hall, stream_id))
    for kind, stream_id in streams.items():
        for row, path in zip(hall.segments(stream_id), files_of(hall, stream_id), strict=True):
            assert row.codec == inspect(path).head.codec
            assert row.codec.endswith(",flac" if kind == "h264pcma" else ",mp4a.40.2")
            assert len(packets(path)) == row.frames
            require_no_hole(path)
            run("ffmpeg", "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-")

    sent = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(library["h264pcma"]), "-map", "0:a", "-c", "copy", "-f", "alaw", "-"],
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout
    back = b"".join(A_LAW.encode(decoded_sound(path)) for path in files_of(hall, streams["h264pcma"]))
    assert len(back) > 8000 * 8
    assert back in sent

    source = sound_hashes(library["h264aac"])
    kept = [one for path in files_of(hall, streams["h264aac"]) for one in sound_hashes(path)]
    assert len(kept) > 48 * 8
    start = source.index(kept[0])
    assert kept == source[start : start + len(kept)]
