"""A listener that keeps what it hears and turns the reactor until enough came."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from camera_gateway.packets import AccessUnit, AudioUnit, SenderReport, SourceFault, SourceInfo
from camera_gateway.reactor import Reactor
from storage.clock import SystemClock


@dataclass
class Hearing:
    """Everything that a source said, in order."""

    reactor: Reactor
    info: SourceInfo | None = None
    units: list[AccessUnit] = field(default_factory=list)
    audio_units: list[AudioUnit] = field(default_factory=list)
    documents: list[bytes] = field(default_factory=list)
    reports: list[SenderReport] = field(default_factory=list)
    fault: SourceFault | None = None
    threads: set[int] = field(default_factory=set)
    faults: int = 0
    on_unit: Callable[[AccessUnit], None] = lambda _unit: None

    def until(self, enough: Callable[[], Any], seconds: float = 40.0) -> None:
        """Turn the reactor until `enough` answers something true; fails the test when it never does."""
        clock = SystemClock()
        deadline = clock.monotonic() + seconds
        while not enough():
            assert clock.monotonic() < deadline, f"heard {len(self.units)} units, {self.fault and self.fault.evidence}"
            self.reactor.turn(0.05)

    def opened(self, info: SourceInfo) -> None:
        assert self.info is None
        self.info = info

    def unit(self, unit: AccessUnit) -> None:
        self.threads.add(threading.get_ident())
        self.units.append(unit)
        self.on_unit(unit)

    def audio(self, unit: AudioUnit) -> None:
        self.audio_units.append(unit)

    def metadata(self, document: bytes, arrival_us: int) -> None:
        self.documents.append(document)

    def sender_report(self, report: SenderReport) -> None:
        self.reports.append(report)

    def failed(self, fault: SourceFault) -> None:
        self.fault = fault
        self.faults += 1
