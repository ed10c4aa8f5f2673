"""`make soak MINUTES=60`: a virtual hall with faults all the time; at the end nothing may be missing or unexplained."""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.e2e.footage import camera_spans, holes, recorded_streams, screen_spans, verify
from tests.e2e.hall import CLOCK, RunningHall, eventually

QUIET_S = 20.0
"""Between two faults."""


def faults(hall: RunningHall) -> dict[str, Callable[[], object]]:
    """What may happen to a hall."""

    def camera_trouble(change: str) -> None:
        number = random.randrange(1, 7)
        hall.change_camera(number, **{change: change == "paused"})
        CLOCK.sleep(random.uniform(1, 15))
        hall.change_camera(number, **{change: change != "paused"})

    def kill(name: str) -> Callable[[], object]:
        return lambda: hall.wait_for_new(name, hall.kill(name))

    return {
        "camera offline": lambda: camera_trouble("online"),
        "camera silent": lambda: camera_trouble("paused"),
        **{f"kill {name}": kill(name) for name in ("gateway", "console", "counter-pc", "approvals")},
    }


def unexplained(hall: RunningHall) -> list[str]:
    """Holes in today's coverage, and what verify complains about."""
    found: list[str] = []
    now = CLOCK.now_us()
    with hall.client("diaoyue", purpose="audit") as client:
        for camera in set(recorded_streams(client).values()):
            found += [
                f"camera {camera}: nothing from {t0} to {t1}" for t0, t1 in holes(camera_spans(client, camera, now))
            ]
        found += [f"counter PC: nothing from {t0} to {t1}" for t0, t1 in holes(screen_spans(client, now))]
    done = verify(hall)
    return found if done.returncode == 0 else [*found, done.stdout + done.stderr]


def main() -> int:
    """Exit status 1 when something is missing or unexplained."""
    parser = argparse.ArgumentParser(description="Soak a virtual hall.")
    parser.add_argument("--minutes", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sunhall-soak-") as folder:
        hall = RunningHall(Path(folder), demo=True)
        hall.configure("gateway", "\n[recording]\nsegment_s = 20.0\n")
        try:
            hall.start()
            until = CLOCK.monotonic() + options.minutes * 60
            while CLOCK.monotonic() < until:
                name, happen = random.choice(list(faults(hall).items()))
                print(name, flush=True)
                happen()
                CLOCK.sleep(QUIET_S)
            eventually(lambda: _everybody_back(hall), every_s=2.0)
            found = unexplained(hall)
        finally:
            hall.end()
    print("\n".join(found) or "nothing missing, nothing unexplained")
    return 1 if found else 0


def _everybody_back(hall: RunningHall) -> bool:
    with hall.client("dating") as client:
        cameras = client.get("/api/cameras")["cameras"]
    return all(camera["recording"]["state"] == "recorded" for camera in cameras)


if __name__ == "__main__":
    raise SystemExit(main())
