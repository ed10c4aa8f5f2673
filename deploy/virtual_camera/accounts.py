"""Who may use a virtual device: WS-UsernameToken digests, HTTP digests, and the lock after repeated failures."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto

from storage.clock import Clock

_US = 1_000_000
_REMEMBERED_TOKENS = 4096


class Verdict(Enum):
    """What came of checking credentials."""

    OK = auto()
    WRONG = auto()
    LOCKED = auto()
    STALE = auto()  # the token's time is too far from the device's
    REPLAYED = auto()  # this token was used before


@dataclass
class Accounts:
    """One account and how the device guards it. `offset_us` is how wrong the device's clock is."""

    username: str
    password: str
    clock: Clock
    offset_us: int = 0
    tolerance_s: float = 5.0
    lock_after: int = 0
    lock_s: float = 1800.0
    refuse_replays: bool = False
    open: bool = False
    failures: int = 0
    _locked_until: float = 0.0
    _used: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    def set_password(self, password: str) -> None:
        """Change the password and lift a lock."""
        self.password = password
        self.failures = 0
        self._locked_until = 0.0

    def now_us(self) -> int:
        """The device's clock."""
        return self.clock.now_us() + self.offset_us

    def locked(self) -> bool:
        """Whether the account is locked now."""
        return self.clock.monotonic() < self._locked_until

    def check_token(self, username: str, digest: str, nonce: str, created: str) -> Verdict:
        """A WS-UsernameToken with PasswordDigest: base64(SHA-1(nonce + created + password))."""
        if self.locked():
            return Verdict.LOCKED
        try:
            raw = base64.b64decode(nonce, validate=True)
            moment = datetime.fromisoformat(created.replace("Z", "+00:00"))
        except (binascii.Error, ValueError):
            return self._fail()
        expected = hashlib.sha1(raw + created.encode() + self.password.encode(), usedforsecurity=False).digest()
        right = hmac.compare_digest(base64.b64encode(expected), digest.encode())
        if username != self.username or not right:
            return self._fail()
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if not created.endswith("Z") or abs(moment.timestamp() * _US - self.now_us()) > self.tolerance_s * _US:
            return Verdict.STALE
        return self._fresh(raw + created.encode())

    def check_http_digest(self, header: str, method: str, realm: str, nonce: str) -> Verdict:
        """An `Authorization: Digest` header (RFC 2069 or RFC 2617 with qop=auth, MD5)."""
        if self.locked():
            return Verdict.LOCKED
        scheme, _, rest = header.partition(" ")
        fields = dict(re.findall(r'(\w+)="?((?<=")[^"]*|[^",\s]+)', rest))
        if scheme.lower() != "digest" or fields.get("nonce") != nonce:
            return Verdict.STALE
        first = _md5(f"{self.username}:{realm}:{self.password}")
        second = _md5(f"{method}:{fields.get('uri', '')}")
        middle = nonce
        if fields.get("qop"):
            middle = f"{nonce}:{fields.get('nc', '')}:{fields.get('cnonce', '')}:{fields['qop']}"
        right = hmac.compare_digest(_md5(f"{first}:{middle}:{second}"), fields.get("response", ""))
        if fields.get("username") != self.username or not right:
            return self._fail()
        self.failures = 0
        return Verdict.OK

    def _fresh(self, used: bytes) -> Verdict:
        """Strict devices take a nonce and time once; libonvif sends the same for calls within one millisecond."""
        if used in self._used and self.refuse_replays:
            return Verdict.REPLAYED
        self._used[used] = None
        if len(self._used) > _REMEMBERED_TOKENS:
            self._used.popitem(last=False)
        self.failures = 0
        return Verdict.OK

    def _fail(self) -> Verdict:
        self.failures += 1
        if self.lock_after and self.failures >= self.lock_after:
            self._locked_until = self.clock.monotonic() + self.lock_s
        return Verdict.WRONG


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
