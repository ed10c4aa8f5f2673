"""Virtual cameras of a test's own, apart from those of the virtual hall."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def virtual_cameras(folder: Path, count: int, password: str) -> Iterator[list[dict[str, Any]]]:
    """`count` cameras on free ports; yields what each says of itself (docs/virtual-camera.md)."""
    command = [sys.executable, "-m", "deploy.virtual_camera", "--cameras", str(count), "--base-port", "0", "--json"]
    command += ["--follow-stdin", "--password", password, "--data", str(folder), "--discovery-port", "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the virtual cameras did not start"
        cameras: list[dict[str, Any]] = json.loads(line)["cameras"]
        yield cameras
        process.communicate()  # closes its standard input, which ends it
