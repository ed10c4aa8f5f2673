"""The examples of docs/intake.md are run as they stand: what they send is taken."""

from __future__ import annotations

import io
import json
import re
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.services.event_parsing import FIELDS
from storage.clock import SystemClock
from storage.identity.requests import MemoryNonces, SharedSecret, verify_headers
from storage.model import EventKind, TimePrecision
from tests.console.case_world import INTAKE, CaseWorld, event

GUIDE = (Path(__file__).parents[2] / "docs" / "intake.md").read_text(encoding="utf-8")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CaseWorld]:
    made = CaseWorld.at(tmp_path)
    yield made
    made.catalog.close()


def example(language: str) -> str:
    """The one code block of that language."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return str(block)


def test_the_shell_example_makes_a_valid_signature(tmp_path: Path) -> None:
    (tmp_path / "approval.secret").write_text("5a" * 32 + "\n")
    lines, _, _ = example("sh").partition("curl --cacert")
    script = lines + 'printf "%s\\n" "$BODY" "$TIME" "$NONCE" "$SIGNATURE"'
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, check=True, text=True)
    body, time_us, nonce, signature = done.stdout.splitlines()
    headers = {"X-Sunhall-Key": "approval", "X-Sunhall-Time": time_us, "X-Sunhall-Nonce": nonce}

    key = verify_headers(
        headers | {"X-Sunhall-Signature": signature},
        "POST",
        INTAKE,
        body.encode(),
        lambda code: SharedSecret(b"5a" * 32) if code == "approval" else None,
        MemoryNonces(SystemClock()),
        SystemClock(),
    )

    assert key == "approval"
    assert json.loads(body)["kind"] == "accepted"


def test_the_python_example_sends_what_is_taken(world: CaseWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add_source()
    world.clock.wall_us = SystemClock().now_us()
    answers: list[dict[str, Any]] = []

    def urlopen(request: urllib.request.Request, **_options: object) -> io.BytesIO:
        assert isinstance(request.data, bytes)
        headers = {name.lower(): value for name, value in request.header_items()}
        batch = world.sources.authenticate(headers, request.get_method(), request.selector, request.data)
        return io.BytesIO(json.dumps(world.intake.take(batch)).encode())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(ssl, "create_default_context", lambda cafile: cafile)
    names: dict[str, Any] = {}
    exec(compile(example("python"), "docs/intake.md", "exec"), names)  # noqa: S102 - our own guide's example
    answers.append(
        names["send"]("https://hall", "approval", world.secrets["approval"], [event(1, "applied", "08:00:00", "A-1")])
    )

    assert answers == [{"accepted": 1, "repeated": 0, "rejected": []}]


def test_the_guide_names_every_kind_field_and_precision() -> None:
    for name in [*EventKind, *FIELDS, *TimePrecision]:
        assert f"`{name}`" in GUIDE.replace("`resumed`", "`suspended`/`resumed`"), name


def test_the_guide_names_every_code() -> None:
    source = (Path(__file__).parents[2] / "console" / "services" / "event_parsing.py").read_text(encoding="utf-8")
    for code in set(re.findall(r'InvalidInput\(\s*"([a-z_]+)"', source)):
        assert f"`{code}`" in GUIDE, code
