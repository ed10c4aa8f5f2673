"""Enrolment over real TLS with an authority of the console's own, and the command line around it."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_agent.enrol import Invitation, authority_fingerprint, enrol
from edge_agent.identity import Identity, Places, load_identity
from edge_agent.main import main
from edge_agent.platform.fake import FakePlatform
from screen_capture.frames import Monitor, StillGrabber
from storage.clock import SystemClock
from storage.errors import ConfigurationError, NotAuthenticated, Unavailable
from storage.identity.keys import DeviceKey
from tests.fakes.agent_console import CODE, WORKSTATION, FakeConsole, FakeConsoleServer

pytestmark = pytest.mark.net

MONITOR = Monitor("HDMI-1", 0, 0, 1920, 1080)


def make_authority(folder: Path) -> tuple[bytes, ssl.SSLContext]:
    """A certificate authority and a server's TLS with a certificate of its."""
    authority_key, authority = _certificate("test authority", None, None)
    key, certificate = _certificate("127.0.0.1", authority_key, authority)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    pem += key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return authority.public_bytes(serialization.Encoding.PEM), context


def _certificate(
    name: str, issuer_key: ec.EllipticCurvePrivateKey | None, issuer: x509.Certificate | None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=SystemClock().now_us())
    signer = issuer_key or key
    usage = x509.KeyUsage(True, False, False, False, False, issuer is None, issuer is None, False, False)
    builder = (
        x509.CertificateBuilder(serial_number=x509.random_serial_number())
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(issuer is None, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if issuer is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=False)
    return key, builder.sign(signer, hashes.SHA256())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeConsoleServer]:
    authority, context = make_authority(tmp_path)
    made = FakeConsoleServer(FakeConsole(authority=authority), context)
    made.start()
    yield made
    made.stop()


def invited(server: FakeConsoleServer, fingerprint: str = "", code: str = CODE, ca: Path | None = None) -> Invitation:
    return Invitation(server.url, code, ca, fingerprint)


def go(invitation: Invitation, folder: Path, *, again: bool = False) -> Identity:
    return enrol(invitation, Places(folder), FakePlatform(folder), StillGrabber(MONITOR), SystemClock(), again=again)


def colons(fingerprint: str) -> str:
    return ":".join(fingerprint[i : i + 2] for i in range(0, 64, 2)).upper()


def test_the_authority_is_fetched_and_believed_by_its_fingerprint(server: FakeConsoleServer, tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    identity = go(invited(server, colons(authority_fingerprint(server.console.authority))), folder)
    places = Places(folder)
    assert (identity.workstation_id, identity.name) == (WORKSTATION, "3号窗口")
    assert load_identity(places) == identity
    assert places.authority.read_bytes() == server.console.authority
    [asked] = server.console.enrolments
    assert base64.b64decode(asked["public_key"]) == DeviceKey.load(places.device_key).public
    assert asked["monitors"] == [{"name": "HDMI-1", "width": 1920, "height": 1080}]
    assert places.device_key.stat().st_mode & 0o777 == 0o600
    assert places.identity.stat().st_mode & 0o777 == 0o600


def test_another_fingerprint_stops_before_the_code_is_sent(server: FakeConsoleServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="do not go on"):
        go(invited(server, "ab" * 32), tmp_path / "agent")
    assert server.console.enrolments == []
    assert not Places(tmp_path / "agent").authority.exists()


def test_an_authority_that_did_not_sign_the_server_is_refused(server: FakeConsoleServer, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    server.console.authority = make_authority(other)[0]
    with pytest.raises(Unavailable, match="certificate"):
        go(invited(server, authority_fingerprint(server.console.authority)), tmp_path / "agent")
    assert server.console.enrolments == []


def test_the_authority_from_a_file(server: FakeConsoleServer, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(server.console.authority)
    assert go(invited(server, ca=file), tmp_path / "agent").workstation_id == WORKSTATION


def test_without_an_authority_a_private_console_is_not_believed(server: FakeConsoleServer, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="certificate"):
        go(invited(server), tmp_path / "agent")


def test_a_wrong_code_leaves_the_machine_unenrolled(server: FakeConsoleServer, tmp_path: Path) -> None:
    fingerprint = authority_fingerprint(server.console.authority)
    with pytest.raises(NotAuthenticated, match="ask for a new one"):
        go(invited(server, fingerprint, code="WRONG"), tmp_path / "agent")
    with pytest.raises(ConfigurationError, match="sunhall-agent enrol"):
        load_identity(Places(tmp_path / "agent"))
    assert go(invited(server, fingerprint), tmp_path / "agent").workstation_id == WORKSTATION


def test_a_second_enrolment_needs_the_word_and_takes_a_new_key(server: FakeConsoleServer, tmp_path: Path) -> None:
    fingerprint = authority_fingerprint(server.console.authority)
    go(invited(server, fingerprint), tmp_path)
    first = DeviceKey.load(Places(tmp_path).device_key).public
    with pytest.raises(ConfigurationError, match="--again"):
        go(invited(server, fingerprint), tmp_path)
    go(invited(server, fingerprint), tmp_path, again=True)
    assert DeviceKey.load(Places(tmp_path).device_key).public != first


def test_plain_http_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        go(Invitation("http://127.0.0.1:1", CODE), tmp_path)


def test_the_command_line(server: FakeConsoleServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "agent")
    assert main(["check", "--folder", folder]) == 2
    assert "not enrolled" in capsys.readouterr().err
    fingerprint = authority_fingerprint(server.console.authority)
    asked = ["--console", server.url, "--code", CODE, "--ca-fingerprint", fingerprint, "--folder", folder]
    assert main(["enrol", *asked]) == 0
    assert "3号窗口" in capsys.readouterr().out
    assert main(["check", "--folder", folder]) == 0
    shown = capsys.readouterr().out
    assert "capture.interval_s = 5.0" in shown
    assert str(WORKSTATION) in shown


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("intervall = 1", "intervall"),
        ("[capture]\nintervals = 1", "capture.interval_s"),
        ("[capture]\ninterval_s = 0.01", "capture.interval_s"),
        ('[capture]\nredact = ["HDMI-1"]', "HDMI-1"),
        ('[notice]\nkind = "none"', "notice.kind"),
        ("[spool]\nmax_mb = 1", "spool.max_mb"),
        ("log_level = 3", "log_level"),
    ],
)
def test_settings_that_make_no_sense_name_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, named: str
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(text, encoding="utf-8")
    assert main(["check", "--config", str(file)]) == 2
    assert named in capsys.readouterr().err
