"""What the archive of a running hall holds, asked through the API."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from deploy.demo.client import HallClient, Refused
from storage.clock import US
from tests.e2e.hall import CLOCK, RunningHall

ZONE = ZoneInfo("Asia/Shanghai")
HOUR = 3600 * US


@dataclass(frozen=True, slots=True)
class Recorded:
    """A committed camera segment."""

    id: str
    t0_us: int
    t1_us: int


def recorded_streams(client: HallClient) -> dict[str, str]:
    """The streams that are to be recorded: stream id to camera id."""
    cameras = client.get("/api/cameras")["cameras"]
    return {stream["id"]: camera["id"] for camera in cameras for stream in camera["streams"] if stream["recorded"]}


def segments(client: HallClient, stream: str) -> list[Recorded]:
    """The committed segments of a stream of the last hours, oldest first."""
    now = CLOCK.now_us()
    answer = client.get(f"/api/media/streams/{stream}/segments", from_us=now - 12 * HOUR, to_us=now + HOUR)
    return [Recorded(item["id"], item["t0_us"], item["t1_us"]) for item in answer["segments"]]


def picture_at(client: HallClient, monitor: str, t_us: int) -> httpx.Response | None:
    """The screen picture in force at a time, or None when there is none."""
    try:
        return client.content(f"/api/media/screens/{monitor}/at", t_us=t_us)
    except Refused as refused:
        if refused.code != "no_picture":
            raise
        return None


def picture_time(response: httpx.Response) -> int:
    """When the picture was taken, microseconds UTC."""
    return int(response.headers["X-Sunhall-Picture-Us"])


def today(t_us: int) -> str:
    """The hall's day of a time."""
    return f"{datetime.fromtimestamp(t_us / US, UTC).astimezone(ZONE):%Y-%m-%d}"


def camera_spans(client: HallClient, camera: str, t_us: int) -> list[dict[str, Any]]:
    """A camera's coverage on the day of `t_us`."""
    spans: list[dict[str, Any]] = client.get(f"/api/cameras/{camera}/coverage", day=today(t_us))["spans"]
    return spans


def screen_spans(client: HallClient, t_us: int) -> list[dict[str, Any]]:
    """The coverage of the virtual counter PC's monitor on the day of `t_us`."""
    (station,) = client.get("/api/workstations")["workstations"]
    (monitor,) = client.get(f"/api/workstations/{station['id']}/coverage", day=today(t_us))["monitors"]
    spans: list[dict[str, Any]] = monitor["spans"]
    return spans


def monitor_id(client: HallClient) -> str:
    """The virtual counter PC's monitor."""
    (station,) = client.get("/api/workstations")["workstations"]
    return str(station["monitors"][0]["id"])


def state_at(spans: list[dict[str, Any]], t_us: int) -> str:
    """The coverage state of an instant; "" where no span says anything, which must never be."""
    return next((str(span["state"]) for span in spans if span["t0_us"] <= t_us < span["t1_us"]), "")


def holes(spans: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Stretches between spans that nobody accounts for."""
    ordered = sorted(spans, key=lambda span: span["t0_us"])
    return [(early["t1_us"], late["t0_us"]) for early, late in pairwise(ordered) if early["t1_us"] < late["t0_us"]]


def verify(hall: RunningHall) -> subprocess.CompletedProcess[str]:
    """`sunhall-console verify` on the running hall's archive."""
    command = [sys.executable, "-m", "console.main", "verify", "--config", str(hall.folder.console_settings)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
