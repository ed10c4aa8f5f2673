"""Looking at a port with bare hands: does it accept, does it speak RTSP. Tells a camera with ONVIF off from none."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from enum import Enum, auto

from storage.errors import DeviceError, DeviceFault

_ASK = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: Sunhall\r\n\r\n"


class Port(Enum):
    """What connecting to a port showed."""

    OPEN = auto()
    REFUSED = auto()


async def connect(host: str, port: int, timeout_s: float) -> Port:
    """Try a TCP connection.

    Raises:
        DeviceError: `unreachable` when nobody answers or there is no route.
    """
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError as error:
        message = f"{host}:{port} did not answer in {timeout_s:g} s"
        raise DeviceError(DeviceFault.UNREACHABLE, message, address=host, port=port) from error
    except OSError as error:
        if error.errno == errno.ECONNREFUSED:
            return Port.REFUSED
        message = f"cannot reach {host}: {error.strerror}"
        raise DeviceError(DeviceFault.UNREACHABLE, message, address=host, port=port) from error
    writer.close()
    return Port.OPEN


async def speaks_rtsp(host: str, port: int, timeout_s: float) -> bool:
    """Whether the port answers an RTSP OPTIONS request as RTSP."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(_ASK)
            return (await reader.readexactly(5)) == b"RTSP/"
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await writer.wait_closed()
