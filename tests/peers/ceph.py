"""A real S3 engine for the session: one-node Ceph with RGW on loopback. Missing Ceph is a failure."""

from __future__ import annotations

import http.client
import itertools
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from minio import Minio

from storage.clock import SystemClock
from tests.peers.tied import tied

ACCESS_KEY = "hallaccess"
SECRET_KEY = "hallsecret0123456789"
_PROGRAMS = ("ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "radosgw", "radosgw-admin", "ceph-authtool", "monmaptool")

_CONFIG = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]
mon initial members = a
keyring = {folder}/keyring
public network = 127.0.0.0/8
ms bind ipv6 = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
mon allow pool size one = true
mon warn on pool no redundancy = false
admin socket = {folder}/run/$name.asok
log file = {folder}/$name.log
run dir = {folder}/run
pid file =
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
[mgr.x]
mgr data = {folder}/mgr
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:{s3}
rgw data = {folder}/rgw
"""
_MAY = {
    "mon.": ("mon", "allow *"),
    "client.admin": ("mon", "allow *", "osd", "allow *", "mgr", "allow *"),
    "mgr.x": ("mon", "allow profile mgr", "osd", "allow *"),
    "osd.0": ("mon", "allow profile osd", "osd", "allow *", "mgr", "allow profile osd"),
    "client.rgw.a": ("mon", "allow rw", "osd", "allow rwx", "mgr", "allow rw"),
}


@dataclass
class S3Server:
    """The running engine. `stop_s3` and `start_s3` make only the S3 door go away and return; the data stay."""

    folder: Path
    port: int
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)
    door: subprocess.Popen[bytes] | None = None
    _count: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def endpoint(self) -> str:
        """Host and port of the S3 door."""
        return f"127.0.0.1:{self.port}"

    def client(self) -> Minio:
        """A client with the hall's keys."""
        return Minio(self.endpoint, access_key=ACCESS_KEY, secret_key=SECRET_KEY, secure=False)

    def bucket(self, *, object_lock: bool = True) -> str:
        """The name of a new bucket."""
        name = f"hall-{next(self._count)}"
        self.client().make_bucket(name, object_lock=object_lock)
        return name

    def start_s3(self) -> None:
        """Start the S3 door and wait until it answers."""
        self.door = self.spawn("radosgw", "-n", "client.rgw.a")
        self._wait_for_door()

    def stop_s3(self) -> None:
        """Take the S3 door away. (Killed outright, RGW's lost watches would block writes for 30 s after its return.)"""
        if self.door is not None:
            self.door.terminate()
            self.door.wait(timeout=30)
            self.door = None

    def spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a daemon in the foreground, so that it is ours to stop by its process id."""
        log = (self.folder / f"{program}.out").open("ab")
        with log:
            return subprocess.Popen(
                tied(program, "-c", str(self.folder / "ceph.conf"), *arguments, "-f"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, program: str, *arguments: str) -> None:
        """Run a command of the cluster; raises with its output when it fails."""
        _run(program, "-c", str(self.folder / "ceph.conf"), *arguments)

    def stop(self) -> None:
        """Stop every daemon by its process id."""
        self.stop_s3()
        for daemon in reversed(self.daemons):
            daemon.kill()
            daemon.wait(timeout=30)

    def _wait_for_door(self) -> None:
        for _ in range(240):
            if self.door is not None and self.door.poll() is not None:
                break
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/")
                connection.getresponse().read()
            except OSError:
                SystemClock().sleep(0.25)
            else:
                return
            finally:
                connection.close()
        raise RuntimeError(f"RGW did not answer: see {self.folder}/radosgw.out")


def _run(*command: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=120
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stdout.decode(errors='replace')}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _prepare(folder: Path) -> tuple[S3Server, str, str]:
    for name in ("mon", "osd", "mgr", "rgw", "run"):
        (folder / name).mkdir()
    fsid, (mon_v2, mon_v1, s3) = str(uuid.uuid4()), _free_ports(3)
    config = _CONFIG.format(fsid=fsid, folder=folder, mon_v2=mon_v2, mon_v1=mon_v1, s3=s3)
    (folder / "ceph.conf").write_text(config)
    keyring = str(folder / "keyring")
    _run("ceph-authtool", "--create-keyring", keyring)
    for name, may in _MAY.items():
        pairs = itertools.chain.from_iterable(("--cap", may[i], may[i + 1]) for i in range(0, len(may), 2))
        _run("ceph-authtool", keyring, "--gen-key", "-n", name, *pairs)
    addresses = f"[v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]"
    _run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", addresses, str(folder / "monmap"))
    return S3Server(folder, s3), keyring, str(uuid.uuid4())


def start_cluster(folder: Path) -> S3Server:
    """Make and start a cluster in an empty folder whose path is short (its Unix sockets live there)."""
    absent = [program for program in _PROGRAMS if shutil.which(program) is None]
    if absent:
        pytest.fail(
            f"Ceph is missing ({', '.join(absent)}): apt-get install --no-install-recommends ceph-mon radosgw ..."
        )
    server, keyring, osd = _prepare(folder)
    try:
        server.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(folder / "monmap"), "--keyring", keyring)
        server.daemons.append(server.spawn("ceph-mon", "-i", "a"))
        server.daemons.append(server.spawn("ceph-mgr", "-i", "x"))
        server.run("ceph", "osd", "new", osd)
        server.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        server.daemons.append(server.spawn("ceph-osd", "-i", "0"))
        server.start_s3()
        user = ("user", "create", "--uid=hall", "--display-name=hall")
        server.run("radosgw-admin", *user, f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}")
    except BaseException:
        server.stop()
        raise
    return server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """The session's S3 engine."""
    folder = Path(tempfile.mkdtemp(prefix="sunhall-s3-", dir="/tmp"))
    server = start_cluster(folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
