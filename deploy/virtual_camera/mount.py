"""A mount is one stream that clients can play: a source of access units and its players.

Each access unit is packetised once, however many clients play it. A live source paints and codes only while
somebody watches.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Protocol

from deploy.virtual_camera import rtp
from deploy.virtual_camera.encode import VIDEO_CLOCK, AccessUnit, Encoder, VideoShape
from deploy.virtual_camera.picture import Painter
from deploy.virtual_camera.strip import Stamp
from storage.clock import Clock

_US = 1_000_000
_REPORT_EVERY_S = 5.0


class Batch:
    """The RTP packets of one access unit; framed for TCP once for each channel number in use."""

    def __init__(self, packets: list[bytes]) -> None:
        self.packets = packets
        self._framed: dict[int, bytes] = {}

    def framed(self, channel: int) -> bytes:
        """All packets interleaved on `channel`, to be written in one go."""
        if channel not in self._framed:
            self._framed[channel] = b"".join(rtp.interleaved(channel, packet) for packet in self.packets)
        return self._framed[channel]


class Player(Protocol):
    """A client that plays a mount."""

    def send(self, batch: Batch, *, key: bool) -> None:
        """Take the RTP packets of one access unit."""
        ...

    def report(self, packet: bytes) -> None:
        """Take a sender report."""
        ...


class Source(Protocol):
    """Where a mount's access units come from."""

    shape: VideoShape
    parameter_sets: tuple[bytes, ...]

    def next(self, now_us: int) -> list[AccessUnit]:
        """What is due at the frame time `now_us` (the camera's clock); pts in 1/90000 s of any epoch."""
        ...

    def wake(self) -> None:
        """Somebody starts to watch after nobody did."""
        ...


class LiveSource:
    """Paints and codes the true time."""

    def __init__(self, shape: VideoShape, name: str, number: int, parameter_sets: tuple[bytes, ...]) -> None:
        self.shape = shape
        self.parameter_sets = parameter_sets
        self._painter = Painter(shape.width, shape.height, name, number)
        self._encoder = Encoder(shape)
        self._number = number
        self._counter = 0
        self._since_key = 0

    def wake(self) -> None:
        self._since_key = 0

    def next(self, now_us: int) -> list[AccessUnit]:
        key = self._since_key % self.shape.gop == 0
        frame = self._painter.frame(Stamp(now_us // 1000, self._counter, self._number))
        self._counter += 1
        self._since_key += 1
        return self._encoder.encode(frame, now_us * 9 // 100, key=key)


class LoopSource:
    """Plays a ready-made loop for ever; presentation times go on across its end."""

    def __init__(self, shape: VideoShape, units: list[AccessUnit], parameter_sets: tuple[bytes, ...]) -> None:
        self.shape = shape
        self.parameter_sets = parameter_sets
        self._units = units
        self._index = 0
        self._base: int | None = None

    def wake(self) -> None:
        """A loop goes on where it stood, at the time it is now; a client waits for the next key frame."""
        self._base = None

    def next(self, now_us: int) -> list[AccessUnit]:
        frame_ticks = VIDEO_CLOCK // self.shape.fps
        due = now_us * 9 // 100 - self._index * frame_ticks
        if self._base is None or (self._index == 0 and abs(self._base - due) > VIDEO_CLOCK):
            self._base = due
        unit = self._units[self._index]
        pts = self._base + unit.pts
        self._index += 1
        if self._index == len(self._units):
            self._index = 0
            self._base += len(self._units) * frame_ticks
        return [AccessUnit(unit.nals, pts, unit.key)]


class Mount:
    """Sends one source's access units to all its players, in time."""

    def __init__(self, source: Source, clock: Clock, camera_now_us: Callable[[], int], name: str) -> None:
        self.source = source
        self.name = name
        self.ssrc = secrets.randbits(32)
        self.sprop = True
        self.paused = False
        self._clock = clock
        self._now_us = camera_now_us
        self._players: set[Player] = set()
        self._wakeup = asyncio.Event()
        self._offset = secrets.randbits(31)
        self._sequence = secrets.randbits(16)
        self._packets = 0
        self._octets = 0
        self._reported = 0.0

    def describe(self) -> bytes:
        """The SDP."""
        shape = self.source.shape
        return rtp.sdp(shape.codec, self.name, self.source.parameter_sets if self.sprop else (), shape.fps)

    def position(self) -> tuple[int, int]:
        """Sequence number and RTP time of the next packet, for RTP-Info."""
        return self._sequence & 0xFFFF, (self._now_us() * 9 // 100 + self._offset) & 0xFFFFFFFF

    @property
    def players(self) -> int:
        """How many clients play."""
        return len(self._players)

    def add(self, player: Player) -> None:
        """Begin to send to `player`, from the next key frame."""
        if not self._players:
            self.source.wake()
        self._players.add(player)
        self._reported = 0.0
        self._wakeup.set()

    def remove(self, player: Player) -> None:
        """Stop sending to `player`."""
        self._players.discard(player)

    async def run(self) -> None:
        """Send for ever; idle while nobody plays."""
        interval = 1 / self.source.shape.fps
        due = self._clock.monotonic()
        while True:
            if not self._players:
                self._wakeup.clear()
                await self._wakeup.wait()
                due = self._clock.monotonic()
            if not self.paused:
                self.tick()
            due += interval
            late = self._clock.monotonic() - due
            if late > 1:
                due += late
            await self._clock.sleep_async(max(0.0, -late))

    def tick(self) -> None:
        """Send what is due now."""
        now_us = self._now_us()
        for unit in self.source.next(now_us):
            self._send(unit)
        if self._clock.monotonic() - self._reported > _REPORT_EVERY_S:
            self._reported = self._clock.monotonic()
            stamp = now_us * 9 // 100 + self._offset
            report = rtp.sender_report(self.ssrc, now_us, stamp, self._packets, self._octets)
            for player in tuple(self._players):
                player.report(report)

    def _send(self, unit: AccessUnit) -> None:
        parts = rtp.payloads(self.source.shape.codec, unit)
        packets = rtp.packets(parts, self._sequence, unit.pts + self._offset, self.ssrc)
        self._sequence += len(packets)
        self._packets += len(packets)
        self._octets += sum(map(len, parts))
        batch = Batch(packets)
        for player in tuple(self._players):
            player.send(batch, key=unit.key)
