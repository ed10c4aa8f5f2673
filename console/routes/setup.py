"""The first run: `/api/setup`, open only to whoever has the set-up code, and only until there is an administrator."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from console.routes.bodies import Body, Login, Name, PeriodBody, Roles, Secret, Text, WindowsBody
from console.routes.guard import Guard
from console.services.access import Actor
from console.services.hall import HallChange, WindowRange
from console.services.setup import GB, FirstRun, Person, Setup

WHY = "there is no account yet: the set-up code is the proof"


class CodeBody(Body):
    """The set-up code."""

    code: Secret


class ForecastBody(CodeBody):
    """How many cameras at which bit rate."""

    cameras: int
    kbit_s: int


class AdministratorBody(Body):
    """The first account."""

    login: Login
    display_name: Name
    password: Secret

    def person(self) -> Person:
        """The value for the service."""
        return Person(self.login, self.display_name, self.password.get_secret_value(), ())


class AccountBody(AdministratorBody):
    """A further account."""

    roles: Roles

    def person(self) -> Person:
        return Person(self.login, self.display_name, self.password.get_secret_value(), tuple(self.roles))


class HallBody(Body):
    """Name and IANA time zone of the hall."""

    name: Name
    timezone: Name


class StorageBody(Body):
    """Quota in GB (10^9 bytes, 0: the whole volume less its reserve) and days to keep."""

    quota_gb: Annotated[float, Field(ge=0, le=1e9)] = 0
    video_days: int = 30
    screen_days: int = 90


class NoticeBody(Body):
    """What staff and visitors are told."""

    staff: Text = ""
    visitors: Text = ""


class SetupBody(CodeBody):
    """All answers of the wizard."""

    administrator: AdministratorBody
    hall: HallBody
    periods: Annotated[list[PeriodBody], Field(max_length=100)] = Field(default_factory=list)
    windows: WindowsBody
    time_source: Name = "system"
    storage: StorageBody = Field(default_factory=StorageBody)
    notice: NoticeBody = Field(default_factory=NoticeBody)
    accounts: Annotated[list[AccountBody], Field(max_length=50)] = Field(default_factory=list)

    def answers(self) -> FirstRun:
        """The value for the service."""
        return FirstRun(
            administrator=self.administrator.person(),
            hall=HallChange(
                name=self.hall.name,
                timezone=self.hall.timezone,
                notice_staff=self.notice.staff,
                notice_visitors=self.notice.visitors,
                quota_bytes=round(self.storage.quota_gb * GB),
                video_days=self.storage.video_days,
                screen_days=self.storage.screen_days,
                time_source=self.time_source,
            ),
            periods=[item.period() for item in self.periods],
            windows=WindowRange(self.windows.first, self.windows.last, self.windows.name_pattern),
            accounts=[item.person() for item in self.accounts],
        )


def router(setup: Setup, version: str, guard: Guard) -> APIRouter:
    """Routes of the first run."""
    routes = APIRouter(prefix="/api/setup", tags=["set-up"])

    @routes.get("", summary="Is the first run over?", description="Whether a system administrator must still be made.")
    def read_setup(actor: Annotated[Actor, guard.public(WHY)]) -> dict[str, Any]:
        return {"needed": setup.needed(), "version": version}

    @routes.post(
        "/code",
        status_code=204,
        summary="Check the set-up code",
        description="204 when the code is right. Wrong codes are throttled (429 `too_many_attempts`).",
    )
    def check_code(body: CodeBody, actor: Annotated[Actor, guard.public(WHY)]) -> None:
        setup.check_code(body.code.get_secret_value(), actor.address)

    @routes.post(
        "/forecast",
        summary="Days that fit",
        description="Free room where media are kept, and the days of video that fit at that many cameras and bit rate.",
    )
    def forecast(body: ForecastBody, actor: Annotated[Actor, guard.public(WHY)]) -> dict[str, Any]:
        setup.check_code(body.code.get_secret_value(), actor.address)
        return setup.forecast(body.cameras, body.kbit_s)

    @routes.post(
        "",
        status_code=201,
        summary="Finish the first run",
        description="Makes hall, periods, windows and accounts in one transaction and uses the set-up code up.",
    )
    def finish(body: SetupBody, actor: Annotated[Actor, guard.public(WHY)]) -> dict[str, Any]:
        return setup.finish(actor, body.code.get_secret_value(), body.answers())

    return routes
