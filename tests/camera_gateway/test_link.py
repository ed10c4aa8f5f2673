"""The live link between a worker and the API process: over a deep path, across a restart, and past a stalled reader."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

from camera_gateway.live.client import QUEUE_BYTES, LiveClient
from camera_gateway.live.hub import Hub, Viewer
from camera_gateway.live.link_server import LinkServer
from camera_gateway.tap import LiveFormat, LiveUnit
from storage.clock import SystemClock

STREAM = uuid4()
FORMAT = LiveFormat("avc1.64001F", 640, 360, b"init")


async def until(condition: Callable[[], bool]) -> None:
    """Wait, in a thread of its own, until other threads made it true."""
    clock = SystemClock()

    def poll() -> bool:
        for _ in range(1000):
            if condition():
                return True
            clock.sleep(0.02)
        return False

    assert await asyncio.to_thread(poll), "it did not happen"


class Ends:
    """Both ends of a link; the client's watched sets are kept."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ("deep" * 15) / ("er" * 30) / "live.sock"
        self.watched: list[frozenset[UUID]] = []
        self.changed = threading.Event()
        clock = SystemClock()
        self.client = LiveClient(self.path, clock, list, self._watch, lambda: None)
        self.hub = Hub(clock, lambda watched: self.server.tell_watched(watched))
        self.server = LinkServer(self.path, self.hub)

    def _watch(self, watched: frozenset[UUID]) -> None:
        self.watched.append(watched)
        self.changed.set()

    async def until_watched(self, wanted: frozenset[UUID]) -> None:
        await until(lambda: bool(self.watched) and self.watched[-1] == wanted)


async def test_frames_arrive_over_a_path_longer_than_a_socket_address(tmp_path: Path) -> None:
    ends = Ends(tmp_path)
    await ends.server.start()
    ends.client.start()
    viewer = Viewer()
    ends.hub.subscribe(viewer, 1, STREAM)
    await ends.until_watched(frozenset({STREAM}))
    ends.client.send_format(STREAM, FORMAT)
    for number in range(5):
        ends.client.send_unit(STREAM, LiveUnit(number == 0, number * 3600, 0, 14_400, b"x"))
    async with asyncio.timeout(20):
        kinds = [message[2] for message in [await viewer.next() for _ in range(8)] if isinstance(message, bytes)]
    assert kinds == [0, 1, 1, 1, 1, 1]
    await asyncio.to_thread(ends.client.stop)
    await ends.server.stop()


async def test_a_worker_finds_the_api_again_and_learns_what_is_watched(tmp_path: Path) -> None:
    ends = Ends(tmp_path)
    ends.client.start()  # nobody listens yet
    await asyncio.sleep(0.1)
    await ends.server.start()
    ends.hub.subscribe(Viewer(), 1, STREAM)
    await ends.until_watched(frozenset({STREAM}))
    await ends.server.stop()
    await ends.until_watched(frozenset())
    await ends.server.start()
    await ends.until_watched(frozenset({STREAM}))
    await asyncio.to_thread(ends.client.stop)
    await ends.server.stop()


async def test_a_stalled_api_process_costs_frames_and_no_memory(tmp_path: Path) -> None:
    ends = Ends(tmp_path)
    await ends.server.start()
    ends.client.start()
    viewer = Viewer()
    ends.hub.subscribe(viewer, 1, STREAM)
    await ends.until_watched(frozenset({STREAM}))
    ends.client.send_format(STREAM, FORMAT)
    size = 1 << 20
    for number in range(3 * QUEUE_BYTES // size):  # the loop does not run meanwhile, so nothing is read
        ends.client.send_unit(STREAM, LiveUnit(number == 0, number * 3600, 0, 14_400, bytes(size)))
    assert ends.client._queued <= QUEUE_BYTES + 2 * size
    await until(lambda: not ends.client._queued)
    ends.client.send_unit(STREAM, LiveUnit(True, 10**9, 0, 14_400, b"key"))
    told: list[str] = []
    async with asyncio.timeout(20):
        while not told or '"dropped"' not in told[-1]:
            message = await viewer.next()
            if isinstance(message, str):
                told.append(message)
    assert '"frames":' in told[-1]
    await asyncio.to_thread(ends.client.stop)
    await ends.server.stop()
