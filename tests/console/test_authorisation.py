"""Walks every route and every socket with every role, and compares with the table of docs/interfaces.md, section 10."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import BaseRoute

from console.routes.guard import Gate, Needs, Public, Signed, SocketNeeds
from console.services.access import FOOTAGE_ACTIONS, RULES, Action, Actor, authorise
from storage.errors import NotAuthenticated, NotPermitted
from storage.model import PurposeCode, Role
from tests.console.asgi import handshake
from tests.console.console_world import ORIGIN, Browser, ConsoleWorld

NOBODY = "nobody"
CALLERS = (NOBODY, *Role)
TABLE = Path(__file__).parents[2] / "docs" / "interfaces.md"
SOME_ID = "01234567-89ab-7cde-8f01-23456789abcd"
PUBLIC_PATHS = {
    "GET /health",
    "GET /ca.pem",
    "GET /api/openapi.json",
    "GET /api/docs",
    "GET /api/docs/{name}",
    "GET /{path:path}",
    "GET /api/setup",
    "POST /api/setup",
    "POST /api/setup/code",
    "POST /api/setup/forecast",
    "POST /api/login",
    "POST /agent/v1/enrol",
}


def routes_of(world: ConsoleWorld) -> list[BaseRoute]:
    return [leaf for route in world.console.app.routes for leaf in leaves(route)]


def leaves(route: BaseRoute) -> Iterator[BaseRoute]:
    """A route, or those inside a router that was included."""
    inner = getattr(getattr(route, "original_router", None), "routes", None) or getattr(route, "routes", None)
    if not inner:
        yield route
        return
    for item in inner:
        yield from leaves(item)


def gates_of(dependant: Dependant) -> Iterator[Gate]:
    call: object = dependant.call
    if isinstance(call, Gate):
        yield call
    for inner in dependant.dependencies:
        yield from gates_of(inner)


def only_gate(route: BaseRoute) -> Gate:
    if not isinstance(route, APIRoute | APIWebSocketRoute):
        pytest.fail(f"{route} has no gate: it is neither route nor socket of ours")
    found = list(gates_of(route.dependant))
    if len(found) != 1:
        pytest.fail(f"{route.path} has {len(found)} gates")
    return found[0]


def written_table() -> dict[Action, dict[Role, str]]:
    """The table as the page has it: action → role → what stands in the cell."""
    text = TABLE.read_text(encoding="utf-8").split("## 10.")[1].split("\n## ")[0]
    found: dict[Action, dict[Role, str]] = {}
    roles = (Role.SUPERVISOR, Role.AUDITOR, Role.HALL_ADMIN, Role.SYSTEM_ADMIN)
    for line in re.findall(r"^\| ([a-z_, ]+) \|(.*)\|$", text, re.MULTILINE):
        cells = [cell.strip() for cell in line[1].split("|")]
        if line[0].strip() == "action":
            continue
        for name in line[0].split(","):
            found[Action(name.strip())] = dict(zip(roles, cells, strict=False))
    return found


def test_the_table_in_the_code_is_the_one_on_the_page() -> None:
    written = written_table()
    assert set(written) == set(Action) == set(RULES)
    for action, cells in written.items():
        allowed = {role for role, cell in cells.items() if cell}
        assert allowed == set(RULES[action]), action


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("purpose", [None, *PurposeCode])
def test_authorise_follows_the_page(action: Action, role: Role, purpose: PurposeCode | None) -> None:
    cell = written_table()[action][role]
    if action is Action.LIVE_VIEW:
        only = {PurposeCode.COMMISSIONING} if "commissioning" in cell else set(PurposeCode)
        expected = bool(cell) and purpose in only
    elif action is Action.FOOTAGE_VIEW:
        expected = bool(cell) and purpose not in (None, PurposeCode.COMMISSIONING)
    else:
        expected = bool(cell)
    actor = Actor(account_id=UUID(SOME_ID), roles=frozenset({role}), hall_id=UUID(SOME_ID))
    assert decision(actor, action, purpose) is expected


def decision(actor: Actor, action: Action, purpose: PurposeCode | None, hall_id: UUID | None = None) -> bool:
    try:
        authorise(actor, action, hall_id=hall_id or actor.hall_id, purpose=purpose)
    except (NotPermitted, NotAuthenticated):
        return False
    return True


@pytest.mark.parametrize("action", list(Action))
def test_nobody_and_people_of_other_halls_may_nothing(action: Action) -> None:
    everything = frozenset(Role)
    other = Actor(account_id=UUID(SOME_ID), roles=everything, hall_id=UUID(SOME_ID))
    homeless = Actor(account_id=UUID(SOME_ID), roles=everything)
    for purpose in PurposeCode:
        assert not decision(Actor(roles=everything, hall_id=UUID(SOME_ID)), action, purpose)
        assert not decision(other, action, purpose, UUID(int=7))
        assert not decision(homeless, action, purpose)


def test_a_person_of_two_roles_may_what_either_may() -> None:
    actor = Actor(account_id=UUID(SOME_ID), roles=frozenset({Role.HALL_ADMIN, Role.AUDITOR}), hall_id=UUID(SOME_ID))
    assert decision(actor, Action.LIVE_VIEW, PurposeCode.COMMISSIONING)
    assert not decision(actor, Action.LIVE_VIEW, PurposeCode.COMPLAINT)
    assert decision(actor, Action.FOOTAGE_VIEW, PurposeCode.COMPLAINT)
    assert not decision(actor, Action.FOOTAGE_VIEW, PurposeCode.COMMISSIONING)


def test_every_route_has_exactly_one_gate_and_only_known_ones_are_public(hall: ConsoleWorld) -> None:
    public: set[str] = set()
    signed: set[str] = set()
    for route in routes_of(hall):
        gate = only_gate(route)
        if isinstance(route, APIWebSocketRoute):
            assert isinstance(gate, SocketNeeds)
            continue
        assert isinstance(route, APIRoute)
        name = f"{' '.join(sorted(route.methods or ()))} {route.path}"
        public |= {name} if isinstance(gate, Public) else set()
        signed |= {name.split()[1].split("/")[1]} if isinstance(gate, Signed) else set()
    assert public == PUBLIC_PATHS
    assert signed == {"agent", "intake"}


def test_every_route_answers_each_role_as_the_table_says(hall: ConsoleWorld) -> None:
    walked = 0
    browsers = {caller: hall.browser() if caller == NOBODY else hall.person(caller) for caller in CALLERS}
    for route in routes_of(hall):
        gate = only_gate(route)
        if not isinstance(route, APIRoute) or not isinstance(gate, Needs) or route.path == "/api/logout":
            continue
        for caller, browser in browsers.items():
            browser.purpose = ""
            refused = refusal(ask(browser, route))
            assert refused == expected_refusal(gate.action, caller), f"{caller} at {route.methods} {route.path}"
            walked += 1
    assert walked > 150


def test_footage_opens_with_the_right_purpose_only(hall: ConsoleWorld) -> None:
    footage = [route for route in routes_of(hall) if isinstance(route, APIRoute) and is_footage(route)]
    assert len(footage) >= 4
    for role in Role:
        browser = hall.person(role)
        for purpose in PurposeCode:
            browser.purpose = browser.purpose and ""
            browser.state_purpose(purpose.value)
            for route in footage:
                gate = only_gate(route)
                assert isinstance(gate, Needs)
                roles = frozenset({role})
                actor = Actor(account_id=UUID(SOME_ID), roles=roles, hall_id=UUID(SOME_ID))
                opened = refusal(ask(browser, route)) == ""
                assert opened is decision(actor, gate.action, purpose), f"{role} {purpose} {route.path}"


def is_footage(route: APIRoute) -> bool:
    gate = only_gate(route)
    return isinstance(gate, Needs) and gate.action in FOOTAGE_ACTIONS


def test_sockets_refuse_roles_strangers_and_other_origins(hall: ConsoleWorld) -> None:
    for route in routes_of(hall):
        if not isinstance(route, APIWebSocketRoute):
            continue
        gate = only_gate(route)
        assert isinstance(gate, SocketNeeds)
        for caller in CALLERS:
            browser = hall.browser() if caller == NOBODY else hall.person(caller)
            cookie = "; ".join(f"{name}={value}" for name, value in browser.client.cookies.items())
            allowed = caller != NOBODY and Role(caller) in RULES[gate.action]
            assert accepts(hall, route.path, cookie, ORIGIN) is allowed, f"{caller} at {route.path}"
            assert not accepts(hall, route.path, cookie, "https://elsewhere.example")
            assert not accepts(hall, route.path, cookie, "")


def accepts(world: ConsoleWorld, path: str, cookie: str, origin: str) -> bool:
    headers = {"Host": "hall.example", "Cookie": cookie, **({"Origin": origin} if origin else {})}
    answer = handshake(world.console.app, world.loop, path, headers, "192.0.2.50")
    return str(answer["type"]) == "websocket.accept"


def ask(browser: Browser, route: APIRoute) -> httpx.Response:
    """A request to the route with ids that lead nowhere and a body that is no object."""
    path = re.sub(r"\{[a-z_]+(:path)?\}", SOME_ID, route.path)
    method = sorted(route.methods or ())[0]
    return browser.client.request(method, path, headers=browser.headers())


def refusal(answer: httpx.Response) -> str:
    """The code when the gate refused, else nothing (an invalid or missing thing is not the gate's word)."""
    return str(answer.json()["error"]["code"]) if answer.status_code in (401, 403) else ""


def expected_refusal(action: Action, caller: str) -> str:
    if caller == NOBODY:
        return "not_logged_in"
    rule = RULES[action]
    if Role(caller) not in rule:
        return "not_permitted"
    return "purpose_required" if rule[Role(caller)] is not None else ""
