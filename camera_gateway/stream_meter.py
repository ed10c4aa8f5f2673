"""What one stream delivers, counted as it comes and read every few seconds."""

from __future__ import annotations

from dataclasses import fields

from camera_gateway.packets import AccessUnit, SourceCounters, SourceFault, SourceInfo
from camera_gateway.stats import StreamStats
from storage.clock import US


class StreamMeter:
    """Counters over all sessions of one stream, and rates over the last interval."""

    def __init__(self) -> None:
        self.info: SourceInfo | None = None
        self._frames = 0
        self._bytes = 0
        self._sessions = 0
        self._cause = ""
        self._evidence = ""
        self._ended = SourceCounters()  # of the sessions that are over
        self._key_dts = -1
        self._gop = 0
        self._read_s = 0.0
        self._read_frames = 0
        self._read_bytes = 0
        self.fps_milli = 0
        self.bitrate_kbit = 0

    def opened(self, info: SourceInfo) -> None:
        """A session plays."""
        self.info = info
        self._sessions += 1
        self._key_dts = -1

    def failed(self, fault: SourceFault) -> None:
        """A session ended, or could not be opened."""
        self._cause, self._evidence = fault.reason.value, fault.evidence

    def session_ended(self, counters: SourceCounters) -> None:
        """Keep what the session counted."""
        self._ended = _sum(self._ended, counters)

    def unit(self, unit: AccessUnit) -> None:
        """Every picture: cheap."""
        self._frames += 1
        self._bytes += len(unit.data)
        if unit.key:
            if 0 <= self._key_dts < unit.dts and not unit.jumped:
                self._gop = unit.dts - self._key_dts
            self._key_dts = unit.dts

    def measure(self, now_s: float) -> None:
        """Rates since the last call."""
        took = now_s - self._read_s
        if self._read_s > 0 and took > 0:
            self.fps_milli = round((self._frames - self._read_frames) * 1000 / took)
            self.bitrate_kbit = round((self._bytes - self._read_bytes) * 8 / 1000 / took)
        self._read_s, self._read_frames, self._read_bytes = now_s, self._frames, self._bytes

    def stats(self, session: SourceCounters | None, last_frame_us: int | None, now_us: int) -> StreamStats:
        """All of it; `session` are the counters of the session that goes on."""
        seen = _sum(self._ended, session) if session is not None else self._ended
        info = self.info
        return StreamStats(
            frames=self._frames,
            bytes=seen.bytes,
            packets=seen.packets,
            lost=seen.lost,
            reordered=seen.reordered,
            duplicated=seen.duplicated,
            broken_units=seen.broken_units,
            reconnects=max(self._sessions - 1, 0),
            last_cause=self._cause,
            last_evidence=self._evidence,
            engine=info.engine.value if info else "",
            engine_note=info.note if info else "",
            transport=info.transport if info else "",
            lag_us=now_us - last_frame_us if last_frame_us is not None else -1,
            fps_milli=self.fps_milli,
            bitrate_kbit=self.bitrate_kbit,
            gop_ms=self._gop * US // 90_000 // 1000,
        )


def _sum(one: SourceCounters, other: SourceCounters) -> SourceCounters:
    return SourceCounters(*(getattr(one, each.name) + getattr(other, each.name) for each in fields(SourceCounters)))
