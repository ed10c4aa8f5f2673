"""One target under libFuzzer (atheris), in a process of its own: `python -m tests.fuzz.guided TARGET WORK`.

Errors and slow inputs are kept and the hunt goes on; what ends the process (a hang, memory, a fatal signal) is kept by
libFuzzer itself, in the same folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import atheris

from tests.fuzz.findings import FATAL, Findings
from tests.fuzz.words import write_dictionary

INSTRUMENTED = ["camera_gateway", "console", "screen_capture", "storage", "deploy"]
LONGEST = 4096
HANGS_S = 120
"""Wall time, which is generous: slow inputs are found by their CPU time."""
MEMORY_MB = 1024
PATIENCE = 6
"""Times the allowed CPU time: instruments cost that much. What is kept is measured again without them."""


def main() -> None:
    """Ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("work", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from tests.fuzz.targets import run
    findings = Findings(lambda data: run(options.target, data), options.work / "found", patience=PATIENCE)
    corpus: Path = options.work / "corpus"
    longest = max([LONGEST, *(path.stat().st_size for path in corpus.iterdir())])
    found = options.work / "found"
    found.mkdir(exist_ok=True)
    arguments = [
        sys.argv[0],
        str(corpus),
        f"-max_total_time={options.seconds}",
        f"-max_len={longest}",
        f"-timeout={HANGS_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={found}/{FATAL}",
        f"-dict={write_dictionary(options.target, options.work)}",
        "-print_final_stats=1",
        "-reload=0",
    ]
    atheris.Setup(arguments, findings.take)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
