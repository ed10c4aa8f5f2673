"""`sunhall-console`: run, migrate, check, verify, setup-code, create-account."""

from __future__ import annotations

import argparse
import getpass
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from console.assembly import Console, assemble, open_ports, open_stores, staging_folders
from console.server import HttpsServer
from console.services.access import ANONYMOUS
from console.settings import ConsoleSettings, check_settings
from console.tls import CertificateKeeper, LocalAuthority, TlsFiles, local_names, server_context
from storage.archive.catalog import Catalog
from storage.archive.migrate import migrate
from storage.archive.verify import Level, ReadableStore, verify
from storage.clock import Clock, SystemClock
from storage.errors import ConfigurationError, SunhallError, Unavailable
from storage.lifecycle import Part, StopSignal, end_on_programming_errors, run_parts
from storage.logs import configure_logging, scrub
from storage.model import Role
from storage.settings import describe_settings, load_settings

log = logging.getLogger(__name__)

FAILED = 1
MISCONFIGURED = 2
NOT_LOOKED_AT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = parser().parse_args(arguments)
    command: Callable[[ConsoleSettings, argparse.Namespace], int] = options.command
    try:
        settings = load_settings(ConsoleSettings, options.config)
        check_settings(settings)
        return command(settings, options)
    except ConfigurationError as error:
        sys.stderr.write(f"sunhall-console: {scrub(error.message)}\n")
        return MISCONFIGURED
    except SunhallError as error:
        sys.stderr.write(f"sunhall-console: {error.code}: {scrub(error.message)}\n")
        return FAILED
    except OSError as error:  # a folder that cannot be written, a disk that is full
        sys.stderr.write(f"sunhall-console: {error.filename or ''}: {error.strerror or error}\n")
        return FAILED


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="sunhall-console", description="The web console of a Sunhall hall node.")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    table: tuple[tuple[str, Callable[[ConsoleSettings, argparse.Namespace], int], str], ...] = (
        ("run", run, "serve the console until a signal"),
        ("check", check, "print the effective settings, secrets starred"),
        ("migrate", migrate_catalog, "bring the catalog to this program's revision"),
        (
            "verify",
            verify_archive,
            "replay the evidence log against rows and objects (exit 0 sound, 1 not, 2 could not look)",
        ),
        ("setup-code", show_setup_code, "print the one-time set-up code, while the first run is not over"),
        ("create-account", create_account, "add an account when nobody can log in; the password is asked for"),
    )
    for name, function, help_text in table:
        command = commands.add_parser(name, help=help_text, description=help_text)
        command.add_argument("--config", type=Path, metavar="FILE", help="console.toml (without: all defaults)")
        command.set_defaults(command=function)
        if name == "create-account":
            command.add_argument("--login", required=True, help="login name")
            command.add_argument("--name", default="", help="name to show (the login when left out)")
            command.add_argument("--role", action="append", required=True, choices=[role.value for role in Role])
        if name == "verify":
            command.add_argument(
                "--level", default="hash", choices=[level.name.lower() for level in Level], help="how deep to look"
            )
    return made


@end_on_programming_errors()
def run(settings: ConsoleSettings, _options: argparse.Namespace) -> int:
    """Serve until a signal: 0 after a drain, 130 after a second signal, 70 after a programming error in a thread."""
    configure_logging(settings.log_level)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every URL at info
    clock = SystemClock()
    with _catalog(settings, clock) as catalog:
        files, authority = tls_files(settings, clock)
        context = server_context(files)
        console = assemble(settings, open_ports(settings, clock, catalog, files.authority))
        parts: list[Part] = list(console.parts)
        if authority is not None:
            parts.append(CertificateKeeper(authority, context, clock))
        parts.append(HttpsServer(console.app, settings.listen.host, settings.listen.port, context, clock))
        parts.append(Announcement(settings, files, console))
        signals = StopSignal()
        signals.install()
        run_parts(parts, signals.event)
    return 0


def check(settings: ConsoleSettings, _options: argparse.Namespace) -> int:
    """Print every setting with its value and meaning."""
    for key, value, meaning in describe_settings(settings):
        sys.stdout.write(f"{key} = {value}\n    {meaning}\n")
    return 0


def migrate_catalog(settings: ConsoleSettings, _options: argparse.Namespace) -> int:
    """Upgrade the catalog, making it when there is none."""
    settings.data.mkdir(parents=True, exist_ok=True)
    revision = migrate(settings.catalog)
    sys.stdout.write(f"catalog at revision {revision}\n")
    return 0


def verify_archive(settings: ConsoleSettings, options: argparse.Namespace) -> int:
    """Replay the log against rows and objects, also while the hall is at work.

    The exit status: 0 all is as it must be, 1 something is wrong, 2 not everything could be looked at.
    """
    try:
        with _catalog(settings, SystemClock()) as catalog:
            places: dict[str, ReadableStore] = {**open_stores(settings), **staging_folders(settings, catalog)}
            report = verify(catalog, places, Level.named(options.level))
    except Unavailable as error:
        sys.stderr.write(f"sunhall-console: could not look: {scrub(error.message)}\n")
        return NOT_LOOKED_AT
    for line in report.lines():
        sys.stdout.write(f"{line}\n")
    return report.status


def show_setup_code(settings: ConsoleSettings, _options: argparse.Namespace) -> int:
    """Print the code; 1 when the first run is over."""
    with _console(settings) as console:
        code = console.setup.ensure_code()
    if code is None:
        sys.stderr.write("sunhall-console: the first run is over: an administrator exists\n")
        return FAILED
    sys.stdout.write(f"{code}\n")
    return 0


def create_account(settings: ConsoleSettings, options: argparse.Namespace) -> int:
    """Add an account; whoever may run this can read the node's own disk."""
    with _console(settings) as console:
        if console.setup.needed():
            raise ConfigurationError(
                "setup_needed", "finish the first run in a browser: it makes the hall and its administrator"
            )
        password = getpass.getpass("password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        roles = [Role(role) for role in options.role]
        made = console.accounts.create(ANONYMOUS, options.login, options.name or options.login, password, roles)
    sys.stdout.write(f"account {made['login']} made\n")
    return 0


class Announcement:
    """Part: tells people where to go. The set-up code is shown on a terminal; a captured output names its file only."""

    def __init__(self, settings: ConsoleSettings, files: TlsFiles, console: Console) -> None:
        self._settings = settings
        self._files = files
        self._console = console

    def start(self) -> None:
        """Print one address, the fingerprint and, while there is no administrator, the set-up code."""
        lines = [
            "阳光大厅 Sunhall",
            f"  网址        {address_of(self._settings)}",
            f"  密钥校验码  SHA-256 {self._files.fingerprint()}",
        ]
        code = self._console.setup.ensure_code()
        if code is not None:
            shown = code if sys.stdout.isatty() else f"见文件 {self._settings.data.absolute() / 'setup-code'}"
            lines.append(f"  初始化码    {shown}")
        sys.stdout.write("\n".join([*lines, ""]))
        sys.stdout.flush()

    def stop(self) -> None:
        """Nothing runs here."""


def address_of(settings: ConsoleSettings) -> str:
    """The one address to open: the first configured name, else this machine's own view of itself."""
    host = settings.listen.host
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - a wildcard is no destination
        host = next(iter(settings.tls.names), "localhost")
    elif host in ("127.0.0.1", "::1"):
        host = "localhost"
    return f"https://{f'[{host}]' if ':' in host else host}:{settings.listen.port}/"


def tls_files(settings: ConsoleSettings, clock: Clock) -> tuple[TlsFiles, LocalAuthority | None]:
    """The certificate to serve with; a local authority when no other was configured."""
    if settings.tls.certificate:
        return TlsFiles(Path(settings.tls.certificate), Path(settings.tls.key), None), None
    names = local_names((*settings.tls.names, settings.listen.host if settings.listen.host != "0.0.0.0" else ""))  # noqa: S104 - compared, not bound
    authority = LocalAuthority(settings.tls_folder, names, clock)
    authority.ensure()
    return authority.files, authority


@contextmanager
def _catalog(settings: ConsoleSettings, clock: Clock) -> Iterator[Catalog]:
    """The catalog, which must be at this program's revision; closed at the end."""
    catalog = Catalog.open(settings.catalog, clock)
    try:
        catalog.require_head()
        yield catalog
    finally:
        catalog.close()


@contextmanager
def _console(settings: ConsoleSettings) -> Iterator[Console]:
    clock = SystemClock()
    with _catalog(settings, clock) as catalog:
        yield assemble(settings, open_ports(settings, clock, catalog, None))


if __name__ == "__main__":
    raise SystemExit(main())
