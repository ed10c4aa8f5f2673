"""`python -m deploy.counter_pc`: a virtual counter PC: an agent over a rendered desktop, or the desktop as a window."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.counter_pc.desktop import Desktop
from deploy.counter_pc.grabber import RenderedGrabber
from deploy.counter_pc.machine import VirtualMachine
from deploy.counter_pc.serving import ServingNow
from deploy.counter_pc.window import DesktopWindow
from edge_agent.enrol import Invitation, enrol
from edge_agent.main import places_of, run_until
from edge_agent.notice import ConsoleNotice
from edge_agent.settings import AgentSettings, check_settings
from storage.clock import SystemClock
from storage.errors import SunhallError
from storage.lifecycle import StopSignal
from storage.logs import configure_logging
from storage.settings import load_settings


def run(options: argparse.Namespace) -> None:
    """The agent over the rendered desktop, until a signal."""
    settings = _settings(options.agent)
    clock, machine, signals = SystemClock(), VirtualMachine(SystemClock()), StopSignal()
    signals.install()
    serving = ServingNow(options.platform, options.window, clock)
    grabber = RenderedGrabber(Desktop(options.window), serving, clock)
    notice = ConsoleNotice(places_of(settings, machine).notice)
    try:
        run_until(signals.event, settings, clock, grabber, machine, notice)
    finally:
        serving.close()


def join(options: argparse.Namespace) -> None:
    """Enrol this PC with a one-time code."""
    settings = _settings(options.agent)
    clock, machine = SystemClock(), VirtualMachine(SystemClock())
    grabber = RenderedGrabber(Desktop(options.window), lambda: None, clock)
    invitation = Invitation(options.console, options.code, options.ca)
    # Whoever hands out a new code wants this PC enrolled under it.
    identity = enrol(invitation, places_of(settings, machine), machine, grabber, clock, again=True)
    print(f"enrolled as {identity.name}")


def show(options: argparse.Namespace) -> None:
    """Only the desktop, as a real window on an X display, until a signal."""
    clock, signals = SystemClock(), StopSignal()
    signals.install()
    serving = ServingNow(options.platform, options.window, clock)
    try:
        DesktopWindow(Desktop(options.window), serving, clock, options.display).run(signals.event)
    finally:
        serving.close()


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, or 2 when something must be mended first (said on standard error)."""
    options = _parser().parse_args(arguments)
    configure_logging()
    try:
        options.command(options)
    except SunhallError as error:
        print(f"counter_pc: {error.message}", file=sys.stderr)
        return 2
    return 0


def _settings(path: Path) -> AgentSettings:
    settings = load_settings(AgentSettings, path)
    check_settings(settings)
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.counter_pc", description="A virtual counter PC.")
    commands = parser.add_subparsers(required=True, metavar="run | enrol | show")
    for name, command, text in (
        ("run", run, "the agent over a rendered desktop"),
        ("enrol", join, "make it a workstation of a console"),
        ("show", show, "only the desktop, as a window on an X display"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        sub.add_argument("--window", type=int, default=1, help="number of the service window it stands at")
        if name != "show":
            sub.add_argument("--agent", type=Path, required=True, help="the agent's settings file")
        if name != "enrol":
            sub.add_argument("--platform", required=True, help="address of the virtual approval platform")
        if name == "show":
            sub.add_argument("--display", required=True, help="X display, such as :7")
        if name == "enrol":
            sub.add_argument("--console", required=True, help="address of the console, https://host:port")
            sub.add_argument("--ca", type=Path, required=True, help="the console's certificate authority")
            sub.add_argument("--code", required=True, help="one-time code")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
