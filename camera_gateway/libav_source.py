"""Odd devices, read by libavformat in a thread of their own, behind the same port as our engine.

`av` (and numpy, which it brings) costs 40 MB: it is imported when the first such source starts, not before.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from camera_gateway.engine_source import MISTAKES
from camera_gateway.packets import (
    AccessUnit,
    SourceCounters,
    SourceFault,
    SourceInfo,
    SourceListener,
    SourceSettings,
)
from camera_gateway.reactor import Reactor, Timer
from storage.clock import Clock
from storage.errors import MediaError
from storage.model import GapReason

if TYPE_CHECKING:
    from camera_gateway.pyav_source import BlockingSource

log = logging.getLogger(__name__)

MOST_WAITING = 256
"""Pictures that may wait for the reactor: ten seconds at 25 a second."""
MOST_BYTES = 32 << 20
HAND_OVER_S = 0.02
"""Between two looks of the reactor into the queue; pictures keep the time of their arrival."""

_Event = SourceInfo | AccessUnit | SourceFault


def new_pyav_source(clock: Clock) -> BlockingSource:
    """libavformat through PyAV; the import takes a moment, so call it in the source's thread."""
    from camera_gateway.pyav_source import PyavSource

    return PyavSource(clock)


class LibavSource:
    """One session through a blocking source. Video only. `counters.packets` counts pictures here."""

    def __init__(
        self, reactor: Reactor, *, note: str = "", new_source: Callable[[Clock], BlockingSource] = new_pyav_source
    ) -> None:
        self.counters = SourceCounters()
        self._reactor = reactor
        self._note = note
        self._new_source = new_source
        self._listener: SourceListener | None = None
        self._timer: Timer | None = None
        self._queue: deque[_Event] = deque()  # appends and pops of a deque are atomic
        self._put_bytes = 0  # written by the thread
        self._taken_bytes = 0  # written by the reactor
        self._closing = threading.Event()

    def start(self, settings: SourceSettings, listener: SourceListener) -> None:
        self._listener = listener
        self._timer = self._reactor.call_later(HAND_OVER_S, self._hand_over)
        threading.Thread(target=self._read, args=(settings,), name="libav", daemon=True).start()

    def close(self) -> None:
        """The thread ends after its next picture or time-out, and closes the connection itself."""
        self._listener = None
        self._closing.set()
        if self._timer is not None:
            self._timer.cancel()

    # In the reactor's thread

    def _hand_over(self) -> None:
        for _ in range(len(self._queue)):
            event = self._queue.popleft()
            listener = self._listener
            if listener is None:
                return
            if isinstance(event, AccessUnit):
                self._taken_bytes += len(event.data)
                self.counters.packets += 1
                self.counters.bytes += len(event.data)
                listener.unit(event)
            elif isinstance(event, SourceInfo):
                listener.opened(event)
            else:
                self.close()
                listener.failed(event)
        if self._listener is not None:
            self._timer = self._reactor.call_later(HAND_OVER_S, self._hand_over)

    # In its own thread

    def _read(self, settings: SourceSettings) -> None:
        source = self._new_source(self._reactor.clock)
        try:
            self._queue.append(self._noted(source.open(settings), settings))
            for unit in source.units():
                if self._closing.is_set():
                    source.close()
                    continue
                self._put(unit)
        except SourceFault as fault:
            source.close()
            self._queue.append(fault)
        except (MediaError, *MISTAKES) as error:
            source.close()
            kind, where = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
            # Not the exception itself: libavformat's errors carry the URL with its password.
            log.error("libav_mistake", extra={"fields": {"kind": kind, "at": f"{where.filename}:{where.lineno}"}})
            evidence = f"we failed on what libavformat gave ({kind}; the log says where)"
            self._queue.append(SourceFault(GapReason.NO_MEDIA, evidence))

    def _put(self, unit: AccessUnit) -> None:
        if len(self._queue) >= MOST_WAITING or self._put_bytes - self._taken_bytes > MOST_BYTES:
            raise SourceFault(GapReason.UNKNOWN, f"the gateway was too slow: {len(self._queue)} pictures waited")
        self._put_bytes += len(unit.data)
        self._queue.append(unit)

    def _noted(self, info: SourceInfo, settings: SourceSettings) -> SourceInfo:
        """With the reason for this engine, and what was asked for that it does not bring."""
        missing = [f"{what} with this engine" for what, asked in _not_brought(settings) if asked]
        note = "; ".join(filter(None, (self._note, *missing)))
        return SourceInfo(info.engine, info.transport, info.codec, info.audio, note)


def _not_brought(settings: SourceSettings) -> tuple[tuple[str, bool], ...]:
    return ("no sound", settings.audio), ("no motion events", settings.metadata)
