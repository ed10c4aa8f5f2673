"""`sunhall-gateway`: chooses the concrete classes of each of the gateway's processes.

    sunhall-gateway run --config FILE     supervisor, ingest workers and the API process
    sunhall-gateway check --config FILE   the effective settings, secrets starred

The supervisor starts the other processes as `prepare`, `worker`, `api` and `desk` of this same program.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import threading
from pathlib import Path

from camera_gateway.settings import GatewaySettings, check_settings
from storage.clock import SystemClock
from storage.errors import ConfigurationError, SunhallError
from storage.lifecycle import StopSignal
from storage.logs import configure_logging
from storage.settings import describe_settings, load_settings

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status (2: the settings or the catalog are wrong, 1: a fault)."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings(GatewaySettings, options.config, data=options.data)
        check_settings(settings)
        configure_logging(settings.log_level)
        for chatty in ("alembic", "uvicorn.error"):
            logging.getLogger(chatty).setLevel("WARNING")
        status: int = options.command(settings, options)
    except ConfigurationError as error:
        sys.stderr.write(f"sunhall-gateway: {error.message}\n")
        return 2
    except SunhallError as error:  # a catalog that is away now: the supervisor must try again, not give up
        sys.stderr.write(f"sunhall-gateway: {error.message}\n")
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sunhall-gateway", description="The camera gateway of a Sunhall hall node.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, text in (
        ("run", _run, "record cameras and answer the console until stopped (Ctrl-C drains, a second one leaves)"),
        ("check", _check, "show the effective settings with secrets starred, and refuse wrong ones"),
        ("prepare", _prepare, "make keys and folders, register this gateway in the catalog (run does it by itself)"),
        ("worker", _worker, "one ingest process (run starts them)"),
        ("api", _api, "the API and live process (run starts it)"),
        ("transcode", _transcode, "one transcoder of H.265 (api starts it when needed)"),
        ("desk", _desk, "the device desk: probes cameras and decodes pictures (api starts it when needed)"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--config", type=Path, help="settings file, gateway.toml")
        command.add_argument("--data", type=Path, help="data folder; wins over the settings file")
        command.set_defaults(command=function)
        if name == "transcode":
            command.add_argument("--mode", choices=("live", "clip"), required=True, help="a tile, or a recorded file")
        if name == "worker":
            command.add_argument("--index", type=int, required=True, help="which share of the cameras, from 0")
    return parser


def _check(settings: GatewaySettings, _options: argparse.Namespace) -> int:
    for key, value, text in describe_settings(settings):
        sys.stdout.write(f"{key} = {value}\n    {text}\n")
    return 0


def _run(settings: GatewaySettings, options: argparse.Namespace) -> int:
    from camera_gateway.supervisor import GatewayLock, Program, Supervisor

    clock = SystemClock()
    stop = StopSignal()
    stop.install()
    lock = GatewayLock(settings.data / "run" / "gateway.lock", clock)
    lock.take(stop.event)
    common = _common(settings, options)
    prepared = subprocess.run([sys.executable, "-m", "camera_gateway.main", "prepare", *common], check=False)
    if prepared.returncode:
        return prepared.returncode
    programs = [
        Program(f"worker-{index}", ["worker", *common, "--index", str(index)]) for index in range(settings.worker_count)
    ]
    # Cameras first: starting the API costs the same cores that the workers need to be back.
    programs.append(Program("api", ["api", *common], after_s=1.0))
    return Supervisor(programs, lock, clock).run(stop.event)


def _prepare(settings: GatewaySettings, _options: argparse.Namespace) -> int:
    from camera_gateway.catalog_plan import register_node
    from storage.archive.catalog import Catalog
    from storage.identity.boxes import SecretBox
    from storage.identity.keys import DeviceKey

    catalog = Catalog.open(settings.catalog, SystemClock())
    catalog.require_head()
    key = DeviceKey.load_or_create(settings.keys / "gateway.key")
    SecretBox.load_or_create(settings.keys / "cameras.key")
    settings.staging.mkdir(parents=True, exist_ok=True, mode=0o700)
    node = register_node(catalog, key.public, settings.name, settings.url)
    log.info("gateway_registered", extra={"fields": {"node": node, "url": settings.url}})
    return 0


def _worker(settings: GatewaySettings, options: argparse.Namespace) -> int:
    from camera_gateway.worker_process import run_worker

    return run_worker(settings, options.index, _child_stop())


def _api(settings: GatewaySettings, options: argparse.Namespace) -> int:
    from camera_gateway.api_process import run_api

    program = [sys.executable, "-m", "camera_gateway.main"]
    desk = [*program, "desk", *_common(settings, options)]
    transcode = [*program, "transcode", *_common(settings, options), "--mode"]
    return run_api(settings, desk, transcode, _child_stop())


def _desk(settings: GatewaySettings, _options: argparse.Namespace) -> int:
    from camera_gateway.desk_process import run_desk

    return run_desk(settings)


def _transcode(settings: GatewaySettings, options: argparse.Namespace) -> int:
    from camera_gateway.transcode_process import run_transcode

    return run_transcode(settings.transcode, options.mode)


def _common(settings: GatewaySettings, options: argparse.Namespace) -> list[str]:
    """What every process of this gateway is started with."""
    config = ["--config", str(options.config)] if options.config else []
    return [*config, "--data", str(settings.data.absolute())]


def _child_stop() -> threading.Event:
    """The event that ends a child: a signal, or the supervisor's death."""
    from camera_gateway.supervisor import follow_parent

    stop = StopSignal()
    stop.install()
    follow_parent(stop.event)
    return stop.event


if __name__ == "__main__":
    sys.exit(main())
