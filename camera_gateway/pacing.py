"""Opens cameras at a pace: so many at once that a restart is quick, and so few that nobody is hurt."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from camera_gateway.reactor import Reactor

HOLD_S = 1.0
"""A camera that has not answered for so long gives its place to the next one, and may still answer."""


@dataclass(order=True, slots=True)
class Ticket:
    """A place in the queue, or one taken."""

    tries: int
    number: int
    call: Callable[[], None] | None = field(compare=False)
    holds: bool = field(default=False, compare=False)


class Pacer:
    """At most `limit` cameras are being opened; those that failed often before come last. Lives in a reactor."""

    def __init__(self, reactor: Reactor, limit: int) -> None:
        self._reactor = reactor
        self._free = limit
        self._queue: list[Ticket] = []
        self._numbers = itertools.count()

    def enter(self, tries: int, call: Callable[[], None]) -> Ticket:
        """Call `call` when it is this camera's turn; `leave` with the ticket when it is open or has failed."""
        ticket = Ticket(tries, next(self._numbers), call)
        heapq.heappush(self._queue, ticket)
        self._next()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the place, or the wish for one, back; harmless when repeated."""
        ticket.call = None
        if ticket.holds:
            ticket.holds = False
            self._free += 1
            self._next()

    def _next(self) -> None:
        while self._free and self._queue:
            ticket = heapq.heappop(self._queue)
            call, ticket.call = ticket.call, None
            if call is None:
                continue
            self._free -= 1
            ticket.holds = True
            self._reactor.call_later(HOLD_S, lambda ticket=ticket: self.leave(ticket))  # type: ignore[misc]
            call()
