"""Sets the virtual hall up as a user would, through the public API. A second run finds everything done."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.demo.client import HallClient
from storage.errors import SunhallError
from storage.files import write_atomic

HALL_NAME = "示范市政务服务中心"
ZONE = "Asia/Shanghai"
WINDOWS = 12
WORKSTATION_WINDOW = 1
SOURCE_CODE = "approval"

PEOPLE = (
    ("admin", "系统管理员", "system_admin"),
    ("dating", "大厅管理员", "hall_admin"),
    ("jiankan", "值班监看员", "supervisor"),
    ("diaoyue", "调阅员", "auditor"),
)

NOTICE_STAFF = "本工作电脑在服务时间内定时截屏,用于效能监督与投诉核查,截屏按规定期限保存。"
NOTICE_VISITORS = "本大厅设有视频监控,录像用于服务质量监督与安全管理,按规定期限保存。"


@dataclass(frozen=True, slots=True)
class VirtualDevice:
    """Where a virtual camera answers, and which windows it sees in which role."""

    name: str
    address: str
    port: int
    username: str
    password: str
    windows: Sequence[int]
    role: str


@dataclass(slots=True)
class DemoState:
    """What the demo made: kept in a file that only its owner can read, so that a second start can go on."""

    path: Path
    passwords: dict[str, str] = field(default_factory=dict)
    source_secret: str = ""
    base_port: int = 0  # the cameras are registered with their ports, so these stay

    @classmethod
    def load(cls, path: Path, base_port: int) -> DemoState:
        """The state in `path`, or a new one with `base_port` and fresh random passwords."""
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, kept["passwords"], kept["source_secret"], kept["base_port"])
        state = cls(path, {login: new_password() for login, _, _ in PEOPLE}, base_port=base_port)
        state.save()
        return state

    def save(self) -> None:
        """Write the state, readable by its owner alone."""
        kept = {"passwords": self.passwords, "source_secret": self.source_secret, "base_port": self.base_port}
        write_atomic(self.path, json.dumps(kept).encode(), mode=0o600)


def new_password() -> str:
    """A random password that can be read out: four groups of four letters and digits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))


class DemoSetup:
    """The steps. Each looks first at what is there."""

    def __init__(self, base_url: str, certificate_authority: Path, state: DemoState) -> None:
        self._base_url = base_url
        self._certificate_authority = certificate_authority
        self._state = state

    def first_run(self, code: str) -> None:
        """The wizard's answers, once."""
        with self._client() as client:
            if not client.get("/api/setup")["needed"]:
                return
            administrator, *others = PEOPLE
            client.post("/api/setup/code", {"code": code})
            client.post(
                "/api/setup",
                {
                    "code": code,
                    "administrator": self._account(administrator),
                    "hall": {"name": HALL_NAME, "timezone": ZONE},
                    # A demo is tried at any hour: the virtual hall never closes.
                    "periods": [{"weekday": day, "from_minute": 0, "to_minute": 1440} for day in range(1, 8)],
                    "windows": {"first": 1, "last": WINDOWS, "name_pattern": "{n}号窗口"},
                    "time_source": "system",
                    "storage": {"quota_gb": 20, "video_days": 30, "screen_days": 90},
                    "notice": {"staff": NOTICE_STAFF, "visitors": NOTICE_VISITORS},
                    "accounts": [{**self._account(person), "roles": [person[2]]} for person in others],
                },
            )

    def register_cameras(self, devices: Sequence[VirtualDevice]) -> list[str]:
        """Register those that are not there yet; returns the names of the new ones."""
        with self._client("dating") as client:
            present = {(item["address"], item["port"]) for item in client.get("/api/devices")["devices"]}
            windows = self._window_ids(client)
            missing = [device for device in devices if (device.address, device.port) not in present]
            for device in missing:
                client.post("/api/devices", self._registration(device, windows))
            return [device.name for device in missing]

    def enrolment_code(self, name: str, window: int) -> str | None:
        """A one-time code for the workstation called `name`, or None when it is enrolled already."""
        with self._client("dating") as client:
            stations = client.get("/api/workstations")["workstations"]
            if any(item["name"] == name and item["revoked_us"] is None for item in stations):
                return None
            windows = self._window_ids(client)
            body = {"name": name, "window_ids": [windows[window]], "minutes": 60}
            return str(client.post("/api/workstations/codes", body)["code"])

    def event_source(self) -> str:
        """The approval platform's secret; the source is made when it is missing.

        Raises:
            SunhallError: the source exists, but its secret (shown once) is not in the demo's state any more.
        """
        with self._client("admin") as client:
            if any(item["code"] == SOURCE_CODE for item in client.get("/api/sources")["sources"]):
                if not self._state.source_secret:
                    raise SunhallError("demo_state_lost", f"{self._state.path} 已丢失来源密钥,请换一个数据目录")
                return self._state.source_secret
            made = client.post("/api/sources", {"code": SOURCE_CODE, "name": "虚拟审批平台", "timezone": ZONE})
            self._state.source_secret = str(made["secret"])
            self._state.save()
            return self._state.source_secret

    def _client(self, login: str = "") -> HallClient:
        client = HallClient(self._base_url, self._certificate_authority)
        if login:
            client.login(login, self._state.passwords[login])
        return client

    def _account(self, person: tuple[str, str, str]) -> dict[str, Any]:
        login, display_name, _ = person
        return {"login": login, "display_name": display_name, "password": self._state.passwords[login]}

    def _window_ids(self, client: HallClient) -> dict[int, str]:
        return {item["number"]: item["id"] for item in client.get("/api/windows")["windows"]}

    def _registration(self, device: VirtualDevice, windows: dict[int, str]) -> dict[str, Any]:
        seen = [{"window_id": windows[number], "role": device.role} for number in device.windows]
        return {
            "address": device.address,
            "port": device.port,
            "username": device.username,
            "password": device.password,
            "name": device.name,
            "channels": [{"number": 1, "name": device.name, "windows": seen}],
        }
