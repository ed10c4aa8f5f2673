"""A whole hall over PostgreSQL: recorded, reviewed, kept within its quota, verified; no secret in its logs or rows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from deploy.demo.client import HallClient, Refused
from storage.archive.catalog import Catalog
from storage.archive.tables import metadata
from tests.e2e.footage import (
    camera_spans,
    picture_at,
    picture_time,
    recorded_streams,
    segments,
    state_at,
    verify,
)
from tests.e2e.hall import CLOCK, RunningHall, eventually
from tests.peers.postgres import PostgresServer

Halls = tuple[RunningHall, str]


@pytest.fixture(scope="module")
def postgres_hall(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Halls]:
    """A virtual hall whose processes all keep their rows in one PostgreSQL database; its URL."""
    running = RunningHall(tmp_path_factory.mktemp("postgres") / "data", demo=True, cameras=1)
    url = postgres_server.database()
    sqlite = f"sqlite:///{(running.folder.root / 'catalog.sqlite').absolute()}"
    for process in ("console", "gateway"):
        running.replace_setting(process, sqlite, url)
    running.configure("gateway", "\n[recording]\nsegment_s = 5.0\n")
    running.configure("console", "\n[retention]\ninterval_s = 2.0\n")
    try:
        running.start()
        yield running, url
    finally:
        running.end()


def timeline_of(client: HallClient, number: str) -> dict[str, Any] | None:
    """The timeline of a visit of a case, once its camera and its screen have something to show."""
    for case in client.get("/api/cases", q=number)["cases"]:
        for visit in client.get(f"/api/cases/{case['id']}")["visits"]:
            timeline: dict[str, Any] = client.get(f"/api/visits/{visit['id']}/timeline")
            streams = [stream for lane in timeline["cameras"] for stream in lane["streams"]]
            if any(one["segments"] for one in streams) and any(one["pictures"] for one in timeline["screens"]):
                return timeline
    return None


def test_a_hall_records_and_brings_a_case_back_over_postgresql(postgres_hall: Halls) -> None:
    hall, _url = postgres_hall
    assert not (hall.folder.root / "catalog.sqlite").exists()
    with hall.client("diaoyue", purpose="audit") as client:
        (stream,) = recorded_streams(client)
        first = eventually(lambda: segments(client, stream))[0]
        assert client.content(f"/api/media/segments/{first.id}").content[4:8] == b"ftyp"
        number = eventually(lambda: hall.serving(1))["case_number"]
        timeline = eventually(lambda: timeline_of(client, number), every_s=1.0)
        assert timeline["steps"]
        (screen,) = timeline["screens"]
        taken_us = screen["pictures"][0]
        picture = picture_at(client, screen["monitor_id"], taken_us)
        assert picture is not None
        assert picture_time(picture) == taken_us
    done = verify(hall)
    assert done.returncode == 0, done.stdout + done.stderr


def test_footage_over_the_quota_goes_while_the_hall_runs_and_is_accounted_for(postgres_hall: Halls) -> None:
    hall, _url = postgres_hall
    with hall.client("dating") as manager:
        (camera,) = manager.get("/api/cameras")["cameras"]
        for seen in camera["windows"]:  # footage of a window in use is kept for its case
            manager.delete(f"/api/cameras/{camera['id']}/windows/{seen['map_id']}")
    unmapped_us = CLOCK.now_us()
    with hall.client("diaoyue", purpose="audit") as client, hall.client("admin") as admin:
        (stream,) = recorded_streams(client)
        victim = eventually(lambda: next((one for one in segments(client, stream) if one.t0_us > unmapped_us), None))
        admin.patch("/api/hall", {"quota_bytes": 1})
        middle_us = (victim.t0_us + victim.t1_us) // 2
        eventually(lambda: state_at(camera_spans(client, camera["id"], middle_us), middle_us) == "removed")
        with pytest.raises(Refused):
            client.content(f"/api/media/segments/{victim.id}")
        eventually(lambda: "disk_forecast" in {one["kind"] for one in client.get("/api/problems")["problems"]})
        admin.patch("/api/hall", {"quota_bytes": 0})
    done = verify(hall)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_secret_stands_in_the_logs_the_rows_or_the_footage(postgres_hall: Halls) -> None:
    hall, url = postgres_hall
    state = json.loads((hall.folder.root / "demo.json").read_text(encoding="utf-8"))
    secrets = {**state["passwords"], "event source": state["source_secret"], "camera": hall.camera_password}
    for name in ("console.key", "gateway.key", "secrets.key", "cameras.key"):
        secrets[name] = (hall.folder.root / "keys" / name).read_bytes().hex()
    logs = {path.name: path.read_bytes() for path in hall.folder.logs.glob("*.log")}
    assert {"console.log", "gateway.log", "counter-pc.log"} <= logs.keys()
    places = {**logs, "rows": rows_of(url), "objects": files_below(hall.folder.root / "objects")}
    assert all(len(secret) >= 8 for secret in secrets.values())
    assert b"1\xe5\x8f\xb7\xe7\xaa\x97\xe5\x8f\xa3" in places["rows"]  # 1号窗口: the rows were read
    found = [
        (name, place) for name, secret in secrets.items() for place, data in places.items() if stands(secret, data)
    ]
    assert found == []


def stands(secret: str, data: bytes) -> bool:
    """Whether a secret stands there as text, or as the bytes that its hexadecimal digits mean."""
    forms = [secret.encode()]
    with contextlib.suppress(ValueError):
        forms.append(bytes.fromhex(secret))
    return any(form in data for form in forms)


def rows_of(url: str) -> bytes:
    """Every value of every row of the catalog."""
    catalog = Catalog.open(url, CLOCK)
    try:
        with catalog.read() as conn:
            rows = [row for table in metadata.sorted_tables for row in conn.execute(select(table))]
    finally:
        catalog.close()
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)


def files_below(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
