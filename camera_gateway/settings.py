"""Settings of the camera gateway (gateway.toml). Every key has a default; unknown keys are refused."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from storage.errors import ConfigurationError
from storage.settings import option, section


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Where the gateway's API answers the console."""

    host: str = option("127.0.0.1", "address to listen on; the console must reach it")
    port: int = option(8444, "HTTP port")


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
class CameraSettings:
    """How cameras are reached."""

    subnets: tuple[str, ...] = option(
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"), "cameras are looked for and registered only inside these"
    )
    open_timeout_s: float = option(5.0, "seconds to wait for a camera to answer")
    read_timeout_s: float = option(5.0, "seconds of silence after which a camera counts as gone")
    tls_trust: str = option(
        "any",
        'rtsps cameras: "any" certificate, one that the "system" knows, or the path of a PEM file with those to trust',
    )
    udp_first_port: int = option(30000, "first UDP port for cameras that are read over UDP; two ports for each track")
    udp_last_port: int = option(31999, "last UDP port for them: let the firewall pass the range")
    opening_at_once: int = option(16, "cameras that one worker connects to at the same time")
    offline_alarm_s: float = option(30.0, "seconds without recording until an alarm is raised")


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """How recordings are written."""

    segment_s: float = option(60.0, "seconds of a file; cuts fall on key frames and are staggered per camera")
    sync_interval_s: float = option(2.0, "seconds between two syncs of open files: what a power cut can cost, plus 1 s")
    reserve_mb: int = option(2048, "MB kept free on the volume; below it new recording is refused with an alarm")
    ring_mb: int = option(16, "MB that may wait for the disk, per stream, before a run ends as disk_slow")
    rings_mb: int = option(512, "MB that may wait for the disk in one worker, all streams together")
    pre_rolls_mb: int = option(256, "MB of pictures kept in one worker before events, all cameras on standby together")
    forecast_alarm_h: float = option(24.0, "hours until the reserve is reached, as free space falls now: alarm")


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """How the gateway divides its work."""

    workers: int = option(0, "ingest processes; 0: one per core, at most 8")


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Who may read `/metrics` and `/health`, which are not signed."""

    subnets: tuple[str, ...] = option(
        ("127.0.0.0/8", "::1/128"), "addresses that may read /metrics and /health without a signature; empty: nobody"
    )


@dataclass(frozen=True, slots=True)
class TranscodeSettings:
    """H.265 pictures turned into H.264 for browsers that cannot show them."""

    at_once: int = option(2, "tiles or clips transcoded at the same time, each in a process of its own; 0: never")
    nice: int = option(10, "how far these processes stand back for recording: 0 (not at all) to 19")
    linger_s: float = option(8.0, "seconds that a tile's transcoder stays after its last viewer left")


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """All settings of the camera gateway."""

    data: Path = option(Path("data"), "the data folder of the hall")
    catalog_url: str = option("", "SQLAlchemy URL of the catalog; empty: catalog.sqlite in the data folder")
    name: str = option("gateway", "what this gateway is called in lists")
    log_level: str = option("info", "debug, info, warning or error")
    listen: ListenSettings = section(ListenSettings, "where the gateway answers the console")
    storage: StorageSettings = section(StorageSettings, "where media objects are kept")
    cameras: CameraSettings = section(CameraSettings, "how cameras are reached")
    recording: RecordingSettings = section(RecordingSettings, "how recordings are written")
    processes: ProcessSettings = section(ProcessSettings, "how the work is divided")
    metrics: MetricsSettings = section(MetricsSettings, "who may read /metrics and /health")
    transcode: TranscodeSettings = section(TranscodeSettings, "H.265 turned into H.264 for browsers that need it")

    @property
    def catalog(self) -> str:
        """The catalog's effective URL."""
        return self.catalog_url or f"sqlite:///{self.data.absolute() / 'catalog.sqlite'}"

    @property
    def keys(self) -> Path:
        """Folder of the private keys (0700)."""
        return self.data / "keys"

    @property
    def objects(self) -> Path:
        """Folder of the disk object store."""
        return self.data / "objects"

    @property
    def staging(self) -> Path:
        """Folder of files being recorded or waiting for S3."""
        return self.data / "staging"

    @property
    def live_socket(self) -> Path:
        """Unix socket between ingest workers and the API process."""
        return self.data / "run" / "gateway-live.sock"

    @property
    def worker_count(self) -> int:
        """How many ingest workers run."""
        return self.processes.workers or min(os.cpu_count() or 1, 8)

    @property
    def url(self) -> str:
        """Where consoles find this gateway."""
        return f"http://{self.listen.host}:{self.listen.port}"


def check_settings(settings: GatewaySettings) -> None:
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
    if settings.processes.workers < 0:
        raise ConfigurationError("workers", "processes.workers must be 0 (one per core) or greater")
    if settings.transcode.at_once < 0 or not 0 <= settings.transcode.nice <= 19:
        raise ConfigurationError("transcode", "transcode.at_once must be 0 or greater, transcode.nice 0 to 19")
    _positive(settings)
    _networks("cameras.subnets", settings.cameras.subnets)
    _networks("metrics.subnets", settings.metrics.subnets)


def _networks(key: str, subnets: tuple[str, ...]) -> None:
    for subnet in subnets:
        try:
            ipaddress.ip_network(subnet)
        except ValueError as error:
            raise ConfigurationError("subnet", f"{key}: {subnet} is no network such as 10.1.0.0/16") from error


def _positive(settings: GatewaySettings) -> None:
    values = {
        "cameras.open_timeout_s": settings.cameras.open_timeout_s,
        "cameras.read_timeout_s": settings.cameras.read_timeout_s,
        "cameras.opening_at_once": settings.cameras.opening_at_once,
        "recording.segment_s": settings.recording.segment_s,
        "recording.sync_interval_s": settings.recording.sync_interval_s,
        "recording.ring_mb": settings.recording.ring_mb,
        "recording.rings_mb": settings.recording.rings_mb,
        "recording.pre_rolls_mb": settings.recording.pre_rolls_mb,
        "recording.forecast_alarm_h": settings.recording.forecast_alarm_h,
        "transcode.linger_s": settings.transcode.linger_s,
    }
    for key, value in values.items():
        if value <= 0:
            raise ConfigurationError("not_positive", f"{key} must be greater than 0, not {value}")
