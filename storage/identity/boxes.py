"""Small secrets at rest (camera passwords, event-source secrets): AES-256-GCM, bound to what they belong to."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.errors import ConfigurationError
from storage.identity.keys import KEY_BYTES, read_key, write_key

NONCE_BYTES = 12
_TAG_BYTES = 16


class SecretBox:
    """Seals bytes with one AES-256 key; a box is `nonce (12) | ciphertext | tag (16)`."""

    def __init__(self, key: bytes) -> None:
        """`key` is 32 bytes (ValueError otherwise)."""
        if len(key) != KEY_BYTES:
            raise ValueError("an AES-256 key has 32 bytes")
        self._aead = AESGCM(key)

    @classmethod
    def create(cls, path: Path) -> SecretBox:
        """Make a new key and keep it in `path` (0600). Raises ConfigurationError (`key_exists`)."""
        key = secrets.token_bytes(KEY_BYTES)
        write_key(path, key)
        return cls(key)

    @classmethod
    def load(cls, path: Path) -> SecretBox:
        """The box key kept in `path`. Raises ConfigurationError (`key_missing`, `key_damaged`)."""
        return cls(read_key(path))

    @classmethod
    def load_or_create(cls, path: Path) -> SecretBox:
        """The box key in `path`, made now when there is none: for the first start of a process."""
        return cls.load(path) if path.exists() else cls.create(path)

    def seal(self, plain: bytes, associated: bytes) -> bytes:
        """`plain` sealed; it opens only with the same `associated` bytes (the id of what it belongs to)."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, associated)

    def open(self, box: bytes, associated: bytes) -> bytes:
        """The plain bytes of a box.

        Raises:
            ConfigurationError: `box_unreadable`: another key file, another owner, or damaged bytes.
        """
        if len(box) < NONCE_BYTES + _TAG_BYTES:
            raise ConfigurationError("box_unreadable", "a sealed secret is too short to be one: enter it again")
        try:
            return self._aead.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], associated)
        except InvalidTag as error:
            message = "a sealed secret does not open with this key: restore the key file or enter the secret again"
            raise ConfigurationError("box_unreadable", message) from error

    def __repr__(self) -> str:
        return "SecretBox(***)"
