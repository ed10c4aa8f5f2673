"""H.265 turned into H.264 on demand: tiles and recorded files, each in a process of its own, few at a time.

A tile's transcoder is one more viewer of its stream, with the byte budget of any viewer: when it cannot keep up it
skips to the next key frame. What it makes is a derived stream of the hub. Whatever happens to it, a decoder that gives
up, a process that is killed or hangs, costs that tile its picture and nothing else, and the tile says why.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from camera_gateway.live import wire
from camera_gateway.live.hub import Hub, Viewer
from camera_gateway.settings import TranscodeSettings
from storage.clock import Clock
from storage.errors import InvalidInput, MediaError, NotFound, Unavailable
from storage.model import LiveState

log = logging.getLogger(__name__)

BUSY, FAILED, HUNG = "transcoder_busy", "transcoder_failed", "transcoder_hung"
UNDECODABLE = "transcode_undecodable"
HANG_S = 12.0
"""A transcoder that has had something to do for so long and made nothing hangs, and is killed."""
SLOT_S = 5.0
"""A recorded file waits so long for its turn before the caller is asked to come back."""
STALL_S = 30.0
"""A caller that takes nothing for so long, a laptop that was closed, loses its turn: its file ends early."""

_PIECE = 64 << 10
_PAUSES_S = (2.0, 5.0, 15.0, 30.0)
_UNDECODABLE_STATUS = 3
_DERIVED = 0x5A5A << 48
"""What a derived stream's id differs by from its source's: made, never stored."""


def derived_id(stream_id: UUID) -> UUID:
    """The id of the stream that is derived from this one, inside this process only."""
    return UUID(int=stream_id.int ^ _DERIVED)


class Transcodes:
    """All transcoders of the gateway. Belongs to the event loop."""

    def __init__(self, hub: Hub, command: Sequence[str], settings: TranscodeSettings, clock: Clock) -> None:
        """`command` starts a transcoder when its mode is added to it."""
        self._hub = hub
        self._command = list(command)
        self._settings = settings
        self._clock = clock
        self._slots = asyncio.Semaphore(settings.at_once)
        self._tiles: dict[UUID, _Tile] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        hub.on_idle = self._idle

    def tile(self, stream_id: UUID) -> UUID:
        """The derived stream of a stream; its transcoder starts now unless it runs. Subscribe at once.

        Raises:
            NotFound: `transcode_off`: the settings allow none.
        """
        if not self._settings.at_once:
            raise NotFound("transcode_off", "transcode.at_once is 0")
        derived = derived_id(stream_id)
        if derived not in self._tiles:
            self._hub.derive(derived, stream_id)
            tile = self._tiles[derived] = _Tile(self, self._hub, derived, stream_id, self._clock)
            task = asyncio.create_task(self._run(tile))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return derived

    async def convert(self, pieces: Iterator[bytes]) -> AsyncGenerator[bytes]:
        """A recorded file as H.264, piece by piece; `pieces` block and are taken in threads.

        Raises:
            NotFound: `transcode_off`. Unavailable: `transcoder_busy`, or the source's own. InvalidInput: the file
            cannot be transcoded; after the first piece the answer just ends early.
        """
        if not self._settings.at_once:
            raise NotFound("transcode_off", "transcode.at_once is 0")
        try:
            async with asyncio.timeout(SLOT_S):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Unavailable(BUSY, "all transcoders are at work: try again") from error
        turn = _Turn(self._slots)
        try:
            async with self.process("clip") as process, aclosing(_filtered(process, pieces)) as made:
                async for piece in made:
                    stalled = asyncio.get_running_loop().call_later(STALL_S, turn.lose, process)
                    try:
                        yield piece
                    finally:
                        stalled.cancel()
        finally:
            turn.end()

    async def stop(self) -> None:
        """End all transcoders and wait."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @asynccontextmanager
    async def process(self, mode: str) -> AsyncIterator[Process]:
        """A running transcoder; it is gone when the block ends. Raises Unavailable: none can be started."""
        # Writing asks for the buffer of a pipe, not for more: what waits belongs into the viewer's budget.
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, mode, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
            )
        except OSError as error:  # no memory, no processes left
            raise Unavailable(FAILED, "no transcoder can be started") from error
        self._hub.transcoders += 1
        log.info("transcoder_started", extra={"fields": {"pid": process.pid, "mode": mode}})
        try:
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()
            if process.returncode is None:
                process.kill()
            try:
                await process.wait()
            finally:  # a request whose browser has left is cancelled at this wait again
                self._hub.transcoders -= 1

    @asynccontextmanager
    async def slot(self, waiting: Callable[[], None]) -> AsyncIterator[None]:
        """A turn among the transcoders; `waiting` is called when it does not come at once."""
        if self._slots.locked():
            waiting()
        async with self._slots:
            yield

    def linger(self) -> float:
        """Seconds that a tile's transcoder stays without viewers."""
        return self._settings.linger_s

    async def _run(self, tile: _Tile) -> None:
        try:
            await tile.run()
        finally:
            del self._tiles[tile.derived]
            self._hub.end_derived(tile.derived)

    def _idle(self, derived: UUID) -> None:
        tile = self._tiles.get(derived)
        if tile is not None:
            tile.unwatched.set()


class _Turn:
    """A slot that is held, given back once."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots: asyncio.Semaphore | None = slots

    def lose(self, process: Process) -> None:
        """Its process is in others' way."""
        if process.returncode is None:
            process.kill()
        log.warning("transcode_not_taken", extra={"fields": {"pid": process.pid}})
        self.end()

    def end(self) -> None:
        """Give the slot back, unless that is done."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.release()


class _Tile:
    """The transcoder of one stream, started again after faults as long as somebody watches."""

    def __init__(self, all_of_them: Transcodes, hub: Hub, derived: UUID, source: UUID, clock: Clock) -> None:
        self._transcodes = all_of_them
        self._hub = hub
        self._source = source
        self._clock = clock
        self.derived = derived
        self.unwatched = asyncio.Event()
        self._unanswered: float | None = None  # since when something was written and nothing came back
        self._worked = False

    async def run(self) -> None:
        """Until nobody watches any more."""
        failures = 0
        while True:
            async with self._transcodes.slot(lambda: self._pause(LiveState.UNSUPPORTED, BUSY)):
                self._pause(LiveState.CONNECTING, "")
                fault = await self._try_once()
            if fault is None:
                if self._hub.watches_derived(self.derived):  # somebody came while it ended
                    continue
                return
            failures = 1 if self._worked else failures + 1
            log.warning("transcoder_ended", extra={"fields": {"stream": self._source, "cause": fault}})
            self._pause(LiveState.OFFLINE, fault)
            await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S)) - 1])
            if not self._hub.watches_derived(self.derived):
                return

    async def _try_once(self) -> str | None:
        try:
            return await self._run_once()
        except Unavailable as error:
            return error.code

    async def _run_once(self) -> str | None:
        """One process, from its start to its end; the fault that ended it, or None when nobody watched any more."""
        viewer = Viewer()
        self._unanswered, self._worked = None, False
        async with self._transcodes.process("live") as process:
            self._hub.subscribe(viewer, 0, self._source)
            parts: list[Coroutine[Any, Any, str | None]] = [
                self._feed(viewer, process),
                self._read(process),
                self._watch(),
                self._leave_when_unwatched(),
            ]
            tasks = [asyncio.create_task(part) for part in parts]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                return next(iter(done)).result()
            finally:
                self._hub.leave(viewer)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self, viewer: Viewer, process: Process) -> str | None:
        stdin = process.stdin
        while stdin is not None:
            message = await viewer.next()
            if isinstance(message, str):
                continue
            kind = wire.Kind.INIT if message[2] == 0 else wire.Kind.FRAGMENT
            if self._unanswered is None and kind is wire.Kind.FRAGMENT:
                self._unanswered = self._clock.monotonic()
            try:
                stdin.write(wire.pack(kind, message[4:]))
                await stdin.drain()
            except ConnectionError:
                return await _why(process)
        return FAILED

    async def _read(self, process: Process) -> str | None:
        reader = wire.MessageReader(self._take)
        while process.stdout is not None and (data := await process.stdout.read(_PIECE)):
            try:
                reader.feed(data)
            except MediaError:
                return FAILED
        return await _why(process)

    def _take(self, kind: int, body: memoryview) -> None:
        self._unanswered, self._worked = None, True
        if kind == wire.Kind.FORMAT:
            self._hub.take_format(self.derived, wire.unpack_format(bytes(body))[1])
        elif kind == wire.Kind.UNIT:
            _, key, time, offset, duration, data = wire.split_unit(body)
            self._hub.take_frame(self.derived.bytes, key, time, offset, duration, data)

    async def _watch(self) -> str | None:
        while True:
            await asyncio.sleep(1.0)
            since = self._unanswered
            if since is not None and self._clock.monotonic() - since > HANG_S:
                return HUNG

    async def _leave_when_unwatched(self) -> str | None:
        while True:
            await self.unwatched.wait()
            self.unwatched.clear()
            await asyncio.sleep(self._transcodes.linger())
            if not self._hub.watches_derived(self.derived):
                return None

    def _pause(self, live: LiveState, cause: str) -> None:
        self._hub.pause_derived(self.derived, live, cause)


async def _filtered(process: Process, pieces: Iterator[bytes]) -> AsyncGenerator[bytes]:
    """What a transcoder makes of `pieces`."""
    if process.stdin is None or process.stdout is None:
        return
    feeding = asyncio.create_task(_pour(pieces, process.stdin))
    made = 0
    try:
        while True:
            async with asyncio.timeout(HANG_S):
                piece = await process.stdout.read(_PIECE)
            if not piece:
                break
            made += len(piece)
            yield piece
        await feeding
        if await process.wait() and not made:
            raise InvalidInput(UNDECODABLE, "the recording cannot be transcoded")
    except TimeoutError as error:
        raise Unavailable(HUNG, "the transcoder made nothing for too long") from error
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def _pour(pieces: Iterator[bytes], stdin: asyncio.StreamWriter) -> None:
    try:
        while piece := await run_in_threadpool(next, pieces, b""):
            stdin.write(piece)
            await stdin.drain()
    except ConnectionError:
        return  # it ended; its status says why
    finally:
        stdin.close()


async def _why(process: Process) -> str:
    return UNDECODABLE if await process.wait() == _UNDECODABLE_STATUS else FAILED
