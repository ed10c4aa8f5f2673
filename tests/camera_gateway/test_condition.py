"""What the gateway says of itself: metrics that an independent parser reads, health, and who may ask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from camera_gateway.api.callers import Neighbours
from camera_gateway.api.condition import Condition, StreamName, Surroundings
from camera_gateway.api.surroundings import Lookout
from camera_gateway.stats import DiskStats, StreamStats, WorkerStats
from storage.archive.catalog import Catalog
from storage.archive.migrate import migrate
from storage.archive.space import GIB, DiskGuard, FakeVolume, SpaceRules
from storage.archive.staging import StagingFolder
from storage.clock import FakeClock
from tests.camera_gateway.test_api_loop import Console, http, served

STREAM = UUID("0190a000-0000-7000-8000-000000000001")
NAMES = {STREAM: StreamName('一号 "窗口" \\ 正面\n', "main")}
AROUND = Surroundings(True, 10 * GIB, 100 * GIB, 2 * GIB, 7200, 5, 1, 2.5, NAMES, 12.5)


def stats() -> WorkerStats:
    stream = StreamStats(frames=100, bytes=2_000, packets=300, lost=4, last_cause="network", lag_us=40_000)
    stream.engine, stream.transport, stream.recording = "rtsp", "tcp", "recorded"
    stream.clock_offset_us, stream.clock_error_us = 75_000_000, 5_000
    stream.last_evidence = "rtsp://admin:secret@10.0.0.9/1 was closed"
    return WorkerStats(0, 100, 2_000, 30_000, 7.5, 1 << 20, 900, DiskStats(queued_bytes=77), {STREAM: stream})


def condition(**changes: Any) -> Condition:
    states = {
        str(STREAM): {"live": "live", "recording": "recorded"},
        str(uuid4()): {"live": "offline", "recording": "plan"},
    }
    told = Condition(AROUND, 1, frozenset({0}), frozenset({0}), [(1.5, stats())], states, 2, 9, 1000, 3)
    return replace(told, **changes)


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of a page, as Prometheus' own parser reads it."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, "a sample appears once"
            found[key] = sample.value
    return found


def test_an_independent_parser_reads_every_metric_with_its_labels() -> None:
    found = samples(condition().metrics())
    stream = frozenset({("stream", str(STREAM)), ("camera", NAMES[STREAM].camera), ("role", "main")})
    assert found["sunhall_stream_frames_total", stream] == 100
    assert found["sunhall_stream_packets_lost_total", stream] == 4
    assert found["sunhall_stream_lag_seconds", stream] == 0.04
    assert found["sunhall_stream_clock_offset_seconds", stream] == 75
    assert found["sunhall_stream_last_cause_info", stream | {("cause", "network")}] == 1
    assert found["sunhall_stream_engine_info", stream | {("engine", "rtsp"), ("transport", "tcp")}] == 1
    worker = frozenset({("worker", "0")})
    assert found["sunhall_worker_up", worker] == 1
    assert found["sunhall_worker_loop_lag_seconds", worker | {("quantile", "0.99")}] == 0.002
    assert found["sunhall_worker_disk_queued_bytes", worker] == 77
    nothing: frozenset[tuple[str, str]] = frozenset()
    assert found["sunhall_gateway_disk_full_seconds", nothing] == 7200
    assert found["sunhall_gateway_streams", frozenset({("recording", "plan")})] == 1
    assert found["sunhall_gateway_relayed_frames_total", nothing] == 1000


def test_no_address_and_no_secret_is_shown() -> None:
    page = condition().metrics()
    assert "secret" not in page
    assert "rtsp://" not in page
    assert "10.0.0.9" not in page


def test_what_is_not_known_is_left_out() -> None:
    quiet = WorkerStats(0, streams={STREAM: StreamStats()})
    around = replace(AROUND, forecast_s=None)
    names = {name for name, _labels in samples(condition(around=around, workers=[(0.0, quiet)]).metrics())}
    missing = {"sunhall_stream_lag_seconds", "sunhall_stream_clock_offset_seconds", "sunhall_gateway_disk_full_seconds"}
    assert not names & missing
    assert "sunhall_stream_frames_total" in names


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"connected": frozenset(), "beating": frozenset()}, "worker_gone"),
        ({"beating": frozenset()}, "worker_silent"),
        ({"around": replace(AROUND, catalog_ok=False)}, "catalog_away"),
        ({"around": replace(AROUND, disk_free_bytes=GIB)}, "disk_full"),
    ],
)
def test_each_fault_has_its_code(changes: dict[str, Any], fault: str) -> None:
    told = condition(**changes).health()
    assert (told["ok"], told["faults"]) == (False, [fault])


def test_a_camera_that_is_away_is_no_fault_of_the_gateway() -> None:
    told = condition().health()
    assert told["ok"]
    assert told["streams"] == {"known": 2, "live": 1, "recording": {"plan": 1, "recorded": 1}}
    assert told["disk"] == {"free_bytes": 10 * GIB, "full_in_h": 2.0}
    assert told["staging"] == {"bytes": 5, "files": 1, "oldest_s": 2.5}


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("2001:db8::1", False),
        ("", False),
        ("testclient", False),
    ],
)
def test_only_named_networks_may_ask(address: str, allowed: bool) -> None:
    assert Neighbours(("127.0.0.0/8", "::1/128")).allows(address) is allowed


def test_the_lookout_sees_disk_staging_and_forecast(tmp_path: Path) -> None:
    clock = FakeClock()
    migrate(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog = Catalog.open(f"sqlite:///{tmp_path / 'catalog.sqlite'}", clock)
    volume = FakeVolume(100 * GIB, 50 * GIB)
    guard = DiskGuard(volume, catalog, clock, SpaceRules(), "gateway:test")
    staging = StagingFolder(tmp_path / "staging", uuid4())
    lookout = Lookout(catalog, uuid4(), staging, volume, guard, 2 * GIB, clock)
    staging.path(uuid4()).write_bytes(b"seven b")
    guard.check()
    assert lookout().forecast_s is None
    clock.advance(1200)
    volume.free_bytes -= 4 * GIB
    guard.check()
    seen = lookout()
    assert seen.forecast_s == 1200 * 44 // 4
    assert (seen.staging_bytes, seen.staging_files, seen.catalog_ok, seen.names) == (7, 1, True, {})
    catalog.close()


@pytest.mark.net
def test_both_pages_are_served_without_a_signature(tmp_path: Path) -> None:
    console = Console(tmp_path)
    with served(console) as port, http(port) as client:
        health = client.get("/health")  # no worker is connected
        assert (health.status_code, health.json()["faults"]) == (503, ["worker_gone"])
        page = client.get("/metrics")
        assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert samples(page.text)["sunhall_gateway_healthy", frozenset()] == 0
        far = client.get("/metrics", headers={"X-Forwarded-For": "10.1.2.3"})  # through a proxy on this machine
        assert (far.status_code, far.json()["error"]["code"]) == (403, "address_not_allowed")
