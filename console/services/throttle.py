"""Slows down guessing: after a few free attempts each failure doubles the wait, per key, up to a limit."""

from __future__ import annotations

import ipaddress
import threading
from dataclasses import dataclass

from storage.clock import Clock
from storage.errors import NotAuthenticated

FREE_ATTEMPTS = 5
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 900.0
FORGET_AFTER_S = 3600.0
KEYS_KEPT = 10_000


@dataclass(slots=True)
class _Failures:
    count: int
    last: float


def address_key(address: str) -> str:
    """The key of a peer's address. One machine has all of an IPv6 /64, so that counts as one address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"address:{address}"
    if isinstance(found, ipaddress.IPv4Address) or found.ipv4_mapped:
        return f"address:{getattr(found, 'ipv4_mapped', None) or found}"
    return f"address:{ipaddress.IPv6Network((found, 64), strict=False)}"


class Throttle:
    """Failures per key (`account:<login>`, `address:<ip>`), in memory. Thread-safe.

    Keys exist for logins that do not exist too, so that nothing is learnt from being slowed down.
    """

    def __init__(self, clock: Clock, free_attempts: int = FREE_ATTEMPTS) -> None:
        self._clock = clock
        self._free = free_attempts
        self._failures: dict[str, _Failures] = {}
        self._lock = threading.Lock()

    def attempt(self, *keys: str) -> None:
        """Count an attempt, before it is known whether it fails: many at once gain nothing.

        Raises:
            NotAuthenticated: `too_many_attempts` with `retry_s`, the seconds until the next try (HTTP 429).
        """
        with self._lock:
            wait = max((self._wait(key) for key in keys), default=0.0)
            if wait <= 0:
                self._count(keys)
        if wait > 0:
            raise NotAuthenticated("too_many_attempts", "too many failed attempts: wait", retry_s=int(wait) + 1)

    def forgive(self, *keys: str) -> None:
        """The attempt succeeded: forget all failures of `keys`."""
        with self._lock:
            for key in keys:
                self._failures.pop(key, None)

    def undo(self, *keys: str) -> None:
        """The attempt succeeded: it does not count, those before it still do (an own login clears no address)."""
        with self._lock:
            for key in keys:
                known = self._failures.get(key)
                if known is not None and known.count <= 1:
                    del self._failures[key]
                elif known is not None:
                    known.count -= 1

    def _count(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            known = self._failures.pop(key, None) or _Failures(0, 0.0)
            known.count += 1
            known.last = self._clock.monotonic()
            self._failures[key] = known  # at the end: the oldest are forgotten first
        self._forget()

    def _wait(self, key: str) -> float:
        known = self._failures.get(key)
        if known is None or known.count < self._free:
            return 0.0
        pause = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(known.count - self._free, 20))
        return known.last + pause - self._clock.monotonic()

    def _forget(self) -> None:
        now = self._clock.monotonic()
        for key in [key for key, known in self._failures.items() if now - known.last > FORGET_AFTER_S]:
            del self._failures[key]
        while len(self._failures) > KEYS_KEPT:
            del self._failures[next(iter(self._failures))]
