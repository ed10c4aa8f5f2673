"""Kills, and how long it takes until every camera is on the disk again.

"On the disk" is seen from outside: a part file that was not there before the kill holds a whole picture that the source
sent after it. Folders are looked at ten times a second, so times are to 0.1 s and on the long side.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from storage.archive.catalog import Catalog
from storage.clock import US, SystemClock
from tests.bench import frames
from tests.bench.process_tree import command, open_files, tree
from tests.bench.report import Row
from tests.camera_gateway.hall import REPOSITORY, Hall, kill_tree
from tests.peers.power_cut import ShimmedDisk

CLOCK = SystemClock()
_LOOK_EVERY_S = 0.1
_PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class Restarts:
    """What the kills cost."""

    worker_s: float
    own: tuple[UUID, ...]
    """The streams of the worker that was killed."""
    worker_killed_us: int
    gateway_s: float
    from_us: int
    """All cameras were recorded again since then, until everything was killed."""
    killed_us: int
    left: tuple[Path, ...]
    """Files that it was writing then."""
    process: subprocess.Popen[bytes]
    """The gateway that was started after that."""


def workers(gateway: int) -> list[int]:
    """The ingest workers below a supervisor."""
    return [pid for pid in tree(gateway) if "worker" in command(pid)]


def parts(hall: Hall, stream_id: UUID) -> set[Path]:
    """The files of a stream that are being recorded, or wait to be committed."""
    folder = hall.root / "staging" / str(stream_id)
    return set(folder.glob("*.part")) if folder.exists() else set()


def own_streams(hall: Hall, pid: int, streams: Collection[UUID]) -> list[UUID]:
    """The streams that a worker writes now, by its open files."""
    folders = {Path(path).parent for path in open_files(pid) if path.endswith(".part")}
    return [stream_id for stream_id in streams if hall.root / "staging" / str(stream_id) in folders]


def until_recorded(hall: Hall, before: dict[UUID, set[Path]], killed_us: int) -> None:
    """Wait until each of these streams has a new file with a picture that was sent after the kill.

    Raises:
        AssertionError: some have none after 90 s.
    """
    waiting = set(before)
    deadline = CLOCK.monotonic() + _PATIENCE_S
    while waiting:
        assert CLOCK.monotonic() < deadline, f"{len(waiting)} of {len(before)} cameras did not come back"
        CLOCK.sleep(_LOOK_EVERY_S)
        waiting = {key for key in waiting if not _is_back(parts(hall, key) - before[key], killed_us)}


def _is_back(files: Iterable[Path], killed_us: int) -> bool:
    for file in files:
        try:
            mark = frames.first_mark(file)
        except FileNotFoundError:  # finished meanwhile: its name is another one now
            continue
        if mark is not None and mark.sent_us >= killed_us:
            return True
    return False


def kill_and_restart(hall: Hall, streams: Collection[UUID], process: subprocess.Popen[bytes]) -> Restarts:
    """SIGKILL for one worker; when all are back, for the whole tree, which is then started again at once."""
    victim = workers(process.pid)[0]
    own = own_streams(hall, victim, streams)
    before = {key: parts(hall, key) for key in own}
    killed_us, began = CLOCK.now_us(), CLOCK.monotonic()
    os.kill(victim, signal.SIGKILL)
    until_recorded(hall, before, killed_us)
    worker_s = CLOCK.monotonic() - began
    worker_killed_us, from_us = killed_us, CLOCK.now_us()
    CLOCK.sleep(10.0)

    before = {key: parts(hall, key) for key in streams}
    killed_us, began = CLOCK.now_us(), CLOCK.monotonic()
    kill_tree(process)
    left = tuple(path for key in streams for path in parts(hall, key))
    again = hall.start_gateway()
    try:
        until_recorded(hall, before, killed_us)
    except BaseException:
        again.send_signal(signal.SIGTERM)
        again.wait(60)
        raise
    gateway_s = CLOCK.monotonic() - began
    return Restarts(worker_s, tuple(own), worker_killed_us, gateway_s, from_us, killed_us, left, again)


def settle(hall: Hall, left: Iterable[Path], process: subprocess.Popen[bytes]) -> None:
    """Wait until the gateway has taken up the files that a kill left, then stop it in order."""
    try:
        hall.wait(lambda: not any(path.exists() for path in left), 120)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def all_record(hall: Hall, streams: Iterable[UUID], since_us: int = 0) -> bool:
    """Whether each stream has a part file that was written within the last three seconds, and after that time; asks no
    catalog."""
    after_us = max(CLOCK.now_us() - 3 * US, since_us)
    return all(any(_written_us(path) > after_us for path in parts(hall, key)) for key in streams)


def _written_us(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns // 1000
    except FileNotFoundError:
        return 0


def cut_power(hall: Hall, streams: Collection[UUID], work: Path, seconds: float) -> tuple[int, int]:
    """Record for that long on a disk that forgets (tests/peers/power_cut.py), cut the power, start on what is left
    until it is taken up, stop; since when all were recorded, and when the power went, microseconds UTC."""
    hall.catalog.close()
    disk = ShimmedDisk(hall.root, work)
    process = start_gateway(hall, disk.environment())
    try:
        hall.wait(lambda: all_record(hall, streams), 60 + len(streams))
        from_us = CLOCK.now_us()
        CLOCK.sleep(seconds)
    finally:
        killed_us = CLOCK.now_us()
        kill_tree(process)
    disk.cut()
    left = tuple(path for key in streams for path in parts(hall, key))
    hall.catalog = Catalog.open(hall.url, hall.clock)
    settle(hall, left, hall.start_gateway())
    return from_us, killed_us


def start_gateway(hall: Hall, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """As `Hall.start_gateway`, with additions to the environment."""
    with (hall.root.parent / "shimmed.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "camera_gateway.main", "run", "--config", str(hall.settings)],
            cwd=REPOSITORY,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
            start_new_session=True,
        )


def rows(found: Restarts, cameras: int, lost_s: float, lost_with_worker_s: float) -> list[Row]:
    """recorder.restart_s and recorder.lost_s_on_kill."""
    at = f"@{cameras}"
    worker = f"one worker killed ({len(found.own)} cameras): {found.worker_s:.1f} s"
    whole = f"everything killed and started again ({cameras} cameras): {found.gateway_s:.1f} s"
    note = (
        "kill -9 of the whole tree: sent before it and in no file after salvage, the worst camera, at 25 fps; "
        f"of the worker alone: {lost_with_worker_s:.2f} s"
    )
    return [
        Row(f"recorder.restart_s{at}", max(found.worker_s, found.gateway_s), "s", note=f"{worker}; {whole}"),
        Row(f"recorder.restart_worker_s{at}", found.worker_s, "s", note=worker),
        Row(f"recorder.restart_gateway_s{at}", found.gateway_s, "s", note=whole),
        Row("recorder.lost_s_on_kill", lost_s, "s", note=note),
    ]
