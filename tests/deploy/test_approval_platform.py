"""The virtual approval platform: what it makes up holds together, arrives signed, and survives every interruption."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from console.services.event_parsing import EventContext, parse_events
from deploy.approval_platform.control import ControlServer, answer
from deploy.approval_platform.outbox import INTAKE_PATH, HttpSender, Outbox
from deploy.approval_platform.platform import Feed, Platform
from deploy.approval_platform.script import HALL_ZONE, seeded_day
from storage.archive.tables import case, case_event, visit
from storage.clock import FakeClock
from storage.errors import ConfigurationError, SunhallError, Unavailable
from storage.model import EventKind
from tests.console.case_world import INTAKE, TODAY, CaseWorld, at_us

DAY = date.fromisoformat(TODAY)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CaseWorld]:
    made = CaseWorld.at(tmp_path)
    yield made
    made.catalog.close()


class TellTale:
    """A sender that remembers, and is away when it is told."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.away = False

    def send(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        if self.away:
            raise Unavailable("console_away")
        self.taken += events
        return {"accepted": len(events), "repeated": 0, "rejected": []}


def sender_to(world: CaseWorld, clock: FakeClock) -> HttpSender:
    """A sender whose requests reach the real intake without a socket."""
    world.add_source("approval")

    def serve(request: httpx.Request) -> httpx.Response:
        try:
            batch = world.sources.authenticate(request.headers, request.method, request.url.path, request.content)
        except SunhallError as error:
            return httpx.Response(401, json={"error": {"code": error.code}})
        return httpx.Response(200, json=world.intake.take(batch))

    client = httpx.Client(transport=httpx.MockTransport(serve))
    return HttpSender("https://hall:8443/", "approval", world.secrets["approval"], clock, client)


# --- what is made up ------------------------------------------------------------------------------------------------
def test_a_day_has_the_whole_vocabulary_in_order_and_a_seed_repeats_it() -> None:
    events = seeded_day(7, DAY, (1, 2, 3))

    assert seeded_day(7, DAY, (1, 2, 3)) == events
    assert seeded_day(8, DAY, (1, 2, 3)) != events
    assert {event["kind"] for event in events} == {kind.value for kind in EventKind}
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert all(one["at"] <= two["at"] for one, two in pairwise(events))
    parsed, rejections = parse_events(events[:500], EventContext(HALL_ZONE, at_us("23:00:00")))
    assert rejections == []
    assert any(event.case_number.startswith("滁政务〔2026〕第000") for event in parsed)
    assert any(event.ticket == "A012" for event in parsed)


def test_a_day_taken_in_gives_each_case_the_visit_that_was_played(world: CaseWorld) -> None:
    world.clock.advance(12 * 3600)
    source = world.add_source()
    events = seeded_day(7, DAY, (1, 2))
    for start in range(0, len(events), 500):
        assert world.send(source, *events[start : start + 500])["rejected"] == []

    accepted = [event for event in events if event["kind"] == "accepted"]
    calls = {event["ticket"]: event["at"] for event in events if event["kind"] == "called"}
    with world.catalog.read() as conn:
        rows = conn.execute(
            select(case.c.number, func.count(), func.min(visit.c.t0_us), func.min(visit.c.closed_by))
            .join(visit, visit.c.case_id == case.c.id)
            .where(visit.c.superseded_us.is_(None))
            .group_by(case.c.number)
        ).all()
    expected = {event["case_number"]: (1, at_us(calls[event["ticket"]][11:19]), "evaluated") for event in accepted}
    assert {row[0]: tuple(row[1:]) for row in rows} == expected
    assert len(expected) > 60


# --- the platform at work -------------------------------------------------------------------------------------------
def test_the_counter_pc_shows_the_case_that_the_console_has(world: CaseWorld, tmp_path: Path) -> None:
    clock = world.clock
    outbox = Outbox(tmp_path / "platform")
    platform = Platform((1, 2), outbox, clock)
    feed = Feed(platform, outbox, sender_to(world, clock), clock)
    shown: dict[str, dict[str, Any]] = {}
    idle = 0
    for _ in range(1200):
        feed.run_once()
        serving = platform.serving(1)
        if serving is None:
            idle += 1
        else:
            shown[serving["case_number"]] = serving
        clock.advance(1)
    while feed.run_once():
        pass

    assert idle > 20
    assert len(shown) >= 4
    for number, serving in list(shown.items())[:-1]:
        found = world.visits(number)
        assert [(item["window"]["number"], item["staff"]) for item in found] == [(1, serving["staff"])]
        assert found[0]["t0_us"] == serving["since_us"] // 10**6 * 10**6
    assert outbox.pending == 0
    assert world.sources.list_all()[0]["holes"] == []
    assert platform.serving(9) is None


def test_a_faster_pace_serves_more() -> None:
    assert len(seeded_day(1, DAY, (1,), pace=1.0)) > 2 * len(seeded_day(1, DAY, (1,), pace=0.3))


def test_a_platform_that_slept_does_not_make_up_the_time(tmp_path: Path) -> None:
    clock = FakeClock()
    outbox = Outbox(tmp_path)
    platform = Platform((1,), outbox, clock)
    platform.advance()
    clock.advance(24 * 3600)
    platform.advance()
    numbers = {event.get("case_number") for event in contents(outbox)} - {None}

    assert len(numbers) == 1


def contents(outbox: Outbox) -> list[dict[str, Any]]:
    """All that is in an outbox."""
    sender = TellTale()
    while outbox.deliver(sender):
        pass
    return sender.taken


# --- the outbox -----------------------------------------------------------------------------------------------------
def test_what_was_not_taken_is_sent_after_a_restart_with_the_same_numbers(tmp_path: Path) -> None:
    sender = TellTale()
    sender.away = True
    first = Outbox(tmp_path)
    first.counters.next_case(2026)
    first.add([{"kind": "called"}, {"kind": "accepted"}])
    with pytest.raises(Unavailable):
        first.deliver(sender)

    again = Outbox(tmp_path)
    sender.away = False
    again.add([{"kind": "evaluated"}])
    assert again.deliver(sender) == 3

    assert [event["sequence"] for event in sender.taken] == [1, 2, 3]
    assert again.counters.next_case(2026) == "滁政务〔2026〕第000124号"
    assert Outbox(tmp_path).pending == 0


def test_a_damaged_outbox_is_refused_and_not_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "outbox.json").write_text("{")

    with pytest.raises(ConfigurationError, match="move it away"):
        Outbox(tmp_path)


def test_an_answer_lost_on_the_way_makes_a_harmless_repeat(world: CaseWorld, tmp_path: Path) -> None:
    sender = sender_to(world, world.clock)
    outbox = Outbox(tmp_path / "one")
    outbox.add([{"kind": "applied", "case_number": "A1", "at": f"{TODAY}T09:00:00+08:00"}])
    sender.send([{"sequence": 1, "kind": "applied", "case_number": "A1", "at": f"{TODAY}T09:00:00+08:00"}])

    assert outbox.deliver(sender) == 1
    assert world.count(case_event) == 1


def test_a_refused_signature_leaves_everything_in_the_outbox(world: CaseWorld, tmp_path: Path) -> None:
    sender = sender_to(world, FakeClock())  # its clock is weeks away
    outbox = Outbox(tmp_path / "one")
    outbox.add([{"kind": "applied", "case_number": "A1", "at": f"{TODAY}T09:00:00+08:00"}])

    with pytest.raises(Unavailable, match="401"):
        outbox.deliver(sender)
    assert outbox.pending == 1


def test_both_sides_name_the_same_path() -> None:
    assert INTAKE_PATH == INTAKE


# --- the control port -----------------------------------------------------------------------------------------------
def test_only_windows_are_answered() -> None:
    def serving(number: int) -> dict[str, Any] | None:
        return {"case_number": "x"} if number == 1 else None

    assert answer(serving, "/v1/windows/1")[1] == {"serving": {"case_number": "x"}}
    assert answer(serving, "/v1/windows/2")[1] == {"serving": None}
    for path in ("/", "/v1/windows/", "/v1/windows/x", "/v1/windows/-1", "/v1/windows/1/2", "/v1/windows/99999"):
        assert answer(serving, path)[0] == 404


def get(port: int, path: str) -> Any:
    """The JSON of a GET on loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@pytest.mark.net
def test_the_control_port_answers_over_http() -> None:
    server = ControlServer(lambda number: {"ticket": f"A{number:03}"}, 0)
    server.start()
    try:
        assert get(server.port, "/v1/windows/12") == {"serving": {"ticket": "A012"}}
        assert get(server.port, "/other")["error"]["code"] == "not_found"
    finally:
        server.stop()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.net
def test_the_process_works_while_the_console_is_away_and_stops_on_a_signal(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "secret").write_text("00" * 32)
    command = [sys.executable, "-m", "deploy.approval_platform", "--intake", "https://127.0.0.1:9"]
    command += ["--source", "approval", "--secret-file", str(tmp_path / "secret"), "--port", str(port)]
    command += ["--windows", "1,2", "--pace", "20", "--data", str(tmp_path / "data")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "events_wait" in line)
        serving = get(port, "/v1/windows/1")["serving"]
        assert "console_away" in line
        assert serving is None or serving["case_number"].startswith("滁政务〔")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert Outbox(tmp_path / "data").pending > 0


def test_wrong_options_say_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from deploy.approval_platform.__main__ import main

    options = ["--intake", "https://hall", "--source", "a", "--secret-file", str(tmp_path / "none"), "--port", "0"]

    assert main([*options, "--windows", "1", "--data", str(tmp_path / "data")]) == 2
    assert "none" in capsys.readouterr().err
