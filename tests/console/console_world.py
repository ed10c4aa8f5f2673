"""A whole console on a real catalog, with a clock that stands still, a gateway in memory and quick password hashes."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import insert

from console.assembly import Console, Ports, assemble, register_node
from console.settings import AgentSettings, ConsoleSettings, SessionSettings
from storage.archive.catalog import Catalog
from storage.archive.migrate import migrate
from storage.archive.objects import DiskStore
from storage.archive.tables import node
from storage.clock import FakeClock
from storage.identity.boxes import SecretBox
from storage.ids import new_id
from storage.model import Role
from tests.console.asgi import AppLoop, AppTransport
from tests.fakes.console_gateway import FakeGateway

ORIGIN = "https://hall.example"
PASSWORD = "correct-horse-{login}x"
ZONE = "Asia/Shanghai"
START_US = 1_795_222_800_000_000
"""Saturday 2026-11-21 09:00 in Shanghai: 01:00 UTC."""


class QuickPasswords:
    """`Passwords` for tests: salted, one way, and fast."""

    def hash(self, password: str) -> str:
        salt = secrets.token_hex(8)
        return f"{salt}:{hashlib.sha256((salt + password).encode()).hexdigest()}"

    def matches(self, stored: str | None, password: str) -> bool:
        salt, _, digest = (stored or ":").partition(":")
        return bool(salt) and secrets.compare_digest(hashlib.sha256((salt + password).encode()).hexdigest(), digest)


@dataclass
class Browser:
    """One person's browser: its cookies, its CSRF value and its purpose."""

    client: httpx.Client
    csrf: str = ""
    purpose: str = ""
    account_id: str = ""

    def login(self, login: str, password: str = "") -> dict[str, Any]:
        answer = self.post("/api/login", {"login": login, "password": password or PASSWORD.format(login=login[0])})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        self.csrf = body["csrf"]
        self.account_id = body["account"]["id"]
        return body

    def state_purpose(self, code: str = "complaint", reference: str = "投诉 2026-117") -> str:
        answer = self.post("/api/purposes", {"code": code, "reference": reference})
        assert answer.status_code == 200, answer.text
        self.purpose = answer.json()["id"]
        return self.purpose

    def get(self, path: str, **parameters: str | int) -> httpx.Response:
        return self.client.get(path, params=parameters, headers=self.headers())

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return self.client.post(path, json=body, headers=self.headers())

    def patch(self, path: str, body: Any) -> httpx.Response:
        return self.client.patch(path, json=body, headers=self.headers())

    def delete(self, path: str) -> httpx.Response:
        return self.client.delete(path, headers=self.headers())

    def headers(self) -> dict[str, str]:
        """What the front end sends with every request."""
        sent = {"Origin": ORIGIN}
        if self.csrf:
            sent["X-Sunhall-CSRF"] = self.csrf
        if self.purpose:
            sent["X-Sunhall-Purpose"] = self.purpose
        return sent


@dataclass
class ConsoleWorld:
    """The console under test and everything around it."""

    folder: Path
    clock: FakeClock
    catalog: Catalog
    gateway: FakeGateway
    console: Console
    store: DiskStore
    settings: ConsoleSettings
    loop: AppLoop
    clients: list[httpx.Client] = field(default_factory=list)

    @classmethod
    @contextmanager
    def copied(cls, folder: Path, template: Path) -> Iterator[ConsoleWorld]:
        """A console on a copy of a migrated catalog: migrating takes longer than most tests."""
        shutil.copyfile(template, folder / "catalog.sqlite")
        with cls.make(folder) as world:
            yield world

    @classmethod
    @contextmanager
    def make(cls, folder: Path, url: str = "", settings: ConsoleSettings | None = None) -> Iterator[ConsoleWorld]:
        """A console whose first run is not over yet."""
        settings = settings or ConsoleSettings(
            data=made_folder(folder),
            catalog_url=url,
            sessions=SessionSettings(hours=12, idle_minutes=60),
            agents=AgentSettings(),
        )
        if url or not (folder / "catalog.sqlite").exists():
            migrate(settings.catalog)
        clock = FakeClock(START_US)
        catalog = Catalog.open(settings.catalog, clock)
        store = DiskStore(settings.objects)
        gateway = FakeGateway()
        ports = Ports(
            clock=clock,
            catalog=catalog,
            stores={store.location: store},
            gateway=gateway,
            staged=gateway,
            live=gateway,
            passwords=QuickPasswords(),
            box=SecretBox(secrets.token_bytes(32)),
            node_id=register_node(catalog, clock, secrets.token_bytes(32)),
        )
        world = cls(folder, clock, catalog, gateway, assemble(settings, ports), store, settings, AppLoop())
        try:
            yield world
        finally:
            for client in world.clients:
                client.close()
            world.loop.close()
            catalog.close()

    def browser(self, address: str = "192.0.2.50") -> Browser:
        """A fresh browser at that address."""
        transport = AppTransport(self.console.app, self.loop, address)
        client = httpx.Client(base_url=ORIGIN, transport=transport)
        self.clients.append(client)
        return Browser(client)

    def finish_setup(self, **changes: Any) -> None:
        """The wizard with an administrator `admin` and one account for each other role."""
        answer = self.browser().post("/api/setup", self.answers(**changes))
        assert answer.status_code == 201, answer.text

    def answers(self, **changes: Any) -> dict[str, Any]:
        """What the wizard sends."""
        others = ("supervisor", "auditor", "hall_admin")
        return {
            "code": self.console.setup.ensure_code() or "",
            "administrator": _person("admin"),
            "hall": {"name": "滁州市政务服务中心", "timezone": ZONE},
            "periods": [{"weekday": day, "from_minute": 540, "to_minute": 1020} for day in range(1, 8)],
            "windows": {"first": 1, "last": 12, "name_pattern": "{n}号窗口"},
            "time_source": "ntp.example",
            "storage": {"quota_gb": 100, "video_days": 30, "screen_days": 90},
            "notice": {"staff": "本机屏幕定时截取", "visitors": "大厅设有监控"},
            "accounts": [{**_person(role), "roles": [role]} for role in others],
            **changes,
        }

    def person(self, role: Role | str) -> Browser:
        """Somebody of that role, logged in."""
        browser = self.browser()
        browser.login("admin" if role == Role.SYSTEM_ADMIN else str(role))
        return browser

    def add_gateway(self) -> UUID:
        """The gateway's row in the catalog."""
        made = new_id(self.clock)
        values = {"id": made, "kind": "gateway", "name": "g", "public_key": bytes(32), "url": "http://127.0.0.1:9"}
        with self.catalog.write() as conn:
            conn.execute(insert(node).values(**values, created_us=self.clock.now_us()))
        return made


def made_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _person(login: str) -> dict[str, Any]:
    return {"login": login, "display_name": f"{login} 姓名", "password": PASSWORD.format(login=login[0])}
