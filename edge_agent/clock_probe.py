"""How far our clock is from the console's: eight probes, the quickest round trip counts."""

from __future__ import annotations

from dataclasses import dataclass

from storage.clock import US, Clock
from storage.errors import Unavailable
from storage.spool.client import ConsoleClient

PROBES = 8


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """The console's clock minus ours, and by how much that may be wrong (half the round trip), microseconds."""

    offset_us: int
    error_us: int


def measure_offset(client: ConsoleClient, clock: Clock, probes: int = PROBES) -> ClockOffset:
    """Ask the console for the time `probes` times.

    Raises:
        Unavailable: the console is away or answers something else.
    """
    best: ClockOffset | None = None
    for _ in range(probes):
        wall, began = clock.now_us(), clock.monotonic()
        answer = client.request("GET", "/agent/v1/time")
        round_trip_us = round((clock.monotonic() - began) * US)
        theirs = answer.body.get("now_us") if answer.status == 200 and isinstance(answer.body, dict) else None
        if not isinstance(theirs, int):
            raise Unavailable("console_no_time", f"the console gave no time: HTTP {answer.status} {answer.error_code}")
        if best is None or round_trip_us // 2 < best.error_us:
            best = ClockOffset(theirs - wall - round_trip_us // 2, max(round_trip_us // 2, 1))
    if best is None:
        raise ValueError("at least one probe")
    return best
