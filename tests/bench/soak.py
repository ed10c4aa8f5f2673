"""`make soak`: many cameras, random faults, a quota; at the end every second must be accounted for.

The gateway runs as in a hall, retention and a reader of every new file beside it. Until half time processes are killed
and stopped too; in the second half only cameras and the disk make trouble, so that memory can be seen to stay flat.
Exit status 1 when anything is unaccounted for. What each row means: docs/measurements.md.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from storage.archive import tables
from storage.archive.objects import DiskStore
from storage.archive.retention import Retention
from storage.clock import US, SystemClock
from tests.bench import faults, frames, live_source
from tests.bench.accounting import SLACK_US, Found, partition, unexplained
from tests.bench.live_source import LiveSource
from tests.bench.process_tree import MIB, command, pss_bytes, tree
from tests.bench.report import Row, write
from tests.camera_gateway.hall import REPOSITORY, Hall

CLOCK = SystemClock()
DISK_GB = 20.0
QUOTA_SHARE = 0.6
"""Of the disk for committed files; the rest is files being recorded, deletions under way, and air."""
QUIET_S = (4.0, 12.0)
"""Between two faults."""
BACK_S = 120.0
"""A hall that is not whole again after that has failed."""
HANG_S = 60.0
YOUNG_S = 60.0
"""A process is not judged by its memory before this age."""


@dataclass
class Gateway:
    """The gateway's process tree, started again when it is killed."""

    hall: Hall
    process: subprocess.Popen[bytes]

    def pids(self) -> list[int]:
        """All of its processes."""
        return tree(self.process.pid)

    def named(self, name: str) -> list[int]:
        """Its children of one kind: worker or api."""
        return [pid for pid in self.pids() if name in command(pid)]

    def start_again(self) -> None:
        """After a kill of the supervisor."""
        self.process.wait(20)
        self.process = self.hall.start_gateway()


@dataclass
class Observer:
    """Beside the hall: applies the quota, reads each new file once, notes memory. Runs in a thread of its own."""

    hall: Hall
    gateway: Gateway
    streams: list[UUID]
    found: dict[UUID, Found] = field(default_factory=dict)
    memory: dict[tuple[str, int], list[tuple[float, float]]] = field(default_factory=dict)
    total: list[float] = field(default_factory=list)
    most_bytes: int = 0
    removed_bytes: int = 0
    fault: Exception | None = None
    _seen: set[UUID] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.found = {stream_id: Found(camera) for camera, stream_id in enumerate(self.streams, 1)}
        self._keeper = Retention(self.hall.catalog, {"disk": DiskStore(self.hall.root / "objects")}, CLOCK)
        self._thread = threading.Thread(target=self._run, name="observer")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop, and look a last time. Harmless when it was not started, or was stopped before."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.fault is None:
            self.read_new()

    def _run(self) -> None:
        try:
            while not CLOCK.wait(self._stop, 5.0):
                self.read_new()  # before the quota is applied: a file is read before it can go
                self.removed_bytes += self._keeper.run_once().removed_bytes
                self._weigh()
        except Exception as error:  # noqa: BLE001 - told to the main thread, which ends the soak with it
            self.fault = error

    def read_new(self) -> None:
        """Take the marks of each committed file that was not seen before."""
        rows = [row for row in self.hall.rows(tables.segment) if row.id not in self._seen]
        for row in sorted(rows, key=lambda row: row.t0_us):
            self.found[row.stream_id].take(frames.marks(self.hall.object_path(row.id)))
            self._seen.add(row.id)

    def _weigh(self) -> None:
        now, total = CLOCK.monotonic(), 0.0
        for pid in self.gateway.pids():
            role = next((name for name in ("worker", "api", "desk") if name in command(pid)), "supervisor")
            mib = pss_bytes(pid) / MIB
            total += mib
            self.memory.setdefault((role, pid), []).append((now, mib))
        self.total.append(total)
        used = sum(file.stat().st_blocks * 512 for file in _files(self.hall.root))
        self.most_bytes = max(self.most_bytes, used)


def _files(root: Path) -> Iterator[Path]:
    """The files below a folder that others change meanwhile."""
    for folder, _names, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            with suppress(FileNotFoundError):
                path.stat()
                yield path


# --- faults ---------------------------------------------------------------------------------------------------------
@dataclass
class Trouble:
    """What may happen. Each method returns when the fault itself is over."""

    source: LiveSource
    gateway: Gateway
    filler: Path
    reserve_bytes: int
    random: random.Random

    def kinds(self, *, kills: bool) -> dict[str, Callable[[], object]]:
        """The faults to choose from."""
        outside: dict[str, Callable[[], object]] = {
            "cameras offline": lambda: self._for_a_while("offline", "online"),
            "cameras silent": lambda: self._for_a_while("silent", "loud"),
            "connections cut": lambda: self.source.order("cut", self._some()),
            "all cameras reboot": self._reboot,
            "disk full": self._fill,
        }
        inside: dict[str, Callable[[], object]] = {
            "kill worker": lambda: self._kill("worker"),
            "kill api": lambda: self._kill("api"),
            "kill supervisor": self._kill_supervisor,
            "worker hangs": self._hang,
        }
        return outside | (inside if kills else {})

    def _some(self) -> list[int]:
        count = self.random.randint(1, max(1, self.source.cameras // 4))
        return self.random.sample(range(1, self.source.cameras + 1), count)

    def _for_a_while(self, begin: str, end: str) -> None:
        cameras = self._some()
        self.source.order(begin, cameras)
        CLOCK.sleep(self.random.uniform(3, 20))
        self.source.order(end, cameras)

    def _reboot(self) -> None:
        seconds = self.random.uniform(3, 15)
        self.source.order("reboot", seconds=seconds)
        CLOCK.sleep(seconds)

    def _fill(self) -> None:
        """Take what lies above the reserve, by a file with real blocks, for a while."""
        size = shutil.disk_usage(self.filler.parent).free - self.reserve_bytes + (64 << 20)
        with self.filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, size))
        try:
            CLOCK.sleep(self.random.uniform(5, 15))
        finally:
            self.filler.unlink()

    def _kill(self, name: str) -> None:
        pids = self.gateway.named(name)
        if pids:
            os.kill(self.random.choice(pids), signal.SIGKILL)

    def _kill_supervisor(self) -> None:
        self.gateway.process.kill()
        self.gateway.start_again()

    def _hang(self) -> None:
        """Stop a worker; whoever notices may kill it, else it goes on after a while."""
        pid = self.random.choice(self.gateway.named("worker") or [0])
        if not pid:
            return
        os.kill(pid, signal.SIGSTOP)
        until = CLOCK.monotonic() + HANG_S
        while CLOCK.monotonic() < until and pid in self.gateway.pids() and command(pid):
            CLOCK.sleep(0.5)
        if command(pid):
            os.kill(pid, signal.SIGCONT)


def wait_until_whole(hall: Hall, streams: list[UUID], observer: Observer) -> float:
    """Seconds until all streams are recorded, seen twice a second apart; at least three, so that nothing counts that a
    killed process wrote last.

    Raises:
        AssertionError: it takes too long.
    """
    began, seen, since_us = CLOCK.monotonic(), 0, CLOCK.now_us() + 2 * US
    while seen < 2:
        if observer.fault is not None:
            raise observer.fault
        waited = CLOCK.monotonic() - began
        assert waited < BACK_S, f"not all streams are recorded {BACK_S:.0f} s after the fault"
        CLOCK.sleep(1.0)
        seen = seen + 1 if faults.all_record(hall, streams, since_us) else 0
    return CLOCK.monotonic() - began


# --- the soak -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    cameras: int
    minutes: float
    seed: int
    disk_gb: float


@contextmanager
def running(plan: Plan, folder: Path) -> Iterator[tuple[Hall, LiveSource, Observer, Trouble]]:
    """A recording hall with its observer; at the end the gateway is stopped in order and all files are read."""
    limit = int(plan.disk_gb * 1e9)
    free = shutil.disk_usage(folder).free
    if free < limit + (8 << 30):
        raise SystemExit(f"{limit / 1e9:.0f} GB and 8 GB of air are needed in {folder}, {free / 1e9:.0f} GB are free")
    reserve = free - limit
    media = live_source.make_media(folder)
    with live_source.running(media, plan.cameras, folder) as source:
        hall = Hall(folder / "hall", 60.0, 0, reserve // (1 << 20), 2.0)
        live_source.use_default_timeout(hall)
        hall.change(tables.hall, hall.hall_id, quota_bytes=int(limit * QUOTA_SHARE))
        streams = [hall.add_camera(url) for url in source.urls]
        gateway = Gateway(hall, hall.start_gateway())
        observer = Observer(hall, gateway, streams)
        try:
            hall.wait(lambda: faults.all_record(hall, streams), 60 + plan.cameras)
            observer.start()
            yield hall, source, observer, Trouble(source, gateway, folder / "filler", reserve, random.Random(plan.seed))
        finally:
            gateway.process.send_signal(signal.SIGTERM)
            gateway.process.wait(60)
            observer.stop()
            hall.close()


def make_trouble(plan: Plan, hall: Hall, observer: Observer, trouble: Trouble) -> dict[str, list[float]]:
    """Faults until the time is up; for each kind how long the hall took to be whole again after each."""
    took: dict[str, list[float]] = {}
    began = CLOCK.monotonic()
    while (elapsed := CLOCK.monotonic() - began) < plan.minutes * 60:
        CLOCK.sleep(trouble.random.uniform(*QUIET_S))
        name, happen = trouble.random.choice(sorted(trouble.kinds(kills=elapsed < plan.minutes * 30).items()))
        print(f"{elapsed:7.1f} s  {name}", end="", flush=True)
        happen()
        seconds = wait_until_whole(hall, observer.streams, observer)
        took.setdefault(name, []).append(seconds)
        print(f"  whole after {seconds:.0f} s, {observer.total[-1] if observer.total else 0:.0f} MiB", flush=True)
    return took


@dataclass(frozen=True, slots=True)
class Account:
    """All streams together."""

    holes: int
    hole_s: float
    overlaps: int
    overlap_s: float
    sent: int
    kept: int
    doubled: int
    strange: int
    silent: int


def account(hall: Hall, source: LiveSource, observer: Observer, to_us: int) -> Account:
    """Rows against rows, and pictures against rows."""
    journal = source.journal()
    holes: list[int] = []
    overlaps: list[int] = []
    sent = kept = doubled = strange = silent = 0
    worst: list[str] = []
    for camera, stream_id in enumerate(observer.streams, 1):
        gaps = [(row.t0_us, row.t1_us or to_us) for row in hall.rows(tables.gap, stream_id=stream_id)]
        spans = [(row.t0_us, row.t1_us) for row in hall.segments(stream_id)] + gaps
        spans += [(row.t0_us, row.t1_us) for row in hall.rows(tables.removed, stream_id=stream_id)]
        laid = partition(spans, min((start for start, _ in spans), default=0), to_us)
        holes += [end - start for start, end in laid.holes]
        overlaps += [end - start for start, end in laid.overlaps]
        found = observer.found[stream_id]
        expected = journal.frames(camera, 0, to_us)
        quiet = unexplained(journal, camera, found.missing(expected), gaps, SLACK_US)
        sent, kept = sent + sum(map(len, expected)), kept + found.count
        doubled, strange, silent = doubled + found.doubled(), strange + found.strange, silent + len(quiet)
        if quiet or laid.holes or laid.overlaps:
            worst.append(
                f"cam{camera:03d} {stream_id}: holes {laid.holes[:3]} overlaps {laid.overlaps[:3]} silent {quiet[:5]}"
            )
    for line in worst[:20]:
        print(line)
    return Account(len(holes), sum(holes) / US, len(overlaps), sum(overlaps) / US, sent, kept, doubled, strange, silent)


def verify(hall: Hall) -> subprocess.CompletedProcess[str]:
    """`sunhall-console verify --level hash` on the archive."""
    settings = hall.root / "console.toml"
    settings.write_text(f'data = "{hall.root}"\n', encoding="utf-8")
    arguments = [sys.executable, "-m", "console.main", "verify", "--config", str(settings), "--level", "hash"]
    return subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def slope(points: list[tuple[float, float]]) -> float:
    """MiB an hour by least squares."""
    times, values = [t for t, _ in points], [mib for _, mib in points]
    return statistics.linear_regression(times, values).slope * 3600


def memory_rows(observer: Observer) -> list[Row]:
    """soak.memory_slope of each kind of process, and the total."""
    rows: list[Row] = []
    if len(observer.total) > 1:
        middle = len(observer.total) // 2
        late = statistics.fmean(observer.total[middle:])
        rows.append(Row("soak.memory_mib", late, "MiB PSS", note=f"second half; at most {max(observer.total):.0f}"))
    for role in sorted({role for role, _ in observer.memory}):
        grown: list[tuple[float, float]] = []  # seconds watched, slope
        for (name, _pid), points in observer.memory.items():
            old = [point for point in points if point[0] - points[0][0] > YOUNG_S]
            if name == role and len(old) >= 12:
                grown.append((old[-1][0] - old[0][0], slope(old)))
        if grown:
            watched, steepest = max(grown)
            note = f"the process of this kind that was watched longest: {watched:.0f} s after its first {YOUNG_S:.0f} s"
            rows.append(Row(f"soak.memory_slope_{role}", steepest, "MiB/h", note=note))
    return rows


def rows_of(plan: Plan, took: dict[str, list[float]], found: Account, observer: Observer, sound: int) -> list[Row]:
    """The table."""
    about = f"{plan.cameras} cameras, {plan.minutes:g} minutes, seed {plan.seed}"
    rows = [
        Row("soak.faults", sum(map(len, took.values())), "", note=about),
        Row("soak.holes", found.holes, "", note=f"{found.hole_s:.3f} s in no row"),
        Row("soak.overlaps", found.overlaps, "", note=f"{found.overlap_s:.3f} s in two rows"),
        Row("soak.silent_frames", found.silent, "", note=f"of {found.sent} sent: in no file and in no gap"),
        Row("soak.doubled_frames", found.doubled, "", note=f"of {found.kept} kept"),
        Row("soak.strange_samples", found.strange, "", note="without the camera's mark"),
        Row(
            "soak.kept_share",
            found.kept / max(1, found.sent),
            "",
            note="the rest was lost to faults, with a gap that says so",
        ),
        Row("soak.verify", sound, "", note="exit status of verify --level hash"),
        Row(
            "soak.disk_gb",
            observer.most_bytes / 1e9,
            "GB",
            note=f"most at once, of {plan.disk_gb:g}; removed by quota {observer.removed_bytes / 1e9:.1f} GB",
        ),
    ]
    for name, seconds in sorted(took.items()):
        note = f"{len(seconds)} times, median {statistics.median(seconds):.1f}"
        rows.append(Row(f"soak.whole_again_s.{name.replace(' ', '_')}", max(seconds), "s", note=note))
    return rows + memory_rows(observer)


def main() -> int:
    """Exit status 1 when something is missing or unexplained."""
    parser = argparse.ArgumentParser(description="Soak the recorder.")
    parser.add_argument("--cameras", type=int, default=177)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--disk-gb", type=float, default=DISK_GB, help="what the soak may use")
    parser.add_argument("--keep", action="store_true", help="leave the hall's folder for a look at it")
    options = parser.parse_args()
    plan = Plan(options.cameras, options.minutes, options.seed, options.disk_gb)
    folder = Path(tempfile.mkdtemp(prefix="sunhall-soak-"))
    try:
        return soak(plan, folder)
    finally:
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)


def soak(plan: Plan, folder: Path) -> int:
    """Run it in this folder, write the rows, and say whether all is well."""
    with running(plan, folder) as (hall, source, observer, trouble):
        took = make_trouble(plan, hall, observer, trouble)
        trouble.gateway.process.send_signal(signal.SIGTERM)
        trouble.gateway.process.wait(60)
        to_us = CLOCK.now_us()
        observer.stop()
        found = account(hall, source, observer, to_us)
    checked = verify(hall)
    rows = rows_of(plan, took, found, observer, checked.returncode)
    write("soak" if plan.cameras >= 177 and plan.minutes >= 30 else "soak-partial", rows)
    if checked.returncode:
        print(checked.stdout[-2000:] + checked.stderr[-2000:])
    wrong = found.holes + found.overlaps + found.silent + found.doubled + found.strange + abs(checked.returncode)
    return 1 if wrong or observer.fault is not None else 0


if __name__ == "__main__":
    raise SystemExit(main())
