"""The event loop of an ingest worker: one thread, many cameras, one `epoll`.

asyncio would cost as much again as the work itself (docs/decisions/0080-reactor.md). Everything that lives in a
reactor is called in its thread only; other threads hand work over with `call_threadsafe`.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from storage.clock import Clock

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
_LONGEST_WAIT_S = 1.0
CROWD = 32
REST_S = 0.01
"""With more than `CROWD` descriptors the loop rests this long after each round, so that a round finds many cameras
ready: a wake-up for each picture of each costs a quarter of the loop (0080). It is what a viewer of a large hall waits
longer, on average half of it."""

Callback = Callable[[], None]
Watcher = Callable[[int], None]


@dataclass(order=True, slots=True)
class Timer:
    """A call that is due at `at` (monotonic seconds)."""

    at: float
    number: int
    call: Callback | None = field(compare=False)

    def cancel(self) -> None:
        """It will not be called; harmless afterwards."""
        self.call = None


class Reactor:
    """`run` turns until `stop`; `turn` is one round, which is all that a test with a fake clock needs."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._poll = select.epoll()
        self._watchers: dict[int, Watcher] = {}
        self._fresh: set[int] = set()  # watched since this round's events were fetched: none of those are theirs
        self._timers: list[Timer] = []
        self._numbers = itertools.count()
        self._soon: deque[Callback] = deque()  # appends and pops of a deque are atomic: any thread may append
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake_lock = threading.Lock()  # a thread may outlive the reactor: it must not write to a descriptor's heir
        self._poll.register(self._wake_read, READ)
        self._stopping = False
        self.beat = 0  # rises with each round: a loop that hangs stops beating

    def watch(self, descriptor: int, watcher: Watcher, events: int = READ) -> None:
        """Call `watcher(events)` when the descriptor is ready, hung up or broken."""
        self._poll.register(descriptor, events)
        self._watchers[descriptor] = watcher
        self._fresh.add(descriptor)

    def watch_for(self, descriptor: int, events: int) -> None:
        """From now on wait for these events of a watched descriptor."""
        self._poll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Before the descriptor is closed; harmless when it is not watched."""
        if self._watchers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    @property
    def watching(self) -> int:
        """How many descriptors are watched."""
        return len(self._watchers)

    def call_soon(self, call: Callback) -> None:
        """In the next round."""
        self._soon.append(call)

    def call_threadsafe(self, call: Callback) -> None:
        """In the next round; from any thread."""
        self._soon.append(call)
        self._wake()

    def call_later(self, delay_s: float, call: Callback) -> Timer:
        """After that many seconds."""
        timer = Timer(self.clock.monotonic() + delay_s, next(self._numbers), call)
        heapq.heappush(self._timers, timer)
        return timer

    def run(self) -> None:
        """Turn until stopped. An exception of a callback is a programming error and ends it."""
        while not self._stopping:
            self.turn(_LONGEST_WAIT_S)
            if len(self._watchers) > CROWD:
                self.clock.sleep(REST_S)

    def stop(self) -> None:
        """`run` returns after this round; from any thread."""
        self._stopping = True
        self._wake()

    def close(self) -> None:
        """After `run`: give the descriptors back. `call_threadsafe` does nothing from now on."""
        with self._wake_lock:
            self._poll.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_write = -1

    def turn(self, longest_s: float) -> None:
        """Wait for something to do, at most that long, and do all of it."""
        self.beat += 1
        wait_s = self._wait_s(longest_s)
        ready = self._poll.poll(wait_s)
        self._fresh.clear()
        for descriptor, events in ready:
            watcher = self._watchers.get(descriptor)
            if watcher is None:
                if descriptor == self._wake_read:
                    self._drain()
            elif descriptor not in self._fresh:
                watcher(events)
        self._call_due()
        for _ in range(len(self._soon)):
            self._soon.popleft()()

    def _wait_s(self, longest_s: float) -> float:
        if self._soon:
            return 0.0
        if not self._timers:
            return longest_s
        return min(max(self._timers[0].at - self.clock.monotonic(), 0.0), longest_s)

    def _call_due(self) -> None:
        if not self._timers:
            return
        now = self.clock.monotonic()
        due: list[Timer] = []
        while self._timers and self._timers[0].at <= now:
            due.append(heapq.heappop(self._timers))
        for timer in due:
            if timer.call is not None:
                timer.call()

    def _wake(self) -> None:
        with self._wake_lock:
            if self._wake_write < 0:
                return  # closed: nobody is left to wake
            with contextlib.suppress(BlockingIOError):  # a full pipe wakes it as well
                os.write(self._wake_write, b"\0")

    def _drain(self) -> None:
        try:
            while os.read(self._wake_read, 4096):
                continue
        except BlockingIOError:
            return


def in_thread(reactor: Reactor, name: str) -> threading.Thread:
    """A started thread that runs the reactor."""
    thread = threading.Thread(target=reactor.run, name=name, daemon=True)
    thread.start()
    return thread
