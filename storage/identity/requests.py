"""Signed requests (docs/interfaces.md, section 2): canonical bytes, headers and their check. Standard library only.

A request is authentic when its signature fits the key that it names, its time is within `WINDOW_US` of ours and its
nonce was not seen within `NONCE_LIFE_US`. The nonce is remembered only after the signature fitted, so a stranger
cannot use up nonces.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Protocol

from storage.clock import US, Clock
from storage.errors import NotAuthenticated

WINDOW_US = 300 * US
"""How far a request's time may be from ours."""
NONCE_LIFE_US = 600 * US
"""How long a nonce is remembered: twice the window, so that no accepted request can be repeated."""

KEY = "X-Sunhall-Key"
TIME = "X-Sunhall-Time"
NONCE = "X-Sunhall-Nonce"
SIGNATURE = "X-Sunhall-Signature"


class Signer(Protocol):
    """Something that signs: `DeviceKey` (Ed25519) or `SharedSecret` (HMAC)."""

    def sign_text(self, message: bytes) -> str:
        """The signature of `message` as it stands in the header."""
        ...


class Verifier(Protocol):
    """Something that checks signatures: `PublicKey` (Ed25519) or `SharedSecret` (HMAC)."""

    def verify_text(self, message: bytes, signature: str) -> bool:
        """Whether `signature`, as it stood in the header, fits `message`."""
        ...


SeenNonce = Callable[[str, bytes, int], bool]
"""Port: `(key id, 16 bytes of nonce, expires_us)` → true when it was seen before; it is remembered otherwise."""

FindKey = Callable[[str], Verifier | None]
"""Port: the verifier of a key id, or None when nobody of that id may speak."""


class SharedSecret:
    """HMAC-SHA256 with a secret that both sides hold (event sources); the signature is hexadecimal."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("a shared secret needs at least 16 bytes")
        self._secret = secret

    def sign_text(self, message: bytes) -> str:
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()

    def verify_text(self, message: bytes, signature: str) -> bool:
        return hmac.compare_digest(self.sign_text(message).encode(), signature.lower().encode())

    def __repr__(self) -> str:
        return "SharedSecret(***)"


class MemoryNonces:
    """Remembers nonces in this process (`SeenNonce`): for gateways, and for tests. Forgets what has expired."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expires: dict[tuple[str, bytes], int] = {}

    def __call__(self, key_id: str, nonce: bytes, expires_us: int) -> bool:
        now = self._clock.now_us()
        for known, expiry in list(self._expires.items()):  # in order of arrival: nearly the order of expiry
            if expiry > now:
                break
            del self._expires[known]
        if (key_id, nonce) in self._expires:
            return True
        self._expires[key_id, nonce] = expires_us
        return False


def canonical_request(method: str, target: str, body: bytes, time_us: int, nonce: str, key: str) -> bytes:
    """The bytes that are signed. `target` is path and query exactly as sent (`/v1/x?a=1`)."""
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join((method.upper(), target, digest, str(time_us), nonce, key)).encode()


def sign_headers(signer: Signer, key_id: str, method: str, target: str, body: bytes, clock: Clock) -> dict[str, str]:
    """The four headers of a request with a fresh nonce. A WebSocket handshake is a GET with an empty body."""
    time_us, nonce = clock.now_us(), secrets.token_hex(16)
    message = canonical_request(method, target, body, time_us, nonce, key_id)
    return {KEY: key_id, TIME: str(time_us), NONCE: nonce, SIGNATURE: signer.sign_text(message)}


def verify_headers(
    headers: Mapping[str, str],
    method: str,
    target: str,
    body: bytes,
    find_key: FindKey,
    seen_nonce: SeenNonce,
    clock: Clock,
) -> str:
    """The id of the key that signed this request.

    Raises:
        NotAuthenticated: `signature_missing`, `signature_malformed`, `time_outside_window` (check the clocks),
            `key_unknown`, `signature_wrong` or `nonce_repeated`.
    """
    key_id, time_us, nonce, signature = _parse(headers)
    if abs(clock.now_us() - time_us) > WINDOW_US:
        raise NotAuthenticated(
            "time_outside_window", "the request's time is more than 300 s from ours: check the clocks"
        )
    verifier = find_key(key_id)
    if verifier is None:
        raise NotAuthenticated("key_unknown", "no key of that id may speak here")
    if not verifier.verify_text(canonical_request(method, target, body, time_us, nonce, key_id), signature):
        raise NotAuthenticated("signature_wrong", "the signature does not fit the request")
    if seen_nonce(key_id, bytes.fromhex(nonce), clock.now_us() + NONCE_LIFE_US):
        raise NotAuthenticated("nonce_repeated", "this request was taken before")
    return key_id


def _parse(headers: Mapping[str, str]) -> tuple[str, int, str, str]:
    lowered = {name.lower(): value for name, value in headers.items()}
    try:
        key_id, time_text, nonce, signature = (lowered[name.lower()] for name in (KEY, TIME, NONCE, SIGNATURE))
    except KeyError as error:
        raise NotAuthenticated("signature_missing", f"the header {error.args[0]} is missing") from error
    if not _is_hex16(nonce) or not _is_time(time_text) or not 0 < len(key_id) <= 128 or len(signature) > 256:
        raise NotAuthenticated("signature_malformed", "a signature header is malformed")
    return key_id, int(time_text), nonce, signature


def _is_hex16(text: str) -> bool:
    return len(text) == 32 and all(char in "0123456789abcdef" for char in text)


def _is_time(text: str) -> bool:
    return 0 < len(text) <= 18 and text.isascii() and text.isdigit()
