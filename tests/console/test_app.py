"""What every answer has in common: headers, errors, the API's description, the front end's files, no blocking."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockingError, blockbuster_ctx

from console.app import STATUS, create_app
from console.routes.bodies import Body
from console.routes.system import WebFiles
from console.settings import ConsoleSettings, RetentionSettings
from storage import errors
from tests.console.agent_world import enrolled
from tests.console.asgi import handshake
from tests.console.console_world import ORIGIN, Browser, ConsoleWorld

METHODS = {"get", "post", "put", "patch", "delete"}


def test_every_operation_is_described(hall: ConsoleWorld) -> None:
    document = hall.browser().get("/api/openapi.json").json()
    operations = [
        (f"{method} {path}", item[method]) for path, item in document["paths"].items() for method in METHODS & set(item)
    ]
    assert len(operations) > 45
    poor = [name for name, item in operations if not item.get("summary") or len(item.get("description", "")) < 20]
    assert poor == []
    assert [name for name, item in operations if item["summary"] == item["description"]] == []


def test_the_description_s_page_needs_nobody_else(hall: ConsoleWorld) -> None:
    browser = hall.browser()
    page = browser.get("/api/docs").text
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert wanted
    for path in wanted:
        assert path.startswith("/")
        assert browser.get(path).status_code == 200
    assert not re.search(r"<script(?![^>]*src=)", page)
    assert browser.get("/api/docs/../app.py").status_code == 404
    assert browser.get("/api/docs/%2e%2e%2fapp.py").status_code == 404


def test_answers_carry_the_security_headers(hall: ConsoleWorld) -> None:
    for path in ("/", "/api/session", "/api/docs", "/health", "/nothing/here"):
        headers = hall.browser().get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "script-src 'self';" in policy
        assert "style-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert "strict-transport-security" not in headers
    assert hall.browser().get("/api/session").headers["cache-control"] == "no-store"


def test_unknown_paths_of_machines_are_404_in_json(hall: ConsoleWorld) -> None:
    for path in ("/api/nothing", "/agent/v1/nothing", "/intake/v2/x", "/assets/none.js"):
        answer = hall.browser().get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    wrong = hall.browser().client.request("PUT", "/api/login", headers={"Origin": ORIGIN})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")


def test_every_kind_of_error_has_a_status() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.SunhallError) and kind is not errors.SunhallError
    ]
    without = [kind.__name__ for kind in kinds if not any(issubclass(kind, known) for known, _ in STATUS)]
    assert without == ["ConfigurationError"]


def test_the_front_end_is_served_with_its_routes(tmp_path: Path) -> None:
    built = tmp_path / "dist"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<title>hall</title>")
    (built / "assets" / "main-1a2b.js").write_text("export {}")
    (built / "favicon.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text("outside")
    with ConsoleWorld.make(tmp_path, settings=ConsoleSettings(data=tmp_path, web=str(built))) as world:
        browser = world.browser()
        for path in ("/", "/cameras/7", "/index.html", "/cases?q=1"):
            answer = browser.get(path)
            assert (answer.text, answer.headers["cache-control"]) == ("<title>hall</title>", "no-cache")
        asset = browser.get("/assets/main-1a2b.js")
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert asset.headers["content-type"].startswith("text/javascript")
        assert browser.get("/favicon.svg").headers["cache-control"] == "no-cache"
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt"):
            assert "outside" not in browser.get(path).text


def test_a_running_console_serves_what_was_built_again(tmp_path: Path) -> None:
    files = WebFiles(tmp_path / "dist")
    assert files.find("index.html") is None
    (tmp_path / "dist" / "assets").mkdir(parents=True)
    for name in ("index.html", "assets/main-1a2b.js"):
        (tmp_path / "dist" / name).write_text(name)
    old = files.find("assets/main-1a2b.js")
    assert files.index is not None
    assert old is not None
    (tmp_path / "dist" / "assets" / "main-3c4d.js").write_text("new")
    assert files.find("assets/main-3c4d.js") is not None
    old.unlink()
    os.utime(tmp_path / "dist" / "index.html", ns=(1, 1))
    assert files.find("assets/main-1a2b.js") is None
    assert files.find("assets/../../secret") is None


def test_without_a_built_front_end_the_page_says_how(tmp_path: Path) -> None:
    files = WebFiles(tmp_path / "missing")
    assert (files.index, files.find("../x")) == (None, None)


def test_a_body_that_is_no_json_is_refused_politely(hall: ConsoleWorld) -> None:
    headers = {"Origin": ORIGIN, "Content-Type": "application/json"}
    answer = hall.browser().client.post("/api/login", content=b'{"login": "a", "pass', headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("name", ["code", "password", "old", "new"])
def test_secrets_in_bodies_do_not_print_themselves(name: str) -> None:
    models = [kind for kind in descendants(Body) if name in kind.model_fields]
    secret = [kind for kind in models if "SecretStr" in str(kind.model_fields[name].annotation)]
    public = {"PurposeBody", "NewSource"}  # their codes are names
    assert {kind.__name__ for kind in models if kind not in secret} <= public
    assert secret


def descendants(kind: type[Body]) -> list[type[Body]]:
    return [item for child in kind.__subclasses__() for item in (child, *descendants(child))]


def test_nothing_blocks_the_event_loop(hall: ConsoleWorld) -> None:
    """The gates and streams that are `async` leave the disk and the catalog to threads."""
    machine = enrolled(hall)
    viewer = hall.person("supervisor")
    calls: tuple[Callable[[], Any], ...] = (
        lambda: machine.send("GET", "/agent/v1/time"),
        machine.report,
        lambda: viewer.get("/api/cameras"),
        lambda: viewer.get("/api/docs/docs.js"),
        lambda: viewer.post("/api/purposes", {"code": "audit", "reference": "x"}),
        lambda: viewer.get("/api/docs"),
    )
    for call in calls:
        call()  # what is imported and opened at first use is no blocking of every day

    with blockbuster_ctx():
        answers = [call() for call in calls]
        opened = handshake(hall.console.app, hall.loop, "/api/live", socket_headers(viewer), "192.0.2.50")
        assert opened["type"] == "websocket.accept"
        with pytest.raises(BlockingError):  # the watch is awake
            hall.loop.run(sleeper())
    assert [answer.status_code for answer in answers] == [200] * len(calls)


def socket_headers(browser: Browser) -> dict[str, str]:
    cookie = "; ".join(f"{name}={value}" for name, value in browser.client.cookies.items())
    return {"Host": "hall.example", "Origin": ORIGIN, "Cookie": cookie}


def test_retention_runs_beside_the_console_unless_it_is_turned_off(tmp_path: Path) -> None:
    parts = {}
    for interval in (3600.0, 0.0):
        settings = ConsoleSettings(data=tmp_path, retention=RetentionSettings(interval_s=interval))
        with ConsoleWorld.make(tmp_path, settings=settings) as world:
            parts[interval] = len(world.console.parts)
    assert parts[3600.0] == parts[0.0] + 1


async def sleeper() -> None:
    time.sleep(0.001)  # noqa: ASYNC251 - the very thing that must be noticed


def test_an_application_without_routes_answers_404() -> None:
    app = create_app([], version="0")
    assert app.version == "0"
