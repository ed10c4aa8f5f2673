"""Login and logout, the present session, the hall's time, and purposes."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from console.routes.bodies import Body, Login, Name, Secret, Text
from console.routes.guard import COOKIE, Guard
from console.services.access import Action, Actor, Purpose
from console.services.accounts import Accounts
from console.services.hall import Hall
from console.services.purposes import Purposes
from console.services.sessions import Sessions
from storage.clock import Clock
from storage.model import PurposeCode


class LoginBody(Body):
    """Who wants in."""

    login: Login
    password: Secret


class PasswordBody(Body):
    """The old password and the new one."""

    old: Secret
    new: Secret


class PurposeBody(Body):
    """调阅事由 with its reference."""

    code: PurposeCode
    reference: Name
    note: Annotated[Text, Field()] = ""


def router(
    sessions: Sessions, purposes: Purposes, accounts: Accounts, hall: Hall, clock: Clock, version: str, guard: Guard
) -> APIRouter:
    """Routes of the session."""
    routes = APIRouter(prefix="/api", tags=["session"])

    def answer(actor: Actor) -> dict[str, Any]:
        known = hall.read()
        roles = sorted(role.value for role in actor.roles)
        return {
            "account": {
                "id": str(actor.account_id),
                "login": actor.login,
                "display_name": actor.display_name,
                "roles": roles,
            },
            "several_roles": len(roles) > 1,
            "csrf": actor.csrf,
            "hall": {name: known[name] for name in ("id", "name", "timezone")},
            "now_us": clock.now_us(),
            "version": version,
        }

    @routes.post(
        "/login",
        summary="Log in",
        description="Sets the session cookie. 401 `wrong_credentials`; 429 `too_many_attempts` with `retry_s`.",
    )
    def login(
        body: LoginBody, response: Response, actor: Annotated[Actor, guard.public("who logs in has no session yet")]
    ) -> dict[str, Any]:
        token, found = sessions.login(body.login, body.password.get_secret_value(), actor.address)
        response.set_cookie(COOKIE, token, secure=True, httponly=True, samesite="strict", path="/")
        return answer(found)

    @routes.post("/logout", status_code=204, summary="Log out", description="Ends the session and removes the cookie.")
    def logout(response: Response, actor: Annotated[Actor, guard.actor(Action.SESSION_USE)]) -> None:
        sessions.logout(actor)
        response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict", path="/")

    @routes.get("/session", summary="The present session", description="Who is logged in, with the CSRF value to send.")
    def read_session(actor: Annotated[Actor, guard.actor(Action.SESSION_USE)]) -> dict[str, Any]:
        return answer(actor)

    @routes.post(
        "/session/password",
        status_code=204,
        summary="Change the own password",
        description="Needs the old one; the account's other sessions end.",
    )
    def change_password(body: PasswordBody, actor: Annotated[Actor, guard.actor(Action.SESSION_USE)]) -> None:
        accounts.change_own_password(actor, body.old.get_secret_value(), body.new.get_secret_value())

    @routes.get(
        "/time", summary="The hall's clock", description="Microseconds since 1970, UTC, by the console's clock."
    )
    def read_time(actor: Annotated[Actor, guard.actor(Action.TIME_READ)]) -> dict[str, int]:
        return {"now_us": clock.now_us()}

    @routes.post(
        "/purposes",
        summary="State a purpose",
        description="Puts a 调阅事由 on record; its id goes into X-Sunhall-Purpose of requests for footage.",
    )
    def state_purpose(body: PurposeBody, actor: Annotated[Actor, guard.actor(Action.PURPOSE_STATE)]) -> dict[str, Any]:
        return _shown(purposes.state(actor, body.code, body.reference, body.note))

    @routes.get(
        "/purposes/current", summary="The session's last purpose", description="The purpose stated last, or null."
    )
    def current_purpose(actor: Annotated[Actor, guard.actor(Action.SESSION_USE)]) -> dict[str, Any] | None:
        found = purposes.current(actor)
        return _shown(found) if found else None

    return routes


def _shown(stated: Purpose) -> dict[str, Any]:
    return {
        "id": str(stated.id),
        "code": stated.code.value,
        "reference": stated.reference,
        "created_us": stated.created_us,
    }
