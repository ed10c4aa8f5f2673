"""An account is guarded: sign-ins one after the other until the device is known, none after two refusals."""

from __future__ import annotations

from dataclasses import replace

from camera_gateway.device_gate import DeviceGate
from storage.model import GapReason
from tests.camera_gateway.ingest_rig import FakeCounts, device_plan


def test_streams_of_a_device_that_is_not_known_sign_in_one_after_the_other() -> None:
    gate = DeviceGate(device_plan(), FakeCounts())
    called: list[str] = []
    for name in ("main", "sub", "third"):
        gate.enter(lambda name=name: called.append(name))  # type: ignore[misc]
    assert called == ["main"]
    gate.leave(GapReason.UNREACHABLE, admitted=False)
    assert called == ["main", "sub"]
    gate.leave(None, admitted=True)
    gate.enter(lambda: called.append("fourth"))
    assert called == ["main", "sub", "third", "fourth"]  # it lets us in: nobody need wait


def test_two_refusals_close_it_and_new_credentials_open_it() -> None:
    counts = FakeCounts()
    plan = device_plan()
    gate = DeviceGate(plan, counts)
    for _ in range(2):
        gate.enter(lambda: None)
        assert not gate.blocked
        gate.leave(GapReason.AUTHENTICATION, admitted=False)
    assert gate.blocked
    assert counts.refusals == [(plan.id, 1)] * 2
    gate.update(replace(plan, auth_failures=0))  # the catalog does not know of them yet
    assert gate.blocked
    gate.update(replace(plan, credential_version=2))
    assert not gate.blocked


def test_refusals_of_an_earlier_process_count() -> None:
    gate = DeviceGate(device_plan(failures=2), FakeCounts())
    assert gate.blocked
    assert gate.closed_fault.reason is GapReason.AUTHENTICATION


def test_an_admission_forgets_a_refusal_and_says_so_once() -> None:
    counts = FakeCounts()
    plan = device_plan(failures=1)
    gate = DeviceGate(plan, counts)
    for _ in range(2):
        gate.enter(lambda: None)
        gate.leave(None, admitted=True)
    assert counts.admissions == [plan.id]


def test_a_refusal_of_credentials_that_worked_makes_streams_wait_again() -> None:
    gate = DeviceGate(device_plan(), FakeCounts())
    gate.enter(lambda: None)
    gate.leave(None, admitted=True)
    gate.enter(lambda: None)
    gate.leave(GapReason.AUTHENTICATION, admitted=False)
    called: list[str] = []
    gate.enter(lambda: called.append("one"))
    gate.enter(lambda: called.append("two"))
    assert called == ["one"]


def test_a_turn_that_waits_can_be_given_up() -> None:
    gate = DeviceGate(device_plan(), FakeCounts())
    called: list[str] = []

    def waiting() -> None:
        called.append("waiting")

    gate.enter(lambda: called.append("first"))
    gate.enter(waiting)
    assert gate.give_up(waiting)
    assert not gate.give_up(waiting)
    gate.leave(None, admitted=True)
    assert called == ["first"]
