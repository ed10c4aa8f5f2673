"""The error tree. Foreign exceptions are translated into these at one border each, with `from`.

    SunhallError
    ├── ConfigurationError      a settings file or command line is wrong: names the key, the file and the fix
    ├── InvalidInput            what a user or a peer sent cannot be taken (HTTP 400 or 422)
    ├── NotPermitted            the authorisation function said no (403)
    ├── NotAuthenticated        no valid session, signature or code (401)
    ├── NotFound                (404)
    ├── Conflict                the same id with other content, or a state that forbids it (409)
    ├── Unavailable             a peer is away; try again later (503)
    ├── DeviceError             a camera refused or failed; `code` says how (see DeviceFault)
    ├── StorageError
    │   ├── ObjectMissing       a row points at an object that is not there
    │   ├── ObjectDamaged       size or hash differs from the row
    │   ├── StorageFull         no room left: recording is refused loudly
    │   └── StaleEpoch          another writer has taken this stream's lease
    └── MediaError              bytes that are no valid media of the kind they claim to be

Every error carries a stable `code` (lower_snake, what the wire and the UI translate), a `message` in English for
the log that says what to do, and `fields` for the translation's placeholders.
"""

from __future__ import annotations

from enum import StrEnum


class SunhallError(Exception):
    """Base of all errors that Sunhall raises on purpose."""

    def __init__(self, code: str, message: str = "", **fields: str | int) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message or code
        self.fields = fields


class ConfigurationError(SunhallError):
    """A settings file, environment or command line is wrong; the message says how to mend it."""


class InvalidInput(SunhallError):
    """Bytes or values from outside that cannot be taken."""


class NotAuthenticated(SunhallError):
    """Nobody we know: no session, a bad signature, a wrong password or code."""


class NotPermitted(SunhallError):
    """Known, but not allowed."""


class NotFound(SunhallError):
    """No such thing, or none that the caller may see."""


class Conflict(SunhallError):
    """The thing exists with other content, or its state forbids the change."""


class Unavailable(SunhallError):
    """A peer that is needed is away; a later try may succeed."""


class DeviceFault(StrEnum):
    """How registering or reaching a camera failed; each has its own sentence on the screen."""

    UNREACHABLE = "unreachable"
    WRONG_PORT = "wrong_port"
    NOT_A_CAMERA = "not_a_camera"
    ONVIF_DISABLED = "onvif_disabled"
    WRONG_PASSWORD = "wrong_password"
    ACCOUNT_LOCKED = "account_locked"
    CLOCK_OFF = "clock_off"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    NO_MEDIA = "no_media"
    UNSUPPORTED_CODEC = "unsupported_codec"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"


class DeviceError(SunhallError):
    """A camera refused or failed. `code` is a `DeviceFault` value."""

    def __init__(self, fault: DeviceFault, message: str = "", **fields: str | int) -> None:
        super().__init__(fault.value, message, **fields)
        self.fault = fault


class StorageError(SunhallError):
    """The archive could not do what it must; nothing was lost silently."""


class ObjectMissing(StorageError):
    """A row points at an object that is not there."""


class ObjectDamaged(StorageError):
    """An object's size or SHA-256 differs from its row."""


class StorageFull(StorageError):
    """No room: new recording is refused, nothing held or unverified is deleted."""


class StaleEpoch(StorageError):
    """Another writer holds this stream's lease with a later epoch."""


class MediaError(SunhallError):
    """Bytes that are not valid media of the kind they claim to be."""
