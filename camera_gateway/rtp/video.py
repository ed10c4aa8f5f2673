"""Access units out of RTP payloads: what H.264 and H.265 have in common (RFC 6184, RFC 7798).

A unit ends at the marker bit or when the timestamp changes, whichever can be believed: cameras leave marker bits out,
and some set them on every slice or NAL unit. So at the start of a session the end of a unit is taken from the packet
that follows it, until marker bits have proved right. The first few units are held anyway, to see how far pictures are
reordered (`DecodeTimes.prime`). A unit's arrival is that of its last packet.

Nearly all packets are middle fragments (FU) of the same length as the one before. `take_frames` reads a run of those
with one `struct.iter_unpack`: measured over four ways of doing it (docs/decisions/0082-rtp-receive.md) that is the
fastest, although it copies each payload once more than slices of the view would: a view object costs more than
copying 1,400 bytes, and copies outlive the call.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from camera_gateway.decode_times import DecodeTimes
from camera_gateway.fmp4.nal import VideoCodec, split_annexb
from camera_gateway.fmp4.parameters import ParameterSets
from camera_gateway.packets import (
    MEDIA_RATE,
    AccessUnit,
    SenderReport,
    SourceCounters,
    SourceFault,
    SourceListener,
    SourceSettings,
)
from camera_gateway.rtp import rtcp
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtp.packet import PLAIN, difference
from camera_gateway.rtp.receiver import Receiver
from storage.model import GapReason

# What a NAL unit is to its access unit. In this order, so that one comparison tells classes apart.
KEEP, SLICE, KEY, PREFIX, DELIMITER, DROP, VPS, SPS, PPS = range(9)

_FRAME = struct.Struct(">BBH")
_LENGTH = struct.Struct(">I")
_STAMP = struct.Struct(">II")
_MOST_BYTES = 8 << 20
_MOST_PARTS = 1 << 16
_MOST_SETS = 16
_LONGEST_SET = 4096
_MOST_SHAPES = 64
_HELD = 4
_TRUST_AFTER = 25
_NEVER = -1
_FARTHEST_REPORT_S = 60


@dataclass(slots=True)
class _Picture:
    """A unit before it is timed."""

    data: bytes
    key: bool
    time: int  # the timestamp without wraps, in 1/90000 s
    arrival_us: int
    arrival_s: float
    parameters: ParameterSets
    restarted: bool


class VideoTrack(Receiver):
    """Assembles access units. A subclass knows the codec: it reads payloads and calls `_whole`, `_open`, `_more`."""

    __slots__ = (
        "_broken",
        "_clock",
        "_clock_stamp",
        "_collected",
        "_ended",
        "_fixed_head",
        "_flags",
        "_fragment",
        "_held",
        "_holed",
        "_key",
        "_known",
        "_last_fragment",
        "_magic",
        "_marked",
        "_markers",
        "_nal_at",
        "_nal_size",
        "_need_start",
        "_parameters",
        "_parts",
        "_plain",
        "_plain_bytes",
        "_report",
        "_restarted",
        "_role",
        "_s",
        "_same",
        "_shapes",
        "_size",
        "_slices",
        "_stamp",
        "_starts",
        "_step",
        "_times",
        "_trust",
        "_us",
        "_wait_for_key",
    )

    codec: VideoCodec
    fragment_bytes: int  # the length of what precedes a fragment's data in its payload

    def __init__(
        self,
        media: MediaDescription,
        settings: SourceSettings,
        listener: SourceListener,
        counters: SourceCounters,
        *,
        ordered: bool,
    ) -> None:
        super().__init__(media, settings, listener, counters, ordered=ordered)
        self._shapes: dict[int, struct.Struct] = {}
        self._plain = struct.Struct(f">HHHHII{self.fragment_bytes}s")  # a frame's head, a plain packet's, a fragment's
        self._plain_bytes = self._plain.size
        self._same = b""
        self._step = 0
        self._flags = PLAIN << 8 | media.payload_type
        self._set_channel(0)
        self._starts: dict[bytes, tuple[int, bytes, bytes, bytes]] = {}
        # the unit being assembled
        self._parts: list[bytes] = []
        self._size = 0
        self._slices = False
        self._key = False
        self._broken = False
        self._stamp = -1
        self._us = 0
        self._s = 0.0
        # the fragmented NAL unit within it
        self._fragment = b""  # what precedes the data of each of its middle fragments; empty: none is open
        self._last_fragment = b""  # the same of its last one
        self._role = DROP
        self._nal_at = 0
        self._nal_size = 0
        # marker bits
        self._marked = False  # the unit's last packet had one, but the unit was not ended by it
        self._ended = False  # a unit of this timestamp was ended by one
        self._markers = 0
        self._trust = 0
        # loss
        self._holed = False
        self._need_start = False
        self._wait_for_key = False
        # parameter sets
        self._collected: list[tuple[int, bytes]] = []
        self._known = ParameterSets(self.codec, (), (), ())
        self._parameters: ParameterSets | None = None
        # times
        self._times = DecodeTimes()
        self._held: list[_Picture] | None = []
        self._restarted = False
        self._clock_stamp = -1
        self._clock = 0
        self._report: tuple[int, int, int] | None = None

    def described(self) -> VideoCodec:
        """What this track carries."""
        return self.codec

    # -- packets -------------------------------------------------------------------------------------------------------

    def take_frames(self, data: memoryview, at: int, limit: int, arrival_us: int, arrival_s: float) -> int:
        """Take the interleaved frames (RFC 2326 10.12) from `at` on while they are whole and of the same channel.

        Returns where it stopped. Each frame is a packet as for `take`; the view is used during the call only.
        """
        channel = data[at + 1]
        if channel != self._magic & 0xFF:
            self._set_channel(channel)
        while limit - at >= 4:
            if self._fragment:
                reached = self._take_run(data, at, limit, arrival_us, arrival_s)
                if reached != at:
                    at = reached
                    continue
            magic, its, length = _FRAME.unpack_from(data, at)
            end = at + 4 + length
            if magic != 36 or its != channel or end > limit:
                break
            self._step = length + 4
            if not self._fragment and self._take_start(data, at, end):
                at = self._take_run(data, end, limit, arrival_us, arrival_s, 1)
            else:
                self.take(data, at + 4, end, arrival_us, arrival_s)
                at = end
        return at

    def _take_start(self, data: memoryview, at: int, end: int) -> bool:
        """Take a packet that simply begins a fragmented slice, as most pictures do; False: `take` must look at it."""
        body = at + self._plain_bytes
        if body >= end:
            return False
        _, _, flags, sequence, stamp, ssrc, start = self._plain.unpack_from(data, at)
        known = self._starts.get(start)
        if known is None or sequence != self._next or flags != self._flags or ssrc != self._ssrc or self._holed:
            return False
        if stamp != self._stamp:
            if self._slices or self._broken:
                self._turn(stamp)
            else:
                self._stamp, self._markers = stamp, 0
                self._marked = self._ended = False
        if self._need_start or self._broken or self._marked or self._ended:
            return False
        self._slices = True
        self._role, head, self._fragment, self._last_fragment = known
        self._same = b""
        if self._role == KEY:
            self._key = True
        self._next = (sequence + 1) & 0xFFFF
        self._nal_at = len(self._parts)
        self._nal_size = len(head) + end - body
        self._parts += (b"", head, data[body:end].tobytes())
        return True

    def _take_run(
        self, data: memoryview, at: int, limit: int, arrival_us: int, arrival_s: float, before: int = 0
    ) -> int:
        """Take middle fragments as long as the packet before, and the last one; where that ended.

        `before` packets of that length were taken but not accounted for. Long, because calls are what costs here.
        """
        step, sequence, parts = self._step, self._next, self._parts
        fixed = self._plain_bytes
        if self._holed or self._marked or step <= fixed:
            return at
        packets = before
        count = (limit - at) // step
        if count > 0x10000 - sequence:
            count = 0x10000 - sequence  # up to where numbers begin anew
        if count > 0:
            shape = self._shapes.get(step) or self._make_shape(step)
            # The head of the frame and that of the packet up to its number, as one integer that rises by one.
            expected = self._fixed_head | step - 4 << 32 | sequence
            same = self._same or self._make_same()
            known = len(parts)
            append = parts.append
            for head, rest, piece in shape.iter_unpack(data[at : at + count * step]):
                if head != expected or rest != same:
                    break
                append(piece)
                expected += 1
            taken = len(parts) - known
            packets += taken
            at += taken * step
            sequence = self._next = (sequence + taken) & 0xFFFF
            self._nal_size += taken * (step - fixed)
        size = packets * step
        body = at + fixed
        if body < limit:
            magic, length, flags, number, stamp, ssrc, fragment = self._plain.unpack_from(data, at)
            if (
                fragment == self._last_fragment
                and number == sequence
                and flags & 0xFF7F == self._flags
                and stamp == self._stamp
                and ssrc == self._ssrc
                and magic == self._magic
                and body < at + 4 + length <= limit
            ):
                at += 4 + length
                self._next = (sequence + 1) & 0xFFFF
                self._nal_size += at - body
                parts.append(data[body:at].tobytes())
                self._note(packets + 1, size + 4 + length, arrival_us, arrival_s)
                if not flags & 0x80:
                    self._close()
                elif not self._finish():
                    self._close()
                    self._note_marker()
                return at
        if packets:
            self._note(packets, size, arrival_us, arrival_s)
        return at

    def _finish(self) -> bool:
        """What `_close`, `_note_marker` and all that follows do when a unit ends as nearly all do; False: it does not.

        The open NAL unit is a whole slice, its last packet had a marker bit that can be believed, nothing is new.
        """
        if (
            self._trust < _TRUST_AFTER
            or not self._fragment
            or self._role > PREFIX
            or not self._slices
            or self._broken
            or self._collected
            or self._restarted
            or self._wait_for_key
            or self._held is not None
            or self._report is not None
            or self._parameters is None
            or self._known is not self._parameters
        ):
            return False
        stamp = self._stamp
        clock = self._clock + difference(stamp, self._clock_stamp)
        dts = self._times.plain(clock if self._rate == MEDIA_RATE else clock * MEDIA_RATE // self._rate)
        if dts < 0:
            return False
        self._clock, self._clock_stamp = clock, stamp
        parts = self._parts
        parts[self._nal_at] = _LENGTH.pack(self._nal_size)
        data, key = b"".join(parts), self._key
        self._parts, self._size, self._fragment = [], 0, b""
        self._slices = self._key = False
        self._markers += 1
        self._ended = True
        self._listener.unit(AccessUnit(data, key, dts, dts, self._us, self._s, self._parameters))
        return True

    def _set_channel(self, channel: int) -> None:
        self._magic = 0x2400 | channel
        self._fixed_head = self._magic << 48 | self._flags << 16

    def _make_same(self) -> bytes:
        """What the packets of the open NAL unit have in common behind their numbers."""
        self._same = _STAMP.pack(self._stamp, self._ssrc) + self._fragment
        return self._same

    def _make_shape(self, step: int) -> struct.Struct:
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.clear()
        head = 8 + self.fragment_bytes
        shape = self._shapes[step] = struct.Struct(f">Q{head}s{step - 8 - head}s")
        return shape

    def _note(self, packets: int, size: int, arrival_us: int, arrival_s: float) -> None:
        """Account for packets of one timestamp and one arrival, as `take` does for each; `size` with frame heads."""
        self._us, self._s = arrival_us, arrival_s
        self._accepted += packets
        counters = self.counters
        counters.packets += packets
        counters.bytes += size - 4 * packets
        stamp = self._stamp
        if arrival_s != self._seen_s or stamp != self._seen_stamp:
            ticks = (arrival_s - self._seen_s) * self._rate - difference(stamp, self._seen_stamp)
            self._jitter += ((ticks if ticks > 0 else -ticks) - self._jitter) / 16
            self._seen_s, self._seen_stamp = arrival_s, stamp
            packets -= 1
        if packets:
            self._jitter *= 0.9375**packets  # no difference to the packet before: RFC 3550 A.8 with D = 0
        if self._nal_size > _MOST_BYTES - self._size or len(self._parts) > _MOST_PARTS:
            self._break()

    def _payload(
        self, data: memoryview, at: int, end: int, marker: bool, stamp: int, arrival_us: int, arrival_s: float
    ) -> None:
        if self._holed:
            self._note_hole(stamp)
        if stamp != self._stamp:
            self._turn(stamp)
        self._us, self._s = arrival_us, arrival_s
        self._read(data, at, end)
        if marker:
            self._note_marker()

    def _turn(self, stamp: int) -> None:
        """The timestamp changes: what is in hand is complete."""
        if self._slices:
            self._end_unit(confirmed=True)
        elif self._broken:
            self._drop_unit()
        self._stamp, self._markers = stamp, 0
        self._marked = self._ended = False

    def _read(self, data: memoryview, at: int, end: int) -> None:
        """Take the payload `data[at:end]`, not empty, apart."""
        raise NotImplementedError

    def _hole(self) -> None:
        self._holed = True

    def _restart(self) -> None:
        if self._slices and self._marked:
            self._end_unit()
        else:
            self._drop_unit()
        self._restarted = True
        self._clock_stamp = self._stamp = -1

    def _note_hole(self, stamp: int) -> None:
        """Packets were lost before this one: which unit is damaged?"""
        self._holed = False
        self._need_start = True
        if stamp == self._stamp:
            if self._slices or self._parts or self._fragment:
                self._break()
        elif self._slices and self._marked and not self._fragment:
            self._end_unit()  # its last packet had the marker bit: nothing of it is missing
        elif self._slices or self._fragment or self._broken:
            self._drop_unit()
        else:
            self._parts.clear()  # messages before a picture that may be gone
            self._size = 0

    def _note_marker(self) -> None:
        """The packet just read had the marker bit."""
        self._markers += 1
        if not self._slices and not self._broken:
            return  # parameter sets on their own: the picture is still to come
        if self._trust >= _TRUST_AFTER:
            self._end_unit()
            self._ended = True
        else:
            self._marked = True

    # -- NAL units -----------------------------------------------------------------------------------------------------

    def _whole(self, role: int, first: bool, data: memoryview, at: int, end: int) -> None:
        """A NAL unit in one piece; `first`: it is the first slice of a picture."""
        if self._fragment:
            self._close()
        if not self._begin_nal(role, first):
            return
        if role >= VPS:
            self._collect(role, data[at:end].tobytes())
            return
        self._parts.append(_LENGTH.pack(end - at))
        self._parts.append(data[at:end].tobytes())
        self._size += 4 + end - at
        if self._size > _MOST_BYTES or len(self._parts) > _MOST_PARTS:
            self._break()

    def _open(self, role: int, head: bytes, fragment: bytes, data: memoryview, at: int, end: int) -> None:
        """The first fragment of a NAL unit that begins with `head`; its data is `data[at:end]`, not empty.

        `fragment` is what precedes the data of its middle fragments.
        """
        first = data[at] > 127
        last = fragment[:-1] + bytes((fragment[-1] | 0x40,))
        if SLICE <= role <= KEY and len(self._starts) < _MOST_SHAPES:
            self._starts[fragment[:-1] + bytes((fragment[-1] | 0x80,))] = (role, head, fragment, last)
        if self._fragment:
            self._close()
        self._begin_nal(role, first)
        if self._broken:
            return
        self._fragment, self._last_fragment, self._role = fragment, last, role
        self._same = b""
        self._nal_at = len(self._parts)
        self._nal_size = len(head) + end - at
        self._parts += (b"", head, data[at:end].tobytes())

    def _more(self, fragment: bytes, last: bool, data: memoryview, at: int, end: int) -> None:
        """Another fragment of the open NAL unit."""
        if fragment != self._fragment:
            self._need_start = False
            self._break()  # its beginning never came
            return
        if self._marked:
            self._marked, self._trust = False, _NEVER
        self._parts.append(data[at:end].tobytes())
        self._nal_size += end - at
        if self._size + self._nal_size > _MOST_BYTES or len(self._parts) > _MOST_PARTS:
            self._break()
        if last:
            self._close()

    def _close(self) -> None:
        """The fragmented NAL unit is whole: by its last fragment, or (some cameras never say so) by what follows."""
        if not self._fragment:
            return
        self._fragment = b""
        parts, at = self._parts, self._nal_at
        if self._role <= PREFIX and not self._broken:
            parts[at] = _LENGTH.pack(self._nal_size)
            self._size += 4 + self._nal_size
            return
        if self._role >= VPS:
            self._collect(self._role, b"".join(parts[at + 1 :]))
        del parts[at:]

    def _begin_nal(self, role: int, first: bool) -> bool:
        """A NAL unit begins: whose is it? False when it is not kept."""
        if self._marked or self._ended:
            self._follow_marker(role, first)
        if self._need_start and role != DROP:
            self._need_start = False
            if not first and SLICE <= role <= KEY:
                self._break()
        if SLICE <= role <= KEY:
            self._slices = True
            if role == KEY:
                self._key = True
        if role >= VPS:
            return True
        return role <= PREFIX and not self._broken

    def _follow_marker(self, role: int, first: bool) -> None:
        """More of the same timestamp after a marker bit: another picture, or was the marker bit a lie?"""
        slice_ = SLICE <= role <= KEY
        if slice_ and not first:
            if self._ended and not self._need_start:
                self._break()  # the rest of a picture that was handed on too early
            self._trust = _NEVER
        elif not (slice_ or role in (PREFIX, DELIMITER) or role >= VPS):
            return
        elif self._marked:
            self._end_unit()
        if slice_ or self._marked:
            self._marked = self._ended = False

    def _collect(self, role: int, nal: bytes) -> None:
        """A parameter set. Some cameras put the next ones behind it, with start codes."""
        if len(nal) > _LONGEST_SET or len(self._collected) >= 3 * _MOST_SETS:
            return
        if b"\0\0\1" not in nal:
            if nal.endswith(b"\0"):
                nal = nal.rstrip(b"\0")
            if (role, nal) not in self._collected:
                self._collected.append((role, nal))
            return
        for part in split_annexb(b"\0\0\1" + nal):
            kind = self._role_of(part)
            if kind >= VPS:
                self._collect(kind, part)

    def _role_of(self, nal: bytes) -> int:
        """The role of a NAL unit, which is not empty."""
        raise NotImplementedError

    # -- units ---------------------------------------------------------------------------------------------------------

    def _break(self) -> None:
        """The unit in hand is damaged: forget its pieces and skip what is left of it."""
        self._broken = True
        self._fragment = b""
        self._parts.clear()
        self._size = 0

    def _drop_unit(self) -> None:
        """The unit in hand cannot be used."""
        if self._slices or self._broken or self._fragment:
            self.counters.broken_units += 1
            if self._collected and self._merged() != self._known:
                self._wait_for_key = True  # pictures that follow belong to sets that may not have come whole
        self._collected.clear()
        self._reset()

    def _reset(self) -> None:
        self._parts = []
        self._size = 0
        self._slices = self._key = self._broken = False
        self._fragment = b""
        self._marked = False

    def _end_unit(self, *, confirmed: bool = False) -> None:
        """The unit in hand is complete; `confirmed`: the timestamp says so."""
        self._close()
        if self._broken:
            self._drop_unit()
            return
        if confirmed and 0 <= self._trust < _TRUST_AFTER and self._marked and self._markers == 1:
            self._trust = _TRUST_AFTER if self._key else self._trust + 1
        data, key = b"".join(self._parts), self._key
        self._reset()
        parameters = self._learn(key) if key or self._collected else self._parameters
        if self._wait_for_key:
            if not key:
                self.counters.broken_units += 1
                return
            self._wait_for_key = False
        if parameters is not None:
            self._time(data, key, parameters)

    def _learn(self, key: bool) -> ParameterSets | None:
        """Parameter sets come into force with a key picture; the same ones stay the same object."""
        if self._collected:
            merged = self._merged()
            self._collected.clear()
            if merged != self._known:
                self._known = merged
        known = self._known
        if key and known is not self._parameters and known.sps and known.pps and (known.vps or not self._needs_vps()):
            self._parameters = known
        return self._parameters

    def _needs_vps(self) -> bool:
        return self.codec is VideoCodec.H265

    def _merged(self) -> ParameterSets:
        old = self._known
        vps, sps, pps = (
            tuple(nal for role, nal in self._collected if role == wanted)[:_MOST_SETS] for wanted in (VPS, SPS, PPS)
        )
        return ParameterSets(self.codec, vps or old.vps, sps or old.sps, pps or old.pps)

    def _describe(self, nals: list[bytes]) -> None:
        """The parameter sets of the session description are in force until the stream brings others."""
        for nal in nals:
            if nal and self._role_of(nal) >= VPS:
                self._collect(self._role_of(nal), nal)
        self._learn(True)

    # -- times ---------------------------------------------------------------------------------------------------------

    def _time(self, data: bytes, key: bool, parameters: ParameterSets) -> None:
        stamp = self._stamp
        if self._clock_stamp >= 0:
            self._clock += difference(stamp, self._clock_stamp)
        else:
            self._clock = stamp
        self._clock_stamp = stamp
        time = self._clock if self._rate == MEDIA_RATE else self._clock * MEDIA_RATE // self._rate
        if self._held is None and not self._restarted:
            dts = self._times.plain(time)
            if dts >= 0:
                self._listener.unit(AccessUnit(data, key, dts, dts, self._us, self._s, parameters))
            else:
                at = self._times.take(time)
                self._listener.unit(AccessUnit(data, key, at.dts, at.pts, self._us, self._s, parameters, at.jumped))
            if self._report is not None:
                self._tell_clock()
            return
        restarted, self._restarted = self._restarted, False
        picture = _Picture(data, key, time, self._us, self._s, parameters, restarted)
        if self._held is None:
            self._hand_on(picture)
            return
        self._held.append(picture)
        if len(self._held) >= _HELD:
            self._release()

    def _release(self) -> None:
        held, self._held = self._held, None
        if held:
            self._times.prime([picture.time for picture in held if picture.restarted is held[0].restarted])
            for picture in held:
                self._hand_on(picture)

    def _hand_on(self, picture: _Picture) -> None:
        if picture.restarted:
            self._times.restart()
        at = self._times.take(picture.time)
        arrival = (picture.arrival_us, picture.arrival_s)
        self._listener.unit(
            AccessUnit(picture.data, picture.key, at.dts, at.pts, *arrival, picture.parameters, at.jumped)
        )
        if self._report is not None:
            self._tell_clock()

    def flush(self) -> None:
        super().flush()
        if self._slices and self._marked:
            self._end_unit()
        else:
            self._drop_unit()
        self._release()

    # -- the camera's clock --------------------------------------------------------------------------------------------

    def _sender(self, sender: rtcp.Sender, arrival_us: int) -> None:
        camera_us = rtcp.unix_us(sender.ntp, arrival_us)
        if camera_us is not None:
            self._report = (camera_us, sender.stamp, arrival_us)
            if self._held is None:
                self._tell_clock()

    def _tell_clock(self) -> None:
        """Pass the report on, as soon as there is a picture that its timestamp can be compared with."""
        report, self._report = self._report, None
        if report is None or self._clock_stamp < 0:
            return
        camera_us, stamp, arrival_us = report
        ahead = difference(stamp, self._clock_stamp)
        if abs(ahead) > _FARTHEST_REPORT_S * self._rate:
            return  # some cameras put anything there
        time = (self._clock + ahead) * MEDIA_RATE // self._rate
        self._listener.sender_report(SenderReport(camera_us, self._times.decoded_at(time), arrival_us))

    def _goodbye(self) -> None:
        self.flush()
        raise SourceFault(GapReason.NETWORK, "the camera ended the stream (RTCP BYE)")
