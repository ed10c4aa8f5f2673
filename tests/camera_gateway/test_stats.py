"""What workers measure: the same at the other end of the link, and refused when it is out of all reason."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from camera_gateway.live import wire
from camera_gateway.live.client import LiveClient
from camera_gateway.live.hub import Hub
from camera_gateway.live.link_server import LinkServer
from camera_gateway.stats import MAX_TEXT, DiskStats, FleetStats, StreamStats, WorkerStats
from storage.clock import FakeClock, SystemClock
from storage.errors import MediaError
from tests.camera_gateway.test_link import until

STREAM = UUID("0190a000-0000-7000-8000-000000000001")


def worker_stats() -> WorkerStats:
    """A worker with one stream, every number another."""
    stream = StreamStats(1, 2, 3, 4, 5, 6, 7, 8, "network", "connection reset", "libav", "codec", "udp", 9)
    stream.fps_milli, stream.bitrate_kbit, stream.gop_ms = 25_000, 3_000, 2_000
    stream.clock_offset_us, stream.clock_error_us, stream.recording = 75_000_000, 1_000, "recorded"
    return WorkerStats(1, 10, 20, 30, 4.5, 6_000, 7, DiskStats(8, 9.5, 10, 0.25, 11), {STREAM: stream})


def test_the_other_end_reads_what_was_said() -> None:
    told = json.loads(json.dumps(worker_stats().to_json()))
    assert WorkerStats.from_json(told) == worker_stats()


def test_a_long_text_is_cut_and_an_unknown_name_left_out() -> None:
    told = worker_stats().to_json()
    told["streams"][str(STREAM)] |= {"last_evidence": "x" * 10_000, "invented": 1}
    assert WorkerStats.from_json(told).streams[STREAM].last_evidence == "x" * MAX_TEXT


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {"index": "1"},
        {"index": True},
        {"index": 1 << 80},
        {"index": 1, "cpu_s": float("inf")},
        {"index": 1, "cpu_s": float("nan")},
        {"index": 1, "disk": 3},
        {"index": 1, "streams": {"x": {}}},
        {"index": 1, "streams": {str(STREAM): {"frames": 1.5}}},
        {"index": 1, "streams": {str(STREAM): {"clock_offset_us": "late"}}},
        {"index": 1, "streams": {str(number): {} for number in range(5000)}},
    ],
)
def test_what_is_out_of_all_reason_is_refused(wrong: Any) -> None:
    with pytest.raises(MediaError):
        WorkerStats.from_json(wrong)


def test_numbers_age_and_go_with_their_worker() -> None:
    clock = FakeClock()
    fleet = FleetStats(clock)
    fleet.take(worker_stats())
    clock.sleep(7)
    assert [(age, stats.index) for age, stats in fleet.latest()] == [(7, 1)]
    fleet.lose(1)
    assert fleet.latest() == []


async def test_statistics_cross_the_link_and_are_forgotten_with_the_worker(tmp_path: Path) -> None:
    clock = SystemClock()
    fleet = FleetStats(clock)
    server = LinkServer(tmp_path / "live.sock", Hub(clock, lambda _watched: None), fleet)
    hello = [wire.pack_json(wire.Kind.HELLO, {"worker": 1})]
    client = LiveClient(tmp_path / "live.sock", clock, lambda: hello, lambda _watched: None, lambda: None)
    await server.start()
    client.start()
    await until(lambda: server.indexes == {1})
    client.send_stats(worker_stats())
    await until(lambda: bool(fleet.latest()))
    assert fleet.latest()[0][1] == worker_stats()
    await asyncio.to_thread(client.stop)
    await until(lambda: not fleet.latest())
    await server.stop()
