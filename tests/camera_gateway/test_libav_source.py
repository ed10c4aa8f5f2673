"""A blocking source behind the packet port: its thread, its bounded queue, and what is imported when."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.libav_source import MOST_WAITING, LibavSource
from camera_gateway.packets import AccessUnit, Engine, SourceFault, SourceInfo, SourceSettings
from camera_gateway.reactor import Reactor
from storage.clock import Clock, SystemClock
from storage.model import GapReason
from tests.camera_gateway.hearing import Hearing
from tests.camera_gateway.media import units

SETTINGS = SourceSettings("rtsp://camera/live")
INFO = SourceInfo(Engine.LIBAV, "tcp", VideoCodec.H264)
ENDED = SourceFault(GapReason.NETWORK, "the camera ended the stream")


@dataclass
class Blocking:
    """Plays a list, waits for `go` before the last, and then ends."""

    items: tuple[AccessUnit, ...] = ()
    opening: SourceFault | None = None
    go: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def open(self, settings: SourceSettings) -> SourceInfo:
        if self.opening is not None:
            raise self.opening
        return INFO

    def units(self) -> Iterator[AccessUnit]:
        for index, unit in enumerate(self.items):
            if index == len(self.items) - 1:
                self.go.wait(20)
            if self.closed.is_set():
                return
            yield unit
        raise ENDED

    def close(self) -> None:
        self.closed.set()


def of(blocking: Blocking) -> Callable[[Clock], Blocking]:
    return lambda _clock: blocking


def test_pictures_come_in_the_reactor_s_thread_and_the_note_is_told() -> None:
    reactor = Reactor(SystemClock())
    blocking = Blocking(units("h264"))
    blocking.go.set()
    hearing = Hearing(reactor)
    source = LibavSource(reactor, note="our engine: odd", new_source=of(blocking))
    source.start(SETTINGS, hearing)
    hearing.until(lambda: hearing.fault)
    assert hearing.info == SourceInfo(Engine.LIBAV, "tcp", VideoCodec.H264, None, "our engine: odd")
    assert hearing.units == list(units("h264"))
    assert hearing.fault is ENDED
    assert hearing.threads == {threading.get_ident()}
    assert source.counters.bytes == sum(len(unit.data) for unit in hearing.units)
    source.close()
    reactor.close()


def test_what_libav_does_not_bring_is_said() -> None:
    reactor = Reactor(SystemClock())
    blocking = Blocking(opening=None, items=units("h264")[:2])
    hearing = Hearing(reactor)
    source = LibavSource(reactor, note="chosen", new_source=of(blocking))
    source.start(SourceSettings("rtsp://camera/live", audio=True, metadata=True), hearing)
    hearing.until(lambda: hearing.info)
    assert hearing.info is not None
    assert hearing.info.note == "chosen; no sound with this engine; no motion events with this engine"
    assert (hearing.info.audio, hearing.info.metadata) == (None, False)
    source.close()
    blocking.go.set()
    assert blocking.closed.wait(20)
    reactor.close()


def test_a_session_that_cannot_be_opened_fails_once() -> None:
    reactor = Reactor(SystemClock())
    blocking = Blocking(opening=SourceFault(GapReason.REFUSED, "connection refused"))
    hearing = Hearing(reactor)
    LibavSource(reactor, new_source=of(blocking)).start(SETTINGS, hearing)
    hearing.until(lambda: hearing.fault)
    assert (hearing.info, hearing.units) == (None, [])
    assert hearing.fault is blocking.opening
    reactor.close()


def test_nothing_is_heard_of_a_closed_source_and_its_thread_ends() -> None:
    reactor = Reactor(SystemClock())
    blocking = Blocking(units("h264"))
    hearing = Hearing(reactor)
    source = LibavSource(reactor, new_source=of(blocking))
    source.start(SETTINGS, hearing)
    hearing.until(lambda: hearing.units)
    source.close()
    heard = len(hearing.units)
    blocking.go.set()
    assert blocking.closed.wait(20)
    reactor.turn(0.05)
    reactor.turn(0.05)
    assert len(hearing.units) == heard
    assert hearing.fault is None
    reactor.close()


def test_a_reactor_that_does_not_keep_up_is_a_fault_and_no_silent_loss() -> None:
    reactor = Reactor(SystemClock())
    many = units("h264") * (MOST_WAITING // len(units("h264")) + 2)
    blocking = Blocking(many)
    blocking.go.set()
    hearing = Hearing(reactor)
    LibavSource(reactor, new_source=of(blocking)).start(SETTINGS, hearing)
    assert blocking.closed.wait(20)  # the thread gave up while nobody turned the reactor
    hearing.until(lambda: hearing.fault)
    assert hearing.units == list(many[: len(hearing.units)])
    assert len(hearing.units) >= MOST_WAITING - 1
    assert hearing.fault is not None
    assert "too slow" in hearing.fault.evidence
    reactor.close()


def test_a_worker_that_records_with_our_engine_never_imports_av_or_numpy() -> None:
    asked = (
        "import sys, camera_gateway.source_choice, camera_gateway.engine_source\n"
        "from camera_gateway.reactor import Reactor\n"
        "from storage.clock import SystemClock\n"
        "camera_gateway.source_choice.Sources.of(Reactor(SystemClock())).new()\n"
        "print(sorted({'av', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_mistake_about_what_the_device_sent_costs_that_device_alone() -> None:
    """An exception that leaves a thread ends the worker, and with it eighty other cameras' recording."""

    class Mistaken(Blocking):
        def units(self) -> Iterator[AccessUnit]:
            yield from self.items
            raise IndexError("index out of range")

    reactor = Reactor(SystemClock())
    hearing = Hearing(reactor)
    source = LibavSource(reactor, new_source=of(Mistaken(units("h264")[:3])))
    source.start(SETTINGS, hearing)
    hearing.until(lambda: hearing.fault is not None)
    assert hearing.fault is not None
    assert hearing.fault.reason is GapReason.NO_MEDIA
    assert "IndexError" in hearing.fault.evidence
    assert len(hearing.units) == 3
    reactor.close()
