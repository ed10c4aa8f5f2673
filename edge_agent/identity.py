"""Who this workstation is: made by enrolment, kept in the agent's folder, bound to the machine.

identity.json  workstation id, name, console address, machine id
keys/device.key (0600)  the Ed25519 key made here · keys/spool.key (0600)  the key of the spool's files
ca.pem         the console's own certificate authority, when it has one · spool/  what waits for the console
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from storage.errors import ConfigurationError
from storage.files import write_atomic


@dataclass(frozen=True, slots=True)
class Identity:
    """What the console knows this workstation as."""

    workstation_id: UUID
    name: str
    console: str
    machine_id: str


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie in the agent's folder."""

    folder: Path

    @property
    def identity(self) -> Path:
        return self.folder / "identity.json"

    @property
    def device_key(self) -> Path:
        return self.folder / "keys" / "device.key"

    @property
    def spool_key(self) -> Path:
        return self.folder / "keys" / "spool.key"

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    @property
    def notice(self) -> Path:
        return self.folder / "notice.txt"

    @property
    def lock(self) -> Path:
        return self.folder / "agent.lock"


def save_identity(places: Places, identity: Identity) -> None:
    """Keep it, durably."""
    value = asdict(identity) | {"workstation_id": str(identity.workstation_id)}
    write_atomic(places.identity, json.dumps(value, ensure_ascii=False, indent=1).encode())


def load_identity(places: Places) -> Identity:
    """Raises ConfigurationError: `not_enrolled`, or `identity_damaged`."""
    try:
        value = json.loads(places.identity.read_text(encoding="utf-8"))
        return Identity(
            UUID(value["workstation_id"]), str(value["name"]), str(value["console"]), str(value["machine_id"])
        )
    except FileNotFoundError as error:
        message = f"this workstation is not enrolled ({places.identity}): run sunhall-agent enrol"
        raise ConfigurationError("not_enrolled", message) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{places.identity} cannot be read ({error}): run sunhall-agent enrol --again with a new code"
        raise ConfigurationError("identity_damaged", message) from error
