"""Is every second of a stream accounted for? Rows against each other, and the source's pictures against rows.

Plain functions over spans in microseconds (from, to); a picture is accounted for when a committed file holds it, or a
gap says that it does not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from deploy.virtual_camera.journal import Journal
from deploy.virtual_camera.marks import Mark

Span = tuple[int, int]
SLACK_US = 500_000
"""How exactly the edges of a gap tell when pictures were sent: times are smoothed arrivals."""


@dataclass(frozen=True, slots=True)
class Partition:
    """What is wrong with a stream's rows. All empty: each instant is in exactly one row."""

    holes: tuple[Span, ...]
    overlaps: tuple[Span, ...]


def partition(spans: Iterable[Span], from_us: int, to_us: int) -> Partition:
    """Lay the rows of a stream (segments, gaps, removed stretches) side by side over a time that they should fill."""
    holes: list[Span] = []
    overlaps: list[Span] = []
    at = from_us
    for start, end in sorted((max(start, from_us), min(end, to_us)) for start, end in spans):
        if end <= start:
            continue
        if start > at:
            holes.append((at, start))
        elif start < at:
            overlaps.append((start, min(at, end)))
        at = max(at, end)
    if at < to_us:
        holes.append((at, to_us))
    return Partition(tuple(holes), tuple(overlaps))


@dataclass
class Found:
    """The pictures of one camera in committed files, as ranges in the order of the files; fed file by file."""

    camera: int
    ranges: list[range] = field(default_factory=list)
    strange: int = 0
    """Samples without a mark, or with another camera's."""

    def take(self, marks: Sequence[Mark | None]) -> None:
        """The marks of one file."""
        for mark in marks:
            if mark is None or mark.camera != self.camera:
                self.strange += 1
            elif self.ranges and self.ranges[-1].stop == mark.frame:
                self.ranges[-1] = range(self.ranges[-1].start, mark.frame + 1)
            else:
                self.ranges.append(range(mark.frame, mark.frame + 1))

    @property
    def count(self) -> int:
        """Pictures in files, each time that one is there."""
        return sum(len(part) for part in self.ranges)

    def doubled(self) -> int:
        """Pictures that are there more than once."""
        seen: set[int] = set()
        for part in self.ranges:
            seen.update(part)
        return self.count - len(seen)

    def missing(self, sent: Iterable[range]) -> list[int]:
        """Pictures that were sent and are in no file."""
        seen: set[int] = set()
        for part in self.ranges:
            seen.update(part)
        return [frame for part in sent for frame in part if frame not in seen]


def unexplained(
    journal: Journal, camera: int, missing: Sequence[int], gaps: Iterable[Span], slack_us: int
) -> list[int]:
    """Of the missing pictures, those that were sent at a time when no gap was open (give or take `slack_us`)."""
    ordered = sorted((start - slack_us, end + slack_us) for start, end in gaps)
    starts = [start for start, _ in ordered]
    ends: list[int] = []
    for _, end in ordered:
        ends.append(max(end, ends[-1] if ends else end))

    def explained(t_us: int) -> bool:
        index = bisect_right(starts, t_us) - 1
        return index >= 0 and t_us <= ends[index]

    return [frame for frame in missing if not explained(journal.time_us(camera, frame))]
