"""What request bodies share: unknown fields are refused, texts and lists are bounded."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from console.services.days import Period
from storage.model import Role


class Body(BaseModel):
    """A JSON body; a field that is not known is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")


Login = Annotated[str, Field(max_length=64)]
Name = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=8000)]
Secret = Annotated[SecretStr, Field(max_length=400)]
Us = Annotated[int, Field(ge=0, lt=1 << 62)]
Port = Annotated[int, Field(ge=1, le=65535)]
Address = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_\-\[\]%]+$")]
Roles = Annotated[list[Role], Field(max_length=len(Role))]


class PeriodBody(Body):
    """Service hours of one weekday (ISO: Monday is 1), minutes after the hall's midnight."""

    weekday: int
    from_minute: int
    to_minute: int

    def period(self) -> Period:
        """The value for the services."""
        return Period(self.weekday, self.from_minute, self.to_minute)


class WindowsBody(Body):
    """A range of service windows; `{n}` in the pattern stands for the number."""

    first: int
    last: int
    name_pattern: Name = "{n}号窗口"
