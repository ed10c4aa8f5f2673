"""The whole gateway against GStreamer's RTSP server: real processes, real files, real faults."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from camera_gateway.fmp4.salvage import inspect
from storage.archive import tables
from storage.model import AlarmKind, GapReason, RunEnd
from tests.camera_gateway.hall import Hall, kill_tree
from tests.camera_gateway.media import frame_hashes, packets
from tests.peers.gst_rtsp import GstServer, make_bframes, make_h264, make_h265, make_with_audio

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Media by kind."""
    folder = tmp_path_factory.mktemp("media")
    video = make_h264(folder)
    return {
        "h264": video,
        "h264aac": make_with_audio(folder, video, "h264aac"),
        "h264pcma": make_with_audio(folder, video, "h264pcma"),
        "h265": make_h265(folder),
        "bframes": make_bframes(folder),
    }


@pytest.fixture
def server(library: dict[str, Path]) -> Iterator[GstServer]:
    """A server with one mount for each kind; `/udp` offers UDP alone."""
    mounts: dict[str, dict[str, Any]] = {
        f"/{kind}": {"media": str(path), "kind": "h264" if kind == "bframes" else kind}
        for kind, path in library.items()
    }
    mounts["/udp"] = {"media": str(library["h264"]), "kind": "h264", "udp": True}
    made = GstServer(mounts).start()
    yield made
    made.stop()


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path / "hall")
    yield made
    made.close()


def recorded_frames(hall: Hall, stream_id: UUID) -> list[str]:
    return [one for row in hall.segments(stream_id) for one in frame_hashes(hall.object_path(row.id))]


def require_every_frame(found: list[str], source: list[str]) -> None:
    """`found` is a part of `source` without a hole (its first minute repeats every twenty seconds)."""
    start = source.index(found[0])
    assert found == source[start : start + len(found)]


def require_true_rows(hall: Hall, stream_id: UUID) -> None:
    """Each row's file is what the row says, as ffprobe and our own reader see it."""
    for row in hall.segments(stream_id):
        path = hall.object_path(row.id)
        facts = inspect(path)
        assert (facts.sha256, facts.size_bytes) == (bytes(row.sha256), row.bytes)
        found = packets(path)
        assert len(found) == row.frames == facts.frames
        times = [int(packet["dts"]) for packet in found]
        assert times == sorted(set(times))
        assert times[0] == 0


def test_every_kind_of_camera_is_recorded_without_losing_a_frame(
    hall: Hall, server: GstServer, library: dict[str, Path]
) -> None:
    kinds = ["h264", "h264aac", "h264pcma", "h265", "bframes", "udp"]
    streams = {kind: hall.add_camera(server.url(f"/{kind}")) for kind in kinds}
    hall.change(tables.stream, streams["udp"], transport="udp")
    with hall.gateway():
        hall.wait(lambda: all(len(hall.segments(stream_id)) >= 3 for stream_id in streams.values()), 60)

    for kind, stream_id in streams.items():
        require_true_rows(hall, stream_id)
        found = recorded_frames(hall, stream_id)
        assert len(found) > 150, kind
        require_every_frame(found, frame_hashes(library.get(kind, library["h264"])))
        rows = hall.segments(stream_id)
        assert all(later.t0_us == earlier.t1_us for earlier, later in itertools.pairwise(rows))
        assert rows[0].codec.startswith("hvc1" if kind == "h265" else "avc1")
        (run,) = hall.rows(tables.run, stream_id=stream_id)
        assert run.end == RunEnd.STOPPED
        assert run.t1_us == rows[-1].t1_us
    assert list((hall.root / "staging").rglob("*.part")) == []


def test_a_camera_that_goes_away_and_returns_leaves_a_gap_with_its_reason(hall: Hall, server: GstServer) -> None:
    stream_id = hall.add_camera(server.url("/h264"))
    with hall.gateway():
        hall.wait(lambda: len(hall.segments(stream_id)) >= 1)
        server.stop()
        hall.wait(lambda: [row for row in hall.rows(tables.gap, stream_id=stream_id) if row.reason == "refused"])
        state = hall.wait(lambda: hall.rows(tables.stream_state, stream_id=stream_id, recording="refused"))[0]
        assert (state.live, state.live_cause) == ("offline", "refused")
        server.start()
        hall.wait(lambda: hall.rows(tables.stream_state, stream_id=stream_id, recording="recorded"))
        hall.wait(lambda: len(hall.rows(tables.run, stream_id=stream_id)) == 2)
        hall.wait(lambda: all(gap.t1_us for gap in hall.rows(tables.gap, stream_id=stream_id)))

    gaps = sorted(hall.rows(tables.gap, stream_id=stream_id), key=lambda gap: gap.t0_us)
    assert [gap.reason for gap in gaps][:2] == [GapReason.NETWORK, GapReason.REFUSED]
    runs = sorted(hall.rows(tables.run, stream_id=stream_id), key=lambda run: run.t0_us)
    assert [run.end for run in runs] == [RunEnd.NETWORK, RunEnd.STOPPED]
    assert gaps[0].t0_us == runs[0].t1_us
    assert gaps[1].t1_us == runs[1].t0_us
    require_true_rows(hall, stream_id)


def test_a_camera_that_hangs_is_left_and_found_again(hall: Hall, server: GstServer) -> None:
    stream_id = hall.add_camera(server.url("/h264"))
    with hall.gateway():
        hall.wait(lambda: hall.rows(tables.stream_state, stream_id=stream_id, recording="recorded"))
        server.freeze()
        (run,) = hall.wait(lambda: hall.rows(tables.run, stream_id=stream_id, end="network"))
        assert run.detail == "no media for 2 s; TCP acknowledges, but RTSP requests are not answered"
        server.thaw()
        hall.wait(lambda: hall.rows(tables.stream_state, stream_id=stream_id, recording="recorded"))
        hall.wait(lambda: all(gap.t1_us for gap in hall.rows(tables.gap, stream_id=stream_id)))
    require_true_rows(hall, stream_id)
    gap = min(hall.rows(tables.gap, stream_id=stream_id), key=lambda gap: gap.t0_us)
    assert (gap.reason, gap.t0_us) == (GapReason.NETWORK, run.t1_us)


def test_a_camera_may_be_disabled_and_enabled_again(hall: Hall, server: GstServer) -> None:
    stream_id = hall.add_camera(server.url("/h264"))
    (device,) = hall.rows(tables.device)
    with hall.gateway():
        hall.wait(lambda: hall.rows(tables.stream_state, stream_id=stream_id, recording="recorded"))
        hall.change(tables.device, device.id, enabled=False)
        assert hall.request("POST", "/v1/refresh").status_code == 200
        hall.wait(lambda: hall.rows(tables.stream_state, stream_id=stream_id, recording="maintenance"))
        hall.wait(lambda: hall.rows(tables.gap, stream_id=stream_id, reason="maintenance"))
        hall.change(tables.device, device.id, enabled=True)
        hall.wait(lambda: hall.rows(tables.stream_state, stream_id=stream_id, recording="recorded"))
        hall.wait(lambda: all(gap.t1_us for gap in hall.rows(tables.gap, stream_id=stream_id)))
    runs = sorted(hall.rows(tables.run, stream_id=stream_id), key=lambda run: run.t0_us)
    assert [run.end for run in runs] == [RunEnd.MAINTENANCE, RunEnd.STOPPED]


def worker_pids(log: str) -> list[int]:
    found = [json.loads(line[line.index("{") :]) for line in log.splitlines() if " child_started " in line]
    return [fields["pid"] for fields in found if fields["child"].startswith("worker")]


def test_a_killed_worker_loses_nothing_committed_and_its_part_file_is_salvaged(
    hall: Hall, server: GstServer, library: dict[str, Path]
) -> None:
    stream_id = hall.add_camera(server.url("/h264"))
    with hall.gateway():
        hall.wait(lambda: len(hall.segments(stream_id)) >= 2)
        part = hall.wait(lambda: [path for path in hall.root.rglob("*.part") if path.stat().st_size > 150_000])[0]
        before = {row.id: bytes(row.sha256) for row in hall.segments(stream_id)}
        size = part.stat().st_size
        os.kill(worker_pids(hall.log())[-1], signal.SIGKILL)
        hall.wait(lambda: len(hall.rows(tables.run, stream_id=stream_id)) == 2)
        hall.wait(lambda: hall.rows(tables.run, stream_id=stream_id, end="crash"))
        hall.wait(lambda: any(row.run_id != hall.segments(stream_id)[0].run_id for row in hall.segments(stream_id)))

    after = {row.id: bytes(row.sha256) for row in hall.segments(stream_id)}
    assert before.items() <= after.items()
    (salvaged,) = hall.rows(tables.segment, stream_id=stream_id, salvaged=True)
    assert str(salvaged.id) == part.stem
    assert salvaged.bytes > size - 100_000
    require_true_rows(hall, stream_id)
    crash = hall.rows(tables.gap, stream_id=stream_id, reason="crash")[0]
    assert crash.t0_us == salvaged.t1_us
    first_run = [row for row in hall.segments(stream_id) if row.run_id == salvaged.run_id]
    found = [one for row in first_run for one in frame_hashes(hall.object_path(row.id))]
    require_every_frame(found, frame_hashes(library["h264"]))


def test_a_killed_gateway_loses_nothing_committed(hall: Hall, server: GstServer) -> None:
    streams = [hall.add_camera(server.url("/h264")), hall.add_camera(server.url("/h265"))]
    process = hall.start_gateway()
    hall.wait(lambda: all(len(hall.segments(stream_id)) >= 2 for stream_id in streams))
    hall.wait(lambda: len([path for path in hall.root.rglob("*.part") if path.stat().st_size > 20_000]) == 2)
    kill_tree(process)
    before = {row.id: bytes(row.sha256) for stream_id in streams for row in hall.segments(stream_id)}
    with hall.gateway():
        hall.wait(lambda: len(hall.rows(tables.run, end="crash")) == 2)
        hall.wait(lambda: len(hall.rows(tables.segment, salvaged=True)) == 2)
        hall.wait(lambda: all(len(hall.rows(tables.run, stream_id=stream_id)) == 2 for stream_id in streams))
    after = {row.id: bytes(row.sha256) for stream_id in streams for row in hall.segments(stream_id)}
    assert before.items() <= after.items()
    for stream_id in streams:
        require_true_rows(hall, stream_id)


def test_a_wrong_password_is_tried_twice_and_never_again_until_it_changes(hall: Hall, library: dict[str, Path]) -> None:
    secret = "p@ss:w/ö rd"
    server = GstServer({"/h264": {"media": str(library["h264"]), "kind": "h264"}}, "admin", secret).start()
    try:
        stream_id = hall.add_camera(server.url("/h264"), user="admin", password="wrong-secret")
        (device,) = hall.rows(tables.device)
        with hall.gateway():
            hall.wait(lambda: hall.rows(tables.alarm, kind=AlarmKind.CAMERA_AUTHENTICATION.value))
            hall.clock.sleep(4)
            assert hall.log().count("RTSP 401") == 2
            assert hall.rows(tables.device)[0].auth_failures == 2
            (gap,) = hall.rows(tables.gap, stream_id=stream_id)
            assert gap.reason == GapReason.AUTHENTICATION

            box = hall.box.seal(secret.encode(), device.id.bytes)
            hall.change(tables.device, device.id, password_box=box, credential_version=2, auth_failures=0)
            hall.wait(lambda: hall.rows(tables.stream_state, stream_id=stream_id, recording="recorded"))
            hall.wait(lambda: hall.rows(tables.alarm)[0].closed_us)
        for text in ("wrong-secret", "p@ss", "p%40ss", "w/ö"):
            assert text not in hall.log()
    finally:
        server.stop()


def test_a_full_disk_is_an_alarm_and_a_gap_and_live_goes_on(tmp_path: Path, server: GstServer) -> None:
    hall = Hall(tmp_path / "hall", reserve_mb=1 << 30)
    stream_id = hall.add_camera(server.url("/h264"))
    with hall.gateway():
        hall.wait(lambda: hall.rows(tables.alarm, kind=AlarmKind.DISK_FULL.value))
        (gap,) = hall.wait(lambda: hall.rows(tables.gap, stream_id=stream_id))
        assert gap.reason == GapReason.DISK_FULL
        state = hall.wait(lambda: hall.rows(tables.stream_state, stream_id=stream_id, live="live"))[0]
        assert state.recording == GapReason.DISK_FULL
        answer = hall.request("GET", f"/v1/streams/{stream_id}/snapshot")
        assert (answer.status_code, answer.content[:2]) == (200, b"\xff\xd8")
    assert hall.segments(stream_id) == []
    hall.close()


def test_a_stream_that_does_not_exist_is_no_media(hall: Hall, server: GstServer) -> None:
    stream_id = hall.add_camera(server.url("/nothing"))
    with hall.gateway():
        (gap,) = hall.wait(lambda: hall.rows(tables.gap, stream_id=stream_id))
    assert gap.reason == GapReason.NO_MEDIA
    assert gap.detail.startswith("RTSP 404")
