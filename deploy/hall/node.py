"""The two programs of a hall node, and how to tell that they are ready."""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
from collections.abc import Callable, Mapping

from deploy.hall.children import Program
from deploy.hall.folder import HallFolder, Ports
from storage.errors import ConfigurationError


def gateway_program(folder: HallFolder, ports: Ports) -> Program:
    """The camera gateway; ready when its API accepts a connection."""
    return Program(
        "gateway",
        "摄像头网关",
        [sys.executable, "-m", "camera_gateway.main", "run", "--config", str(folder.gateway_settings)],
        ready=port_answers("127.0.0.1", ports.gateway),
    )


def console_program(folder: HallFolder, ports: Ports) -> Program:
    """The console; ready when `/health` answers over HTTPS with the hall's own certificate."""
    return Program(
        "console",
        "网页服务",
        [sys.executable, "-m", "console.main", "run", "--config", str(folder.console_settings)],
        ready=lambda: console_answers(folder, ports),
    )


def port_answers(host: str, port: int) -> Callable[[], bool]:
    """A readiness question: does somebody accept connections there?"""

    def ready() -> bool:
        try:
            with socket.create_connection((host, port), timeout=1.0):
                return True
        except OSError:
            return False

    return ready


def require_free(
    wanted: Mapping[str, tuple[str, int]], remedy: str = "在 config 目录的设置文件 [listen] port 中换一个端口"
) -> None:
    """Check that nobody listens where we are about to.

    Raises:
        ConfigurationError: names the port, its use and the remedy.
    """
    for title, (host, port) in wanted.items():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise ConfigurationError(
                    "port_taken",
                    f"{title}的端口 {host}:{port} 不能使用({error.strerror})。请停止占用它的程序,或{remedy}",
                ) from error


def console_answers(folder: HallFolder, ports: Ports) -> bool:
    """Whether the console answers over HTTPS with the hall's own certificate."""
    if not folder.certificate_authority.exists():
        return False
    trust = ssl.create_default_context(cafile=str(folder.certificate_authority))
    connection = http.client.HTTPSConnection(ports.reachable_host, ports.console, timeout=2.0, context=trust)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
