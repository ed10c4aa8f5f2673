"""What every stream is doing right now: written by the ingests, read by the catalog writer and the live link."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from uuid import UUID

from storage.clock import US, Clock
from storage.model import GapReason, LiveState

RECORDED = "recorded"
STALE_AFTER_US = 3 * US
AWAY = frozenset(
    reason.value for reason in (GapReason.UNREACHABLE, GapReason.REFUSED, GapReason.NO_MEDIA, GapReason.NETWORK)
)
"""Reasons of one and the same outage: a change among them does not begin it anew."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """Live and recording state of a stream; live is not recording."""

    live: LiveState
    live_cause: str
    live_since_us: int
    recording: str  # RECORDED or a GapReason value
    recording_cause: str
    recording_since_us: int
    last_frame_us: int | None = None


@dataclass(slots=True)
class LastFrame:
    """When a stream's last frame came: one attribute that its ingest sets for each frame, without a lock."""

    us: int | None = None


class StateBoard:
    """Thread-safe. `take_changed` hands out what changed since the last call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[UUID, StreamState] = {}
        self._changed: set[UUID] = set()
        self._frames: dict[UUID, LastFrame] = {}

    def live(self, stream_id: UUID, live: LiveState, cause: str = "") -> None:
        """The stream's live state is `live`, because of `cause` (a gap reason's value, or empty).

        A new cause of the same state does not change since when it holds.
        """
        with self._lock:
            state = self._get(stream_id)
            if stream_id not in self._states or (state.live, state.live_cause) != (live, cause):
                since_us = state.live_since_us if state.live is live else self._clock.now_us()
                self._set(stream_id, replace(state, live=live, live_cause=cause, live_since_us=since_us))

    def recording(self, stream_id: UUID, value: str, cause: str = "") -> bool:
        """The stream is recorded, or not and why; true when that is news."""
        with self._lock:
            state = self._get(stream_id)
            if state.recording == value:
                return False
            same_outage = {state.recording, value} <= AWAY
            since_us = state.recording_since_us if same_outage else self._clock.now_us()
            self._set(stream_id, replace(state, recording=value, recording_cause=cause, recording_since_us=since_us))
            return True

    def last_frame(self, stream_id: UUID) -> LastFrame:
        """Where the stream's ingest writes the arrival of each frame."""
        with self._lock:
            return self._frames.setdefault(stream_id, LastFrame())

    def remove(self, stream_id: UUID) -> None:
        """Nothing is known of the stream any more."""
        with self._lock:
            self._states.pop(stream_id, None)
            self._frames.pop(stream_id, None)
            self._changed.discard(stream_id)

    def find_stale(self) -> None:
        """Streams that should send frames and do not become stale; they are live again with the next frame."""
        now_us = self._clock.now_us()
        for stream_id, state in self.snapshot().items():
            quiet = now_us - (state.last_frame_us or state.live_since_us) > STALE_AFTER_US
            if state.live is LiveState.LIVE and quiet:
                self.live(stream_id, LiveState.STALE, GapReason.NO_MEDIA.value)
            elif state.live is LiveState.STALE and not quiet:
                self.live(stream_id, LiveState.LIVE)

    def snapshot(self) -> dict[UUID, StreamState]:
        """All states, with the time of the last frame."""
        with self._lock:
            return {key: self._with_frame(key, state) for key, state in self._states.items()}

    def take_changed(self) -> dict[UUID, StreamState]:
        """The states that changed since the last call."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return {key: self._with_frame(key, self._states[key]) for key in changed if key in self._states}

    def _with_frame(self, stream_id: UUID, state: StreamState) -> StreamState:
        seen = self._frames.get(stream_id)
        return replace(state, last_frame_us=seen.us if seen is not None else None)

    def _get(self, stream_id: UUID) -> StreamState:
        known = self._states.get(stream_id)
        if known is not None:
            return known
        now_us = self._clock.now_us()
        return StreamState(LiveState.CONNECTING, "", now_us, GapReason.UNKNOWN.value, "starting", now_us)

    def _set(self, stream_id: UUID, state: StreamState) -> None:
        self._states[stream_id] = state
        self._changed.add(stream_id)
