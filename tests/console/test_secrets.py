"""After a whole scenario no secret stands in the catalog, in the log or in any answer but the one that owes it."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import pytest

from console.routes.guard import COOKIE
from storage.logs import LineFormatter
from tests.console.agent_world import Machine, code_for, segment
from tests.console.console_world import PASSWORD, ConsoleWorld
from tests.fakes.console_gateway import device_facts


def scenario(world: ConsoleWorld) -> dict[str, str]:
    """Use everything that holds a secret; the secrets by name."""
    code = world.console.setup.ensure_code() or ""
    world.finish_setup()
    world.add_gateway()
    admin, manager = world.person("system_admin"), world.person("hall_admin")
    world.browser("203.0.113.9").post("/api/login", {"login": "auditor", "password": "a-wrong-password-7"})
    admin.post("/api/accounts", {"login": "x y", "display_name": "x", "password": "refused-password-3", "roles": []})
    world.gateway.devices["192.0.2.10"] = device_facts("SN-1")
    camera = {"address": "192.0.2.10", "port": 80, "username": "u", "password": world.gateway.password}
    device = manager.post("/api/devices", {**camera, "name": "c"}).json()["device"]["id"]
    manager.post("/api/devices/probe", {**camera, "password": "wrong-camera-pass"})
    manager.patch(f"/api/devices/{device}", {"credentials": {"username": "u", "password": "Next-camera-pass-1"}})
    source = admin.post("/api/sources", {"code": "approvals", "name": "审批平台", "timezone": "Asia/Shanghai"})
    enrolment = code_for(manager)
    machine = Machine.make(world)
    machine.enrol(enrolment)
    data, head = segment(world.clock.now_us())
    world.clock.advance(60)
    machine.put(data, head)
    machine.report()
    return {
        "set-up code": code,
        "password of the administrator": PASSWORD.format(login="a"),
        "password in a failed login": "a-wrong-password-7",
        "password of a refused account": "refused-password-3",
        "session cookie": admin.client.cookies[COOKIE],
        "camera password": world.gateway.password,
        "wrong camera password": "wrong-camera-pass",
        "changed camera password": "Next-camera-pass-1",
        "source secret": str(source.json()["secret"]),
        "enrolment code": enrolment,
        "agent's private key": (world.folder / "pc.key").read_bytes().hex(),
    }


def test_no_secret_in_the_catalog_the_log_or_the_objects(fresh: ConsoleWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = scenario(fresh)
    assert all(len(secret) >= 8 for secret in secrets.values())
    lines = "\n".join(LineFormatter().format(record) for record in caplog.records)
    assert "setup_finished" in lines
    files = b"".join(path.read_bytes() for path in files_of(fresh.folder))
    assert b"setup" in files
    found = [name for name, secret in secrets.items() if secret in lines or appears(secret, files)]
    assert found == []


def appears(secret: str, files: bytes) -> bool:
    forms = {secret.encode(), secret.replace("-", "").encode()}
    with contextlib.suppress(ValueError):
        forms.add(bytes.fromhex(secret))
    return any(form in files for form in forms)


def files_of(folder: Path) -> list[Path]:
    """Everything that the console wrote, but keys."""
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".key"]


def test_lists_hold_no_secrets(fresh: ConsoleWorld) -> None:
    secrets = scenario(fresh)
    browsers = [fresh.person(role) for role in ("system_admin", "hall_admin", "auditor")]
    paths = ("accounts", "devices", "cameras", "workstations", "sources", "audit", "session", "hall", "problems")
    texts = [browser.get(f"/api/{path}").text for browser in browsers for path in paths]
    assert sum("error" not in text[:10] for text in texts) > 20
    assert [name for name, secret in secrets.items() if any(secret in text for text in texts)] == []
