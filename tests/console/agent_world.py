"""A workstation that signs its requests, as `sunhall-agent` does, without the agent."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import numpy as np

from screen_capture.encode import SegmentEncoder
from storage.clock import US
from storage.identity.keys import DeviceKey
from storage.identity.requests import sign_headers
from storage.ids import new_id
from tests.console.console_world import ORIGIN, Browser, ConsoleWorld

MONITOR = {"name": "DP-1", "width": 128, "height": 64}


@dataclass
class Machine:
    """A counter PC with a key; enrolled once it has an id."""

    world: ConsoleWorld
    key: DeviceKey
    http: httpx.Client
    id: str = ""
    last_headers: dict[str, str] | None = None

    @classmethod
    def make(cls, world: ConsoleWorld, name: str = "pc", address: str = "192.0.2.200") -> Machine:
        path = world.folder / f"{name}.key"
        return cls(world, DeviceKey.create(path), world.browser(address).client)

    def enrol(self, code: str) -> httpx.Response:
        answer = self.http.post(
            "/agent/v1/enrol",
            json={
                "code": code,
                "public_key": base64.b64encode(self.key.public).decode(),
                "machine_id": "m-1",
                "hostname": "PC-1",
                "version": "0.1.0",
                "monitors": [MONITOR],
            },
        )
        if answer.status_code == 201:
            self.id = answer.json()["workstation_id"]
        return answer

    def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> httpx.Response:
        """A signed request."""
        self.last_headers = sign_headers(self.key, self.id, method, target, body, self.world.clock)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, target, content=body, headers={**self.last_headers, **named})

    def report(self, *claims: tuple[str, int, int], **changes: Any) -> httpx.Response:
        """A report with claims (state, t0_us, t1_us) about the one monitor."""
        coverage = [
            {"monitor": "DP-1", "t0_us": t0, "t1_us": t1, "state": state, "detail": ""} for state, t0, t1 in claims
        ]
        body = {
            "version": "0.1.0",
            "monitors": [MONITOR],
            "coverage": coverage,
            "spool": {"bytes": 10, "segments": 1, "dropped": 0},
            "clock": {"offset_us": -1500, "error_us": 400},
            **changes,
        }
        return self.send("POST", "/agent/v1/report", json.dumps(body).encode(), Content_Type="application/json")

    def put(self, data: bytes, head: dict[str, Any], segment_id: UUID | None = None) -> httpx.Response:
        """Hand over a segment."""
        segment_id = segment_id or new_id(self.world.clock)
        header = base64.b64encode(json.dumps(head).encode()).decode()
        return self.send("PUT", f"/agent/v1/segments/{segment_id}", data, X_Sunhall_Segment=header)


def segment(t0_us: int, pictures: int = 3, seed: int = 0) -> tuple[bytes, dict[str, Any]]:
    """A real screen segment of 128 × 64 pixels, one picture every 5 s, and its header."""
    frame = np.full((64, 128), 0x00FFFFFF, np.uint32)
    encoder = SegmentEncoder(frame, t0_us)
    data = encoder.begin()
    times = [t0_us]
    for number in range(1, pictures):
        frame = frame.copy()
        frame[number, : 10 + seed] = number
        times.append(t0_us + number * 5 * US)
        data += encoder.add(frame, times[-1]) or b""
    t1_us = times[-1] + 5 * US
    data += encoder.end(t1_us)
    head = {"monitor": "DP-1", "width": 128, "height": 64, "t0_us": t0_us, "t1_us": t1_us, "pictures": times}
    return data, {**head, "sha256": hashlib.sha256(data).hexdigest()}


def code_for(manager: Browser, name: str = "3号窗口工作电脑", windows: int = 2, minutes: int = 30) -> str:
    """A fresh enrolment code for the first `windows` windows."""
    ids = [item["id"] for item in manager.get("/api/windows").json()["windows"][:windows]]
    answer = manager.post("/api/workstations/codes", {"name": name, "window_ids": ids, "minutes": minutes})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["code"])


def enrolled(world: ConsoleWorld, name: str = "pc") -> Machine:
    """An enrolled machine."""
    machine = Machine.make(world, name)
    manager = world.person("hall_admin")
    assert manager.headers()["Origin"] == ORIGIN
    answer = machine.enrol(code_for(manager, name))
    assert answer.status_code == 201, answer.text
    return machine
