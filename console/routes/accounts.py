"""Accounts, for system administrators."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter

from console.routes.bodies import Body, Login, Name, Roles, Secret
from console.routes.guard import Guard
from console.services.access import Action, Actor
from console.services.accounts import Accounts


class NewAccountBody(Body):
    """An account to make."""

    login: Login
    display_name: Name
    password: Secret
    roles: Roles


class AccountChangeBody(Body):
    """What to change of an account; what is left out stays."""

    display_name: Name | None = None
    disabled: bool | None = None
    roles: Roles | None = None
    password: Secret | None = None


def router(accounts: Accounts, guard: Guard) -> APIRouter:
    """Routes of accounts."""
    routes = APIRouter(prefix="/api/accounts", tags=["accounts"])

    @routes.get("", summary="All accounts", description="Accounts with their roles; several roles are flagged.")
    def list_accounts(actor: Annotated[Actor, guard.actor(Action.ACCOUNTS_MANAGE)]) -> dict[str, Any]:
        return {"accounts": accounts.all()}

    @routes.post(
        "",
        status_code=201,
        summary="Make an account",
        description="409 `login_taken`; 422 with the password rule that was broken. Several roles raise an alarm.",
    )
    def create_account(
        body: NewAccountBody, actor: Annotated[Actor, guard.actor(Action.ACCOUNTS_MANAGE)]
    ) -> dict[str, Any]:
        return accounts.create(actor, body.login, body.display_name, body.password.get_secret_value(), body.roles)

    @routes.patch(
        "/{account_id}",
        summary="Change an account",
        description="New roles, a new password or disabling end its sessions. 409 `last_administrator`.",
    )
    def change_account(
        account_id: UUID, body: AccountChangeBody, actor: Annotated[Actor, guard.actor(Action.ACCOUNTS_MANAGE)]
    ) -> dict[str, Any]:
        return accounts.change(
            actor,
            account_id,
            display_name=body.display_name,
            disabled=body.disabled,
            roles=body.roles,
            password=body.password.get_secret_value() if body.password else None,
        )

    return routes
