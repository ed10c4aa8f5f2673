"""Cameras that go away: forty at once, one whose name nobody knows any more, one whose network is gone."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import accumulate
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from camera_gateway.ingest import BACKOFF_S
from storage.clock import US
from tests.bench.live_source import LiveSource
from tests.camera_gateway.faults.rig import Rig, kill, running
from tests.camera_gateway.hall import REPOSITORY
from tests.peers.gst_rtsp import make_h264

pytestmark = pytest.mark.net

MANY = 40
TRIES = 4
EARLY_S = 0.5
"""How much later a busy source may have noted the first try than the others."""
NAME = "window-7.hall.example"


def test_forty_cameras_start_anew_at_once(tmp_path: Path) -> None:
    media = make_h264(tmp_path, seconds=20, size="96x64")
    with running(tmp_path, media, MANY, workers=2, segment_s=5.0) as rig:
        everyone = range(1, MANY + 1)
        rig.source.order("offline", everyone)  # their systems start: connections are taken, and closed without a word
        rig.hall.wait(
            lambda: min(map(len, _attempts(rig).values()), default=0) >= TRIES and len(_attempts(rig)) == MANY
        )
        tried = _attempts(rig)
        rig.source.order("reboot", seconds=2.0)  # and once more, now refusing connections
        rig.source.order("online", everyone)
        rig.until_committed(rig.hall.clock.now_us())
        rig.stop()
        rig.account()
        for stream_id in rig.streams:
            assert rig.ends(stream_id) == ["network", "stopped"]
            reasons = rig.reasons(stream_id)
            assert (reasons[0], reasons[-1]) == ("network", "maintenance")
            assert set(reasons[1:-1]) <= {"no_media", "refused"}
            assert all(row.detail for row in rig.gaps(stream_id))
    for times in tried.values():  # nobody was hammered: tries are as far apart as the back-off says
        for waited_s, at_us in zip(accumulate(BACKOFF_S), times[1:], strict=False):
            assert at_us - times[0] >= (waited_s - EARLY_S) * US


def _attempts(rig: Rig) -> dict[str, list[int]]:
    found: dict[str, list[int]] = rig.source.order("attempts")["attempts"]
    return found


def test_a_name_that_is_gone_from_dns(tmp_path: Path, small_media: Path) -> None:
    hosts, resolver = tmp_path / "hosts", tmp_path / "resolv.conf"
    known = f"127.0.0.1 localhost\n127.0.0.1 {NAME}\n"
    hosts.write_text(known)
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    mounts = f"mount --bind {hosts} /etc/hosts && mount --bind {resolver} /etc/resolv.conf"
    prefix = ("unshare", "-Urm", "sh", "-c", f'{mounts} && exec "$@"', "sh")

    def by_name(source: LiveSource) -> list[str]:
        return [f"rtsp://{NAME}:{urlsplit(source.urls[0]).port}/cam001", source.urls[1]]

    with running(tmp_path, small_media, 2, urls=by_name, workers=1, segment_s=3.0, prefix=prefix) as rig:
        named, other = rig.streams
        rig.until_committed(0)
        hosts.write_text("127.0.0.1 localhost\n")
        rig.source.order("cut", [1])
        rig.until_committed(rig.hall.clock.now_us())  # its address is known from before
        kill(rig.worker(0))
        killed_us = rig.hall.clock.now_us()
        rig.hall.wait(lambda: "unreachable" in rig.reasons(named))
        rig.until_committed(killed_us, [other])  # nobody else waits for a name
        hosts.write_text(known)
        rig.until_committed(rig.hall.clock.now_us())
        rig.stop()
        rig.account()
        assert rig.ends(named) == ["network", "crash", "stopped"]
        assert rig.reasons(named) == ["network", "crash", "unreachable", "maintenance"]
        assert rig.gaps(named)[2].detail.startswith(f"DNS: {NAME}: ")
        assert rig.ends(other) == ["crash", "stopped"]


def test_a_peer_that_vanishes_without_a_word(tmp_path: Path, small_media: Path) -> None:
    """In a network namespace of its own, whose loopback swallows everything for a while."""
    inside = [sys.executable, "-m", "tests.camera_gateway.faults.half_open_hall", str(tmp_path), str(small_media)]
    command = ["unshare", "-Urn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *inside]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=150, check=False)
    assert ended.returncode == 0, ended.stderr
    for told in json.loads(ended.stdout):
        assert told["ends"] == ["network", "stopped"]
        (first, why), *later = told["gaps"]
        assert first == "network"
        assert "no media for 2 s" in why
        assert later[-1][0] == "maintenance"
        assert {reason for reason, _ in later[:-1]} <= {"unreachable"}
