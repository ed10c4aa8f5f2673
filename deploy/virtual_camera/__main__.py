"""`python -m deploy.virtual_camera`: run a virtual hall until Ctrl-C. See docs/virtual-camera.md."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import signal
import sys
from pathlib import Path

from deploy.virtual_camera import load
from deploy.virtual_camera.hall import Hall
from deploy.virtual_camera.plan import DevicePlan, demo_hall, from_json
from storage.clock import SystemClock

DEFAULT_BASE_PORT = 18000
DISCOVERY_PORT = 3702


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.virtual_camera", description="Run a virtual hall of cameras."
    )
    parser.add_argument("--cameras", type=int, default=6, help="how many cameras (default 6)")
    parser.add_argument(
        "--base-port",
        type=int,
        default=DEFAULT_BASE_PORT,
        help="control port; camera n: ONVIF at base + n, RTSP at base + 100 + n; 0: free ports (default %(default)s)",
    )
    parser.add_argument("--password", help="the cameras' password (default: made once and kept in the data folder)")
    parser.add_argument("--data", type=Path, default=Path("data/virtual-camera"), help="folder for loops and password")
    parser.add_argument("--plan", type=Path, help="JSON file with the devices, instead of the demo hall")
    parser.add_argument("--discovery-port", type=int, default=DISCOVERY_PORT, help="WS-Discovery port; 0: no discovery")
    parser.add_argument("--json", action="store_true", help="print one JSON line when ready")
    parser.add_argument("--follow-stdin", action="store_true", help="stop when standard input ends")
    parser.add_argument("--fan", type=Path, help="load mode: send this file on /cam001… at the base port")
    return parser.parse_args(arguments)


def kept_password(folder: Path) -> str:
    """The password of the demo's cameras: made at the first start, then the same for ever."""
    path = folder / "password"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8").strip()
    folder.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(9) + "\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


def _plans(options: argparse.Namespace) -> tuple[DevicePlan, ...]:
    if options.plan is not None:
        return from_json(options.plan.read_text(encoding="utf-8"))
    return demo_hall(options.cameras, options.password or kept_password(options.data))


def _announce(hall: Hall, as_json: bool) -> None:
    facts = hall.describe()
    if as_json:
        print(json.dumps(facts, ensure_ascii=False), flush=True)
        return
    for camera in facts["cameras"]:
        password = camera["password"] if sys.stdout.isatty() else "***"  # not into a log
        print(f"{camera['name']}  {camera['onvif_url']}  {camera['username']} / {password}")
    print(f"control: http://127.0.0.1:{facts['control']}/v1/cameras", flush=True)


async def _stdin_ends(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    stop.set()


async def _wait(follow_stdin: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    parent = asyncio.create_task(_stdin_ends(stop)) if follow_stdin else None
    await stop.wait()
    if parent is not None:
        parent.cancel()
        await asyncio.gather(parent, return_exceptions=True)


async def _run(options: argparse.Namespace) -> None:
    if options.fan is not None:
        server = await load.start(options.fan, options.cameras, options.base_port, SystemClock())
        print(json.dumps(server.describe()) if options.json else "\n".join(server.urls()), flush=True)
        await _wait(options.follow_stdin)
        await server.stop()
        return
    discovery = options.discovery_port or None
    hall = Hall(_plans(options), options.base_port, options.data, SystemClock(), discovery_port=discovery)
    await hall.start()
    _announce(hall, options.json)
    await _wait(options.follow_stdin)
    await hall.stop()


def main(arguments: list[str] | None = None) -> None:
    """Run until a signal or, with --follow-stdin, until the parent goes."""
    asyncio.run(_run(_arguments(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    main()
