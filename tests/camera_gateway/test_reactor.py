"""The reactor: timers by the clock, calls from other threads, and descriptors that change hands within a round."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from camera_gateway.reactor import CROWD, READ, REST_S, WRITE, Reactor, in_thread
from storage.clock import FakeClock, SystemClock


def nothing() -> None:
    """A call that is heard by nobody."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def reactor(clock: FakeClock) -> Iterator[Reactor]:
    made = Reactor(clock)
    yield made
    made.close()


def test_timers_come_in_the_order_of_their_times(reactor: Reactor, clock: FakeClock) -> None:
    said: list[str] = []
    reactor.call_later(2.0, lambda: said.append("late"))
    reactor.call_later(1.0, lambda: said.append("early"))
    reactor.call_later(1.0, lambda: said.append("early too"))
    reactor.turn(0)
    assert said == []
    clock.advance(1.0)
    reactor.turn(0)
    assert said == ["early", "early too"]
    clock.advance(5.0)
    reactor.turn(0)
    assert said == ["early", "early too", "late"]


def test_a_cancelled_timer_is_silent_even_when_both_were_due(reactor: Reactor, clock: FakeClock) -> None:
    said: list[str] = []
    second = reactor.call_later(1.0, lambda: said.append("second"))
    first = reactor.call_later(0.5, second.cancel)
    first_again = reactor.call_later(0.1, lambda: said.append("first"))
    clock.advance(2.0)
    reactor.turn(0)
    first.cancel()
    first_again.cancel()
    reactor.turn(0)
    assert said == ["first"]


def test_a_timer_that_sets_itself_again_at_once_does_not_stop_the_loop(reactor: Reactor) -> None:
    rounds: list[int] = []

    def again() -> None:
        rounds.append(1)
        reactor.call_later(0.0, again)

    again()
    for _ in range(3):
        reactor.turn(0)
    assert len(rounds) == 4


def test_what_is_called_soon_by_a_callback_comes_in_the_next_round(reactor: Reactor) -> None:
    said: list[str] = []
    reactor.call_soon(lambda: reactor.call_soon(lambda: said.append("second round")))
    reactor.turn(0)
    assert said == []
    reactor.turn(0)
    assert said == ["second round"]


def test_another_thread_wakes_a_sleeping_reactor() -> None:
    reactor = Reactor(SystemClock())
    thread = in_thread(reactor, "reactor")
    done = threading.Event()
    for _ in range(100_000):  # more than the pipe holds
        reactor.call_threadsafe(nothing)
    reactor.call_threadsafe(done.set)
    assert done.wait(20)
    reactor.stop()
    thread.join(20)
    assert not thread.is_alive()
    reactor.close()


def test_a_closed_reactor_writes_to_nobody_s_descriptor() -> None:
    reactor = Reactor(FakeClock())
    reactor.close()
    read, write = os.pipe2(os.O_NONBLOCK)  # these very likely get the numbers that the reactor had
    reactor.call_threadsafe(nothing)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    os.close(read)
    os.close(write)


def test_a_watcher_may_forget_another_that_is_ready_in_the_same_round(reactor: Reactor) -> None:
    (one, one_peer), (two, two_peer) = socket.socketpair(), socket.socketpair()
    said: list[int] = []

    def watcher(own: socket.socket, other: socket.socket) -> None:
        said.append(own.fileno())
        reactor.forget(other.fileno())

    reactor.watch(one.fileno(), lambda _events: watcher(one, two))
    reactor.watch(two.fileno(), lambda _events: watcher(two, one))
    assert reactor.watching == 2
    one_peer.send(b"x")
    two_peer.send(b"x")
    reactor.turn(0)
    assert len(said) == 1
    assert reactor.watching == 1
    for sock in (one, one_peer, two, two_peer):
        reactor.forget(sock.fileno())
        sock.close()


def test_a_reused_descriptor_does_not_get_the_events_of_the_one_before(reactor: Reactor) -> None:
    (one, one_peer), (two, two_peer) = socket.socketpair(), socket.socketpair()
    said: list[str] = []
    heirs: list[socket.socket] = []

    def replace(own: socket.socket, other: socket.socket) -> None:
        """Close the other, which is ready too, and watch a new socket under its number."""
        if heirs:
            return
        number = other.fileno()
        reactor.forget(number)
        other.close()
        fresh, peer = socket.socketpair()
        heirs.extend([fresh, peer])
        heir = next(sock for sock in heirs if sock.fileno() == number)
        reactor.watch(number, lambda _events: said.append("heir"))
        assert heir.fileno() == number
        own.recv(1)

    reactor.watch(one.fileno(), lambda _events: replace(one, two))
    reactor.watch(two.fileno(), lambda _events: replace(two, one))
    one_peer.send(b"x")
    two_peer.send(b"x")
    reactor.turn(0)
    assert len(heirs) == 2
    assert said == []
    reactor.turn(0)
    assert said == []
    for sock in (one, one_peer, two, two_peer, *heirs):
        if sock.fileno() >= 0:
            reactor.forget(sock.fileno())
            sock.close()


def test_watch_for_changes_what_is_waited_for(reactor: Reactor) -> None:
    one, peer = socket.socketpair()
    said: list[int] = []
    reactor.watch(one.fileno(), said.append)
    reactor.turn(0)
    assert said == []
    reactor.watch_for(one.fileno(), READ | WRITE)
    reactor.turn(0)
    assert said == [WRITE]
    reactor.forget(one.fileno())
    reactor.forget(one.fileno())
    reactor.turn(0)
    assert said == [WRITE]
    one.close()
    peer.close()


@pytest.mark.parametrize(("descriptors", "rests"), [(CROWD, 0), (CROWD + 1, 3)])
def test_it_rests_after_each_round_only_in_a_crowd(
    reactor: Reactor, clock: FakeClock, descriptors: int, rests: int
) -> None:
    pipes = [os.pipe() for _ in range(descriptors)]
    rounds: list[int] = []

    def again() -> None:
        rounds.append(1)
        if len(rounds) < 3:
            reactor.call_soon(again)
        else:
            reactor.stop()

    for reading, _writing in pipes:
        reactor.watch(reading, lambda _events: None)
    reactor.call_soon(again)
    reactor.run()
    assert clock.slept == [REST_S] * rests
    for pair in pipes:
        reactor.forget(pair[0])
        for descriptor in pair:
            os.close(descriptor)
