"""The command line and the running console: real processes, real TLS on loopback."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from console import main as command_line
from console.main import address_of
from console.server import SEND_BYTES, listen
from console.settings import ConsoleSettings, ListenSettings, TlsSettings, check_settings
from storage.errors import ConfigurationError
from storage.settings import load_settings
from tests.console.agent_world import enrolled, segment
from tests.console.console_world import ConsoleWorld

CODE = re.compile(r"\b[2-9A-Z]{4}(-[2-9A-Z]{4}){3}\b")


def settings_file(folder: Path, port: int = 8443, more: str = "") -> Path:
    path = folder / "console.toml"
    path.write_text(f'data = "{folder / "data"}"\n{more}\n[listen]\nhost = "127.0.0.1"\nport = {port}\n')
    return path


def test_check_prints_every_setting_with_secrets_starred(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "console.toml"
    path.write_text(
        'catalog_url = "postgresql://sunhall:hidden-word@db/hall"\n'
        '[storage]\nkind = "s3"\nendpoint = "s3:9000"\nbucket = "b"\nsecret_key = "hidden-key"\n'
    )
    assert command_line.main(["check", "--config", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "storage.secret_key = ***" in shown
    assert "postgresql://***@db/hall" in shown
    assert "hidden" not in shown
    assert "sessions.idle_minutes = 60.0" in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lissten = 1", "did you mean listen?"),
        ('[storage]\nkind = "tape"', "storage.kind"),
        ('[storage]\nkind = "s3"', "storage.endpoint"),
        ("[listen]\nport = 99999", "listen.port"),
        ("[agents]\nsilent_s = 0", "agents.silent_s"),
        ("[retention]\ninterval_s = -1", "retention.interval_s"),
        ("[orphans]\ninterval_s = -1", "orphans.interval_s"),
        ('[tls]\ncertificate = "x.pem"', "tls.key"),
        ('catalog_url = "mysql://x"', "catalog_url must be"),
    ],
)
def test_wrong_settings_end_with_one_line_that_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    path = tmp_path / "console.toml"
    path.write_text(f"{text}\n")
    command = "verify" if "catalog_url" in text else "check"
    assert command_line.main([command, "--config", str(path)]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_defaults_are_sound() -> None:
    check_settings(ConsoleSettings())
    assert load_settings(ConsoleSettings, None).listen.port == 8443


@pytest.mark.parametrize(
    ("host", "names", "address"),
    [
        ("0.0.0.0", (), "https://localhost:8443/"),
        ("0.0.0.0", ("hall.example",), "https://hall.example:8443/"),
        ("127.0.0.1", (), "https://localhost:8443/"),
        ("192.0.2.7", ("hall.example",), "https://192.0.2.7:8443/"),
        ("2001:db8::7", (), "https://[2001:db8::7]:8443/"),
    ],
)
def test_one_address_is_announced(host: str, names: tuple[str, ...], address: str) -> None:
    settings = ConsoleSettings(listen=ListenSettings(host=host), tls=TlsSettings(names=names))
    assert address_of(settings) == address


@pytest.fixture
def own_logging() -> Iterator[None]:
    """What `run` does to the log of this process is undone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_another_revision_is_refused_with_the_command_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], own_logging: None
) -> None:
    path = settings_file(tmp_path)
    (tmp_path / "data").mkdir()
    for command in ("run", "verify", "setup-code"):
        assert command_line.main([command, "--config", str(path)]) == 2
        assert "sunhall-console migrate" in capsys.readouterr().err


def test_migrate_setup_code_and_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = settings_file(tmp_path)
    assert command_line.main(["migrate", "--config", str(path)]) == 0
    capsys.readouterr()
    assert command_line.main(["setup-code", "--config", str(path)]) == 0
    code = capsys.readouterr().out.strip()
    assert CODE.fullmatch(code)
    assert (tmp_path / "data" / "setup-code").read_text().strip() == code
    assert command_line.main(["verify", "--config", str(path), "--level", "rows"]) == 0
    assert "findings=0" in capsys.readouterr().out
    created = ["create-account", "--config", str(path), "--login", "x1", "--role", "auditor"]
    assert command_line.main(created) == 2
    assert "first run" in capsys.readouterr().err


def test_verify_tells_damage_from_not_having_looked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = settings_file(tmp_path)
    with ConsoleWorld.make(tmp_path / "data") as world:
        world.finish_setup()
        machine = enrolled(world)
        data, head = segment(world.clock.now_us())
        world.clock.advance(60)
        assert machine.put(data, head).status_code == 201
        assert command_line.main(["verify", "--config", str(path)]) == 0
        stored = next(item for item in world.store.root.glob("??/*") if item.is_file())
        stored.write_bytes(stored.read_bytes()[:-1] + b"x")
        assert command_line.main(["verify", "--config", str(path)]) == 1
        assert "findings=1" in capsys.readouterr().out
    away = tmp_path / "away.toml"
    away.write_text(f'data = "{tmp_path}"\ncatalog_url = "sqlite:///{tmp_path}/no/such/folder/catalog.sqlite"\n')
    assert command_line.main(["verify", "--config", str(away)]) == 2


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "console.toml"
    path.write_text(f'data = "{tmp_path / "file" / "data"}"\n')
    assert command_line.main(["migrate", "--config", str(path)]) == 1
    told = capsys.readouterr().err
    assert "file" in told
    assert told.count("\n") == 1


@dataclass
class Running:
    """A console process."""

    process: subprocess.Popen[str]
    port: int
    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "data" / "tls" / "ca.pem"

    def client(self) -> httpx.Client:
        trust = ssl.create_default_context(cafile=str(self.authority))
        return httpx.Client(base_url=f"https://localhost:{self.port}", verify=trust, trust_env=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A migrated console that has said that it is up."""
    port = free_port()
    path = settings_file(tmp_path, port)
    command_line.main(["migrate", "--config", str(path)])
    command = [sys.executable, "-m", "console.main", "run", "--config", str(path)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        (tmp_path / "said").write_text("".join(lines))
        yield Running(process, port, tmp_path)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.net
def test_a_running_console_is_trusted_through_its_authority(running: Running) -> None:
    said = (running.folder / "said").read_text()
    assert f"https://localhost:{running.port}/" in said
    assert said.count("https://") == 1
    with running.client() as client:
        pem = client.get("/ca.pem")
        assert pem.content == running.authority.read_bytes()
        assert client.get("/health").json() == {"ok": True}
        assert client.get("/api/setup").json()["needed"] is True
        assert "server" not in client.get("/health").headers
        forwarded = {"X-Forwarded-For": "203.0.113.5", "X-Forwarded-Proto": "http", "Origin": "http://elsewhere"}
        refused = client.post("/api/login", json={"login": "x", "password": "y"}, headers=forwarded)
        assert refused.json()["error"]["code"] == "origin_not_allowed"
    assert not CODE.search(said), "a captured output holds no set-up code"
    assert (running.folder / "data" / "setup-code").exists()


@pytest.mark.net
def test_the_first_signal_drains(running: Running) -> None:
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait() == 0
    log = (running.folder / "log").read_text()
    assert "signal_draining" in log
    assert "Traceback" not in log
    assert not CODE.search(log)


@pytest.mark.net
def test_a_taken_port_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        path = settings_file(tmp_path, int(taken.getsockname()[1]))
        command_line.main(["migrate", "--config", str(path)])
        command = [sys.executable, "-m", "console.main", "run", "--config", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is the port in use?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.net
@pytest.mark.parametrize(("host", "peer"), [("127.0.0.1", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "::1")])
def test_where_it_listens(host: str, peer: str) -> None:
    with listen(host, 0) as listening:
        port = int(listening.getsockname()[1])
        with socket.create_connection((peer, port), timeout=5) as client:
            assert client.getpeername()[1] == port
            accepted, _ = listening.accept()
            with accepted:  # what the kernel holds for a viewer that does not read is delay
                held = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
                assert SEND_BYTES <= held <= 2 * SEND_BYTES == 128 * 1024


def test_an_account_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settings_file(tmp_path)
    with ConsoleWorld.make(tmp_path / "data") as world:
        world.finish_setup()
        command = ["create-account", "--config", str(path), "--login", "Rescue", "--role", "system_admin"]
        monkeypatch.setattr(sys, "stdin", io.StringIO("a-rescuing-phrase\n"))
        assert command_line.main(command) == 0
        monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
        assert command_line.main(command) == 1
        assert "password_short" in capsys.readouterr().err
        assert command_line.main(["setup-code", "--config", str(path)]) == 1
        logins = [item["login"] for item in world.person("system_admin").get("/api/accounts").json()["accounts"]]
    assert "rescue" in logins


def test_settings_of_pairs_are_refused_in_code_too() -> None:
    with pytest.raises(ConfigurationError):
        check_settings(ConsoleSettings(tls=TlsSettings(key="k.pem")))
