"""Ed25519 keys of consoles, gateways and workstations: made where they are used, kept in files of 0600."""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from storage.errors import ConfigurationError, InvalidInput
from storage.files import create_secret

KEY_BYTES = 32


class DeviceKey:
    """A private Ed25519 key."""

    def __init__(self, private: bytes) -> None:
        """`private` is the raw key, 32 bytes (ValueError otherwise)."""
        self._key = Ed25519PrivateKey.from_private_bytes(private)
        self.public = self._key.public_key().public_bytes_raw()
        """The raw public key, 32 bytes."""

    @classmethod
    def create(cls, path: Path) -> DeviceKey:
        """Make a new key and keep it in `path` (raw 32 bytes, 0600; its folder is made).

        Raises:
            ConfigurationError: `key_exists`: there is a file already, and a key is never overwritten.
        """
        private = Ed25519PrivateKey.generate().private_bytes_raw()
        write_key(path, private)
        return cls(private)

    @classmethod
    def load(cls, path: Path) -> DeviceKey:
        """The key kept in `path`.

        Raises:
            ConfigurationError: `key_missing` or `key_damaged`.
        """
        return cls(read_key(path))

    @classmethod
    def load_or_create(cls, path: Path) -> DeviceKey:
        """The key in `path`, made now when there is none: for the first start of a process."""
        return cls.load(path) if path.exists() else cls.create(path)

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`, 64 bytes."""
        return self._key.sign(message)

    def sign_text(self, message: bytes) -> str:
        """The same in base64, as it stands in a header."""
        return base64.b64encode(self.sign(message)).decode()

    def __repr__(self) -> str:
        return f"DeviceKey({fingerprint(self.public)})"


class PublicKey:
    """A public Ed25519 key of somebody else."""

    def __init__(self, public: bytes) -> None:
        """`public` is the raw key.

        Raises:
            InvalidInput: `public_key_invalid`: it is no 32 bytes.
        """
        if len(public) != KEY_BYTES:
            raise InvalidInput("public_key_invalid", "an Ed25519 public key has 32 bytes", length=len(public))
        self._key = Ed25519PublicKey.from_public_bytes(public)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` was made over `message` with the private half of this key."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def verify_text(self, message: bytes, signature: str) -> bool:
        """The same for a signature in base64."""
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            return False
        return self.verify(message, raw)


def fingerprint(public: bytes) -> str:
    """密钥校验码: what people compare by eye, the first 10 bytes of SHA-256 in five groups of four hex digits."""
    digest = hashlib.sha256(public).hexdigest()[:20].upper()
    return " ".join(digest[i : i + 4] for i in range(0, 20, 4))


def write_key(path: Path, key: bytes) -> None:
    """Keep 32 secret bytes in a new file of 0600.

    Raises:
        ConfigurationError: `key_exists`.
    """
    try:
        create_secret(path, key)
    except FileExistsError as error:
        raise ConfigurationError("key_exists", f"{path} exists already: a key file is never overwritten") from error


def read_key(path: Path) -> bytes:
    """The 32 secret bytes in `path`.

    Raises:
        ConfigurationError: `key_missing` or `key_damaged`.
    """
    try:
        key = path.read_bytes()
    except OSError as error:
        raise ConfigurationError("key_missing", f"cannot read the key file {path}: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise ConfigurationError("key_damaged", f"{path} must hold exactly 32 bytes: restore it from the backup")
    return key
