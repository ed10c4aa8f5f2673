"""Calendar years: holidays and 调休 workdays."""

import base64
import binascii
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field

from console.routes.bodies import Body, Name
from console.routes.guard import Guard
from console.services.access import Action, Actor
from console.services.calendar_reading import MOST_BYTES, MOST_DAYS
from console.services.calendars import Calendars
from storage.errors import InvalidInput
from storage.model import DayKind
from storage.schedule import SpecialDay

Year = Annotated[int, Path(ge=0, le=9999)]


class CalendarTextBody(Body):
    """A pasted text, or a file as base64."""

    text: Annotated[str, Field(max_length=MOST_BYTES)] | None = None
    data: Annotated[str, Field(max_length=2 * MOST_BYTES)] | None = None

    def file(self) -> bytes | None:
        """The file's bytes. Raises InvalidInput (`calendar_input`)."""
        try:
            return None if self.data is None else base64.b64decode(self.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput("calendar_input", "the file is no base64") from error


class DayBody(Body):
    """A day that differs from the plain week; a workday says as which weekday it is worked."""

    day: date
    kind: DayKind
    as_weekday: Annotated[int, Field(ge=0, le=7)] = 0
    name: Name = ""


class CalendarBody(Body):
    """A year's days and the notice that they are from."""

    source: Name = ""
    days: Annotated[list[DayBody], Field(max_length=MOST_DAYS)]

    def special(self) -> list[SpecialDay]:
        """The values for the service."""
        return [SpecialDay(one.day, one.kind, one.as_weekday, one.name.strip()) for one in self.days]


def router(calendars: Calendars, guard: Guard) -> APIRouter:
    """Routes of calendar years."""
    routes = APIRouter(prefix="/api/calendar", tags=["plans"])

    @routes.get("", summary="Calendar years", description="Loaded years, and those that plans need and lack.")
    def list_years(actor: Annotated[Actor, guard.actor(Action.PLANS_READ)]) -> dict[str, Any]:
        return calendars.all()

    @routes.get("/{year}", summary="A calendar year", description="Its holidays and working weekends.")
    def read_year(year: Year, actor: Annotated[Actor, guard.actor(Action.PLANS_READ)]) -> dict[str, Any]:
        return calendars.read(year)

    @routes.post(
        "/{year}/read",
        summary="Read a table or notice",
        description="What a pasted text or a file says, and the lines that cannot be read. Nothing is stored.",
    )
    def parse(
        year: Year, body: CalendarTextBody, actor: Annotated[Actor, guard.actor(Action.PLANS_MANAGE)]
    ) -> dict[str, Any]:
        return calendars.parse(year, body.text, body.file())

    @routes.patch("/{year}", summary="Load a year", description="Replaces its days; the year counts as loaded.")
    def load(
        year: Year, body: CalendarBody, actor: Annotated[Actor, guard.actor(Action.PLANS_MANAGE)]
    ) -> dict[str, Any]:
        return calendars.load(actor, year, body.source, body.special())

    @routes.delete("/{year}", status_code=204, summary="Forget a year", description="It is a plain week again.")
    def remove(year: Year, actor: Annotated[Actor, guard.actor(Action.PLANS_MANAGE)]) -> None:
        calendars.remove(actor, year)

    return routes
