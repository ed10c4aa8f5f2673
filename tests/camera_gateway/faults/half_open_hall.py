"""Run inside a network namespace of its own: a gateway whose cameras' network goes away without a FIN, and returns.

`unshare -Urn sh -c "ip link set lo up && exec python -m tests.camera_gateway.faults.half_open_hall folder media"`
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.camera_gateway.faults.rig import running

CAMERAS = 2


def main() -> None:
    """Prints how each stream's runs ended, and its gaps with their evidence."""
    folder, media = map(Path, sys.argv[1:])
    with running(folder, media, CAMERAS, workers=1, segment_s=3.0) as rig:
        rig.until_committed(0)
        subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", "blackhole"], check=True)
        rig.hall.wait(lambda: all("network" in rig.reasons(stream_id) for stream_id in rig.streams))
        subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=True)
        rig.until_committed(rig.hall.clock.now_us())
        rig.stop()
        rig.account()
        told = [
            {"ends": rig.ends(stream_id), "gaps": [[row.reason, row.detail] for row in rig.gaps(stream_id)]}
            for stream_id in rig.streams
        ]
        sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
