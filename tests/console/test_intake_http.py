"""From a new source to a reviewed case over the whole console's HTTP, as an administrator, a sender and an auditor."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from storage.identity.requests import SharedSecret, sign_headers
from storage.model import Role
from tests.console.case_world import INTAKE
from tests.console.console_world import ConsoleWorld

NUMBER = "滁政务〔2026〕第000123号"


def accepted(sequence: int, at: str = "2026-11-21T08:50:00") -> dict[str, Any]:
    """An acceptance at window 1; the source's zone is the hall's."""
    return {"sequence": sequence, "kind": "accepted", "case_number": NUMBER, "window": "1", "at": at}


def post(hall: ConsoleWorld, secret: str, events: Any, *, body: bytes | None = None) -> httpx.Response:
    """Send as the source `approval`."""
    content = json.dumps(events).encode() if body is None else body
    headers = sign_headers(SharedSecret(secret.encode()), "approval", "POST", INTAKE, content, hall.clock)
    return hall.browser().client.post(INTAKE, content=content, headers=headers)


@pytest.fixture
def secret(hall: ConsoleWorld) -> str:
    """The secret of a new source."""
    administrator = hall.person(Role.SYSTEM_ADMIN)
    made = administrator.post("/api/sources", {"code": "approval", "name": "审批系统", "timezone": "Asia/Shanghai"})
    assert made.status_code == 201, made.text
    assert made.json()["source"]["code"] == "approval"
    return str(made.json()["secret"])


def test_an_event_becomes_a_case_that_an_auditor_reviews(hall: ConsoleWorld, secret: str) -> None:
    answer = post(hall, secret, [accepted(7), accepted(9, "2026-11-21T08:55:00")])
    assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "repeated": 0, "rejected": []})
    auditor = hall.person(Role.AUDITOR)

    (found,) = auditor.get("/api/cases", q=" 滁政务(2026)第000123号 ").json()["cases"]
    shown = auditor.get(f"/api/cases/{found['id']}").json()
    refused = auditor.get(f"/api/visits/{shown['visits'][0]['id']}/timeline")
    auditor.state_purpose()
    timeline = auditor.get(f"/api/visits/{shown['visits'][0]['id']}/timeline").json()

    assert [item["sequence"] for item in shown["events"]] == [7, 9]
    assert refused.json()["error"]["code"] == "purpose_required"
    assert timeline["visit"]["window"]["number"] == 1
    (source,) = auditor.get("/api/sources").json()["sources"]
    assert (source["holes"], source["last_sequence"], source["events"]) == ([[8, 8]], 9, 2)
    assert "secret" not in source
    kinds = [item["kind"] for item in auditor.get("/api/problems").json()["problems"]]
    assert "sequence_hole" in kinds


def test_what_is_not_signed_or_too_large_is_not_taken(hall: ConsoleWorld, secret: str) -> None:
    unsigned = hall.browser().client.post(INTAKE, json=[accepted(1)])
    forged = post(hall, "0" * 64, [accepted(1)])
    large = post(hall, secret, None, body=b"[" + b" " * (2 << 20) + b"]")
    nonsense = post(hall, secret, None, body=b"not json")

    assert (unsigned.status_code, unsigned.json()["error"]["code"]) == (401, "signature_missing")
    assert (forged.status_code, forged.json()["error"]["code"]) == (401, "signature_wrong")
    assert large.status_code == 413
    assert (nonsense.status_code, nonsense.json()["error"]["code"]) == (422, "body_not_json")


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"code": "Approval", "name": "x"}, "source_code_invalid"),
        ({"code": "../x", "name": "x"}, "source_code_invalid"),
        ({"code": "queue", "name": " "}, "name_empty"),
        ({"code": "queue", "name": "x", "timezone": "Mars/Olympus"}, "timezone_unknown"),
        ({"code": "approval", "name": "x"}, "source_exists"),
    ],
)
def test_sources_that_cannot_be_made(hall: ConsoleWorld, secret: str, wanted: dict[str, str], code: str) -> None:
    answer = hall.person(Role.SYSTEM_ADMIN).post("/api/sources", wanted)

    assert answer.status_code in (409, 422)
    assert answer.json()["error"]["code"] == code


def test_the_description_shows_what_an_event_is(hall: ConsoleWorld) -> None:
    described = hall.person(Role.AUDITOR).get("/api/openapi.json").json()["paths"][INTAKE]["post"]
    event, batch = described["requestBody"]["content"]["application/json"]["schema"]["oneOf"]

    assert batch["items"] == event
    assert {"sequence", "kind", "at", "case_number", "window"} <= event["properties"].keys()


def test_a_disabled_source_is_unknown_until_it_is_enabled_again(hall: ConsoleWorld, secret: str) -> None:
    administrator = hall.person(Role.SYSTEM_ADMIN)
    assert post(hall, secret, [accepted(1), accepted(3)]).status_code == 200
    (source,) = administrator.get("/api/sources").json()["sources"]
    path = f"/api/sources/{source['id']}"

    disabled = administrator.patch(path, {"disabled": True, "name": "旧审批系统"}).json()
    assert (disabled["disabled_us"], disabled["name"], disabled["events"]) == (hall.clock.now_us(), "旧审批系统", 2)
    refused = post(hall, secret, [accepted(2)])
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "key_unknown")
    assert administrator.get("/api/problems").json()["problems"] == []

    hall.clock.advance(60)
    assert administrator.patch(path, {"disabled": True}).json()["disabled_us"] == disabled["disabled_us"]
    hall.clock.advance(1)  # audit rows of one instant have no order
    assert administrator.patch(path, {"disabled": False}).json()["disabled_us"] is None
    assert post(hall, secret, [accepted(2)]).json()["accepted"] == 1
    rows = administrator.get("/api/audit", action="source_change").json()["rows"]
    assert [row["detail"]["changed"] for row in rows] == [["disabled_us"], [], ["disabled_us", "name"]]


def test_a_new_secret_ends_the_old_one(hall: ConsoleWorld, secret: str) -> None:
    administrator = hall.person(Role.SYSTEM_ADMIN)
    (source,) = administrator.get("/api/sources").json()["sources"]
    renewed = administrator.post(f"/api/sources/{source['id']}/secret").json()

    assert renewed["source"]["id"] == source["id"]
    assert post(hall, secret, [accepted(1)]).json()["error"]["code"] == "signature_wrong"
    assert post(hall, renewed["secret"], [accepted(1)]).json()["accepted"] == 1
    (row,) = administrator.get("/api/audit", action="source_secret_renew").json()["rows"]
    assert row["subject"] == f"source:{source['id']}"
    assert renewed["secret"] not in json.dumps(row)


@pytest.mark.parametrize("what", ["", "/secret"])
def test_a_source_that_is_not_there_and_people_who_may_not(hall: ConsoleWorld, secret: str, what: str) -> None:
    path = f"/api/sources/01234567-89ab-7cde-8f01-23456789abcd{what}"
    for role, status in ((Role.SYSTEM_ADMIN, 404), (Role.AUDITOR, 403), (Role.HALL_ADMIN, 403)):
        person = hall.person(role)
        answer = person.post(path) if what else person.patch(path, {"name": "x"})
        assert answer.status_code == status
    assert secret
