"""Which cameras of a worker answer now: so that one dead camera and a dead network can be told apart."""

from __future__ import annotations

from storage.clock import Clock

FRESH_S = 15.0
_MOST = 1024


class Neighbours:
    """Remembers when each host was last heard. Lives in the reactor's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: dict[str, float] = {}

    def heard(self, host: str) -> None:
        """This host answered just now."""
        if host not in self._heard and len(self._heard) >= _MOST:
            self._heard.pop(next(iter(self._heard)))
        self._heard[host] = self._clock.monotonic()

    def others(self, host: str) -> tuple[int, int]:
        """How many other hosts answered lately, and how many others ever did."""
        since = self._clock.monotonic() - FRESH_S
        others = [at for name, at in self._heard.items() if name != host]
        return sum(at >= since for at in others), len(others)

    def evidence(self, host: str) -> str:
        """What the others say about a host that does not answer: a clause to append, or nothing when none is known."""
        fresh, known = self.others(host)
        if not known:
            return ""
        if fresh:
            return f"; {fresh} of {known} other cameras answer"
        return f"; none of {known} other cameras answers either: look at the gateway's own network"
