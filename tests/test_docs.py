"""Rules of this project that only a test can keep: docs name every setting, and links lead somewhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.tools import settings_tables

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = ("storage", "screen_capture", "edge_agent", "camera_gateway", "console", "deploy", "tests")
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def python_files() -> list[Path]:
    return sorted(path for name in SOURCES for path in (ROOT / name).rglob("*.py") if "node_modules" not in path.parts)


def test_operations_explains_every_setting() -> None:
    page = settings_tables.PAGE.read_text(encoding="utf-8")
    assert page == settings_tables.renewed(page), "run: python -m deploy.tools.settings_tables"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    dead = [link for link in _LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert dead == []


def test_decision_records_have_unique_numbers() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")]
    assert len(numbers) == len(set(numbers))


def test_imports_keep_their_contracts() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def reads_the_clock(tree: ast.AST) -> bool:
    """Whether `tree` calls time.time, time.monotonic, datetime.now and their kin."""
    forbidden = {"time": {"time", "time_ns", "monotonic", "monotonic_ns"}, "datetime": {"now", "utcnow", "today"}}
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.attr in forbidden.get(node.func.value.id, ())
        for node in ast.walk(tree)
    )


def test_only_one_module_reads_the_clock() -> None:
    readers = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if reads_the_clock(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert readers == ["storage/clock.py"]


def test_the_vocabulary_needs_the_standard_library_only() -> None:
    foreign: list[str] = []
    for path in (ROOT / "storage").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            foreign += [f"{path.name}: {name}" for name in names if not allowed(name, sys.stdlib_module_names)]
    assert foreign == []


def allowed(name: str, standard: frozenset[str]) -> bool:
    """Whether a storage/*.py module may import `name`: the standard library, or a sibling."""
    parts = name.split(".")
    return parts[0] in standard or (parts[0] == "storage" and len(parts) == 2)
