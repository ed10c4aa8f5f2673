"""`make bench NAME=recorder`: the recorder beside ffmpeg (and ZoneMinder) on the same cameras, and what kills cost.

Options: `--cameras 20,60,177 --seconds 120`; with others than the default the rows go to recorder-partial.json.
How each row is measured: docs/measurements.md.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from deploy.virtual_camera.marks import Mark
from storage.archive import tables
from storage.clock import US, SystemClock
from tests.bench import faults, frames, live_source, viewers, zoneminder
from tests.bench.accounting import SLACK_US, unexplained
from tests.bench.ffmpeg_recorders import FfmpegRecorders
from tests.bench.live_source import FPS, LiveSource
from tests.bench.process_tree import Steady, steady, tree
from tests.bench.report import Row, write
from tests.camera_gateway.hall import Hall

SIZES = (20, 60, 177)
SECONDS = 120
SETTLE_S = 15.0
CUT_AFTER_S = (30.0, 10.7, 11.4)
ZONEMINDER_AT = 20
CLOCK = SystemClock()
_PEER_SEGMENTS = 2  # files that each peer keeps while it runs
_EDGE_US = 3 * US  # the last pictures before the end are on their way: not part of the window


@dataclass(frozen=True, slots=True)
class Side:
    """One recorder over the steady time."""

    used: Steady
    pause_ms: float
    """The longest that the source let a camera wait for its next picture: 40 when it kept time."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The source's pictures of the steady window against the files."""

    sent: int
    missing: int
    silent: int
    """Of the missing, those at whose time no gap is told."""
    doubled: int
    reordered: int
    unmarked: int

    @property
    def wrong(self) -> int:
        """Pictures that are not in the files exactly once and in order."""
        return self.missing + self.doubled + self.reordered + self.unmarked


@dataclass
class Bench:
    """What all parts of a run share."""

    folder: Path
    media: Path
    cameras: int
    seconds: int

    def demand_space(self) -> None:
        """Refuse to begin what the disk cannot hold.

        Raises:
            SystemExit: with what is needed and what is there.
        """
        rate = live_source.bytes_per_second(self.media) * self.cameras
        ours = rate * (self.seconds + 2 * SETTLE_S + 60)  # with the restarts after the steady time
        theirs = rate * 60 * (_PEER_SEGMENTS + 1)
        needed, free = max(ours, theirs) + (4 << 30), shutil.disk_usage(self.folder).free
        if free < needed:
            raise SystemExit(
                f"{self.cameras} cameras x {self.seconds} s need {needed / 1e9:.0f} GB of disk in {self.folder}, "
                f"{free / 1e9:.0f} GB are free: set TMPDIR to a larger volume, or CAMERAS and SECONDS to less"
            )

    def hall(self, name: str, urls: Sequence[str]) -> tuple[Hall, list[UUID]]:
        """A data folder with these cameras and the settings' defaults."""
        hall = Hall(self.folder / name, segment_s=60.0, workers=0, sync_interval_s=2.0)
        live_source.use_default_timeout(hall)
        return hall, [hall.add_camera(url) for url in urls]


def recorded(hall: Hall, count: int) -> bool:
    """Whether so many streams are being recorded."""
    return len(hall.rows(tables.stream_state, recording="recorded")) >= count


def marks_of(hall: Hall, stream_id: UUID) -> list[Mark | None]:
    """The marks in the committed files of a stream, in the order of time."""
    return [mark for row in hall.segments(stream_id) for mark in frames.marks(hall.object_path(row.id))]


# --- peers ----------------------------------------------------------------------------------------------------------
def measure_ffmpeg(bench: Bench, source: LiveSource) -> Side:
    """One ffmpeg per camera."""
    peer = FfmpegRecorders(bench.folder / "ffmpeg", source.urls, _PEER_SEGMENTS)
    peer.start()
    try:
        _wait(peer.all_write, 60 + bench.cameras, peer.trim)
        _wait_quietly(SETTLE_S, peer.trim)
        from_us = CLOCK.now_us()
        used = steady(lambda: peer.pids, [source.pid], bench.seconds, CLOCK, peer.trim)
        return Side(used, source.journal().longest_pause_us(from_us, CLOCK.now_us()) / 1000)
    finally:
        peer.stop()
        shutil.rmtree(peer.folder)


# --- ours -----------------------------------------------------------------------------------------------------------
@dataclass
class Gateway:
    """Our side of one size: the figures that come out of one hall."""

    side: Side
    kept: Kept
    lag_p99_ms: list[float]
    restarts: list[Row]


def measure_gateway(bench: Bench, source: LiveSource, *, kills: bool) -> Gateway:
    """Record for the steady time; with `kills` then kill a worker, and everything; at the end read the files."""
    hall, streams = bench.hall("hall", source.urls)
    lags: list[float] = []
    try:
        with hall.gateway() as process:
            hall.wait(lambda: recorded(hall, bench.cameras), 60 + bench.cameras)
            _wait_quietly(SETTLE_S, lambda: None)
            from_us = CLOCK.now_us()
            used = steady(
                lambda: tree(process.pid), [source.pid], bench.seconds, CLOCK, lambda: lags.extend(loop_lags(hall))
            )
            to_us = CLOCK.now_us()
            side = Side(used, source.journal().longest_pause_us(from_us, to_us) / 1000)
            _wait_quietly(_EDGE_US / US + 2.0, lambda: None)
            restarts = faults.kill_and_restart(hall, streams, process) if kills else None
        if restarts is not None:
            faults.settle(hall, restarts.left, restarts.process)
        kept = compare(source, hall, streams, from_us, to_us)
        rows = _restart_rows(source, hall, streams, restarts) if restarts is not None else []
    finally:
        hall.close()
        shutil.rmtree(hall.root)
    return Gateway(side, kept, lags, rows)


def measure_power_cut(bench: Bench, source: LiveSource) -> list[Row]:
    """recorder.lost_s_on_power_cut: what was not synced is taken away from the killed gateway's files."""
    hall, streams = bench.hall("cut", source.urls)
    lost: list[float] = []
    try:
        for number, seconds in enumerate(CUT_AFTER_S):
            work = bench.folder / f"forgetful-{number}"
            from_us, killed_us = faults.cut_power(hall, streams, work, seconds)
            lost.append(_lost_s(source, hall, dict(enumerate(streams, 1)), from_us, killed_us))
            shutil.rmtree(work)
    finally:
        hall.close()
        shutil.rmtree(hall.root)
    each = ", ".join(f"{one:.2f}" for one in lost)
    note = f"{bench.cameras} cameras, sync_interval_s 2; worst camera of each of {len(lost)} cuts: {each}"
    return [Row("recorder.lost_s_on_power_cut", max(lost), "s", note=note)]


def compare(source: LiveSource, hall: Hall, streams: Sequence[UUID], from_us: int, to_us: int) -> Kept:
    """Every picture that the source sent in this window, against the committed files."""
    journal = source.journal()
    sent = missing = silent = doubled = reordered = unmarked = 0
    for camera, stream_id in enumerate(streams, 1):
        expected = journal.frames(camera, from_us, to_us)
        # By number: a picture's own stamp is older than its journal entry, so at the window's ends they may disagree.
        first, end = (expected[0].start, expected[-1].stop) if expected else (0, 0)
        found = [mark for mark in marks_of(hall, stream_id) if mark is None or first <= mark.frame < end]
        wrong = sum(mark is not None and mark.camera != camera for mark in found)
        difference = frames.compare(expected, found)
        sent += sum(map(len, expected))
        missing += len(difference.missing) + wrong
        gaps = [(row.t0_us, row.t1_us or to_us) for row in hall.rows(tables.gap, stream_id=stream_id)]
        silent += wrong + len(unexplained(journal, camera, difference.missing, gaps, SLACK_US))
        doubled += difference.doubled
        reordered += difference.reordered
        unmarked += difference.unmarked
    return Kept(sent, missing, silent, doubled, reordered, unmarked)


def _lost_s(source: LiveSource, hall: Hall, streams: Mapping[int, UUID], from_us: int, killed_us: int) -> float:
    """The most that a camera (by its number) lost: pictures sent in that time and in no file, in seconds."""
    journal = source.journal()
    worst = 0
    for camera, stream_id in streams.items():
        sent = journal.frames(camera, from_us, killed_us)
        worst = max(worst, len(frames.compare(sent, marks_of(hall, stream_id)).missing))
    return worst / FPS


def _restart_rows(source: LiveSource, hall: Hall, streams: Sequence[UUID], found: faults.Restarts) -> list[Row]:
    by_camera = dict(enumerate(streams, 1))
    own = {camera: key for camera, key in by_camera.items() if key in found.own}
    lost_s = _lost_s(source, hall, by_camera, found.from_us, found.killed_us)
    before_us = found.worker_killed_us - _EDGE_US
    return faults.rows(found, len(streams), lost_s, _lost_s(source, hall, own, before_us, found.worker_killed_us))


def loop_lags(hall: Hall) -> list[float]:
    """Each worker's p99 of its loop's lag over its last interval, in milliseconds; none when the gateway tells none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{hall.port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, TimeoutError):
        return []
    lines = [line for line in text.splitlines() if line.startswith("sunhall_worker_loop_lag_seconds")]
    return [float(line.rsplit(" ", 1)[1]) * 1000 for line in lines if 'quantile="0.99"' in line]


# --- rows -----------------------------------------------------------------------------------------------------------
def measure_size(
    folder: Path, media: Path, cameras: int, seconds: int, *, kills: bool, all_peers: bool = True
) -> list[Row]:
    """All rows of one number of cameras; without `all_peers` ffmpeg is the only one."""
    bench = Bench(folder, media, cameras, seconds)
    bench.demand_space()
    with live_source.running(media, cameras, folder) as source:
        peer = measure_ffmpeg(bench, source)
        ours = measure_gateway(bench, source, kills=kills)
        rows = _rows(bench, ours, peer)
        if kills:
            rows += measure_power_cut(bench, source)
        if cameras == ZONEMINDER_AT and all_peers:
            rows += zoneminder.rows(folder, source, seconds, ours.side.used)
    return rows


def _rows(bench: Bench, ours: Gateway, peer: Side) -> list[Row]:
    at = f"@{bench.cameras}"
    mbit = live_source.bytes_per_second(bench.media) * 8 / 1e6
    note = (
        f"1080p25 {mbit:.1f} Mbit/s, {bench.seconds} s; others on the machine {ours.side.used.others_cores:.2f} and "
        f"{peer.used.others_cores:.2f} cores; source {ours.side.used.beside_cores:.2f} cores, its "
        f"longest pause {ours.side.pause_ms:.0f} and {peer.pause_ms:.0f} ms"
    )
    kept = ours.kept
    found = (
        f"of {kept.sent}; missing {kept.missing}, {kept.silent} of them without a gap that says so; "
        f"doubled {kept.doubled}, reordered {kept.reordered}, without mark {kept.unmarked}"
    )
    rows = [
        Row(f"recorder.cpu_ratio{at}", ours.side.used.cores * 100, "% of a core", peer.used.cores * 100, note),
        Row(f"recorder.memory_ratio{at}", ours.side.used.pss_mib, "MiB PSS", peer.used.pss_mib, "mean, whole trees"),
        Row(f"recorder.frames_lost{at}", kept.wrong, "frames", note=found),
    ]
    if ours.lag_p99_ms:
        text = "p99 of 5 s of a worker, the worst of the window"
        rows.append(Row(f"recorder.loop_lag_p99_ms{at}", max(ours.lag_p99_ms), "ms", note=text))
    return rows + ours.restarts


def measure(folder: Path, *, cameras: int = 20, seconds: int = 60) -> dict[str, float]:
    """CPU (cores) and PSS (MiB) of both sides, and the share of sent frames that reached committed files, as
    `first_light` publishes them."""
    media = live_source.make_media(folder)
    rows = measure_size(folder, media, cameras, seconds, kills=False, all_peers=False)
    by_id = {row.id: row for row in rows}
    at = f"@{cameras}"
    cpu, memory = by_id[f"recorder.cpu_ratio{at}"], by_id[f"recorder.memory_ratio{at}"]
    lost = by_id[f"recorder.frames_lost{at}"]
    return {
        f"recorder.cpu_cores{at}": cpu.ours / 100,
        f"ffmpeg.cpu_cores{at}": (cpu.peer or 0.0) / 100,
        f"recorder.pss_mib{at}": memory.ours,
        f"ffmpeg.pss_mib{at}": memory.peer or 0.0,
        f"recorder.frames_share{at}": 1 - lost.ours / (cameras * seconds * FPS),
    }


def _wait(question: Callable[[], bool], seconds: float, each: Callable[[], object]) -> None:
    deadline = CLOCK.monotonic() + seconds
    while not question():
        if CLOCK.monotonic() > deadline:
            raise SystemExit(f"a recorder was not ready within {seconds:.0f} s: nothing was measured")
        CLOCK.sleep(0.5)
        each()


def _wait_quietly(seconds: float, each: Callable[[], object]) -> None:
    until = CLOCK.monotonic() + seconds
    while CLOCK.monotonic() < until:
        CLOCK.sleep(1.0)
        each()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the recorder.")
    parser.add_argument("--cameras", default=",".join(map(str, SIZES)), help="sizes, with commas")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="steady time of each side")
    parser.add_argument("--no-kills", action="store_true", help="leave out restarts and losses")
    parser.add_argument("--no-live", action="store_true", help="leave out the viewers' rows")
    return parser.parse_args()


def main() -> None:
    """All rows; written after each size, so that a run that is cut short leaves what it has."""
    options = _options()
    sizes = tuple(int(size) for size in options.cameras.split(","))
    whole = sizes == SIZES and options.seconds >= SECONDS and not (options.no_kills or options.no_live)
    name = "recorder" if whole else "recorder-partial"
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="sunhall-bench-") as made:
        folder = Path(made)
        media = live_source.make_media(folder)
        for cameras in sizes:
            kills = cameras == max(sizes) and not options.no_kills
            rows += measure_size(folder, media, cameras, options.seconds, kills=kills)
            write(name, rows)
    if not options.no_live:
        rows += viewers.measure()
        write(name, rows)


if __name__ == "__main__":
    main()
