"""The data folder of a hall: its folders and the settings files that a first start writes."""

from __future__ import annotations

import hashlib
import json
import ssl
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import ConfigurationError
from storage.files import write_atomic

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared, never a default
LOOPBACK = "127.0.0.0/8"
FOLDERS = ("config", "keys", "tls", "objects", "staging", "run", "logs")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the two processes listen."""

    host: str
    console: int
    gateway: int

    @property
    def reachable_host(self) -> str:
        """Where this machine itself reaches the console: a wildcard address is no destination."""
        return "127.0.0.1" if self.host in WILDCARDS else self.host

    @property
    def url(self) -> str:
        """The address for people on this machine."""
        return f"https://{'localhost' if self.reachable_host == '127.0.0.1' else self.reachable_host}:{self.console}"


@dataclass(frozen=True, slots=True)
class HallFolder:
    """Paths inside a data folder."""

    root: Path

    @property
    def console_settings(self) -> Path:
        return self.root / "config" / "console.toml"

    @property
    def gateway_settings(self) -> Path:
        return self.root / "config" / "gateway.toml"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def certificate_authority(self) -> Path:
        return self.root / "tls" / "ca.pem"

    @property
    def setup_code(self) -> Path:
        return self.root / "setup-code"

    def prepare(self, wanted: Ports, subnets: tuple[str, ...]) -> Ports:
        """Make what is missing and return where the hall listens.

        Existing settings files are never touched; their ports win.

        Raises:
            ConfigurationError: the folder cannot be made, or a settings file is no TOML.
        """
        try:
            for name in ("", *FOLDERS):
                (self.root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigurationError("data_folder", f"无法建立数据目录 {self.root}: {error}") from error
        if not self.gateway_settings.exists():
            write_atomic(self.gateway_settings, self._gateway_text(wanted, subnets).encode(), mode=0o600)
        if not self.console_settings.exists():
            write_atomic(self.console_settings, self._console_text(wanted).encode(), mode=0o600)
        return self._ports()

    def fingerprint(self) -> str:
        """SHA-256 of the local certificate authority, as browsers show it."""
        der = ssl.PEM_cert_to_DER_cert(self.certificate_authority.read_text(encoding="ascii"))
        return ":".join(f"{byte:02X}" for byte in hashlib.sha256(der).digest())

    def waiting_code(self) -> str | None:
        """The one-time set-up code, until the first administrator exists."""
        try:
            return self.setup_code.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None

    def _ports(self) -> Ports:
        console, gateway = _listen(self.console_settings), _listen(self.gateway_settings)
        return Ports(str(console["host"]), int(console["port"]), int(gateway["port"]))

    def _catalog_url(self) -> str:
        return f"sqlite:///{(self.root / 'catalog.sqlite').absolute()}"

    def _console_text(self, ports: Ports) -> str:
        names = [ports.host] if ports.host not in WILDCARDS else []
        return f"""# Settings of the console. `sunhall-console check --config THIS-FILE` explains them.
data = {_toml(str(self.root.absolute()))}
catalog_url = {_toml(self._catalog_url())}

[listen]
host = {_toml(ports.host)}
port = {ports.console}

[tls]
names = {_toml([*names, "localhost", "127.0.0.1"])}

[storage]
kind = "disk"

[gateway]
url = {_toml(f"http://127.0.0.1:{ports.gateway}")}
"""

    def _gateway_text(self, ports: Ports, subnets: tuple[str, ...]) -> str:
        return f"""# Settings of the camera gateway. `sunhall-gateway check --config THIS-FILE` explains them.
data = {_toml(str(self.root.absolute()))}
catalog_url = {_toml(self._catalog_url())}

[listen]
host = "127.0.0.1"
port = {ports.gateway}

[storage]
kind = "disk"

[cameras]
# Cameras are looked for, registered and read only inside these networks.
subnets = {_toml(list(subnets))}
"""


def _listen(path: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        listen: dict[str, Any] = settings["listen"]
        return {"host": listen["host"], "port": listen["port"]}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError("settings_unreadable", f"{path}: {error}") from error
    except KeyError as error:
        raise ConfigurationError("setting_missing", f"{path}: [listen] 缺少 {error}") from error


def _toml(value: Any) -> str:
    """A TOML basic string or array of them: JSON's escapes are a subset of TOML's."""
    return json.dumps(value, ensure_ascii=False)
