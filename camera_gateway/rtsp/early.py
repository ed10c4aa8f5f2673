"""Packets that come before the answer to PLAY: many cameras send at once, and the first of them is a key frame."""

from __future__ import annotations

from camera_gateway.rtp.demultiplexer import Take

MOST_BYTES = 1024 * 1024
"""The first picture of a 4K camera is about half of it. What is over counts as lost, as its sequence numbers tell."""

PACKET_BYTES = 200
"""What keeping a packet costs beside its bytes, so that a flood of empty ones has an end too."""


class EarlyPackets:
    """Keeps packets until `release`, in their order."""

    __slots__ = ("_bytes", "_kept")

    def __init__(self) -> None:
        self._kept: list[tuple[Take, bytes, int, float]] = []
        self._bytes = 0

    def holding(self, take: Take) -> Take:
        """Stands in for `take` until packets may go there themselves."""

        def held(data: memoryview, start: int, end: int, arrival_us: int, arrival_s: float) -> None:
            self._bytes += end - start + PACKET_BYTES
            if self._bytes <= MOST_BYTES:
                self._kept.append((take, bytes(data[start:end]), arrival_us, arrival_s))

        return held

    def release(self) -> None:
        """Hand on what was kept."""
        kept, self._kept = self._kept, []
        for take, packet, arrival_us, arrival_s in kept:
            take(memoryview(packet), 0, len(packet), arrival_us, arrival_s)
