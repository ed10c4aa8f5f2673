"""HTTPS from the first start: a local certificate authority, and a server certificate that renews itself.

The authority (10 years) is made once; its fingerprint (密钥校验码) is what people compare. The server's certificate
names localhost, the host, every address of this machine and what `tls.names` adds; it is made again when it nears its
end or when the names change. Browsers and agents trust `ca.pem`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from storage.clock import US, Clock
from storage.errors import ConfigurationError
from storage.files import write_atomic

log = logging.getLogger(__name__)

AUTHORITY_DAYS = 3653
SERVER_DAYS = 397
RENEW_DAYS = 60
BACKDATE = timedelta(hours=24)
"""Certificates begin a day early, for machines whose clock is behind."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the certificate of the server lies, and the authority that signed it (None: somebody else's)."""

    certificate: Path
    key: Path
    authority: Path | None

    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate (of the server's without one), pairs of hex with colons."""
        pem = (self.authority or self.certificate).read_bytes()
        return fingerprint_of(pem)


def fingerprint_of(pem: bytes) -> str:
    """密钥校验码 of the first certificate in `pem`."""
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    digest = hashlib.sha256(der).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def local_names(extra: Iterable[str] = (), addresses: Callable[[str], list[str]] | None = None) -> list[str]:
    """localhost, the host name, this machine's addresses and `extra`, each once and in order."""
    host = socket.gethostname()
    found = ["localhost", "127.0.0.1", "::1", host, *(addresses or machine_addresses)(host), *extra]
    return list(dict.fromkeys(name.strip().lower() for name in found if name.strip()))


def machine_addresses(host: str) -> list[str]:
    """The addresses of this machine, as far as it knows them; nothing is sent."""
    found = [_outgoing(socket.AF_INET, "192.0.2.1"), _outgoing(socket.AF_INET6, "2001:db8::1")]
    try:
        answers = socket.getaddrinfo(host, None)
    except OSError:
        answers = []
    found += [str(answer[4][0]).partition("%")[0] for answer in answers]
    return [address for address in found if address]


def _outgoing(family: socket.AddressFamily, documentation_address: str) -> str:
    """The address this machine would speak from; connecting a datagram socket sends nothing."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((documentation_address, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


class LocalAuthority:
    """Makes and renews the files in the folder `tls/`."""

    def __init__(self, folder: Path, names: Iterable[str], clock: Clock) -> None:
        self._folder = folder
        self._names = list(names)
        self._clock = clock
        self.files = TlsFiles(folder / "console.pem", folder / "console.key", folder / "ca.pem")

    def ensure(self) -> bool:
        """Make what is missing or near its end; true when the server's certificate is new.

        Raises:
            ConfigurationError: a file cannot be read as what it should be (`tls_damaged`).
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (self._folder / "ca.pem").exists():
            self._make_authority()
        if self._is_current():
            return False
        self._make_server()
        return True

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_us() / US, tz=UTC)

    def _is_current(self) -> bool:
        if not (self.files.certificate.exists() and self.files.key.exists()):
            return False
        certificate = _certificate(self.files.certificate)
        authority = _certificate(self._folder / "ca.pem")
        ends = certificate.not_valid_after_utc - self._now()
        return (
            certificate.issuer == authority.subject
            and ends > timedelta(days=RENEW_DAYS)
            and set(_names_in(certificate)) >= set(self._names)
        )

    def _make_authority(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(
                    NameOID.COMMON_NAME, f"Sunhall hall authority {x509.random_serial_number() % 10**8:08d}"
                )
            ]
        )
        certificate = (
            self._builder(name, name, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_atomic(self._folder / "ca.key", _private_pem(key), mode=0o600)
        write_atomic(self._folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
        log.info("tls_authority_made", extra={"fields": {"folder": self._folder}})

    def _make_server(self) -> None:
        authority = _certificate(self._folder / "ca.pem")
        authority_key = _private_key(self._folder / "ca.key")
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sunhall console")])
        certificate = (
            self._builder(name, authority.subject, key.public_key(), SERVER_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in self._names]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        write_atomic(self.files.key, _private_pem(key), mode=0o600)
        write_atomic(self.files.certificate, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
        log.info("tls_certificate_made", extra={"fields": {"names": len(self._names)}})

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        now = self._now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(now + timedelta(days=days))
        )


class CertificateKeeper:
    """Part: looks once a day whether the certificate must be renewed, and loads the new one into the live context."""

    def __init__(
        self, authority: LocalAuthority, context: ssl.SSLContext, clock: Clock, interval_s: float = 86_400
    ) -> None:
        self._authority = authority
        self._context = context
        self._clock = clock
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="certificate-keeper", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop and wait."""
        self._stopping.set()
        self._thread.join()

    def run_once(self) -> bool:
        """Renew when it is time; true when there is a new certificate in use."""
        if not self._authority.ensure():
            return False
        files = self._authority.files
        self._context.load_cert_chain(files.certificate, files.key)
        return True

    def _run(self) -> None:
        while not self._clock.wait(self._stopping, self._interval_s):
            try:
                self.run_once()
            except (OSError, ConfigurationError, ssl.SSLError) as error:
                log.error("tls_renewal_failed", extra={"fields": {"error": str(error)}})


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """A server context (TLS 1.2 or later) with the certificate loaded.

    Raises:
        ConfigurationError: the files are no certificate and its key (`tls_damaged`).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError("tls_damaged", f"cannot use {files.certificate} with {files.key}: {error}") from error
    return context


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError("tls_damaged", f"{path} is no certificate: restore it or remove the folder") from error


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise ConfigurationError("tls_damaged", f"{path} is no private key: restore it from the backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError("tls_damaged", f"{path} is no elliptic-curve key: restore it from the backup")
    return key


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _names_in(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode("ascii"))


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
