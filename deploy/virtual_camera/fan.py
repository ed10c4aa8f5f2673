"""The sender of load mode: pictures packetised once, fanned out to many RTSP/TCP clients with one system call each.

Cameras are divided into groups. A group is at its own place of the file (key frames are spread over the group of
pictures) and has its own moment within the picture interval (no two neighbours send at once). All clients of a group
get the same bytes from the same buffer; only the six bytes that name the camera differ, as an element of `sendmsg`.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from deploy.virtual_camera import marks, rtp
from deploy.virtual_camera.encode import VIDEO_CLOCK, AccessUnit
from deploy.virtual_camera.journal import Journal, Sent
from storage.clock import Clock

SLOTS = 5
"""Moments of a picture interval at which groups send: each is one wake-up for a fifth of the cameras."""
GROUPS = 50
"""As many as a group of pictures of 2 s has at 25 pictures a second."""
BACKLOG_LIMIT = 2 << 20
"""Bytes that may wait for a client; over it pictures are left out up to the next key frame."""
_REPORT_FRAMES = 125
_GIVE_UP_S = 2.0  # later than this (a machine that slept) the schedule moves
_HEADER = struct.Struct(">cBHBBHII")
_PATCH = struct.Struct(">HI")
_PATCH_AT = 6
_US = 1_000_000


class Picture:
    """The packets of one access unit after its mark, framed for TCP; numbers and times are patched in place."""

    def __init__(self, codec: str, unit: AccessUnit) -> None:
        payloads = rtp.payloads(codec, unit)
        packets = rtp.packets(payloads, 0, 0, 0)
        self.key = unit.key
        self.octets = sum(map(len, payloads))
        self.starts: list[int] = []
        self.data = bytearray()
        for packet in packets:
            self.starts.append(len(self.data) + _PATCH_AT)
            self.data += rtp.interleaved(0, packet)

    def sign(self, ssrc: int) -> None:
        """Write the source's number into every packet: once, all groups share it."""
        for start in self.starts:
            struct.pack_into(">I", self.data, start + 6, ssrc)

    def stamp(self, sequence: int, timestamp: int) -> int:
        """Write numbers into the packets; returns the next sequence number."""
        pack, data = _PATCH.pack_into, self.data
        for start in self.starts:
            pack(data, start, sequence, timestamp)
            sequence = (sequence + 1) & 0xFFFF
        return sequence


class Viewer:
    """One client that plays: its socket, what still waits for it, and what it got."""

    def __init__(self, connection: socket.socket, camera: int, journal: Journal, ended: Callable[[], None]) -> None:
        self.camera = camera
        self.waiting = True
        self.silent = False
        self._socket = connection
        self._tail = marks.tail(camera)
        self._journal = journal
        self._ended = ended
        self._sent: Sent | None = None
        self._backlog = bytearray()
        self._owed: list[tuple[Sent, int, int]] = []  # stretch, picture, and where it ends in the backlog

    def answer(self, data: bytes) -> None:
        """A reply of RTSP, in its place between the pictures."""
        if self._backlog:
            self._backlog += data
            return
        self._keep(data, self._try((data,)))

    def send(self, head: bytes, picture: Picture, report: bytes, frame: int) -> None:
        """One access unit: `head` is the mark's packet without its tail, `report` follows the picture."""
        if self.silent:
            self._pause()
            return
        if self.waiting:
            if not picture.key:
                return
            self.waiting = False
        if self._backlog:
            self._append(head, picture, report, frame)
            return
        parts = (head, self._tail, picture.data, report) if report else (head, self._tail, picture.data)
        taken = self._try(parts)
        if taken < 0:
            return
        if self._sent is None:
            self._sent = self._journal.begin(self.camera, frame)
        if taken == sum(map(len, parts)):
            self._sent.last = frame
        else:
            self._keep(b"".join(parts), taken)
            self._owed.append((self._sent, frame, len(self._backlog)))

    def writable(self) -> None:
        """The socket takes more of what waits."""
        taken = self._try((self._backlog,))
        if taken <= 0:
            return
        del self._backlog[:taken]
        owed: list[tuple[Sent, int, int]] = []
        for sent, frame, end in self._owed:
            if end > taken:
                owed.append((sent, frame, end - taken))
            else:
                sent.last = frame
        self._owed = owed
        if not self._backlog:
            asyncio.get_running_loop().remove_writer(self._socket)

    def _append(self, head: bytes, picture: Picture, report: bytes, frame: int) -> None:
        if len(self._backlog) > BACKLOG_LIMIT:
            self._journal.skipped += 1
            self._pause()
            return
        for part in (head, self._tail, picture.data, report):
            self._backlog += part
        if self._sent is None:
            self._sent = self._journal.begin(self.camera, frame)
        self._owed.append((self._sent, frame, len(self._backlog)))

    def _pause(self) -> None:
        """Go on at a key frame, in a new stretch."""
        self.waiting = True
        self._sent = None

    def _keep(self, data: bytes, taken: int) -> None:
        if 0 <= taken < len(data):
            self._backlog += data[taken:]
            asyncio.get_running_loop().add_writer(self._socket, self.writable)

    def _try(self, parts: Iterable[bytes | bytearray]) -> int:
        """Bytes taken; -1 when the client is gone."""
        try:
            return self._socket.sendmsg(parts)
        except BlockingIOError:
            return 0
        except OSError:
            self._ended()
            return -1


@dataclass
class Group:
    """Cameras that are at the same place of the file."""

    number: int
    viewers: list[Viewer] = field(default_factory=list)
    sequence: int = field(default_factory=lambda: secrets.randbits(16))
    packets: int = 0
    octets: int = 0


class Fan:
    """Sends the pictures of all groups in time; `viewers` of a group may come and go at any moment."""

    def __init__(self, codec: str, units: Sequence[AccessUnit], fps: int, cameras: int, clock: Clock) -> None:
        self.journal = Journal(max(1, min(GROUPS, cameras)))
        self.groups = [Group(number) for number in range(self.journal.groups)]
        self._codec = codec
        self._pictures = [Picture(codec, unit) for unit in units]
        self._interval = 1 / fps
        self._ticks = VIDEO_CLOCK // fps
        self._clock = clock
        self._ssrc = secrets.randbits(32)
        self._offset = secrets.randbits(31)
        self._mark_length = 12 + marks.nal_size(codec)
        for picture in self._pictures:
            picture.sign(self._ssrc)

    def group(self, camera: int) -> Group:
        """The group of a camera counted from 1."""
        return self.groups[self.journal.group(camera)]

    def position(self, camera: int) -> tuple[int, int]:
        """Sequence number and RTP time of a camera's next packet, for RTP-Info."""
        number = self.journal.group(camera)
        return self.groups[number].sequence, self._timestamp(len(self.journal.times_us[number]))

    async def run(self) -> None:
        """Send for ever."""
        due = self._clock.monotonic()
        step = self._interval / SLOTS
        while True:
            for slot in range(SLOTS):
                late = self._clock.monotonic() - due
                if late < 0:
                    await self._clock.sleep_async(-late)
                elif late > self._interval:
                    self.journal.late_us = max(self.journal.late_us, round(late * _US))
                    due += late if late > _GIVE_UP_S else 0.0
                    await asyncio.sleep(0)
                self._send_slot(slot)
                due += step

    def _send_slot(self, slot: int) -> None:
        now_us = self._clock.now_us()
        for number in range(slot, len(self.groups), SLOTS):
            self._send(self.groups[number], now_us)

    def _send(self, group: Group, now_us: int) -> None:
        times = self.journal.times_us[group.number]
        frame = len(times)
        times.append(now_us)
        if not group.viewers:
            return
        picture = self._pictures[(frame + group.number) % len(self._pictures)]
        timestamp = self._timestamp(frame)
        head = _HEADER.pack(
            b"$", 0, self._mark_length, 0x80, rtp.PAYLOAD_TYPE, group.sequence, timestamp, self._ssrc
        ) + marks.head(self._codec, frame, now_us)
        group.sequence = picture.stamp((group.sequence + 1) & 0xFFFF, timestamp)
        group.packets += 1 + len(picture.starts)
        group.octets += picture.octets
        report = b""
        if frame % _REPORT_FRAMES == group.number:
            report = self._report(group, now_us, timestamp)
        for viewer in tuple(group.viewers):
            viewer.send(head, picture, report, frame)

    def _report(self, group: Group, now_us: int, timestamp: int) -> bytes:
        packet = rtp.sender_report(self._ssrc, now_us, timestamp, group.packets, group.octets)
        return rtp.interleaved(1, packet)

    def _timestamp(self, frame: int) -> int:
        return (frame * self._ticks + self._offset) & 0xFFFFFFFF
