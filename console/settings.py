"""Settings of the console (console.toml). Every key has a default but `data`; unknown keys are refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storage.errors import ConfigurationError
from storage.settings import option, section


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Where the console answers."""

    host: str = option("0.0.0.0", "address to listen on; agents and browsers of the hall come from the network")  # noqa: S104 - a console serves its hall
    port: int = option(8443, "HTTPS port")


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What the console's certificate names."""

    names: tuple[str, ...] = option((), "further host names and addresses in the certificate")
    certificate: str = option("", "path of a PEM chain from another authority, instead of the local one")
    key: str = option("", "path of that certificate's private key")


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where media objects are kept."""

    kind: str = option("disk", '"disk" (the folder objects/ in the data folder) or "s3"')
    endpoint: str = option("", "s3: host:port of the server")
    bucket: str = option("", "s3: bucket")
    access_key: str = option("", "s3: access key", secret=True)
    secret_key: str = option("", "s3: secret key", secret=True)
    secure: bool = option(True, "s3: use HTTPS")


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How the console reaches the camera gateway."""

    url: str = option("", "URL of the gateway; empty: the one it wrote into the catalog")
    timeout_s: float = option(20.0, "seconds a probe or discovery may take")


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How long a login lasts."""

    hours: float = option(12.0, "hours until a session ends whatever happens")
    idle_minutes: float = option(60.0, "minutes without a request until a session ends")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What agents are told and when they count as silent."""

    interval_s: float = option(5.0, "seconds between two looks at a screen")
    report_s: float = option(10.0, "seconds between two reports of an agent")
    silent_s: float = option(60.0, "seconds without a report until an agent counts as down")


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """When old media are deleted; how old is a setting of the hall."""

    interval_s: float = option(3600.0, "seconds between two runs; 0 turns deletion off on this console")
    batch: int = option(40, "media deleted in one transaction")


@dataclass(frozen=True, slots=True)
class OrphanSettings:
    """When objects without a row are searched for."""

    interval_s: float = option(3600.0, "seconds between two searches for objects without a row; 0 turns them off")


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """All settings of the console."""

    data: Path = option(Path("data"), "the data folder of the hall")
    catalog_url: str = option(
        "", "SQLAlchemy URL of the catalog; empty: catalog.sqlite in the data folder", secret=False
    )
    log_level: str = option("info", "debug, info, warning or error")
    web: str = option("", "folder of the built front end; empty: the packaged one")
    listen: ListenSettings = section(ListenSettings, "where the console answers")
    tls: TlsSettings = section(TlsSettings, "the console's certificate")
    storage: StorageSettings = section(StorageSettings, "where media objects are kept")
    gateway: GatewaySettings = section(GatewaySettings, "the camera gateway")
    sessions: SessionSettings = section(SessionSettings, "logins")
    agents: AgentSettings = section(AgentSettings, "agents on workstations")
    retention: RetentionSettings = section(RetentionSettings, "deletion of old media")
    orphans: OrphanSettings = section(OrphanSettings, "search for objects without a row")

    @property
    def catalog(self) -> str:
        """The catalog's effective URL."""
        return self.catalog_url or f"sqlite:///{self.data.absolute() / 'catalog.sqlite'}"

    @property
    def keys(self) -> Path:
        """Folder of the private keys (0700)."""
        return self.data / "keys"

    @property
    def tls_folder(self) -> Path:
        """Folder of the local authority and the server's certificate."""
        return self.data / "tls"

    @property
    def objects(self) -> Path:
        """Folder of the disk object store."""
        return self.data / "objects"

    @property
    def staging(self) -> Path:
        """Folder of files on their way into the object store."""
        return self.data / "staging"


def check_settings(settings: ConsoleSettings) -> None:
    """Refuse what types cannot.

    Raises:
        ConfigurationError: a value is out of its range; the message names the key and the fix.
    """
    if settings.storage.kind not in ("disk", "s3"):
        raise ConfigurationError("storage_kind", 'storage.kind must be "disk" or "s3"')
    if settings.storage.kind == "s3" and not (settings.storage.endpoint and settings.storage.bucket):
        raise ConfigurationError("storage_s3", "storage.kind is s3: set storage.endpoint and storage.bucket")
    if not 0 < settings.listen.port < 65536:
        raise ConfigurationError("listen_port", "listen.port must be between 1 and 65535")
    if bool(settings.tls.certificate) != bool(settings.tls.key):
        raise ConfigurationError("tls_pair", "set tls.certificate and tls.key together, or neither")
    _positive(settings)


def _positive(settings: ConsoleSettings) -> None:
    values = {
        "gateway.timeout_s": settings.gateway.timeout_s,
        "sessions.hours": settings.sessions.hours,
        "sessions.idle_minutes": settings.sessions.idle_minutes,
        "agents.interval_s": settings.agents.interval_s,
        "agents.report_s": settings.agents.report_s,
        "agents.silent_s": settings.agents.silent_s,
        "retention.batch": settings.retention.batch,
    }
    for key, value in values.items():
        if value <= 0:
            raise ConfigurationError("not_positive", f"{key} must be greater than 0, not {value}")
    for section_name, interval_s in (
        ("retention", settings.retention.interval_s),
        ("orphans", settings.orphans.interval_s),
    ):
        if interval_s < 0:
            raise ConfigurationError("not_positive", f"{section_name}.interval_s must be 0 or greater")
