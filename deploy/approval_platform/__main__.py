"""`python -m deploy.approval_platform`: plays an approval system until it is stopped (docs/interfaces.md, §12)."""

from __future__ import annotations

import argparse
import logging
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

from deploy.approval_platform.control import ControlServer
from deploy.approval_platform.outbox import HttpSender, Outbox
from deploy.approval_platform.platform import Feed, Platform
from storage.clock import SystemClock
from storage.errors import ConfigurationError
from storage.lifecycle import StopSignal, run_parts
from storage.logs import configure_logging


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; 2 when something it was told is wrong."""
    options = _parser().parse_args(arguments)
    configure_logging("info")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        return _run(options)
    except ConfigurationError as error:
        sys.stderr.write(f"approval_platform: {error.message}\n")
        return 2


def _run(options: argparse.Namespace) -> int:
    clock = SystemClock()
    outbox = Outbox(options.data)
    platform = Platform(options.windows, outbox, clock, pace=options.pace, seed=options.seed)
    try:
        secret = options.secret_file.read_text(encoding="ascii").strip()
        context = ssl.create_default_context(cafile=str(options.ca)) if options.ca else ssl.create_default_context()
        control = ControlServer(platform.serving, options.port)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("approval_platform_start", str(error)) from error
    signals = StopSignal()
    signals.install()
    with httpx.Client(verify=context, timeout=20.0, trust_env=False) as client:
        sender = HttpSender(options.intake, options.source, secret, clock, client)
        run_parts([control, Feed(platform, outbox, sender, clock)], signals.event)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="approval_platform", description=__doc__)
    parser.add_argument("--intake", required=True, metavar="URL", help="address of the console")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="certificate of the authority that the console uses")
    parser.add_argument("--source", required=True, metavar="CODE", help="code of the event source")
    parser.add_argument("--secret-file", required=True, type=Path, metavar="FILE", help="the source's secret")
    parser.add_argument("--port", required=True, type=int, help="answers what windows serve, on 127.0.0.1")
    parser.add_argument("--windows", required=True, type=_numbers, metavar="1,2", help="windows that work")
    parser.add_argument("--pace", type=float, default=1.0, help="how fast: 4 is four times as fast")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other cases")
    parser.add_argument("--data", required=True, type=Path, metavar="FOLDER", help="keeps numbers and unsent events")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
