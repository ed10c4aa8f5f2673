"""What a packet costs between the socket and the recorder: our RTP path against the plainest loop that could do it.

`python -m tests.bench.rtp_receive` prints CPU time for each packet and unit at several sizes of reads. The plain loop
finds frames, counts holes, joins fragments and prefixes lengths, and nothing else: no parameter sets, no leaving out of
damaged units, no times, no objects.
"""

from __future__ import annotations

import argparse
import random
import struct
import time

from camera_gateway.packets import AccessUnit, SourceCounters
from camera_gateway.rtp.demultiplexer import Demultiplexer
from camera_gateway.rtp.tracks import make_track
from tests.camera_gateway.rtp.senders import PPS, SETTINGS, SPS, Kept, aggregate, fragments, frame, h264, packet

_FRAGMENT = 1398
_KEY_BYTES, _OTHER_BYTES, _GOP = 60_000, 16_500, 50  # 1080p25 at about 3.5 Mbit/s
_LENGTH = struct.Struct(">I")


def stream(units: int) -> tuple[bytes, int]:
    """An interleaved byte stream of so many pictures, and how many packets it has."""
    chance, frames = random.Random(1), list[bytes]()
    for index in range(units):
        key = index % _GOP == 0
        size = round((_KEY_BYTES if key else _OTHER_BYTES) * chance.uniform(0.8, 1.2))
        nal = (b"\x65\x88" if key else b"\x41\x9a") + chance.randbytes(size)
        payloads = [*([aggregate((SPS, PPS))] if key else []), *fragments(nal, _FRAGMENT)]
        last = len(payloads) - 1
        for at, payload in enumerate(payloads):
            frames.append(frame(packet(65_000 + len(frames), index * 3600, payload, marker=at == last)))
    return b"".join(frames), len(frames)


class PlainLoop:
    """The bound: index into bytes, slice, join."""

    def __init__(self) -> None:
        self.units: list[int] = []
        self.lost = self.keys = 0
        self._last: int | None = None
        self._rest = bytearray()
        self._nals: list[bytes] = []
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> None:
        if self._rest:
            self._rest += data
            data = bytes(self._rest)
            self._rest.clear()
        at, limit, nals = 0, len(data), self._nals
        while at + 4 <= limit:
            if data[at] != 36:
                found = data.find(b"\r\n\r\n", at)
                if found < 0:
                    break
                at = found + 4
                continue
            end = at + 4 + (data[at + 2] << 8 | data[at + 3])
            if end > limit:
                break
            if data[at + 1] == 0:
                number = data[at + 6] << 8 | data[at + 7]
                if self._last is not None and number != (self._last + 1) & 0xFFFF:
                    self.lost += 1
                self._last = number
                body = at + 16
                kind = data[body] & 31
                if kind == 28:
                    head = data[body + 1]
                    if head & 0x80:
                        self._pieces = [bytes((data[body] & 0xE0 | head & 31,)), data[body + 2 : end]]
                    else:
                        self._pieces.append(data[body + 2 : end])
                    if head & 0x40:
                        nals.append(b"".join(self._pieces))
                elif kind == 24:
                    body += 1
                    while body + 2 <= end:
                        size = data[body] << 8 | data[body + 1]
                        nals.append(data[body + 2 : body + 2 + size])
                        body += 2 + size
                else:
                    nals.append(data[body:end])
                if data[at + 5] & 0x80:
                    self._finish(nals)
                    nals = self._nals = []
            at = end
        if at < limit:
            self._rest += data[at:]

    def _finish(self, nals: list[bytes]) -> None:
        parts: list[bytes] = []
        for nal in nals:
            kind = nal[0] & 31
            if kind == 5:
                self.keys += 1
            elif kind in (7, 8, 9):
                continue
            parts.append(_LENGTH.pack(len(nal)))
            parts.append(nal)
        self.units.append(sum(map(len, parts)))


class _Counted(Kept):
    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def unit(self, unit: AccessUnit) -> None:
        self.sizes.append(len(unit.data))


def measure(data: bytes, read: int, rounds: int) -> tuple[int, int]:
    """The least CPU time of the plain loop and of ours for the whole stream, in ns."""
    pieces = [data[at : at + read] for at in range(0, len(data), read)]
    views = [memoryview(bytearray(piece)) for piece in pieces]
    plain_best, our_best = 1 << 62, 1 << 62
    for _ in range(rounds):
        plain = PlainLoop()
        began = time.process_time_ns()
        for piece in pieces:
            plain.feed(piece)
        plain_best = min(plain_best, time.process_time_ns() - began)
        counted = _Counted()
        receiver = make_track(h264(), SETTINGS, counted, SourceCounters(), ordered=True)
        demultiplexer = Demultiplexer(len)
        demultiplexer.bind(0, receiver.take)
        began = time.process_time_ns()
        for view in views:
            demultiplexer.feed(view, 0, 0.0)
        our_best = min(our_best, time.process_time_ns() - began)
        receiver.flush()
        if counted.sizes != plain.units:
            raise RuntimeError("the two do not agree on the units")
    return plain_best, our_best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    data, packets = stream(options.units)
    print(f"{packets} packets, {options.units} units, {len(data)} bytes; least CPU time of {options.rounds} rounds")
    print("| read | plain ns/packet | ours ns/packet | plain µs/unit | ours µs/unit | ours/plain |")
    print("|---|---|---|---|---|---|")
    for read in (16 << 10, 64 << 10, 128 << 10, 256 << 10):
        plain, ours = measure(data, read, options.rounds)
        each = (plain / packets, ours / packets, plain / options.units / 1000, ours / options.units / 1000)
        print(
            f"| {read >> 10} KiB | {each[0]:.0f} | {each[1]:.0f} | {each[2]:.1f} | {each[3]:.1f} | {ours / plain:.2f} |"
        )


if __name__ == "__main__":
    main()
