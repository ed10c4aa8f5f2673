"""Recording plans through a running gateway and a real RTSP server: runs end as planned, and events start them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, insert

from storage.archive import tables
from storage.clock import US
from storage.model import EventKind, GapReason, RecordingMode, RunEnd, StreamPolicy, TimePrecision
from tests.camera_gateway.hall import Hall
from tests.peers.gst_rtsp import GstServer, make_h264

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GstServer]:
    video = make_h264(tmp_path_factory.mktemp("plans"))
    made = GstServer({"/h264": {"media": str(video), "kind": "h264"}}).start()
    yield made
    made.stop()


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path / "hall")
    yield made
    made.close()


def channel_of(hall: Hall, stream_id: UUID) -> UUID:
    channel_id: UUID = hall.rows(tables.stream, id=stream_id)[0].channel_id
    return channel_id


def set_plan(hall: Hall, stream_id: UUID, mode: RecordingMode, **values: Any) -> None:
    plan = {"mode": mode.value, "streams": StreamPolicy.AUTO.value, "updated_us": 1, **values}
    with hall.catalog.write() as conn:
        conn.execute(delete(tables.recording_plan))
        conn.execute(insert(tables.recording_plan).values(channel_id=channel_of(hall, stream_id), **plan))


def add_window(hall: Hall, stream_id: UUID) -> UUID:
    window_id, now_us = uuid4(), hall.clock.now_us()
    with hall.catalog.write() as conn:
        window = {"hall_id": hall.hall_id, "number": 1, "name": "1号窗口", "created_us": now_us}
        conn.execute(insert(tables.service_window).values(id=window_id, **window))
        seen = {"channel_id": channel_of(hall, stream_id), "window_id": window_id, "role": "front", "from_us": now_us}
        conn.execute(insert(tables.camera_window).values(id=uuid4(), **seen))
        source = {"id": uuid4(), "code": "platform", "secret_box": b"", "created_us": now_us}
        conn.execute(insert(tables.event_source).values(**source))
    return window_id


def happen(hall: Hall, window_id: UUID, kind: EventKind, sequence: int) -> int:
    """An event at the window now; returns its time."""
    now_us = hall.clock.now_us()
    (source,) = hall.rows(tables.event_source)
    event = {"kind": kind.value, "ticket": "A7", "event_us": now_us, "precision": TimePrecision.MICROSECOND.value}
    with hall.catalog.write() as conn:
        values = {"source_id": source.id, "sequence": sequence, "window_id": window_id, "digest": bytes(32), **event}
        conn.execute(insert(tables.case_event).values(id=uuid4(), intake_us=now_us, **values))
    return now_us


def recording(hall: Hall, stream_id: UUID, value: str) -> Any:
    """Wait until the stream's state says so."""
    return hall.wait(lambda: hall.rows(tables.stream_state, stream_id=stream_id, recording=value))[0]


def test_a_plan_that_stops_recording_ends_the_run_and_says_why(hall: Hall, server: GstServer) -> None:
    stream_id = hall.add_camera(server.url("/h264"))
    with hall.gateway():
        recording(hall, stream_id, "recorded")
        set_plan(hall, stream_id, RecordingMode.OFF)
        assert recording(hall, stream_id, "plan").recording_cause == "plan_off"
        (run,) = hall.wait(lambda: hall.rows(tables.run, stream_id=stream_id, end=RunEnd.PLAN.value))
        set_plan(hall, stream_id, RecordingMode.ALWAYS)
        recording(hall, stream_id, "recorded")
        hall.wait(lambda: all(gap.t1_us for gap in hall.rows(tables.gap, stream_id=stream_id)))
    gaps = sorted(hall.rows(tables.gap, stream_id=stream_id, reason=GapReason.PLAN.value), key=lambda gap: gap.t0_us)
    assert (gaps[0].t0_us, gaps[0].detail) == (run.t1_us, "plan_off")


def test_a_camera_that_waits_for_its_motion_and_tells_none_is_recorded(hall: Hall, server: GstServer) -> None:
    stream_id = hall.add_camera(server.url("/h264"))
    set_plan(hall, stream_id, RecordingMode.EVENT, on_visit=False)
    with hall.gateway():
        recording(hall, stream_id, "recorded")
        state = hall.wait(lambda: hall.rows(tables.stream_state, stream_id=stream_id, engine="rtsp"))[0]
        assert state.engine_note == "the camera offers no metadata"


def test_a_visit_at_its_window_records_with_pre_roll_and_its_end_stops_it(hall: Hall, server: GstServer) -> None:
    stream_id = hall.add_camera(server.url("/h264"))
    window_id = add_window(hall, stream_id)
    set_plan(hall, stream_id, RecordingMode.EVENT, pre_roll_s=3, post_roll_s=0, on_motion=False)
    with hall.gateway():
        state = hall.wait(lambda: hall.rows(tables.stream_state, stream_id=stream_id, live="live"))[0]
        assert (state.recording, state.recording_cause) == ("plan", "no_event")
        hall.clock.sleep(4)  # the ring fills
        called_us = happen(hall, window_id, EventKind.CALLED, 1)
        recording(hall, stream_id, "recorded")
        happen(hall, window_id, EventKind.EVALUATED, 2)
        recording(hall, stream_id, "plan")
        (run,) = hall.wait(lambda: hall.rows(tables.run, stream_id=stream_id, end=RunEnd.PLAN.value))
        assert run.t0_us <= called_us - 1 * US
        assert hall.segments(stream_id)[0].t0_us == run.t0_us
        assert run.t1_us is not None
        last = hall.rows(tables.gap, stream_id=stream_id)
        assert [(gap.reason, gap.detail) for gap in last if gap.t1_us is None] == [("plan", "no_event")]
