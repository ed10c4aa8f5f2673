"""ZoneMinder's `zmc` beside us, where Debian's package is installed: nothing is installed for it.

Each camera is a monitor with function Record, camera passthrough, no JPEGs and decoding off: the least that it can do.
A MariaDB of our own in the bench's folder; the settings in /etc/zm are replaced in a private mount namespace, so
neither needs root nor touches the machine's ZoneMinder.
"""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage.clock import SystemClock
from tests.bench.live_source import LiveSource
from tests.bench.process_tree import Steady, steady, tree
from tests.bench.report import Row

CLOCK = SystemClock()
SETTLE_S = 15.0
NEEDED = ("zmc", "mariadbd", "mariadb-install-db", "mariadb", "unshare")
SETTINGS = Path("/etc/zm")
SCHEMA = Path("/usr/share/zoneminder/db/zm_create.sql")


def missing() -> list[str]:
    """What is not there of what it needs."""
    programs = [name for name in NEEDED if shutil.which(name) is None]
    return programs + [str(path) for path in (SETTINGS / "zm.conf", SCHEMA) if not path.exists()]


@dataclass
class ZoneMinder:
    """A database, and one zmc per camera."""

    folder: Path
    urls: Sequence[str]
    _database: subprocess.Popen[bytes] | None = None
    _captures: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Make everything in the folder and start it."""
        for name in ("events", "map", "socks", "logs", "swap", "etc/conf.d"):
            (self.folder / name).mkdir(parents=True)
        self._start_database()
        self._sql(SCHEMA.read_text(encoding="utf-8"))
        self._sql(self._monitors())
        shutil.copy(SETTINGS / "zm.conf", self.folder / "etc" / "zm.conf")
        (self.folder / "etc" / "conf.d" / "99-bench.conf").write_text(self._settings(), encoding="utf-8")
        with (self.folder / "zmc.log").open("wb") as log:
            for number in range(1, len(self.urls) + 1):
                enter = f'mount --bind "{self.folder}/etc" {SETTINGS} && exec zmc -m {number}'
                command = ["unshare", "--map-root-user", "--mount", "sh", "-c", enter]
                self._captures.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def stop(self) -> None:
        """End it."""
        for process in self._captures:
            process.terminate()
        for process in self._captures:
            process.wait(60)
        if self._database is not None:
            self._database.terminate()
            self._database.wait(60)

    def recording(self) -> int:
        """How many monitors have bytes in a file."""
        return len({path.parts[len(self.folder.parts) + 1] for path in self._files() if path.stat().st_size})

    def pids(self) -> list[int]:
        """The zmc processes, without the database."""
        return [pid for process in self._captures for pid in tree(process.pid)]

    def _files(self) -> list[Path]:
        return [path for path in (self.folder / "events").rglob("*.mp4") if path.is_file()]

    def _start_database(self) -> None:
        data = f"--datadir={self.folder / 'database'}"
        user = f"--user={getpass.getuser()}"
        make = ["mariadb-install-db", "--no-defaults", data, user, "--auth-root-authentication-method=normal"]
        subprocess.run(make, check=True, capture_output=True, timeout=120)
        with (self.folder / "database.log").open("wb") as log:
            command = ["mariadbd", "--no-defaults", data, user, f"--socket={self._socket}", "--skip-networking"]
            self._database = subprocess.Popen([*command, "--sql-mode="], stdout=log, stderr=log)
        deadline = CLOCK.monotonic() + 60
        while not self._socket.exists():
            assert CLOCK.monotonic() < deadline, "MariaDB did not start: see database.log"
            CLOCK.sleep(0.2)
        self._sql("CREATE USER 'zm'@'localhost' IDENTIFIED BY 'zm'; GRANT ALL ON *.* TO 'zm'@'localhost';")

    @property
    def _socket(self) -> Path:
        return self.folder / "db.sock"

    def _sql(self, text: str) -> None:
        command = ["mariadb", "--no-defaults", f"--socket={self._socket}", "--user=root"]
        subprocess.run(command, input=text.encode(), check=True, timeout=120, stdout=subprocess.DEVNULL)

    def _monitors(self) -> str:
        events = self.folder / "events"
        lines = ["USE zm;", f"UPDATE Storage SET Path='{events}', Scheme='Shallow' WHERE Id=1;"]  # noqa: S608 - our own
        for number, url in enumerate(self.urls, 1):
            values = f"Id={number}, Name='cam{number}', StorageId=1, Type='Ffmpeg', Function='Record', Enabled=1"
            values += f", DecodingEnabled=0, Method='rtpRtsp', Path='{url}', Width=1920, Height=1080, Colours=4"
            values += ", SaveJPEGs=0, VideoWriter=2, OutputContainer='mp4', SectionLength=60"
            lines.append(f"INSERT INTO Monitors SET {values};")
        return "\n".join(lines)

    def _settings(self) -> str:
        names = {
            "ZM_DB_HOST": f"localhost:{self._socket}",
            "ZM_DB_NAME": "zm",
            "ZM_DB_USER": "zm",
            "ZM_DB_PASS": "zm",
            "ZM_DIR_EVENTS": self.folder / "events",
            "ZM_PATH_MAP": self.folder / "map",
            "ZM_PATH_SOCKS": self.folder / "socks",
            "ZM_PATH_LOGS": self.folder / "logs",
            "ZM_PATH_SWAP": self.folder / "swap",
        }
        return "".join(f"{name}={value}\n" for name, value in names.items())


def rows(folder: Path, source: LiveSource, seconds: int, ours: Steady) -> list[Row]:
    """recorder.cpu_vs_zoneminder@N and recorder.memory_vs_zoneminder@N; without a peer where it is not installed."""
    at = f"@{len(source.urls)}"
    lacking = missing()
    if lacking:
        note = f"no peer: {', '.join(lacking)} missing; install Debian's zoneminder and mariadb-server for it"
        return [Row(f"recorder.cpu_vs_zoneminder{at}", ours.cores * 100, "% of a core", note=note)]
    used = measure(folder / "zoneminder", source, seconds)
    note = "peer: one zmc a camera, Record with passthrough, decoding off; without its database"
    return [
        Row(f"recorder.cpu_vs_zoneminder{at}", ours.cores * 100, "% of a core", used.cores * 100, note),
        Row(f"recorder.memory_vs_zoneminder{at}", ours.pss_mib, "MiB PSS", used.pss_mib, "mean"),
    ]


def measure(folder: Path, source: LiveSource, seconds: int) -> Steady:
    """All monitors over a steady time."""
    peer = ZoneMinder(folder, source.urls)
    try:
        peer.start()
        deadline = CLOCK.monotonic() + 60
        while peer.recording() < len(source.urls):
            assert CLOCK.monotonic() < deadline, f"zmc records {peer.recording()} of {len(source.urls)} cameras"
            CLOCK.sleep(0.5)
        CLOCK.sleep(SETTLE_S)
        return steady(peer.pids, [source.pid], seconds, CLOCK, lambda: None)
    finally:
        peer.stop()
        shutil.rmtree(folder)
