"""The local authority: what its certificates say, when they are made again, and that a client trusts them."""

from __future__ import annotations

import ssl
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from console.tls import (
    CertificateKeeper,
    LocalAuthority,
    TlsFiles,
    fingerprint_of,
    local_names,
    server_context,
)
from storage.clock import FakeClock
from storage.errors import ConfigurationError

NAMES = ("localhost", "127.0.0.1", "::1", "hall.example")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def made(folder: Path, clock: FakeClock, names: tuple[str, ...] = NAMES) -> LocalAuthority:
    authority = LocalAuthority(folder / "tls", names, clock)
    authority.ensure()
    return authority


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_first_start_makes_an_authority_and_a_certificate(tmp_path: Path, clock: FakeClock) -> None:
    files = made(tmp_path, clock).files
    assert files.authority is not None
    authority, server = certificate(files.authority), certificate(files.certificate)
    server.verify_directly_issued_by(authority)
    assert authority.not_valid_after_utc - authority.not_valid_before_utc > timedelta(days=3650)
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    usage = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    alternatives = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternatives.get_values_for_type(x509.DNSName) == ["localhost", "hall.example"]
    assert [str(item) for item in alternatives.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    for name in ("ca.key", "console.key"):
        assert stat.S_IMODE((tmp_path / "tls" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def test_the_fingerprint_is_the_authority_s_and_stays(tmp_path: Path, clock: FakeClock) -> None:
    files = made(tmp_path, clock).files
    assert files.authority is not None
    before = files.fingerprint()
    assert before == fingerprint_of(files.authority.read_bytes())
    assert len(before) == 32 * 3 - 1
    clock.advance(390 * 86_400)
    assert made(tmp_path, clock).files.fingerprint() == before
    assert TlsFiles(files.certificate, files.key, None).fingerprint() != before


def test_a_certificate_is_kept_until_it_nears_its_end(tmp_path: Path, clock: FakeClock) -> None:
    authority = made(tmp_path, clock)
    first = authority.files.certificate.read_bytes()
    clock.advance(300 * 86_400)
    assert authority.ensure() is False
    clock.advance(40 * 86_400)
    assert authority.ensure() is True
    assert authority.files.certificate.read_bytes() != first
    assert authority.ensure() is False


def test_new_names_make_a_new_certificate(tmp_path: Path, clock: FakeClock) -> None:
    made(tmp_path, clock)
    more = LocalAuthority(tmp_path / "tls", (*NAMES, "192.0.2.7"), clock)
    assert more.ensure() is True
    assert LocalAuthority(tmp_path / "tls", NAMES, clock).ensure() is False


def test_the_keeper_puts_the_new_certificate_to_use(tmp_path: Path, clock: FakeClock) -> None:
    authority = made(tmp_path, clock)
    context = server_context(authority.files)
    keeper = CertificateKeeper(authority, context, clock)
    assert keeper.run_once() is False
    clock.advance(350 * 86_400)
    assert keeper.run_once() is True
    assert served_by(context, authority) == certificate(authority.files.certificate).serial_number


def served_by(context: ssl.SSLContext, authority: LocalAuthority) -> int:
    """The serial number that a client sees, from a handshake in memory."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(authority.files.authority)
    trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE  # the machine's clock is not the test's
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = trust.wrap_bio(to_client, to_server)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    seen = client.getpeercert(binary_form=True)
    assert seen is not None
    return x509.load_der_x509_certificate(seen).serial_number


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "console.pem"])
def test_damaged_files_are_named(tmp_path: Path, clock: FakeClock, name: str) -> None:
    made(tmp_path, clock)
    (tmp_path / "tls" / name).write_bytes(b"nothing")
    if name == "ca.key":
        (tmp_path / "tls" / "console.pem").unlink()
    with pytest.raises(ConfigurationError, match=name):
        LocalAuthority(tmp_path / "tls", NAMES, clock).ensure()


def test_files_of_another_authority_must_fit(tmp_path: Path, clock: FakeClock) -> None:
    first, second = made(tmp_path / "a", clock).files, made(tmp_path / "b", clock).files
    with pytest.raises(ConfigurationError) as caught:
        server_context(TlsFiles(first.certificate, second.key, None))
    assert caught.value.code == "tls_damaged"


def test_names_of_this_machine() -> None:
    names = local_names(["Hall.Example ", "", "192.0.2.9"], lambda host: ["192.0.2.9", host])
    assert names[:3] == ["localhost", "127.0.0.1", "::1"]
    assert names.count("192.0.2.9") == 1
    assert names[-1] == "hall.example"
