"""Calls the device desk: a process of its own for what is heavy and rare (SOAP, decoding a picture).

It starts with the first call and ends after a minute without one, so that a gateway at work carries none of it, and
no import or decode ever holds up the event loop that feeds viewers.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Sequence
from typing import Any

from storage.errors import (
    ConfigurationError,
    DeviceError,
    DeviceFault,
    InvalidInput,
    MediaError,
    SunhallError,
    Unavailable,
)

log = logging.getLogger(__name__)

IDLE_S = 60.0
CALL_S = 60.0
MAX_LINE = 64 << 20
_KINDS: dict[str, type[SunhallError]] = {
    kind.__name__: kind for kind in (ConfigurationError, InvalidInput, MediaError, Unavailable)
}


class DeskClient:
    """One desk at most, shared by all requests. Belongs to one event loop."""

    def __init__(self, command: Sequence[str], idle_s: float = IDLE_S) -> None:
        self._command = list(command)
        self._idle_s = idle_s
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._starting = asyncio.Lock()
        self._number = 0

    async def call(self, name: str, body: bytes) -> dict[str, Any]:
        """The desk's answer.

        Raises:
            SunhallError: what the desk raised. Unavailable: it ended, or took longer than a minute.
        """
        process = await self._ready()
        self._number += 1
        number = self._number
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        line = json.dumps({"n": number, "call": name, "body": base64.b64encode(body).decode()})
        try:
            if process.stdin is not None:
                process.stdin.write(line.encode() + b"\n")
            async with asyncio.timeout(CALL_S):
                return await future
        except TimeoutError as error:
            raise Unavailable("desk_slow", "the device desk did not answer in time") from error
        finally:
            self._waiting.pop(number, None)
            self._rest()

    async def warm(self) -> None:
        """Start the desk, so that a call soon after need not wait for its imports; returns at once."""
        await self._ready()
        self._rest()

    async def stop(self) -> None:
        """End the desk, if it runs."""
        self._leave()
        if self._reading is not None:
            await self._reading

    async def _ready(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._idle is not None:
                self._idle.cancel()
            if self._process is None:
                pipe = asyncio.subprocess.PIPE
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, stdin=pipe, stdout=pipe, limit=MAX_LINE
                )
                self._reading = asyncio.create_task(self._read(self._process))
                log.info("desk_started", extra={"fields": {"pid": self._process.pid}})
            return self._process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        while line := await process.stdout.readline():
            answer = json.loads(line)
            future = self._waiting.get(answer["n"])
            if future is None or future.done():
                continue
            if "error" in answer:
                future.set_exception(_error(answer["error"]))
            else:
                future.set_result(answer["answer"])
        await process.wait()
        if self._process is process:
            self._process = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unavailable("desk_ended", "the device desk ended: try again"))

    def _rest(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if not self._waiting:
            self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._leave)

    def _leave(self) -> None:
        """Closing its input lets the desk end by itself."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()


def _error(told: dict[str, Any]) -> SunhallError:
    fields = told.get("fields", {})
    if told["kind"] == "DeviceError":
        return DeviceError(DeviceFault(told["code"]), told["message"], **fields)
    kind = _KINDS.get(told["kind"], SunhallError)
    return kind(told["code"], told["message"], **fields)
