"""Project rules as tests: who imports whom, who reads the clock, what an agent needs on a PC."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("storage", "screen_capture", "edge_agent", "camera_gateway", "console", "deploy")
CLOCK_READS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "sleep", "clock_gettime", "clock_gettime_ns"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}


def sources(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    """(path below the root, syntax tree) of every Python file of the packages."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    """Full names of all imported modules, wherever in the file they are imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def clock_reads(tree: ast.Module) -> Iterator[str]:
    """`time.sleep`, `datetime.now` and the like, called through their module or imported by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if node.attr in CLOCK_READS.get(owner, ()):
                yield f"{owner}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{alias.name}" for alias in node.names if alias.name in CLOCK_READS["time"])


def test_the_shared_vocabulary_needs_nothing_but_python() -> None:
    """Import contracts cannot say it: storage/*.py imports the standard library and its own siblings."""
    shared = {path.stem for path in (ROOT / "storage").glob("*.py")}
    allowed = sys.stdlib_module_names | {"storage"} | {f"storage.{name}" for name in shared}
    strangers = {
        (path, name)
        for path, tree in sources("storage")
        if path.count("/") == 1 or path in ("storage/identity/requests.py", "storage/evidence/leaf.py")
        for name in imported(tree)
        if name.split(".")[0] not in sys.stdlib_module_names and name not in allowed
    }
    assert strangers == set()


def test_nothing_but_the_clock_reads_the_clock() -> None:
    reads = {(path, read) for path, tree in sources(*PRODUCT) for read in clock_reads(tree)}
    assert {path for path, _ in reads if path != "storage/clock.py"} == set()
    assert ("storage/clock.py", "time.monotonic") in reads  # the scan sees what it is meant to see


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)",
        "from time import monotonic",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.utcnow()",
        "from datetime import date\ndate.today()",
    ],
)
def test_the_clock_scan_knows_every_way(text: str) -> None:
    assert list(clock_reads(ast.parse(text)))


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built with the packages of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(folder), str(ROOT))
    (made,) = folder.glob("sunhall-*.whl")
    return made


def run(*command: str, status: int = 0) -> str:
    """Run a program outside the source tree; its output."""
    folder = Path(command[0]).parent
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_the_wheel_carries_the_catalogs_revisions(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    revisions = {path.name for path in (ROOT / "storage/archive/migrations/versions").glob("*.py")}
    assert revisions
    assert {f"storage/archive/migrations/versions/{name}" for name in revisions} <= names
    assert "storage/archive/migrations/env.py" in names


@pytest.mark.timeout(600)
def test_an_agent_installs_and_starts_without_the_halls_packages(wheel: Path, tmp_path: Path) -> None:
    """An empty environment with the agent's lock file and our wheel, as on a counter PC."""
    venv.create(tmp_path / "pc", with_pip=True)
    python = str(tmp_path / "pc/bin/python")
    run(python, "-m", "pip", "install", "-q", "--require-hashes", "-r", str(ROOT / "locks/agent.txt"))
    run(python, "-m", "pip", "install", "-q", "--no-deps", str(wheel))
    assert "enrol" in run(str(tmp_path / "pc/bin/sunhall-agent"), "--help")
    absent = ["av", "cv2", "fastapi", "sqlalchemy", "alembic", "minio", "psycopg", "uvicorn", "onvif"]
    check = f"import importlib.util as u; print([n for n in {absent} if u.find_spec(n)])"
    assert run(python, "-c", check).strip() == "[]"
    modules = sorted(path for path, _ in sources("edge_agent", "screen_capture") if not path.endswith("__main__.py"))
    names = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in modules]
    run(python, "-c", f"import importlib; [importlib.import_module(n) for n in {names}]")
