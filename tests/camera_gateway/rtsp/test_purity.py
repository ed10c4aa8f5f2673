"""The RTSP and RTP halves are pure: no socket, clock, thread or chance inside, so that every dialogue is a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import camera_gateway

ROOT = Path(camera_gateway.__file__).parent
SOURCES = sorted(path for folder in ("rtsp", "rtp") for path in (ROOT / folder).glob("*.py"))
WORLD = {"asyncio", "logging", "os", "random", "secrets", "select", "selectors", "socket", "ssl", "threading", "time"}


def imported(path: Path) -> set[str]:
    """Every module that a file imports, wherever it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_nothing_of_the_world_is_imported(path: Path) -> None:
    names = imported(path)
    assert {name.partition(".")[0] for name in names} & WORLD == set()
    assert names & {"storage.clock.SystemClock", "camera_gateway.reactor"} == set()


def test_both_halves_are_looked_at() -> None:
    assert {path.stem for path in SOURCES} >= {"session", "messages", "sdp", "authentication", "demultiplexer"}
