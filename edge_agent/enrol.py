"""Enrolment: trust the console's authority by fingerprint, make a key here, use up the code."""

from __future__ import annotations

import base64
import hashlib
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edge_agent import __version__
from edge_agent.identity import Identity, Places, save_identity
from edge_agent.platform.base import Platform
from screen_capture.frames import Grabber, GrabFailed
from storage.clock import Clock
from storage.errors import ConfigurationError, InvalidInput, NotAuthenticated, Unavailable
from storage.files import write_atomic
from storage.identity.keys import DeviceKey, fingerprint
from storage.spool.client import Answer, ConsoleClient, trust

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the administrator handed over. `ca_fingerprint`: SHA-256 of the authority's certificate (密钥校验码)."""

    console: str
    code: str
    ca_file: Path | None = None
    ca_fingerprint: str = ""


def enrol(
    invitation: Invitation,
    places: Places,
    platform: Platform,
    grabber: Grabber,
    clock: Clock,
    *,
    again: bool = False,
    transport: httpx.BaseTransport | None = None,
) -> Identity:
    """Make this machine a workstation of the console; a second time only with `again`, under a new key.

    Raises:
        ConfigurationError: enrolled already, no HTTPS address, or an authority that is not the one named.
        NotAuthenticated: the code is wrong, expired or used up.
        Unavailable: the console is away or refuses.
    """
    if places.identity.exists() and not again:
        raise ConfigurationError("enrolled_already", "this workstation is enrolled: use --again with a new code")
    if not invitation.console.startswith("https://"):
        raise ConfigurationError("console_not_https", "the console's address begins with https://")
    places.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    verify = _trusted(invitation, places, clock, transport)
    places.identity.unlink(missing_ok=True)
    places.device_key.unlink(missing_ok=True)  # a key of an enrolment that failed half-way may be known to the console
    key = DeviceKey.create(places.device_key)
    client = ConsoleClient(invitation.console, clock, verify=verify, transport=transport)
    try:
        answer = client.request_json("POST", "/agent/v1/enrol", _request(invitation, key, platform, grabber))
    finally:
        client.close()
    identity = _identity(answer, invitation.console, platform)
    save_identity(places, identity)
    log.info("enrolled", extra={"fields": {"workstation": identity.workstation_id, "key": fingerprint(key.public)}})
    return identity


def authority_fingerprint(pem: bytes) -> str:
    """SHA-256 of the first certificate in `pem`, as plain lower-case hex. ConfigurationError when there is none."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise ConfigurationError("ca_unreadable", "that is no certificate in PEM form") from error
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _trusted(
    invitation: Invitation, places: Places, clock: Clock, transport: httpx.BaseTransport | None
) -> ssl.SSLContext:
    """The authority named by file or fingerprint, kept as `ca.pem`; the system's authorities when neither is named."""
    if invitation.ca_file is not None:
        pem = _read(invitation.ca_file)
    elif invitation.ca_fingerprint:
        pem = _fetch_authority(invitation.console, clock, transport)
    else:
        places.authority.unlink(missing_ok=True)
        return trust(None)
    found = authority_fingerprint(pem)
    wanted = "".join(char for char in invitation.ca_fingerprint.lower() if char in "0123456789abcdef")
    if invitation.ca_fingerprint and found != wanted:
        shown = ":".join(found[i : i + 2] for i in range(0, len(found), 2)).upper()
        message = f"the console's authority has the fingerprint {shown}, not the one given: do not go on, ask the hall"
        raise ConfigurationError("ca_fingerprint_differs", message)
    write_atomic(places.authority, pem, mode=0o644)
    return trust(places.authority)


def _fetch_authority(console: str, clock: Clock, transport: httpx.BaseTransport | None) -> bytes:
    """The console's `ca.pem`, over a connection that is not trusted: the fingerprint is compared before it is used."""
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    client = ConsoleClient(console, clock, verify=unverified, transport=transport)
    try:
        answer = client.request("GET", "/ca.pem")
    finally:
        client.close()
    if answer.status != 200:
        raise Unavailable("ca_not_offered", f"the console answered {answer.status} for /ca.pem: use --ca with its file")
    return answer.raw


def _request(invitation: Invitation, key: DeviceKey, platform: Platform, grabber: Grabber) -> dict[str, object]:
    try:
        monitors = grabber.monitors()
    except GrabFailed as error:
        log.info("enrolling_without_monitors", extra={"fields": {"code": error.code}})
        monitors = []
    return {
        "code": invitation.code,
        "public_key": base64.b64encode(key.public).decode(),
        "machine_id": platform.machine_id(),
        "hostname": platform.hostname(),
        "version": __version__,
        "monitors": [{"name": m.name, "width": m.width, "height": m.height} for m in monitors],
    }


def _identity(answer: Answer, console: str, platform: Platform) -> Identity:
    if answer.status == 401:
        raise NotAuthenticated(
            answer.error_code or "enrolment_code_invalid", "the code is wrong, expired or used up: ask for a new one"
        )
    if answer.status != 201 or not isinstance(answer.body, dict):
        raise Unavailable("enrolment_refused", f"the console answered {answer.status} {answer.error_code}")
    try:
        return Identity(UUID(answer.body["workstation_id"]), str(answer.body["name"]), console, platform.machine_id())
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InvalidInput("enrolment_answer_invalid", "the console's answer to the enrolment is damaged") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError("ca_unreadable", f"cannot read {path}: {error.strerror}") from error
