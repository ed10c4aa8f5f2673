"""The child process that holds the display connection: `python -m screen_capture.grab_child`.

It can be killed by its display server, hang in a driver, or be shot by its parent without harm. It imports little, so
that it stays small. Request: one JSON line on standard input. Reply: `u32 length | JSON | payload` on standard output,
where JSON says how many payload bytes follow. After any error it says why and exits; the parent starts a new one.
"""

from __future__ import annotations

import json
import struct
import sys
from typing import Any, BinaryIO

import mss


def main() -> int:
    """Serve requests until standard input ends."""
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    desktop: mss.MSS | None = None
    for line in requests:
        try:
            request = json.loads(line)
            if desktop is None or request["op"] == "monitors":
                desktop = _opened(desktop)
            _answer(request, desktop, replies)
        except Exception as error:  # noqa: BLE001  # the display library raises anything; the parent must hear of it
            _reply(replies, {"error": f"{type(error).__name__}: {error}"})
            return 1
    return 0


def _opened(before: mss.MSS | None) -> mss.MSS:
    """A new connection, because an old one keeps the monitors that it saw first."""
    if before is not None:
        before.close()
    return mss.MSS()


def _answer(request: dict[str, Any], desktop: mss.MSS, replies: BinaryIO) -> None:
    if request["op"] == "monitors":
        _reply(replies, {"monitors": _monitors(desktop)})
        return
    area = {key: int(request[key]) for key in ("left", "top", "width", "height")}
    shot = desktop.grab(area)
    _reply(replies, {"width": shot.size.width, "height": shot.size.height}, shot.bgra)


def _monitors(desktop: mss.MSS) -> list[dict[str, Any]]:
    """Every output once; the first entry of mss is the whole desktop."""
    keys = ("left", "top", "width", "height")
    found = []
    for number, monitor in enumerate(desktop.monitors[1:], 1):
        name = monitor.get("output") or monitor.get("unique_id") or monitor.get("name") or f"monitor-{number}"
        found.append({"name": str(name), **{key: int(monitor[key]) for key in keys}})
    return found


def _reply(replies: BinaryIO, head: dict[str, Any], payload: bytes | bytearray | memoryview = b"") -> None:
    raw = json.dumps(head | {"payload": len(payload)}).encode()
    replies.write(struct.pack(">I", len(raw)) + raw)
    replies.write(payload)
    replies.flush()


if __name__ == "__main__":
    sys.exit(main())
