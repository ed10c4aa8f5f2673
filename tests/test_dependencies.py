"""Every direct dependency has its reason in a decision record, and no lock names a host."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECORD = (ROOT / "docs" / "decisions" / "0006-dependencies.md").read_text(encoding="utf-8")
LOCKS = [*sorted((ROOT / "locks").glob("*.txt")), ROOT / "console" / "web" / "package-lock.json"]


def python_dependencies() -> set[str]:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return {re.split(r"[\[<>=!~ ]", wanted)[0] for extra in extras.values() for wanted in extra}


def browser_dependencies() -> set[str]:
    package = json.loads((ROOT / "console" / "web" / "package.json").read_text(encoding="utf-8"))
    return {*package["dependencies"], *package["devDependencies"]}


def test_every_dependency_has_its_reason() -> None:
    named = python_dependencies() | browser_dependencies()
    assert sorted(name for name in named if f"`{name}`" not in RECORD) == []


def test_no_reason_outlives_its_dependency() -> None:
    listed = set(re.findall(r"^\| (`.+?`) \|", RECORD, re.MULTILINE))
    names = {name.strip("`") for row in listed for name in row.split(", ")}
    assert sorted(names - python_dependencies() - browser_dependencies()) == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_carry_hashes_and_no_hosts(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "sha256:" in text or "sha512-" in text
    # A package's funding or home page may be named; what may not is where it was fetched from.
    assert re.findall(r'"resolved"|--(?:extra-)?index-url|--find-links|@ https?:', text) == []
