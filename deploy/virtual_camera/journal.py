"""What a load source sent: which pictures of which camera reached a client's socket in whole, and when.

On disk: one line of JSON, then the send times: an array of native int64 for each group of cameras, indexed by picture
number.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

_KIND = "sunhall load journal"


@dataclass
class Sent:
    """The pictures of one connection, first to last, without a hole. `last < first`: none."""

    first: int
    last: int


@dataclass
class Journal:
    """Grows while a source sends; `write` and `read` carry it to another process."""

    groups: int
    times_us: list[array[int]] = field(default_factory=list)
    sent: dict[int, list[Sent]] = field(default_factory=dict)
    late_us: int = 0
    """The most that the source itself was behind its schedule."""
    skipped: int = 0
    """Pictures that were not sent to a connected client because it did not take them."""

    def __post_init__(self) -> None:
        self.times_us = self.times_us or [array("q") for _ in range(self.groups)]

    def group(self, camera: int) -> int:
        """Which group a camera (counted from 1) belongs to."""
        return (camera - 1) % self.groups

    def begin(self, camera: int, frame: int) -> Sent:
        """A connection gets pictures from this one on."""
        sent = Sent(frame, frame - 1)
        self.sent.setdefault(camera, []).append(sent)
        return sent

    def frames(self, camera: int, from_us: int, to_us: int) -> list[range]:
        """The pictures of a camera that were sent at from_us ≤ t ≤ to_us, in disjoint ranges by number."""
        times = self.times_us[self.group(camera)]
        low, high = bisect_left(times, from_us), bisect_right(times, to_us) - 1
        return list(_joined((max(low, one.first), min(high, one.last)) for one in self.sent.get(camera, ())))

    def longest_pause_us(self, from_us: int, to_us: int) -> int:
        """The longest time between two pictures of any camera while this lasted: 40 ms when the source kept time."""
        longest = 0
        for times in self.times_us:
            part = times[bisect_left(times, from_us) : bisect_right(times, to_us)]
            longest = max(longest, max((late - early for early, late in pairwise(part)), default=0))
        return longest

    def time_us(self, camera: int, frame: int) -> int:
        """When this picture was sent."""
        return self.times_us[self.group(camera)][frame]

    def write(self, path: Path) -> None:
        """Keep it in a file."""
        head = {
            "kind": _KIND,
            "groups": self.groups,
            "frames": [len(times) for times in self.times_us],
            "sent": {camera: [(one.first, one.last) for one in parts] for camera, parts in self.sent.items()},
            "late_us": self.late_us,
            "skipped": self.skipped,
        }
        with path.open("wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
            for times in self.times_us:
                times.tofile(file)

    @classmethod
    def read(cls, path: Path) -> Journal:
        """The journal in a file.

        Raises:
            ValueError: it is none.
        """
        with path.open("rb") as file:
            head = json.loads(file.readline())
            if head.get("kind") != _KIND:
                raise ValueError(f"{path} is no journal of a load source")
            times = [array("q") for _ in head["frames"]]
            for one, count in zip(times, head["frames"], strict=True):
                one.fromfile(file, count)
        sent = {int(camera): [Sent(*pair) for pair in pairs] for camera, pairs in head["sent"].items()}
        return cls(head["groups"], times, sent, head["late_us"], head["skipped"])


def _joined(spans: Iterator[tuple[int, int]]) -> Iterator[range]:
    """Overlapping and touching spans (both ends included) as one; empty ones left out."""
    start = stop = 0
    for first, last in sorted(span for span in spans if span[0] <= span[1]):
        if stop == start:
            start, stop = first, last + 1
        elif first <= stop:
            stop = max(stop, last + 1)
        else:
            yield range(start, stop)
            start, stop = first, last + 1
    if stop > start:
        yield range(start, stop)


def count(ranges: Sequence[range]) -> int:
    """How many pictures that is."""
    return sum(len(one) for one in ranges)
