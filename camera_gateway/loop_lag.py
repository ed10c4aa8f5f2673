"""How late a reactor calls what is due: a timer that measures itself."""

from __future__ import annotations

from collections import deque

from camera_gateway.reactor import Reactor

_EVERY_S = 0.02
_KEPT = 3000
"""Measurements that are kept: a minute of them."""


class LoopLag:
    """Lives in the reactor; `start` it once."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._lags: deque[int] = deque(maxlen=_KEPT)

    def start(self) -> None:
        self._next()

    def percentile_us(self, share: float) -> int:
        """The lag, in microseconds, that this share of the last minute's measurements does not pass."""
        ordered = sorted(self._lags)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0

    def _next(self) -> None:
        due = self._reactor.clock.monotonic() + _EVERY_S
        self._reactor.call_later(_EVERY_S, lambda: self._called(due))

    def _called(self, due: float) -> None:
        self._lags.append(max(0, round((self._reactor.clock.monotonic() - due) * 1e6)))
        self._next()
