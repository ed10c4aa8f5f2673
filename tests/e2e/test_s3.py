"""A hall that keeps its media in a real S3 engine, which goes away in mid-work and returns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from deploy.demo.client import HallClient
from storage.clock import US
from tests.e2e.footage import Recorded, recorded_streams, segments, verify
from tests.e2e.hall import CLOCK, RunningHall, eventually
from tests.peers.ceph import ACCESS_KEY, SECRET_KEY, S3Server


@pytest.fixture
def s3_hall(tmp_path: Path, s3_server: S3Server) -> Iterator[RunningHall]:
    running = RunningHall(tmp_path / "data", demo=True, cameras=2)
    bucket = s3_server.bucket()
    settings = (
        f'kind = "s3"\nendpoint = "{s3_server.endpoint}"\nbucket = "{bucket}"\n'
        f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\nsecure = false\n'
    )
    for process in ("console", "gateway"):
        running.replace_setting(process, 'kind = "disk"\n', settings)
    running.configure("gateway", "\n[recording]\nsegment_s = 10.0\n")
    try:
        running.start()
        yield running
    finally:
        running.end()


def staged(hall: RunningHall) -> set[str]:
    """The segments whose files wait in the gateway's staging folder, by id."""
    return {
        str(UUID(path.stem))
        for path in (hall.folder.root / "staging").rglob("*")
        if path.is_file() and path.suffix != ".part"
    }


def began_after(client: HallClient, t_us: int) -> list[Recorded]:
    """Committed segments of all streams that began after a time."""
    return [one for stream in recorded_streams(client) for one in segments(client, stream) if one.t0_us > t_us]


def readable(client: HallClient, one: Recorded) -> bool:
    """Whether the console hands out the segment, an MP4 file from its first box on."""
    return client.content(f"/api/media/segments/{one.id}").content[4:8] == b"ftyp"


def test_recording_and_review_go_on_while_s3_is_away(s3_hall: RunningHall, s3_server: S3Server) -> None:
    with s3_hall.client("diaoyue", purpose="audit") as client:
        early = eventually(lambda: began_after(client, 0))[0]
        eventually(lambda: early.id not in staged(s3_hall))  # it is in the bucket
        assert readable(client, early)
        s3_server.stop_s3()
        away_us = CLOCK.now_us()
        try:
            late = eventually(lambda: began_after(client, away_us + US))[0]
            assert late.id in staged(s3_hall)
            assert readable(client, late), "a staged segment is read through the gateway"
        finally:
            s3_server.start_s3()
        eventually(lambda: late.id not in staged(s3_hall))
        assert readable(client, late)
    done = verify(s3_hall)
    assert done.returncode == 0, done.stdout + done.stderr
