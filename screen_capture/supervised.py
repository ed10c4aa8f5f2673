"""A grabber whose display connection lives in a child process: what kills, hangs or confuses it costs one picture."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from screen_capture.container import MAX_PIXELS, check_size
from screen_capture.frames import Frame, GrabFailed, Monitor
from storage.errors import MediaError

log = logging.getLogger(__name__)

MAX_NAME = 60
"""Longest monitor name that is kept; the archive takes 64 characters, and equal names get a number."""
MAX_MONITORS = 16
_MAX_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Reply:
    head: dict[str, Any]
    payload: bytes


class _Child:
    """One child process and the thread that reads its replies."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        self._replies: queue.Queue[_Reply | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="grab-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: dict[str, Any], timeout_s: float) -> _Reply | None:
        """The reply; None when the child died. Raises queue.Empty after `timeout_s`."""
        if self._process.stdin is None:
            return None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            return None
        return self._replies.get(timeout=timeout_s)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # an unsent request is flushed into a dead child
                    pipe.close()

    def _read(self) -> None:
        source = self._process.stdout
        while source is not None:
            reply = _read_reply(source)
            self._replies.put(reply)
            if reply is None:
                return


class SupervisedGrabber:
    """The `Grabber` of a real desktop. A failed or hanging call ends the child; the next call starts a new one."""

    def __init__(
        self, display: str | None = None, timeout_s: float = 5.0, command: Sequence[str] | None = None
    ) -> None:
        """`display`: an X11 display such as ":0" (None: the environment's). `command` replaces the child in tests."""
        self._timeout_s = timeout_s
        self._command = tuple(command or (sys.executable, "-m", "screen_capture.grab_child"))
        self._environment = _environment(display)
        self._child: _Child | None = None

    @property
    def child_pid(self) -> int | None:
        """The process that holds the display connection now."""
        return None if self._child is None else self._child.pid

    def monitors(self) -> list[Monitor]:
        """Each picture area once: mirrored outputs count as one, equal names get a number."""
        reply = self._ask({"op": "monitors"})
        try:
            found = [_monitor(item) for item in reply.head["monitors"][:MAX_MONITORS]]
        except (KeyError, TypeError, ValueError, MediaError) as error:
            self.close()
            raise GrabFailed("grab_failed", f"the display described its monitors badly: {error}") from error
        if not found:
            raise GrabFailed("no_monitor", "the display has no monitor")
        return _named_once(found)

    def grab(self, monitor: Monitor) -> Frame:
        area = {"left": monitor.left, "top": monitor.top, "width": monitor.width, "height": monitor.height}
        reply = self._ask({"op": "grab", **area})
        width, height = reply.head.get("width"), reply.head.get("height")
        if not isinstance(width, int) or not isinstance(height, int) or len(reply.payload) != width * height * 4:
            self.close()
            raise GrabFailed("grab_failed", "the grab's size does not fit its bytes")
        return Frame(width, height, reply.payload)

    def close(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def _ask(self, request: dict[str, Any]) -> _Reply:
        try:
            reply = self._started().ask(request, self._timeout_s)
        except queue.Empty as error:
            self.close()
            raise GrabFailed("grab_hung", f"no picture within {self._timeout_s} s: the grab was ended") from error
        if reply is None:
            self.close()
            raise GrabFailed("no_display", "the display server went away or there is none")
        if "error" in reply.head:
            self.close()
            raise _translated(str(reply.head["error"]))
        return reply

    def _started(self) -> _Child:
        if self._child is None:
            try:
                self._child = _Child(self._command, self._environment)
            except OSError as error:
                raise GrabFailed("grab_failed", f"cannot start the grabbing process: {error}") from error
        return self._child


def _environment(display: str | None) -> dict[str, str]:
    environment = dict(os.environ)
    root = str(Path(__file__).resolve().parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
    if display is not None:
        environment["DISPLAY"] = display
    return environment


def _translated(message: str) -> GrabFailed:
    log.info("grab_child_failed", extra={"fields": {"message": message[:300]}})
    gone = "display" in message.lower() or "connection" in message.lower()
    return GrabFailed("no_display" if gone else "grab_failed", message[:300])


def _monitor(item: dict[str, Any]) -> Monitor:
    check_size(int(item["width"]), int(item["height"]))
    name = "".join(char for char in str(item["name"]) if char.isprintable())[:MAX_NAME]
    return Monitor(name or "monitor", int(item["left"]), int(item["top"]), int(item["width"]), int(item["height"]))


def _named_once(found: list[Monitor]) -> list[Monitor]:
    """Without mirrors, and with names that differ."""
    kept: dict[str, Monitor] = {}
    areas: set[tuple[int, int, int, int]] = set()
    for monitor in found:
        area = (monitor.left, monitor.top, monitor.width, monitor.height)
        if area in areas:
            continue
        areas.add(area)
        name, number = monitor.name, 2
        while name in kept:
            name, number = f"{monitor.name}-{number}", number + 1
        kept[name] = Monitor(name, *area)
    return list(kept.values())


def _read_reply(source: IO[bytes]) -> _Reply | None:
    """The next reply; None at the end of the stream or when what comes is no reply."""
    try:
        size = struct.unpack(">I", _exactly(source, 4))[0]
        if size > _MAX_HEAD:
            return None
        head = json.loads(_exactly(source, size))
        payload = int(head["payload"])
        if not 0 <= payload <= MAX_PIXELS * 4:
            return None
        return _Reply(head, _exactly(source, payload))
    except (EOFError, OSError, ValueError, KeyError, TypeError):
        return None


def _exactly(source: IO[bytes], size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return data
