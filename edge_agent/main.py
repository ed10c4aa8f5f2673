"""`sunhall-agent`: run, enrol, check. The only place where the agent's concrete parts are chosen."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge_agent import __version__
from edge_agent.agent import Agent
from edge_agent.banner import BannerNotice
from edge_agent.enrol import Invitation, enrol
from edge_agent.identity import Places, load_identity
from edge_agent.notice import ConsoleNotice, Notice
from edge_agent.platform.base import Platform
from edge_agent.platform.linux import LinuxPlatform
from edge_agent.settings import AgentSettings, check_settings
from screen_capture.frames import Grabber
from screen_capture.supervised import SupervisedGrabber
from storage.clock import Clock, SystemClock
from storage.errors import ConfigurationError, StorageError, SunhallError
from storage.identity.keys import DeviceKey, fingerprint
from storage.lifecycle import StopSignal, run_parts
from storage.logs import configure_logging
from storage.settings import describe_settings, load_settings

log = logging.getLogger(__name__)

CRASHED = 70
"""Exit status after a programming error."""
RETRY_OPEN_S = 15.0
"""The spool's folder cannot be written (disk full, not mounted yet): tried again after so many seconds, for ever."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status is 0, or 2 when something must be mended first (said on standard error)."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = _settings(parsed)
        configure_logging(settings.log_level)
        command = {"run": _run, "enrol": _enrol, "check": _check}[parsed.command]
        return command(parsed, settings)
    except SunhallError as error:
        print(f"sunhall-agent: {error.message}", file=sys.stderr)  # noqa: T201  # what the user must mend
        return 2


def run_until(
    stop: threading.Event,
    settings: AgentSettings,
    clock: Clock,
    grabber: Grabber,
    platform: Platform,
    notice: Notice,
) -> None:
    """Run an agent with these parts until `stop` is set.

    Raises:
        ConfigurationError: not enrolled, enrolled on another machine, or another agent runs on this folder.
    """
    places = places_of(settings, platform)
    while not stop.is_set():
        try:
            agent = Agent(settings, places, clock, grabber, platform, notice)
        except StorageError as error:
            log.error("spool_cannot_be_opened", extra={"fields": {"code": error.code, "message": error.message}})
            clock.wait(stop, RETRY_OPEN_S)
            continue
        run_parts([agent], stop)


def places_of(settings: AgentSettings, platform: Platform) -> Places:
    """Where this agent's data lies."""
    return Places(platform.default_folder() if settings.folder == Path() else settings.folder)


def _run(_parsed: argparse.Namespace, settings: AgentSettings) -> int:
    clock = SystemClock()
    platform = _platform(settings, clock)
    signal = StopSignal()
    signal.install()
    threading.excepthook = _leave_at_once
    run_until(signal.event, settings, clock, _grabber(settings), platform, _notice(settings, platform))
    return 0


def _leave_at_once(crash: threading.ExceptHookArgs) -> None:
    """A thread died of a programming error: end like a killed process, so that its silence is not taken for order.

    The service manager starts the agent again.
    """
    name = crash.thread.name if crash.thread else "?"
    error = crash.exc_value or crash.exc_type()
    log.critical("thread_died", exc_info=error, extra={"fields": {"thread": name}})
    os._exit(CRASHED)


def _enrol(parsed: argparse.Namespace, settings: AgentSettings) -> int:
    clock = SystemClock()
    platform = _platform(settings, clock)
    places = places_of(settings, platform)
    invitation = Invitation(parsed.console.rstrip("/"), parsed.code, parsed.ca, parsed.ca_fingerprint)
    grabber = _grabber(settings)
    try:
        identity = enrol(invitation, places, platform, grabber, clock, again=parsed.again)
    finally:
        grabber.close()
    _say(f"enrolled as {identity.name} ({identity.workstation_id}) at {identity.console}")
    return 0


def _check(_parsed: argparse.Namespace, settings: AgentSettings) -> int:
    for key, value, explanation in describe_settings(settings):
        _say(f"{key} = {value}    # {explanation}")
    places = places_of(settings, _platform(settings, SystemClock()))
    _say(f"data folder: {places.folder}")
    identity = load_identity(places)
    _say(f"enrolled as {identity.name} ({identity.workstation_id}) at {identity.console}")
    _say(f"key fingerprint: {fingerprint(DeviceKey.load(places.device_key).public)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sunhall-agent", description="Takes pictures of this workstation's screen and accounts for every second."
    )
    parser.add_argument("--version", action="version", version=f"sunhall-agent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run | enrol | check")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, help="settings file (TOML); without it the defaults hold")
    common.add_argument("--folder", type=Path, help="the agent's data folder, instead of the settings'")
    commands.add_parser("run", parents=[common], help="record until SIGTERM or SIGINT; a second one leaves at once")
    commands.add_parser("check", parents=[common], help="print the effective settings and whether this PC is enrolled")
    enrolment = commands.add_parser("enrol", parents=[common], help="make this PC a workstation of a console")
    enrolment.add_argument("--console", required=True, help="the console's address, https://host:port")
    enrolment.add_argument("--code", required=True, help="the one-time code from the workstations page")
    enrolment.add_argument("--ca", type=Path, help="file with the console's certificate authority")
    enrolment.add_argument("--ca-fingerprint", default="", help="SHA-256 of that authority, to fetch and compare it")
    enrolment.add_argument("--again", action="store_true", help="replace an earlier enrolment of this PC")
    return parser


def _settings(parsed: argparse.Namespace) -> AgentSettings:
    settings = load_settings(AgentSettings, parsed.config)
    if parsed.folder is not None:
        settings = replace(settings, folder=parsed.folder)
    check_settings(settings)
    return settings


def _platform(settings: AgentSettings, clock: Clock) -> Platform:
    if sys.platform != "linux":
        raise ConfigurationError("platform_unsupported", "the agent runs on Linux only so far (docs/agent.md)")
    else:  # noqa: RET506  # so that the type checker of each system sees its own branch only
        return LinuxPlatform(clock, settings.capture.display or None)


def _grabber(settings: AgentSettings) -> Grabber:
    return SupervisedGrabber(settings.capture.display or None, settings.capture.timeout_s)


def _notice(settings: AgentSettings, platform: Platform) -> Notice:
    if settings.notice.kind == "console":
        return ConsoleNotice(places_of(settings, platform).notice)
    return BannerNotice(settings.capture.display or None)


def _say(line: str) -> None:
    print(line)  # noqa: T201  # the command's answer


if __name__ == "__main__":
    sys.exit(main())
