"""The virtual cameras as an ONVIF client that others wrote sees them: Debian's onvif-util.

It sends multicast on the default interface, so it runs with a hall in a network namespace that has only loopback.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.virtual_camera.plan import demo_hall, to_json

pytestmark = pytest.mark.peer

PASSWORD = "pass-123"
ROOT = Path(__file__).resolve().parents[2]

_SCRIPT = """
set -e
ip link set lo up
ip link set lo multicast on
ip route add 224.0.0.0/4 dev lo
mkfifo "$1/ready" "$1/hold"
"$2" -m deploy.virtual_camera --plan "$1/plan.json" --data "$1" --base-port 18000 --json --follow-stdin \
  < "$1/hold" > "$1/ready" &
exec 9> "$1/hold"
read -r line < "$1/ready"
sh "$1/client.sh"
exec 9>&-
wait
"""


_QUESTIONS = r"get time\nget profiles\nget profile\nget rtsp pass\nget video\nget video options\nget network\nquit\n"
_CLIENTS = {
    "found": "onvif-util -a",
    "read": f"printf '{_QUESTIONS}' | onvif-util -u admin -p {PASSWORD} 127.0.0.1",
    "refused": "printf 'quit\\n' | onvif-util -u admin -p wrong 127.0.0.1",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each client printed beside a hall of three cameras."""
    folder = tmp_path_factory.mktemp("namespace")
    (folder / "plan.json").write_text(to_json(demo_hall(3, PASSWORD)), encoding="utf-8")
    lines = [f"({client}) > '{folder}/{name}.txt' 2>&1 || true" for name, client in _CLIENTS.items()]
    (folder / "client.sh").write_text("\n".join(lines), encoding="utf-8")
    command = ["unshare", "--map-root-user", "--net", "bash", "-c", _SCRIPT, "hall", str(folder), sys.executable]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, cwd=ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return {name: (folder / f"{name}.txt").read_text(encoding="utf-8") for name in _CLIENTS}


def test_onvif_util_finds_the_cameras(told: dict[str, str]) -> None:
    assert "Found 3 cameras" in told["found"]
    assert "1号窗口 正面 SVC-540" in told["found"]
    assert "大厅全景 SVC-H265" in told["found"]


def test_onvif_util_signs_in_and_reads_what_it_can(told: dict[str, str]) -> None:
    lines = told["read"]
    assert "successfully connected to host" in lines
    assert "serial: SHVC000001" in lines
    assert "Time Offset: 0 seconds" in lines
    assert "Token 0: ch1_main" in lines
    assert "Token 1: ch1_sub" in lines
    assert f"rtsp://admin:{PASSWORD}@127.0.0.1:18101/stream/ch1_main" in lines
    assert "Gov Length: 24" in lines
    assert "960 x 540" in lines
    assert "ERROR" not in lines


def test_onvif_util_with_a_wrong_password_is_refused(told: dict[str, str]) -> None:
    assert "ter:NotAuthorized" in told["refused"]
