"""Request bodies, and sealing: what the API process and the device desk share."""

from __future__ import annotations

import base64
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storage.errors import InvalidInput
from storage.identity.boxes import SecretBox


class Body(BaseModel):
    """A JSON body; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class SealBody(Body):
    """A password to box for a device."""

    device_id: UUID
    password: str = Field(max_length=255)


T = TypeVar("T", bound=BaseModel)


def parse_body(kind: type[T], raw: bytes) -> T:
    """The body as `kind`.

    Raises:
        InvalidInput: `body_invalid`; the message names places, never values.
    """
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        places = ", ".join(".".join(str(part) for part in item["loc"]) for item in error.errors(include_input=False))
        # Not chained: pydantic's error shows the input, which holds a password.
        raise InvalidInput("body_invalid", f"the body is wrong at: {places or 'the whole of it'}") from None


def seal(box: SecretBox, device_id: UUID, password: str) -> str:
    """The password boxed for a device, in base64."""
    return base64.b64encode(box.seal(password.encode(), device_id.bytes)).decode()
