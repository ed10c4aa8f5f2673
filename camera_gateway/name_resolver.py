"""Host names to addresses without ever blocking the reactor: DNS may hang for half a minute."""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from camera_gateway.reactor import Reactor

MOST_WAITING = 256
_MOST_THREADS = 2
_IDLE_S = 5.0
_MOST_ADDRESSES = 4
_MOST_KNOWN = 1024


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of a name: addresses to try in this order, or what the resolver said."""

    addresses: tuple[str, ...] = ()
    error: str = ""


Tell = Callable[[Resolved], None]
Lookup = Callable[[str], list[str]]


def system_lookup(host: str) -> list[str]:
    """The addresses of a host as the system knows them. Blocks; raises OSError, ValueError (a name that is none)."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class NameResolver:
    """Looks names up in a few threads, each name once at a time, and answers in the reactor's thread.

    There is no time-out here: who asks has one, and does not listen any more when it has passed. While DNS is away a
    name that was resolved before keeps its addresses: recording does not end because a name server does.
    """

    def __init__(self, reactor: Reactor, lookup: Lookup = system_lookup) -> None:
        self._reactor = reactor
        self._lookup = lookup
        self._waiting: dict[str, list[Tell]] = {}
        self._known: dict[str, Resolved] = {}  # the last answers, for when there are none
        self._names: queue.Queue[str] = queue.Queue()
        self._threads = 0

    def find(self, host: str, tell: Tell) -> None:
        """Tell the addresses of `host`: at once when it is an address, else later."""
        if _is_address(host):
            tell(Resolved((host,)))
        elif host in self._waiting and host in self._known:
            tell(self._known[host])  # the question before this one is not answered yet: DNS hangs
        elif host in self._waiting:
            self._waiting[host].append(tell)
        elif len(self._waiting) >= MOST_WAITING:
            tell(Resolved(error=f"{MOST_WAITING} other names wait for an answer"))
        else:
            self._waiting[host] = [tell]
            self._names.put(host)
            if self._threads < min(_MOST_THREADS, len(self._waiting)):
                self._threads += 1
                threading.Thread(target=self._work, name="names", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                host = self._names.get(timeout=_IDLE_S)
            except queue.Empty:
                self._reactor.call_threadsafe(self._thread_ended)
                return
            found = self._ask(host)
            self._reactor.call_threadsafe(lambda host=host, found=found: self._answered(host, found))  # type: ignore[misc]  # mypy cannot type a lambda's defaults

    def _ask(self, host: str) -> Resolved:
        try:
            addresses = tuple(dict.fromkeys(self._lookup(host)))[:_MOST_ADDRESSES]
        except (OSError, ValueError) as error:
            return Resolved(error=getattr(error, "strerror", None) or str(error))
        return Resolved(addresses) if addresses else Resolved(error="the name has no address")

    def _answered(self, host: str, found: Resolved) -> None:
        if found.addresses:
            if host not in self._known and len(self._known) >= _MOST_KNOWN:
                self._known.pop(next(iter(self._known)))
            self._known[host] = found
        for tell in self._waiting.pop(host, []):
            tell(self._known.get(host, found))

    def _thread_ended(self) -> None:
        self._threads -= 1
        if not self._names.empty():  # also beside one that hangs
            self._threads += 1
            threading.Thread(target=self._work, name="names", daemon=True).start()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
