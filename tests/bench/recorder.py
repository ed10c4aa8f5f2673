"""The recorder beside ffmpeg: the same cameras, the same minute, CPU and memory of each side's whole process tree.

`measure(folder, cameras=20, seconds=60)` returns the rows; `python -m tests.bench.recorder 20 60` prints them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from storage.archive import tables
from storage.clock import SystemClock
from tests.bench.live_source import LiveSource, make_media
from tests.camera_gateway.hall import Hall

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a set of processes used: CPU seconds so far (ended children included) and PSS bytes now."""

    cpu_s: float
    pss_bytes: int
    processes: int


def tree(pid: int) -> list[int]:
    """A process and all its descendants that run now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += children.get(one, [])
    return found


def usage(pids: list[int]) -> Usage:
    """CPU and PSS of these processes; those that ended meanwhile are left out."""
    cpu = pss = count = 0
    for pid in pids:
        fields = _stat(pid)
        if not fields:
            continue
        cpu += sum(int(field) for field in fields[11:15])
        pss += _pss(pid)
        count += 1
    return Usage(cpu / _TICKS, pss, count)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


@dataclass
class FfmpegRecorders:
    """One ffmpeg per camera: RTSP over TCP, stream copy, 60 s fragmented MP4, defaults otherwise."""

    folder: Path
    urls: list[str]

    def __post_init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, url in enumerate(self.urls):
            arguments = ["ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", url, "-c", "copy", "-f", "segment"]
            arguments += ["-segment_time", "60", "-segment_format", "mp4"]
            arguments += ["-segment_format_options", "movflags=frag_keyframe+empty_moov"]
            arguments.append(str(self.folder / f"{number:03d}-%05d.mp4"))
            self._running.append(subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def stop(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(20)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._running]


def measure(folder: Path, *, cameras: int = 20, seconds: int = 60, kbit_s: int = 2000) -> dict[str, float]:
    """Both sides one after the other on the same source.

    Returns `recorder.cpu_ratio@N`, `recorder.memory_ratio@N`, each side's CPU (cores) and PSS (MiB), and the share of
    sent frames that reached committed segments.
    """
    clock = SystemClock()
    source = LiveSource(make_media(folder, kbit_s=kbit_s))
    source.start()
    try:
        urls = [source.url(number) for number in range(cameras)]
        theirs = _measure_ffmpeg(folder / "ffmpeg", urls, seconds, clock)
        ours, frames = _measure_gateway(folder / "hall", urls, seconds, clock)
    finally:
        source.stop()
    name = f"@{cameras}"
    return {
        f"recorder.cpu_ratio{name}": ours[0] / theirs[0],
        f"recorder.memory_ratio{name}": ours[1] / theirs[1],
        f"recorder.cpu_cores{name}": ours[0],
        f"recorder.pss_mib{name}": ours[1],
        f"ffmpeg.cpu_cores{name}": theirs[0],
        f"ffmpeg.pss_mib{name}": theirs[1],
        f"recorder.frames_share{name}": frames,
    }


def _measure_ffmpeg(folder: Path, urls: list[str], seconds: int, clock: SystemClock) -> tuple[float, float]:
    recorders = FfmpegRecorders(folder, urls)
    recorders.start()
    try:
        clock.sleep(15)
        return _sample(recorders.pids, seconds, clock)
    finally:
        recorders.stop()


def _measure_gateway(
    folder: Path, urls: list[str], seconds: int, clock: SystemClock
) -> tuple[tuple[float, float], float]:
    hall = Hall(folder, segment_s=60.0, workers=0, sync_interval_s=2.0)  # the settings' defaults
    streams = [hall.add_camera(url) for url in urls]
    with hall.gateway() as process:
        hall.wait(lambda: len(hall.rows(tables.stream_state, recording="recorded")) == len(urls), 120)
        clock.sleep(15)
        sampled = _sample(tree(process.pid), seconds, clock)
    committed = [hall.segments(stream_id) for stream_id in streams]
    shares = [
        sum(row.frames for row in rows) / ((rows[-1].t1_us - rows[0].t0_us) / 1e6 * 25) for rows in committed if rows
    ]
    hall.close()
    return sampled, sum(shares) / len(urls)


def _sample(pids: list[int], seconds: int, clock: SystemClock) -> tuple[float, float]:
    """(cores used, mean PSS in MiB) over that time."""
    before, started = usage(pids), clock.monotonic()
    memory: list[int] = []
    for _ in _every_five_seconds(seconds, clock):
        memory.append(usage(pids).pss_bytes)
    after, took = usage(pids), clock.monotonic() - started
    return (after.cpu_s - before.cpu_s) / took, sum(memory) / len(memory) / (1 << 20)


def _every_five_seconds(seconds: int, clock: SystemClock) -> Iterator[None]:
    for _ in range(max(1, seconds // 5)):
        clock.sleep(5)
        yield


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="sunhall-bench-") as folder:
        rows = measure(Path(folder), cameras=int(sys.argv[1]), seconds=int(sys.argv[2]))
    for name, value in rows.items():
        print(f"{name} {value:.3f}")


if __name__ == "__main__":
    main()
