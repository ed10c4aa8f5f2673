"""`make fuzz MINUTES=60 TARGETS=rtsp_session,soap`: hunts for inputs that a parser cannot take, or that cost too much.

Each target has its share of the time and processes of its own: an engine guided by coverage (atheris, where it has a
wheel; else random mutations), then a hunt for inputs that cost more than their length. Findings become entries of
tests/fuzz/corpus, which `make test` replays: mend what is found. What was reached is kept there too, minimised.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

from storage.clock import Clock, SystemClock
from tests.fuzz.targets import CORPUS, GROWN, PACKED, TARGETS, seeds

WORK = Path("fuzz-work")
GUIDED, RANDOMLY = "guided", "randomly"
_STRETCHED_SHARE = 0.2
_LEAST_S = 2
_STARTS_AND_ENDS_S = 300.0
_MOST_STARTS = 5
_PACKED_FROM = 4096
_EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)")
_UNTOLD = re.compile(r"#\d+\s|\"|INFO|Uses:|stat::|#####|Done |Dictionary: |WARNING: Failed to find function")


class EngineFailed(Exception):
    """A process ended as it should not, and left no input that explains it."""


@dataclass(slots=True)
class Hunt:
    """What came of one target."""

    executed: int
    stretched: int
    findings: list[Path]
    entries: int


def engine() -> str:
    """The better engine that is installed."""
    return GUIDED if importlib.util.find_spec("atheris") is not None else RANDOMLY


def run(module: str, target: str, work: Path, *arguments: str, patience_s: float) -> tuple[int, int]:
    """Run one process of `tests.fuzz`; its exit status and how many inputs it fed.

    Raises:
        subprocess.TimeoutExpired: it did not end.
    """
    command = [sys.executable, "-m", f"tests.fuzz.{module}", target, str(work), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=patience_s + _STARTS_AND_ENDS_S, check=False
    )
    output = done.stdout + done.stderr
    (work / f"{module}.log").write_text(output, encoding="utf-8")
    for line in output.splitlines():
        if line and not _UNTOLD.match(line):
            print(f"  {line}", flush=True)
    counted = _EXECUTED.findall(output)
    return done.returncode, int(counted[-1]) if counted else 0


def explore(target: str, work: Path, seconds: float, clock: Clock) -> int:
    """Feed a target for so long, starting anew when an input ended the process; how many inputs were fed.

    Raises:
        EngineFailed: see there.
    """
    until, fed = clock.monotonic() + seconds, 0
    for _ in range(_MOST_STARTS):
        left = round(until - clock.monotonic())
        if left < _LEAST_S:
            break
        before = set((work / "found").iterdir())
        status, count = run(engine(), target, work, "--seconds", str(left), patience_s=left)
        fed += count
        if status and set((work / "found").iterdir()) == before:
            raise EngineFailed(f"{engine()} ended with status {status}: see {work / engine()}.log")
    return fed


def keep(target: str, found: Path) -> list[Path]:
    """Make entries of the corpus of what was found; long ones are packed."""
    kept = []
    for path in sorted(found.iterdir()):
        data = path.read_bytes()
        packed = len(data) > _PACKED_FROM
        entry = CORPUS / target / (path.name + (PACKED if packed else ""))
        entry.write_bytes(zlib.compress(data, 9) if packed else data)
        kept.append(entry)
        path.unlink()
    return kept


def prepare(target: str) -> Path:
    """The folder in which a target is worked on, with the corpus of the tree in it."""
    work = WORK / target
    for name in ("corpus", "found"):
        (work / name).mkdir(parents=True, exist_ok=True)
    for data in seeds(target):
        if len(data) <= _PACKED_FROM * 16:
            (work / "corpus" / hashlib.sha256(data).hexdigest()[:40]).write_bytes(data)
    return work


def hunt(target: str, seconds: float, clock: Clock) -> Hunt:
    """One target's share of the time."""
    work = prepare(target)
    executed = explore(target, work, seconds * (1 - _STRETCHED_SHARE), clock)
    stretch_s = seconds * _STRETCHED_SHARE
    status, stretched = run("stretch", target, work, "--seconds", str(round(stretch_s)), patience_s=stretch_s)
    if status:
        raise EngineFailed(f"stretch ended with status {status}: see {work / 'stretch.log'}")
    findings = keep(target, work / "found")
    status, _ = run("minimise", target, work, patience_s=_STARTS_AND_ENDS_S)
    if status:
        raise EngineFailed(f"minimise ended with status {status}: see {work / 'minimise.log'}")
    entries = sum(path.name.startswith(GROWN) for path in (CORPUS / target).iterdir())
    return Hunt(executed, stretched, findings, entries)


def main() -> int:
    """Exit status 1 when something was found, 2 when an engine failed."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--targets", default=",".join(TARGETS), help="some of them, with commas between")
    options = parser.parse_args()
    names = options.targets.split(",")
    if unknown := sorted(set(names) - set(TARGETS)):
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    clock, failed, findings = SystemClock(), 0, 0
    print(f"engine: {'atheris, guided by coverage' if engine() == GUIDED else 'random mutations: atheris is not here'}")
    print("| target | executions | stretched | entries | findings |\n|---|---|---|---|---|", flush=True)
    for name in names:
        try:
            result = hunt(name, options.minutes * 60 / len(names), clock)
        except (EngineFailed, subprocess.TimeoutExpired) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed += 1
            continue
        findings += len(result.findings)
        told = ", ".join(f"`{path.name}`" for path in result.findings) or "none"
        print(f"| `{name}` | {result.executed:,} | {result.stretched:,} | {result.entries} | {told} |", flush=True)
    if findings:
        print(f"{findings} findings are in {CORPUS}: mend them; `make test` fails until then", file=sys.stderr)
    return 2 if failed else 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
