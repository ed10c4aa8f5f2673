"""A hall on S3: the store goes away, recording goes on; it returns, and everything arrives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.archive import tables
from storage.archive.s3 import S3Store, make_client
from storage.archive.staging import staging_location
from storage.model import AlarmKind
from tests.camera_gateway.hall import Hall
from tests.peers.ceph import ACCESS_KEY, SECRET_KEY, S3Server
from tests.peers.gst_rtsp import GstServer, make_h264

pytestmark = pytest.mark.peer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GstServer]:
    made = GstServer({"/main": {"media": str(make_h264(tmp_path)), "kind": "h264"}}).start()
    yield made
    made.stop()


def test_s3_goes_away_and_returns_and_nothing_is_lost(tmp_path: Path, server: GstServer, s3_server: S3Server) -> None:
    bucket = s3_server.bucket()
    lines = [
        *('kind = "s3"', f'endpoint = "{s3_server.endpoint}"', f'bucket = "{bucket}"', "secure = false"),
        *(f'access_key = "{ACCESS_KEY}"', f'secret_key = "{SECRET_KEY}"'),
    ]
    hall = Hall(tmp_path / "hall", storage="\n".join(lines), segment_s=2.0)
    stream_id = hall.add_camera(server.url("/main"))
    here = staging_location(hall.gateway_id)
    with hall.gateway():
        hall.wait(lambda: any(row.location == "s3" for row in hall.segments(stream_id)), 60)
        s3_server.stop_s3()
        try:
            hall.wait(lambda: hall.rows(tables.alarm, kind=AlarmKind.OBJECT_STORE_AWAY.value, closed_us=None), 60)
            staged = hall.wait(lambda: [row for row in hall.segments(stream_id) if row.location == here][1:])[0]
            target = f"/v1/staged/{staged.id}"
            whole = hall.request("GET", target)
            assert hashlib.sha256(whole.content).digest() == bytes(staged.sha256)
            part = hall.request("GET", target, headers={"Range": "bytes=100-199"})
            assert (part.status_code, part.content) == (206, whole.content[100:200])
            assert hall.request("GET", "/v1/health").json()["staging_bytes"] >= staged.bytes
        finally:
            s3_server.start_s3()
        hall.wait(lambda: not hall.rows(tables.alarm, closed_us=None), 60)
        hall.wait(lambda: hall.rows(tables.segment, id=staged.id)[0].location == "s3", 60)
        assert hall.request("GET", target).status_code == 404

    store = S3Store(make_client(s3_server.endpoint, ACCESS_KEY, SECRET_KEY, secure=False), bucket)
    arrived = [row for row in hall.segments(stream_id) if row.location == "s3"]
    assert len(arrived) >= 3
    for row in arrived:
        assert hashlib.sha256(b"".join(store.read(row.id))).digest() == bytes(row.sha256)
    runs = hall.rows(tables.run, stream_id=stream_id)
    assert len(runs) == 1
    hall.close()
