"""One ingest with everything around it faked, on a clock that stands still until the test moves it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from camera_gateway.board import StateBoard
from camera_gateway.device_gate import DeviceGate
from camera_gateway.fake_source import FakeSource
from camera_gateway.ingest import Duty, IngestParts, StreamIngest
from camera_gateway.pacing import Pacer
from camera_gateway.packets import AccessUnit, SourceFault, SourceSettings
from camera_gateway.plan import DevicePlan
from camera_gateway.pre_roll import PreRollMemory
from camera_gateway.reactor import Reactor
from camera_gateway.tap import Tap
from storage.clock import FakeClock
from storage.model import GapReason
from tests.camera_gateway.media import MemorySink, units
from tests.fakes.gateway import FakeOutlet

AWAY = SourceFault(GapReason.UNREACHABLE, "no answer in time")
REFUSED = SourceFault(GapReason.AUTHENTICATION, "RTSP 401")


@dataclass
class FakeCounts:
    """`SignInCounts` that remember."""

    refusals: list[tuple[UUID, int]] = field(default_factory=list)
    admissions: list[UUID] = field(default_factory=list)

    def refused(self, device_id: UUID, credential_version: int) -> None:
        self.refusals.append((device_id, credential_version))

    def admitted(self, device_id: UUID) -> None:
        self.admissions.append(device_id)


@dataclass
class FakeEvents:
    """`CameraEvents` that remember."""

    documents: list[bytes] = field(default_factory=list)
    lost: int = 0
    told: list[bool] = field(default_factory=list)

    def opened(self, *, told: bool) -> None:
        self.told.append(told)

    def metadata(self, document: bytes) -> None:
        self.documents.append(document)

    def session_lost(self) -> None:
        self.lost += 1


def device_plan(*, version: int = 1, failures: int = 0) -> DevicePlan:
    return DevicePlan(uuid4(), True, "admin", b"", version, failures)


class IngestRig:
    """Drive it with `turn`; `frames(n)` sends the next units of a looped film in the session that runs."""

    def __init__(self, duty: Duty | None = None, *, opening: SourceFault | None = None) -> None:
        self.clock = FakeClock()
        self.reactor = Reactor(self.clock)
        self.board = StateBoard(self.clock)
        self.sink = MemorySink()
        self.outlet = FakeOutlet()
        self.counts = FakeCounts()
        self.opening = opening
        self.settings = SourceSettings("rtsp://camera.invalid/")
        self.sources: list[FakeSource] = []
        self.gate = DeviceGate(device_plan(), self.counts)
        self.events = FakeEvents()
        parts = IngestParts(
            self.reactor, self.board, self._source, Pacer(self.reactor, 4), 60.0, PreRollMemory(64 << 20)
        )
        self.stream_id = uuid4()
        self.ingest = StreamIngest(
            self.stream_id,
            lambda: self.settings,
            self.gate,
            Tap(self.stream_id, self.outlet),
            self.sink,
            parts,
            duty or Duty(recorded=True),
            self.events,
        )
        self._sent = 0

    def _source(self) -> FakeSource:
        source = FakeSource(self.reactor, opening=self.opening, stay=True)
        self.sources.append(source)
        return source

    def turn(self, rounds: int = 5) -> None:
        for _ in range(rounds):
            self.reactor.turn(0)

    def pass_time(self, seconds: float) -> None:
        """Time passes, and what is due is called."""
        self.clock.advance(seconds)
        self.turn()

    def frames(self, count: int) -> None:
        """That many frames, 40 ms apart, each a key frame every 25."""
        for _ in range(count):
            self.sources[-1].send(self.unit(self._sent))
            self._sent += 1
            self.clock.advance(0.04)

    @staticmethod
    def unit(index: int) -> AccessUnit:
        """Frame `index` of an endless film."""
        film = units("h264")
        loop = index // len(film) * len(film) * 3600
        unit = film[index % len(film)]
        return replace(unit, dts=unit.dts + loop, pts=unit.pts + loop)
