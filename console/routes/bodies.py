"""What request bodies share: unknown fields are refused, texts and lists are bounded."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

from console.services.days import Period
from storage.model import Role


class Body(BaseModel):
    """A JSON body; a field that is not known is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_CONTROL_IN_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """`text`, when it holds no line break, control character or turn of the writing direction.

    They forge what a list or a log shows, and a database may refuse them.
    """
    return _without(_CONTROL, text)


def lines(text: str) -> str:
    """The same where line breaks are welcome."""
    return _without(_CONTROL_IN_LINES, text)


def plain(text: str) -> str:
    """`text` with such characters replaced: what a machine reports of itself is no reason to refuse the report."""
    return _CONTROL.sub("?", text)


def _without(unwanted: re.Pattern[str], text: str) -> str:
    if unwanted.search(text):
        raise PydanticCustomError("bad_characters", "control characters are not taken")
    return text


Login = Annotated[str, Field(max_length=64), AfterValidator(one_line)]
Name = Annotated[str, Field(max_length=200), AfterValidator(one_line)]
Text = Annotated[str, Field(max_length=8000), AfterValidator(lines)]
Said = Annotated[str, AfterValidator(plain)]
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
