"""`make bench`: every bench, one after the other, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("first_light", "recorder")


def main() -> int:
    """Exit status 1 when one failed; the others run all the same."""
    ended = {name: subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False) for name in NAMES}
    failed = [name for name, done in ended.items() if done.returncode]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
