"""What every RTP track does, whatever it carries: order, loss, sessions, and what receiver reports need.

Over TCP (`ordered`) a packet is used as it comes, and a hole in the numbers is a loss at once: the camera itself left
packets out. Over UDP packets that come early wait for those before them, at most `_MOST_WAITING` of them and
`_LONGEST_WAIT_S` by the clock of the arrivals.
"""

from __future__ import annotations

import zlib

from camera_gateway.packets import SourceCounters, SourceFault, SourceListener, SourceSettings
from camera_gateway.rtp import rtcp
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtp.packet import HEADER, HEADER_BYTES, PLAIN, difference, payload_bounds
from storage.model import GapReason

_MOST_DROPOUT = 3000  # RFC 3550 A.1: a larger step forward is a restart, not a loss
_MOST_MISORDER = 100  # the same, backwards
_MOST_WAITING = 256
_LONGEST_WAIT_S = 0.25
_MOST_GIVEN_UP = 1024


def refusal(what: str) -> SourceFault:
    """The fault for a stream that this engine does not read; another may."""
    return SourceFault(GapReason.NO_MEDIA, f"{what} is not recorded", unreadable=True)


class Receiver:
    """One track. Subclasses take payloads in order (`_payload`) and hear of holes before they do (`_hole`)."""

    # An object of more than 30 attributes without slots has no fast access to any of them (CPython 3.11: a third of
    # the time of the whole path went there).
    __slots__ = (
        "_accepted",
        "_base",
        "_candidate",
        "_furthest",
        "_given_up",
        "_jitter",
        "_last_report",
        "_listener",
        "_missed",
        "_next",
        "_ordered",
        "_own_ssrc",
        "_payload_type",
        "_rate",
        "_reported",
        "_seen_s",
        "_seen_stamp",
        "_ssrc",
        "_waiting",
        "counters",
    )

    def __init__(
        self,
        media: MediaDescription,
        settings: SourceSettings,
        listener: SourceListener,
        counters: SourceCounters,
        *,
        ordered: bool,
    ) -> None:
        self.counters = counters
        self._listener = listener
        self._rate = media.rate
        self._payload_type = media.payload_type
        self._ordered = ordered
        self._own_ssrc = zlib.crc32(f"{settings.uri} {media.control} {media.kind}".encode())
        self._ssrc = -1
        self._next = -1  # the sequence number that comes next
        self._waiting: dict[int, tuple[bytes, int, float]] = {}
        self._furthest = 0  # the latest number that waits
        self._given_up: set[int] = set()
        self._candidate: tuple[int, int, bytes, int, float] | None = None
        self._base = 0  # the first sequence number since the start or restart
        self._accepted = 0
        self._missed = 0
        self._jitter = 0.0  # RFC 3550 A.8, in ticks
        self._seen_s = 0.0
        self._seen_stamp = 0
        self._reported = (0, 0)
        self._last_report: tuple[int, float] | None = None

    # -- RTP -----------------------------------------------------------------------------------------------------------

    def take(self, data: memoryview, start: int, end: int, arrival_us: int, arrival_s: float) -> None:
        """One RTP packet, `data[start:end]`. The view is used during the call only.

        Raises:
            SourceFault: the stream is of a kind that is not recorded, or has ended.
        """
        if end - start < HEADER_BYTES:
            self.counters.ignored += 1
            return
        first, second, sequence, stamp, ssrc = HEADER.unpack_from(data, start)
        at, stop = start + HEADER_BYTES, end
        if first != PLAIN:
            bounds = payload_bounds(data, start, end)
            if bounds is None:
                self.counters.ignored += 1
                return
            at, stop = bounds
        if second & 0x7F != self._payload_type:
            self.counters.ignored += 1
            return
        if (sequence != self._next or ssrc != self._ssrc) and not self._admit(
            sequence, ssrc, data[start:end], arrival_us, arrival_s
        ):
            return
        self._next = (sequence + 1) & 0xFFFF
        self._accepted += 1
        counters = self.counters
        counters.packets += 1
        counters.bytes += end - start
        ticks = (arrival_s - self._seen_s) * self._rate
        if stamp != self._seen_stamp:
            ticks -= difference(stamp, self._seen_stamp)
            self._seen_stamp = stamp
        self._seen_s = arrival_s
        if self._accepted > 1:
            self._jitter += ((ticks if ticks > 0 else -ticks) - self._jitter) / 16
        if at < stop:  # some cameras send packets without payload to keep the way open
            self._payload(data, at, stop, second > 127, stamp, arrival_us, arrival_s)
        if self._waiting:
            counters.reordered += 1  # later ones are here already
            self._drain(arrival_s)

    def flush(self) -> None:
        """The session is over: what waits for packets that never came is used, or left out and counted."""
        while self._waiting:
            self._give_up_hole()
            self._drain(None)

    def _payload(
        self, data: memoryview, at: int, end: int, marker: bool, stamp: int, arrival_us: int, arrival_s: float
    ) -> None:
        """The next payload in order."""
        raise NotImplementedError

    def _hole(self) -> None:
        """Packets are missing before the next payload."""
        raise NotImplementedError

    def _restart(self) -> None:
        """The next payload is the first of another session of the same camera."""
        raise NotImplementedError

    # -- order ---------------------------------------------------------------------------------------------------------

    def _admit(self, sequence: int, ssrc: int, packet: memoryview, arrival_us: int, arrival_s: float) -> bool:
        """A packet that is not simply the next one: True when it is to be used now."""
        if self._ssrc < 0:
            self._begin(sequence, ssrc)
            return True
        ahead = (sequence - self._next) & 0xFFFF
        if ssrc == self._ssrc and ahead < _MOST_DROPOUT:
            self._candidate = None
            return self._admit_ahead(sequence, ahead, packet, arrival_us, arrival_s)
        if ssrc == self._ssrc and 0x10000 - ahead <= _MOST_MISORDER:
            self._count_late(sequence)
            return False
        if self._ordered:
            self._switch(sequence, ssrc)
            return True
        return self._admit_stranger(sequence, ssrc, packet, arrival_us, arrival_s)

    def _admit_ahead(self, sequence: int, ahead: int, packet: memoryview, arrival_us: int, arrival_s: float) -> bool:
        if self._ordered:
            self._count_lost(ahead)
            return True
        if sequence in self._waiting:
            self.counters.duplicated += 1
            return False
        if self._waiting and (self._furthest - sequence) & 0xFFFF < 0x8000:
            self.counters.reordered += 1
        else:
            self._furthest = sequence
        self._waiting[sequence] = (bytes(packet), arrival_us, arrival_s)
        self._drain(arrival_s)
        return False

    def _admit_stranger(self, sequence: int, ssrc: int, packet: memoryview, arrival_us: int, arrival_s: float) -> bool:
        """Over UDP one stray packet is no new session; two in a row are (RFC 3550 A.1)."""
        before, self._candidate = self._candidate, None
        if before is None or before[:2] != (ssrc, sequence):
            self._candidate = (ssrc, (sequence + 1) & 0xFFFF, bytes(packet), arrival_us, arrival_s)
            self.counters.ignored += 1
            return False
        self.counters.ignored -= 1
        self.flush()
        self._switch((sequence - 1) & 0xFFFF, ssrc)
        self.take(memoryview(before[2]), 0, len(before[2]), before[3], before[4])
        return True

    def _begin(self, sequence: int, ssrc: int) -> None:
        self._ssrc, self._next, self._base = ssrc, sequence, sequence
        self._accepted = self._missed = 0
        self._reported = (0, 0)
        self._jitter = 0.0
        self._given_up.clear()

    def _switch(self, sequence: int, ssrc: int) -> None:
        """Another SSRC, or numbers that begin anew."""
        if ssrc != self._ssrc:
            self._last_report = None
            self._restart()
        else:
            self._hole()
        self._begin(sequence, ssrc)

    def _count_late(self, sequence: int) -> None:
        if sequence in self._given_up:
            self._given_up.discard(sequence)
            self.counters.reordered += 1  # it was counted as lost, and stays so: it came too late to be used
        else:
            self.counters.duplicated += 1

    def _count_lost(self, count: int) -> None:
        self._missed += count
        self.counters.lost += count
        self._hole()

    def _give_up_hole(self) -> None:
        """Count what is missing before the first packet that waits as lost."""
        missing = min((sequence - self._next) & 0xFFFF for sequence in self._waiting)
        if len(self._given_up) > _MOST_GIVEN_UP:
            self._given_up.clear()
        self._given_up.update((self._next + index) & 0xFFFF for index in range(missing))
        self._next = (self._next + missing) & 0xFFFF
        self._count_lost(missing)

    def _drain(self, now_s: float | None) -> None:
        """Use the packets that waited, as far as they are next, or as the wait has been long enough."""
        waiting, self._waiting = self._waiting, {}  # `take` would come back here for each of them
        try:
            while waiting:
                entry = waiting.pop(self._next, None)
                if entry is not None:
                    self.take(memoryview(entry[0]), 0, len(entry[0]), entry[1], entry[2])
                elif self._too_long(waiting, now_s):
                    self._waiting = waiting
                    self._give_up_hole()
                    self._waiting = {}
                else:
                    break
        finally:
            self._waiting = waiting

    def _too_long(self, waiting: dict[int, tuple[bytes, int, float]], now_s: float | None) -> bool:
        if len(waiting) > _MOST_WAITING:
            return True
        oldest = next(iter(waiting.values()))[2]
        return now_s is not None and now_s - oldest > _LONGEST_WAIT_S

    # -- RTCP ----------------------------------------------------------------------------------------------------------

    def take_control(self, data: memoryview, start: int, end: int, arrival_us: int, arrival_s: float) -> None:
        """One compound RTCP packet; damaged ones are ignored.

        Raises:
            SourceFault: the camera said goodbye.
        """
        for item in rtcp.parse(data, start, end):
            if isinstance(item, rtcp.Sender):
                if item.ssrc == self._ssrc or self._ssrc < 0:
                    self._last_report = (item.ntp >> 16 & 0xFFFF_FFFF, arrival_s)
                    self._sender(item, arrival_us)
            elif self._ssrc in item.ssrcs:
                self._goodbye()

    def report(self, now_us: int, now_s: float) -> bytes:
        """A receiver report with our name, to be sent every few seconds. Over UDP it also ends long waits."""
        del now_us
        if self._waiting:
            self._drain(now_s)
        if self._own_ssrc == self._ssrc:
            self._own_ssrc ^= 1
        return rtcp.receiver_report(self._own_ssrc, self._block(now_s) if self._ssrc >= 0 else None)

    def _block(self, now_s: float) -> rtcp.ReportBlock:
        accepted, missed = self._reported
        self._reported = (self._accepted, self._missed)
        expected = self._accepted - accepted + self._missed - missed
        fraction = (self._missed - missed) * 256 // expected if expected else 0
        last, delay = 0, 0
        if self._last_report is not None:
            last = self._last_report[0]
            delay = round((now_s - self._last_report[1]) * 65536)
        highest = self._base + self._accepted + self._missed - 1
        return rtcp.ReportBlock(self._ssrc, fraction, self._missed, highest, round(self._jitter), last, delay)

    def _sender(self, sender: rtcp.Sender, arrival_us: int) -> None:
        """A sender report of this track's source."""

    def _goodbye(self) -> None:
        """The source of this track ends."""
