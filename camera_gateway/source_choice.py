"""Our own engine first; libavformat for a device that ours cannot read, remembered for a while.

Only a fault that says `unreadable` changes the engine: the device answered, and ours did not understand it. A wrong
password, a closed port or a dead network are the same for every engine, and a second try would lock the account.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from camera_gateway.engine_shared import EngineOptions, EngineShared
from camera_gateway.engine_source import EngineSource
from camera_gateway.libav_source import LibavSource
from camera_gateway.packets import (
    AccessUnit,
    AudioUnit,
    Engine,
    PacketSource,
    SenderReport,
    SourceCounters,
    SourceFault,
    SourceInfo,
    SourceListener,
    SourceSettings,
)
from camera_gateway.reactor import Reactor
from camera_gateway.settings import CameraSettings
from storage.clock import Clock
from storage.model import GapReason

log = logging.getLogger(__name__)

REMEMBER_S = 3600.0
"""How long a device that only libav read is given to libav at once: it may get a new firmware."""
UNREADABLE_S = 600.0
"""How long a device that neither read is tried with ours alone."""
_MOST_REMEMBERED = 4096
_CHOSEN = "chosen in the settings"


@dataclass(frozen=True, slots=True)
class _Experience:
    engine: Engine
    until_s: float
    evidence: str  # what our engine said


def engine_options(cameras: CameraSettings) -> EngineOptions:
    """How our engine uses the network, by the settings."""
    return EngineOptions(cameras.udp_first_port, cameras.udp_last_port, cameras.tls_trust)


class ChoiceMemory:
    """Which streams our engine could not read; one for all streams of a worker. Lives in the reactor's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, _Experience] = {}

    def recall(self, uri: str) -> tuple[Engine, str] | None:
        """The engine to use for a stream and why, or None when ours is to be tried first."""
        known = self._known.get(uri)
        if known is None:
            return None
        if self._clock.monotonic() >= known.until_s:
            del self._known[uri]
            return None
        return known.engine, known.evidence

    def remember(self, uri: str, engine: Engine, evidence: str) -> None:
        """`engine` is the one to use for a while, because ours said `evidence`."""
        if uri not in self._known and len(self._known) >= _MOST_REMEMBERED:
            self._known.pop(next(iter(self._known)))
        duration_s = REMEMBER_S if engine is Engine.LIBAV else UNREADABLE_S
        self._known[uri] = _Experience(engine, self._clock.monotonic() + duration_s, evidence)


@dataclass(frozen=True, slots=True)
class EngineMakers:
    """What makes a session of each engine; the note goes into its `SourceInfo`."""

    ours: Callable[[], PacketSource]
    libav: Callable[[str], PacketSource]


@dataclass(slots=True)
class Sources:
    """Makes the sources of one reactor. Use: `Sources.of(reactor)`, then `new` for each session."""

    makers: EngineMakers
    memory: ChoiceMemory

    @staticmethod
    def of(reactor: Reactor, options: EngineOptions | None = None) -> Sources:
        """The real engines in a reactor."""
        shared = EngineShared(reactor, options)
        makers = EngineMakers(lambda: EngineSource(reactor, shared), lambda note: LibavSource(reactor, note=note))
        return Sources(makers, ChoiceMemory(reactor.clock))

    def new(self) -> SourceChoice:
        """A source for one session."""
        return SourceChoice(self.makers, self.memory)


@dataclass(slots=True)
class SourceChoice:
    """One session with one camera stream by whichever engine reads it."""

    makers: EngineMakers
    memory: ChoiceMemory
    counters: SourceCounters = field(default_factory=SourceCounters)
    _settings: SourceSettings = field(default_factory=lambda: SourceSettings(""))
    _listener: SourceListener | None = None
    _source: PacketSource | None = None
    _ours_said: str = ""
    _units: int = 0

    def start(self, settings: SourceSettings, listener: SourceListener) -> None:
        self._settings = settings
        self._listener = listener
        known = self.memory.recall(settings.uri)
        if settings.engine is Engine.LIBAV:
            self._begin(self.makers.libav(_CHOSEN))
        elif settings.engine is None and known is not None and known[0] is Engine.LIBAV:
            self._ours_said = known[1]
            self._begin(self.makers.libav(f"our engine: {known[1]}"))
        else:
            self._begin(self.makers.ours())

    def close(self) -> None:
        self._listener = None
        if self._source is not None:
            self._source.close()

    def _begin(self, source: PacketSource) -> None:
        self._source = source
        self.counters = source.counters
        source.start(self._settings, self)

    # What the source of the moment says

    def opened(self, info: SourceInfo) -> None:
        if self._listener is not None:
            self._listener.opened(info)

    def unit(self, unit: AccessUnit) -> None:
        if self._listener is None:
            return
        if self._units == 0 and self._ours_said and self.memory.recall(self._settings.uri) is None:
            self.memory.remember(self._settings.uri, Engine.LIBAV, self._ours_said)
        self._units += 1
        self._listener.unit(unit)

    def audio(self, unit: AudioUnit) -> None:
        if self._listener is not None:
            self._listener.audio(unit)

    def metadata(self, document: bytes, arrival_us: int) -> None:
        if self._listener is not None:
            self._listener.metadata(document, arrival_us)

    def sender_report(self, report: SenderReport) -> None:
        if self._listener is not None:
            self._listener.sender_report(report)

    def failed(self, fault: SourceFault) -> None:
        if self._listener is None:
            return
        if self._may_change(fault):
            # Not the URL: some makers put name and password into its path.
            fields = {"host": self._settings.uri.partition("://")[2].partition("/")[0], "evidence": fault.evidence}
            log.info("engine_changed", extra={"fields": fields})
            self._ours_said = fault.evidence
            self._begin(self.makers.libav(f"our engine: {fault.evidence}"))
            return
        listener, self._listener = self._listener, None
        listener.failed(self._told(fault))

    def _may_change(self, fault: SourceFault) -> bool:
        """Whether libav is to be tried: not after pictures, as ours did read the device then."""
        uri = self._settings.uri
        first = not self._ours_said and self.memory.recall(uri) is None
        return fault.unreadable and first and self._settings.engine is None and self._units == 0

    def _told(self, fault: SourceFault) -> SourceFault:
        """The fault for the listener; with what ours said when libav could not read the device either."""
        if not self._ours_said or self._units or fault.reason is not GapReason.NO_MEDIA:
            return fault
        self.memory.remember(self._settings.uri, Engine.RTSP, self._ours_said)
        return SourceFault(fault.reason, f"{fault.evidence} (libav); our engine: {self._ours_said}")
