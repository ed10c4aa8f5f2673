"""Starts VLC as an RTSP server that sends over UDP alone: another maker's SDP, packets and manners."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from storage.clock import SystemClock

_NOBODY = 65534
_PATIENCE_S = 30.0


class VlcServer:
    """A context manager: VLC plays a file for ever on `url`. It refuses to run as root, so root runs it as nobody."""

    def __init__(self, media: Path, port: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sunhall-vlc-"))
        self._folder.chmod(0o755)
        self._media = self._folder / media.name
        shutil.copyfile(media, self._media)
        self._media.chmod(0o644)
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"rtsp://127.0.0.1:{port}/vlc"

    def __enter__(self) -> VlcServer:
        identity = _NOBODY if os.geteuid() == 0 else None
        self._process = subprocess.Popen(
            ["cvlc", "-I", "dummy", "--no-dbus", "-q", "--loop", str(self._media), "--sout", f"#rtp{{sdp={self.url}}}"],
            env={"HOME": str(self._folder), "PATH": os.environ["PATH"]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=identity,
            group=identity,
        )
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
        shutil.rmtree(self._folder)

    def _wait(self) -> None:
        clock = SystemClock()
        deadline = clock.monotonic() + _PATIENCE_S
        while clock.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            clock.sleep(0.1)
        raise RuntimeError("VLC did not start: is vlc installed?")
