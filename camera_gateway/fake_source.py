"""A packet source without a camera: plays a list of things in its reactor. For tests and for trying things out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.packets import (
    AccessUnit,
    AudioUnit,
    Engine,
    SenderReport,
    SourceCounters,
    SourceFault,
    SourceInfo,
    SourceListener,
    SourceSettings,
)
from camera_gateway.reactor import Reactor
from storage.model import GapReason

Played = AccessUnit | AudioUnit | SenderReport | bytes
"""What a camera may send; bytes are a metadata document."""


class FakeSource:
    """Plays `items`, one in each round of the reactor, stamped with the clock's time as they come.

    Then it breaks with `fault`, or, with `stay`, says nothing more. `opening` fails the session before it plays.
    `before_each` is called with each item's index before it is played, and may close the source or move a fake clock.
    """

    def __init__(
        self,
        reactor: Reactor,
        items: Iterable[Played] = (),
        *,
        opening: SourceFault | None = None,
        fault: SourceFault | None = None,
        stay: bool = False,
        info: SourceInfo | None = None,
        before_each: Callable[[int], None] = lambda _index: None,
    ) -> None:
        self.counters = SourceCounters()
        self._reactor = reactor
        self._items = deque(items)
        self._opening = opening
        self._fault = fault or SourceFault(GapReason.NETWORK, "the camera ended the stream")
        self._stay = stay
        self._info = info or SourceInfo(Engine.RTSP, "tcp", VideoCodec.H264)
        self._before_each = before_each
        self._played = 0
        self._listener: SourceListener | None = None
        self.closed = False
        self.settings: SourceSettings | None = None

    def start(self, settings: SourceSettings, listener: SourceListener) -> None:
        self.settings = settings
        self._listener = listener
        self._reactor.call_soon(self._open)

    def close(self) -> None:
        self.closed = True
        self._listener = None

    def send(self, item: Played) -> None:
        """Play one thing now; only while the source is started and not closed."""
        if self._listener is None:
            return
        self.counters.packets += 1
        now_us, now_s = self._reactor.clock.now_us(), self._reactor.clock.monotonic()
        if isinstance(item, AccessUnit):
            self._listener.unit(replace(item, arrival_us=now_us, arrival_s=now_s))
        elif isinstance(item, AudioUnit):
            self._listener.audio(replace(item, arrival_us=now_us, arrival_s=now_s))
        elif isinstance(item, SenderReport):
            self._listener.sender_report(item)
        else:
            self._listener.metadata(item, now_us)

    def fail(self, fault: SourceFault) -> None:
        """Break now."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.failed(fault)

    def _open(self) -> None:
        if self._listener is None:
            return
        if self._opening is not None:
            self.fail(self._opening)
            return
        self._listener.opened(self._info)
        self._reactor.call_soon(self._next)

    def _next(self) -> None:
        if self._items:
            self._before_each(self._played)
            self._played += 1
            self.send(self._items.popleft())
            self._reactor.call_soon(self._next)
        elif not self._stay:
            self.fail(self._fault)
