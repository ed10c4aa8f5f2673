"""Audio over RTP: AAC (RFC 3640, AAC-hbr and AAC-lbr) and G.711 (RFC 3551 4.5.14)."""

from __future__ import annotations

from collections.abc import Mapping

from camera_gateway.fmp4.bits import BitReader
from camera_gateway.packets import (
    AudioCodec,
    AudioFormat,
    AudioUnit,
    SourceCounters,
    SourceListener,
    SourceSettings,
)
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtp.packet import difference
from camera_gateway.rtp.receiver import Receiver, refusal
from storage.errors import MediaError

_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_G711 = {"PCMA": AudioCodec.PCMA, "PCMU": AudioCodec.PCMU}
_FARTHEST_S = 10  # a longer step of the timestamps is a jump, not a pause
_MOST_CHANNELS = 8
_LONGEST_CONFIG = 64
_MOST_BYTES = 64 << 10
_MOST_UNITS = 256  # in a packet: seconds of sound


class AudioTrack(Receiver):
    """What audio tracks share: the time of a unit in samples, without wraps and jumps."""

    def __init__(
        self,
        media: MediaDescription,
        settings: SourceSettings,
        listener: SourceListener,
        counters: SourceCounters,
        audio: AudioFormat,
        *,
        ordered: bool,
    ) -> None:
        super().__init__(media, settings, listener, counters, ordered=ordered)
        self._format = audio
        self._stamp: int | None = None
        self._ticks = 0  # of the RTP clock, since the first packet
        self._next_time = 0

    def described(self) -> AudioFormat:
        """What this track carries."""
        return self._format

    def _restart(self) -> None:
        self._stamp = None
        self._hole()

    def _time_at(self, stamp: int) -> int:
        """The time of a packet in samples. It goes on where the last unit ended when the timestamps jump."""
        rate, clock = self._format.rate, self._rate
        if self._stamp is None:
            self._ticks = -(-self._next_time * clock // rate)
        else:
            step = difference(stamp, self._stamp)
            if -_FARTHEST_S * clock < step <= _FARTHEST_S * clock:
                self._ticks += step
            else:
                self._ticks = -(-self._next_time * clock // rate)
        self._stamp = stamp
        time = self._ticks * rate // clock
        if time < self._next_time:  # it overlaps what was handed on: no sample twice
            if self._next_time - time > rate:
                self._ticks = -(-self._next_time * clock // rate)  # not before: timestamps that jitter would drift
            time = self._next_time
        return time

    def _hand_on(self, data: bytes, time: int, samples: int, arrival_us: int, arrival_s: float) -> None:
        self._next_time = time + samples
        self._listener.audio(AudioUnit(data, time, arrival_us, arrival_s))


class G711Track(AudioTrack):
    """G.711 of any packet length: one byte is one sample of one channel."""

    def __init__(
        self,
        media: MediaDescription,
        settings: SourceSettings,
        listener: SourceListener,
        counters: SourceCounters,
        *,
        ordered: bool,
    ) -> None:
        if not 1 <= media.channels <= _MOST_CHANNELS:
            raise refusal(f"audio of {media.channels} channels")
        audio = AudioFormat(_G711[media.encoding], media.rate, media.channels)
        super().__init__(media, settings, listener, counters, audio, ordered=ordered)

    def _hole(self) -> None:
        """A hole shows in the times."""

    def _payload(
        self, data: memoryview, at: int, end: int, marker: bool, stamp: int, arrival_us: int, arrival_s: float
    ) -> None:
        del marker  # it begins a talk spurt
        samples = (end - at) // self._format.channels
        if samples:
            whole = data[at : at + samples * self._format.channels].tobytes()
            self._hand_on(whole, self._time_at(stamp), samples, arrival_us, arrival_s)


class AacTrack(AudioTrack):
    """AAC access units, several in a packet or one in several packets."""

    def __init__(
        self,
        media: MediaDescription,
        settings: SourceSettings,
        listener: SourceListener,
        counters: SourceCounters,
        *,
        ordered: bool,
    ) -> None:
        self._size_bits, self._index_bits, self._delta_bits = _header_bits(media.fmtp)
        config = _config(media.fmtp)
        rate, channels, self._samples = read_config(config)
        audio = AudioFormat(AudioCodec.AAC, rate, channels or media.channels, config)
        super().__init__(media, settings, listener, counters, audio, ordered=ordered)
        duration = _number(media.fmtp, "constantduration", self._samples * media.rate // rate)
        if not 0 < duration <= media.rate:
            raise refusal(f"AAC with a constantDuration of {duration}")
        self._duration = duration
        self._pieces: list[bytes] = []
        self._collected = 0  # bytes of the pieces
        self._missing = 0
        self._fragment_stamp = -1

    def _hole(self) -> None:
        self._forget_fragment()

    def flush(self) -> None:
        super().flush()
        self._forget_fragment()

    def _forget_fragment(self) -> None:
        if self._pieces:
            self.counters.broken_units += 1
            self._pieces.clear()
        self._collected = 0

    def _payload(
        self, data: memoryview, at: int, end: int, marker: bool, stamp: int, arrival_us: int, arrival_s: float
    ) -> None:
        del marker  # sizes say where a unit ends
        sizes, body = self._read_headers(data, at, end)
        if not sizes or body >= end:
            self.counters.ignored += 1
            return
        if len(sizes) == 1 and sizes[0] > end - body:
            self._take_fragment(sizes[0], data[body:end].tobytes(), stamp, arrival_us, arrival_s)
            return
        if self._pieces and self._fragment_stamp == stamp:
            self._take_fragment(sizes[0], data[body:end].tobytes(), stamp, arrival_us, arrival_s)
            return
        self._forget_fragment()
        for index, size in enumerate(sizes):
            if body + size > end:
                self.counters.broken_units += 1
                return
            if size:
                self._one(data[body : body + size].tobytes(), stamp + index * self._duration, arrival_us, arrival_s)
            body += size

    def _one(self, unit: bytes, stamp: int, arrival_us: int, arrival_s: float) -> None:
        self._hand_on(unit, self._time_at(stamp & 0xFFFF_FFFF), self._samples, arrival_us, arrival_s)

    def _take_fragment(self, size: int, piece: bytes, stamp: int, arrival_us: int, arrival_s: float) -> None:
        """A piece of a unit of `size` bytes (RFC 3640 3.2.3.1: each piece says the size of the whole unit)."""
        if size > _MOST_BYTES or (self._pieces and (stamp != self._fragment_stamp or size != self._missing)):
            self._forget_fragment()
        if size > _MOST_BYTES:
            self.counters.broken_units += 1
            return
        self._pieces.append(piece)
        self._collected += len(piece)
        self._fragment_stamp, self._missing = stamp, size
        if self._collected > size:
            self._forget_fragment()
        elif self._collected == size:
            unit = b"".join(self._pieces)
            self._pieces.clear()
            self._collected = 0
            self._one(unit, stamp, arrival_us, arrival_s)

    def _read_headers(self, data: memoryview, at: int, end: int) -> tuple[list[int], int]:
        """The sizes of the units, and where the first of them begins (RFC 3640 3.2.1)."""
        if end - at < 2:
            return [], end
        bits = data[at] << 8 | data[at + 1]
        body = at + 2 + (bits + 7) // 8
        if body > end:
            return [], end
        value = int.from_bytes(data[at + 2 : body], "big") >> (-bits % 8)
        sizes: list[int] = []
        index_bits = self._index_bits
        while bits >= self._size_bits + index_bits:
            if len(sizes) == _MOST_UNITS:
                return [], end  # each costs as much as all headers are long
            bits -= self._size_bits + index_bits
            header = value >> bits
            value &= (1 << bits) - 1
            sizes.append(header >> index_bits)
            if header & ((1 << index_bits) - 1):
                raise refusal("interleaved AAC (AU-Index)")
            index_bits = self._delta_bits
        return sizes, body


def read_config(config: bytes) -> tuple[int, int, int]:
    """Samples a second, channels (0: told elsewhere) and samples a unit of an AudioSpecificConfig.

    ISO/IEC 14496-3 1.6.2.1.

    Raises:
        SourceFault: it is damaged, or no AAC that is recorded.
    """
    reader = BitReader(config)
    try:
        kind = reader.bits(5)
        if kind == 31:
            kind = 32 + reader.bits(6)
        index = reader.bits(4)
        rate = reader.bits(24) if index == 15 else (_RATES[index] if index < len(_RATES) else 0)
        channels = reader.bits(4)
        if kind in (5, 29):  # SBR or PS: units are counted at the rate of the core, which comes first
            index = reader.bits(4)
            if index == 15:
                reader.bits(24)
            kind = reader.bits(5)
        short = reader.bits(1) if kind in (1, 2, 3, 4) else 0
    except MediaError:
        raise refusal("AAC with a damaged config") from None
    if kind not in (1, 2, 3, 4) or not 1000 <= rate <= 192_000 or channels > 7:
        raise refusal(f"MPEG-4 audio of type {kind}, {rate} Hz, channel configuration {channels}")
    return rate, 8 if channels == 7 else channels, 960 if short else 1024


def _header_bits(fmtp: Mapping[str, str]) -> tuple[int, int, int]:
    """The widths of AU-size, AU-Index and AU-Index-delta (RFC 3640 4.1); other header fields are refused."""
    for name in ("ctsdeltalength", "dtsdeltalength", "randomaccessindication", "streamstateindication"):
        if _number(fmtp, name, 0):
            raise refusal(f"AAC with {name}")
    for name in ("auxiliarydatasizelength", "maxdisplacement"):
        if _number(fmtp, name, 0):
            raise refusal(f"AAC with {name}")
    mode = fmtp.get("mode", "AAC-hbr").strip().lower()
    if mode not in ("aac-hbr", "aac-lbr"):
        raise refusal(f"the RFC 3640 mode {mode[:20]}")
    size, index = (13, 3) if mode == "aac-hbr" else (6, 2)
    widths = (
        _number(fmtp, "sizelength", size),
        _number(fmtp, "indexlength", index),
        _number(fmtp, "indexdeltalength", index),
    )
    if not 1 <= widths[0] <= 16 or not 0 <= widths[1] <= 16 or not 0 <= widths[2] <= 16:
        raise refusal("AAC with impossible header lengths")
    return widths


def _config(fmtp: Mapping[str, str]) -> bytes:
    """The AudioSpecificConfig of the session description."""
    text = fmtp.get("config", "").strip()
    try:
        config = bytes.fromhex(text)
    except ValueError:
        config = b""
    if not 2 <= len(config) <= _LONGEST_CONFIG:
        raise refusal("AAC without a config")
    return config


def _number(fmtp: Mapping[str, str], name: str, default: int) -> int:
    text = fmtp.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise refusal(f"AAC with {name}={text[:20]}")
    return int(text)
