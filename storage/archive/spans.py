"""Layers of time: painting spans over each other so that every instant ends in exactly one. No database here."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from storage.model import CoverageSpan, Span


@dataclass(frozen=True, slots=True)
class Layer:
    """A stretch of time in one state; where layers overlap the higher `rank` wins, then the later `order`."""

    t0_us: int
    t1_us: int
    state: str
    detail: str = ""
    rank: tuple[int, int] = (0, 0)


def flatten(layers: Iterable[Layer], window: Span, default: str) -> list[CoverageSpan]:
    """An exact partition of `window`: ascending, contiguous, neighbours differ; uncovered time is `default`."""
    clipped = sorted(_clip(layers, window), key=lambda layer: layer.t0_us)
    edges = sorted({window.t0_us, window.t1_us, *(x.t0_us for x in clipped), *(x.t1_us for x in clipped)})
    spans: list[CoverageSpan] = []
    live: list[tuple[tuple[int, int], int, Layer]] = []
    following = 0
    for t0_us, t1_us in pairwise(edges):
        while following < len(clipped) and clipped[following].t0_us <= t0_us:
            layer = clipped[following]
            heapq.heappush(live, ((-layer.rank[0], -layer.rank[1]), following, layer))
            following += 1
        while live and live[0][2].t1_us <= t0_us:
            heapq.heappop(live)
        top = live[0][2] if live else None
        _append(spans, t0_us, t1_us, top.state if top else default, top.detail if top else "")
    return spans


def _clip(layers: Iterable[Layer], window: Span) -> Iterable[Layer]:
    for layer in layers:
        t0_us, t1_us = max(layer.t0_us, window.t0_us), min(layer.t1_us, window.t1_us)
        if t0_us < t1_us:
            yield Layer(t0_us, t1_us, layer.state, layer.detail, layer.rank)


def _append(spans: list[CoverageSpan], t0_us: int, t1_us: int, state: str, detail: str) -> None:
    last = spans[-1] if spans else None
    if last is not None and (last.state, last.detail) == (state, detail):
        spans[-1] = CoverageSpan(last.t0_us, t1_us, state, detail)
    else:
        spans.append(CoverageSpan(t0_us, t1_us, state, detail))


def total_us(spans: Sequence[CoverageSpan], state: str) -> int:
    """Microseconds of `spans` that are in `state`."""
    return sum(span.t1_us - span.t0_us for span in spans if span.state == state)
