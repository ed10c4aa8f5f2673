"""The agent starts with its own few packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ("av", "cv2", "fastapi", "sqlalchemy", "minio", "uvicorn", "pydantic", "console", "camera_gateway", "deploy")


def run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout


def test_the_agent_imports_none_of_the_servers_packages() -> None:
    code = f"import sys, edge_agent.main; print(sorted(set({FOREIGN!r}) & set(sys.modules)))"
    assert run(code).strip() == "[]"


def test_the_agent_runs_where_they_are_missing() -> None:
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({FOREIGN!r}))\n"
        "from edge_agent.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: print('status', end.code)"
    )
    assert "status 0" in run(code)


def test_the_grabbing_process_stays_small() -> None:
    code = "import sys, screen_capture.grab_child; print({'numpy', 'PIL', 'httpx', 'cryptography'} & set(sys.modules))"
    assert run(code).strip() == "set()"


def test_the_banner_process_stays_small() -> None:
    code = "import sys, edge_agent.platform.x11_banner; print({'numpy', 'httpx', 'mss'} & set(sys.modules))"
    assert run(code).strip() == "set()"


def test_a_thread_that_dies_ends_the_process_like_a_kill() -> None:
    code = (
        "import threading, edge_agent.main as main\n"
        "threading.excepthook = main._leave_at_once\n"
        "threading.Thread(target=lambda: 1 / 0).start()\n"
        "threading.Event().wait(50)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 70
