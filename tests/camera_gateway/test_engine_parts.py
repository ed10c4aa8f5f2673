"""The small parts of our engine: names, neighbours, UDP ports, TLS trust and the words of errors."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
from pathlib import Path

import pytest

from camera_gateway import name_resolver
from camera_gateway.engine_shared import TRUST_ANY, TRUST_SYSTEM, granted, tls_context
from camera_gateway.name_resolver import MOST_WAITING, NameResolver, Resolved
from camera_gateway.neighbours import FRESH_S, Neighbours
from camera_gateway.packets import SourceFault
from camera_gateway.reactor import Reactor
from camera_gateway.tcp_evidence import break_evidence, connect_fault, tls_evidence
from camera_gateway.udp_ports import UdpPorts
from storage.clock import FakeClock, SystemClock
from storage.errors import ConfigurationError
from storage.model import GapReason


def turn_until(reactor: Reactor, found: list[Resolved], count: int) -> None:
    for _ in range(2000):
        if len(found) >= count:
            return
        reactor.turn(0.01)


def test_an_address_is_told_at_once_and_a_name_once_for_all_who_ask() -> None:
    reactor = Reactor(SystemClock())
    go = threading.Event()
    asked: list[str] = []

    def lookup(host: str) -> list[str]:
        go.wait(20)
        asked.append(host)
        return ["10.0.0.9", "10.0.0.9", "fd00::9"]

    names = NameResolver(reactor, lookup)
    found: list[Resolved] = []
    names.find("192.168.1.7", found.append)
    names.find("fe80::1%eth0", found.append)
    assert found == [Resolved(("192.168.1.7",)), Resolved(("fe80::1%eth0",))]
    found.clear()
    names.find("camera", found.append)
    names.find("camera", found.append)
    go.set()
    turn_until(reactor, found, 2)
    assert found == [Resolved(("10.0.0.9", "fd00::9"))] * 2
    assert asked == ["camera"]
    reactor.close()


def test_a_name_that_cannot_be_resolved_says_why() -> None:
    reactor = Reactor(SystemClock())

    def lookup(host: str) -> list[str]:
        if host == "empty":
            return []
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    names = NameResolver(reactor, lookup)
    found: list[Resolved] = []
    names.find("empty", found.append)
    turn_until(reactor, found, 1)
    names.find("camera", found.append)
    turn_until(reactor, found, 2)
    assert [one.error for one in found] == ["the name has no address", "Temporary failure in name resolution"]
    reactor.close()


def test_while_dns_is_away_a_known_name_keeps_its_address() -> None:
    reactor = Reactor(SystemClock())
    answers: list[list[str] | None] = [["10.0.0.9"], None, ["10.0.0.10"]]
    go = threading.Event()

    def lookup(_host: str) -> list[str]:
        if len(answers) == 0:
            go.wait(20)
            return []
        answer = answers.pop(0)
        if answer is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return answer

    names = NameResolver(reactor, lookup)
    found: list[Resolved] = []
    for count in range(1, 4):
        names.find("camera", found.append)
        turn_until(reactor, found, count)
    assert [one.addresses for one in found] == [("10.0.0.9",), ("10.0.0.9",), ("10.0.0.10",)]
    names.find("camera", found.append)  # now it hangs
    names.find("camera", found.append)  # and who asks again is not kept waiting
    assert [one.addresses for one in found[3:]] == [("10.0.0.10",)]
    go.set()
    turn_until(reactor, found, 5)
    assert [one.addresses for one in found[3:]] == [("10.0.0.10",)] * 2
    reactor.close()


def test_names_that_wait_are_bounded() -> None:
    reactor = Reactor(FakeClock())
    go = threading.Event()
    names = NameResolver(reactor, lambda _host: ["10.0.0.1"] if go.wait(20) else [])
    found: list[Resolved] = []
    for index in range(MOST_WAITING + 1):
        names.find(f"camera{index}", found.append)
    assert len(found) == 1
    assert "other names wait" in found[0].error
    go.set()
    turn_until(reactor, found, MOST_WAITING + 1)
    assert len(found) == MOST_WAITING + 1
    reactor.close()


def test_a_name_that_hangs_holds_up_no_other_when_the_second_thread_has_just_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(name_resolver, "_IDLE_S", 0.01)
    reactor = Reactor(SystemClock())
    go = threading.Event()
    names = NameResolver(reactor, lambda host: ["10.0.0.1"] if host != "hangs" or go.wait(20) else [])
    found: list[Resolved] = []
    names.find("hangs", found.append)
    names.find("first", found.append)
    turn_until(reactor, found, 1)
    while sum(thread.name == "names" for thread in threading.enumerate()) > 1:
        SystemClock().sleep(0.005)  # it has gone, and the reactor has not heard of it yet
    names.find("second", found.append)
    turn_until(reactor, found, 2)
    assert len(found) == 2
    go.set()
    turn_until(reactor, found, 3)
    reactor.close()


def test_neighbours_tell_one_dead_camera_from_a_dead_network() -> None:
    clock = FakeClock()
    neighbours = Neighbours(clock)
    neighbours.heard("a")
    assert neighbours.evidence("a") == ""  # nobody else is known
    neighbours.heard("b")
    neighbours.heard("c")
    clock.advance(FRESH_S - 1)
    neighbours.heard("c")
    clock.advance(2)
    assert neighbours.evidence("a") == "; 1 of 2 other cameras answer"
    clock.advance(FRESH_S)
    assert neighbours.evidence("a").startswith("; none of 2 other cameras answers")


@pytest.mark.net
def test_udp_ports_come_in_even_pairs_from_the_range_until_it_is_used_up() -> None:
    ports = UdpPorts(46_101, 46_107)
    pairs = [ports.take(socket.AF_INET, "127.0.0.1") for _ in range(3)]
    numbers = [tuple(sock.getsockname()[1] for sock in pair) for pair in pairs]
    assert numbers == [(46_102, 46_103), (46_104, 46_105), (46_106, 46_107)]
    with pytest.raises(SourceFault, match="46102 to 46107"):
        ports.take(socket.AF_INET, "127.0.0.1")
    for sock in pairs[1]:
        sock.close()
    again = ports.take(socket.AF_INET, "127.0.0.1")
    assert again[0].getsockname()[1] == 46_104
    with pytest.raises(SourceFault, match="no UDP port on"):
        ports.take(socket.AF_INET, "192.0.2.1")
    for pair in (pairs[0], pairs[2], again):
        for sock in pair:
            sock.close()


def test_what_tls_trusts(tmp_path: Path) -> None:
    assert tls_context(TRUST_ANY).verify_mode is ssl.CERT_NONE
    system = tls_context(TRUST_SYSTEM)
    assert (system.verify_mode, system.check_hostname) == (ssl.CERT_REQUIRED, True)
    wrong = tmp_path / "cameras.pem"
    wrong.write_text("nothing", encoding="utf-8")
    for path in (wrong, tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match="no readable PEM file"):
            tls_context(str(path))


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNREFUSED, GapReason.REFUSED),
        (errno.EHOSTUNREACH, GapReason.UNREACHABLE),
        (errno.ETIMEDOUT, GapReason.UNREACHABLE),
        (errno.EADDRNOTAVAIL, GapReason.UNREACHABLE),
    ],
)
def test_errors_of_connecting_have_a_reason(number: int, reason: GapReason) -> None:
    found, evidence = connect_fault(number)
    assert found is reason
    assert evidence


def test_errors_of_a_connection_have_words() -> None:
    assert break_evidence(ConnectionResetError(errno.ECONNRESET, "x")) == "connection reset by the camera"
    assert break_evidence(OSError(errno.ENOBUFS, "No buffer space available")) == "No buffer space available"
    assert break_evidence(ssl.SSLEOFError()) == "TLS: the camera closed the connection"
    assert tls_evidence(ssl.SSLError()) == "TLS: failed"


def test_a_receive_buffer_that_the_kernel_would_cut_is_left_to_the_kernel() -> None:
    assert granted(65_536) == 65_536
    assert granted(1 << 30) == 0
