"""Run inside a network namespace of its own: a camera whose network goes away in mid-stream. Prints what is said.

`unshare -Urn sh -c "ip link set lo up && exec python -m tests.camera_gateway.half_open"`
"""

from __future__ import annotations

import json
import subprocess
import sys

from camera_gateway.engine_shared import EngineShared
from camera_gateway.engine_source import EngineSource
from camera_gateway.packets import SourceSettings
from camera_gateway.reactor import Reactor
from deploy.virtual_camera.plan import demo_hall
from deploy.virtual_camera.process import VirtualHall
from storage.clock import SystemClock
from tests.camera_gateway.hearing import Hearing

SILENCE_S = 2.0


def main() -> None:
    """One session that breaks, and one that is never opened."""
    reactor = Reactor(SystemClock())
    shared = EngineShared(reactor)
    with VirtualHall(demo_hall(1, password="secret")) as hall:
        camera = hall.camera(1)
        uri = camera.stream("sub").uri
        settings = SourceSettings(uri, camera.username, camera.password, open_timeout_s=1.0, read_timeout_s=SILENCE_S)
        broken, unopened = Hearing(reactor), Hearing(reactor)
        EngineSource(reactor, shared).start(settings, broken)
        broken.until(lambda: len(broken.units) > 10)
        subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", "blackhole"], check=True)
        EngineSource(reactor, shared).start(settings, unopened)
        broken.until(lambda: broken.fault and unopened.fault)
        subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=True)
        told = [[one.fault.reason, one.fault.evidence] for one in (broken, unopened) if one.fault is not None]
        sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
