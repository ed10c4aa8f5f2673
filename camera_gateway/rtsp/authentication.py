"""Signing in to a camera: Basic (RFC 7617) and Digest (RFC 2617, RFC 7616), as a client.

The strongest challenge that we know is answered; Basic only where nothing else is offered. User name hashing
(`userhash`) is an offer that a client may pass over, and so it is. Neither user name nor password appears in an
exception, a log or a `repr`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

LONGEST_CHALLENGES = 8 * 1024
"""Characters of `WWW-Authenticate` that are looked at, over all its fields."""

_ITEM = re.compile(r"""([^\s,="]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s,"]*)))?""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
_STRENGTH = ("MD5", "SHA-256", "SHA-512-256")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme that a server offers, with its parameters (names in lower case)."""

    scheme: str  # in lower case
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def stale(self) -> bool:
        """The password may be right: only the nonce was too old."""
        return self.parameters.get("stale", "").lower() == "true"

    @property
    def nonce(self) -> str:
        return self.parameters.get("nonce", "")

    @property
    def algorithm(self) -> str:
        """Its name in upper case without `-SESS`."""
        return self.parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")

    @property
    def per_session(self) -> bool:
        return self.parameters.get("algorithm", "").upper().endswith("-SESS")

    @property
    def strength(self) -> int:
        """How good it is: 0 when we cannot answer it, 1 for Basic, more for Digest."""
        if any(_CONTROL.search(value) for value in self.parameters.values()):
            return 0
        if self.scheme == "basic":
            return 1
        qop = self.parameters.get("qop", "")
        if self.scheme != "digest" or not self.nonce or self.algorithm not in _HASHES or (qop and not _has_auth(qop)):
            return 0
        return 2 + _STRENGTH.index(self.algorithm)


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Every challenge of the `WWW-Authenticate` fields of one reply; several may share a field."""
    found: list[tuple[str, dict[str, str]]] = []
    for item in _ITEM.finditer(", ".join(values)[:LONGEST_CHALLENGES]):
        name, quoted, bare = item.groups()
        if quoted is None and bare is None:
            found.append((name.lower(), {}))
        elif found:
            text = _ESCAPED.sub(r"\1", quoted) if quoted is not None else bare
            found[-1][1].setdefault(name.lower(), text)
    return [Challenge(scheme, parameters) for scheme, parameters in found]


def _has_auth(qop: str) -> bool:
    return "auth" in (part.strip().lower() for part in qop.split(","))


class Credentials:
    """A user name and password, and the answers to one server's challenges.

    `cnonce` gives a fresh client nonce of hexadecimal digits at each call.
    """

    def __init__(self, username: str, password: str, cnonce: Callable[[], str]) -> None:
        # Latin-1 text of the UTF-8 bytes: what is hashed and what is sent are the same bytes.
        self._username = username.encode().decode("latin-1")
        self._password = password.encode().decode("latin-1")
        self._new_cnonce = cnonce
        self._challenge: Challenge | None = None
        self._cnonce = ""
        self._count = 0

    def __repr__(self) -> str:
        return "Credentials(…)"

    @property
    def given(self) -> bool:
        """Whether there is anything to sign in with."""
        return bool(self._username or self._password)

    @property
    def sendable(self) -> bool:
        """Whether the user name can stand in a header at all."""
        return _CONTROL.search(self._username) is None

    @property
    def nonce(self) -> str:
        """The nonce that answers are made for."""
        return self._challenge.nonce if self._challenge is not None else ""

    def take(self, challenges: Iterable[Challenge]) -> Challenge | None:
        """Answer the strongest of these from now on. None when we can answer none of them."""
        best = max(challenges, key=lambda challenge: challenge.strength, default=None)
        if best is None or best.strength == 0:
            return None
        self._challenge, self._count, self._cnonce = best, 0, ""
        return best

    def header(self, method: str, uri: str) -> str | None:
        """The `Authorization` of a request for `uri` as it stands in the request line. None before a challenge."""
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            pair = f"{self._username}:{self._password}".encode("latin-1")
            return "Basic " + base64.b64encode(pair).decode("ascii")
        return self._digest(challenge, method, uri)

    def _digest(self, challenge: Challenge, method: str, uri: str) -> str:
        self._count += 1
        self._cnonce = self._cnonce or self._new_cnonce()
        qop = "qop" in challenge.parameters and bool(challenge.parameters["qop"])
        count = f"{self._count:08x}"
        fields = [
            ("username", _quoted(self._username)),
            ("realm", _quoted(challenge.parameters.get("realm", ""))),
            ("nonce", _quoted(challenge.nonce)),
            ("uri", _quoted(uri)),
            ("response", _quoted(self._response(challenge, method, uri, count if qop else ""))),
        ]
        if "algorithm" in challenge.parameters:
            fields.append(("algorithm", challenge.parameters["algorithm"]))
        if "opaque" in challenge.parameters:
            fields.append(("opaque", _quoted(challenge.parameters["opaque"])))
        if qop:
            fields += [("qop", "auth"), ("nc", count)]
        if qop or challenge.per_session:
            fields.append(("cnonce", _quoted(self._cnonce)))
        return "Digest " + ", ".join(f"{name}={value}" for name, value in fields)

    def _response(self, challenge: Challenge, method: str, uri: str, count: str) -> str:
        """RFC 7616 3.4.1; the form of RFC 2069 when `count` is empty, because no qop was offered."""

        def digest(*parts: str) -> str:
            return hashlib.new(_HASHES[challenge.algorithm], ":".join(parts).encode("latin-1")).hexdigest()

        secret = digest(self._username, challenge.parameters.get("realm", ""), self._password)
        if challenge.per_session:
            secret = digest(secret, challenge.nonce, self._cnonce)
        asked = digest(method, uri)
        if not count:
            return digest(secret, challenge.nonce, asked)
        return digest(secret, challenge.nonce, count, self._cnonce, "auth", asked)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
