"""How many cameras are opened at once, and in which order."""

from __future__ import annotations

from camera_gateway.pacing import HOLD_S, Pacer, Ticket
from camera_gateway.reactor import Reactor
from storage.clock import FakeClock


class Street:
    """A pacer with room for two, and who was called."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.reactor = Reactor(self.clock)
        self.pacer = Pacer(self.reactor, 2)
        self.called: list[str] = []

    def enter(self, name: str, tries: int = 0) -> Ticket:
        return self.pacer.enter(tries, lambda: self.called.append(name))


def test_only_so_many_are_opened_at_once_and_the_next_when_one_is_open() -> None:
    street = Street()
    first = street.enter("one")
    for name in ("two", "three", "four"):
        street.enter(name)
    assert street.called == ["one", "two"]
    street.pacer.leave(first)
    assert street.called == ["one", "two", "three"]
    street.pacer.leave(first)
    assert street.called == ["one", "two", "three"]


def test_those_that_failed_often_come_last() -> None:
    street = Street()
    first, second = street.enter("one"), street.enter("two")
    for name, tries in (("dead", 5), ("ill", 1), ("fresh", 0)):
        street.enter(name, tries)
    for ticket in (first, second):
        street.pacer.leave(ticket)
    assert street.called[2:] == ["fresh", "ill"]


def test_a_camera_that_does_not_answer_gives_its_place_away_after_a_while() -> None:
    street = Street()
    slow = street.enter("slow")
    street.enter("slow too")
    street.enter("next")
    street.clock.advance(HOLD_S)
    street.reactor.turn(0)
    assert street.called[2:] == ["next"]
    street.pacer.leave(slow)
    street.enter("another")
    assert street.called[3:] == ["another"]
    street.enter("too many")
    assert len(street.called) == 4


def test_a_wish_that_was_given_back_is_not_called() -> None:
    street = Street()
    first = street.enter("one")
    street.enter("two")
    unwanted = street.enter("three")
    street.enter("four")
    street.pacer.leave(unwanted)
    street.pacer.leave(first)
    assert street.called == ["one", "two", "four"]
