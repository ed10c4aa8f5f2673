"""Starts GStreamer's RTSP server as a peer, and makes the media it serves."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

SCRIPT = Path(__file__).with_name("gst_server.py")
SYSTEM_PYTHON = "/usr/bin/python3"


@dataclass
class GstServer:
    """A running server; `stop` ends it, `start` begins again on the same port."""

    mounts: Mapping[str, Mapping[str, Any]]
    user: str = ""
    password: str = ""
    basic: bool = False  # how the password is asked for; else by digest
    tls: Path | None = None  # a PEM file with key and certificate: the server speaks TLS alone
    port: int = 0
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> GstServer:
        wanted = {
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "basic": self.basic,
            "tls": str(self.tls) if self.tls else "",
            "mounts": self.mounts,
        }
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, str(SCRIPT), json.dumps(wanted)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().split()
        if len(line) != 2 or line[0] != "ready":
            raise RuntimeError("GStreamer's RTSP server did not start: is gir1.2-gst-rtsp-server-1.0 installed?")
        self.port = int(line[1])
        return self

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()

    def __enter__(self) -> GstServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def freeze(self) -> None:
        """The camera hangs: its connections stay open and nothing comes any more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def url(self, path: str) -> str:
        return f"{'rtsps' if self.tls else 'rtsp'}://127.0.0.1:{self.port}{path}"


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True, timeout=120)


def make_h264(folder: Path, *, seconds: int = 300, size: str = "320x180", rate: int = 25, gop: int = 25) -> Path:
    """A long H.264 MP4: a short encode repeated without re-encoding, as looping live sources lose their times."""
    short, long = folder / "short.mp4", folder / f"h264-{size}-{rate}-{gop}.mp4"
    _ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}", "-t", "20", "-c:v", "libx264", "-preset", "ultrafast"),
        *("-g", str(gop), "-keyint_min", str(gop), "-sc_threshold", "0", "-bf", "0", "-pix_fmt", "yuv420p", str(short)),
    )
    _ffmpeg("-stream_loop", str(seconds // 20), "-i", str(short), "-c", "copy", str(long))
    return long


def make_with_audio(folder: Path, video: Path, kind: str) -> Path:
    """`video` with a tone beside it: kind "h264aac" (MP4) or "h264pcma" (Matroska)."""
    made = folder / ("aac.mp4" if kind == "h264aac" else "pcma.mkv")
    codec = ["-c:a", "aac"] if kind == "h264aac" else ["-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"]
    _ffmpeg("-i", str(video), "-f", "lavfi", "-i", "sine=frequency=440", "-t", "120", "-c:v", "copy", *codec, str(made))
    return made


def make_bframes(folder: Path) -> Path:
    """H.264 with two B-frames between references."""
    made = folder / "bframes.mp4"
    _ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-t", "60", "-c:v", "libx264", "-preset", "veryfast"),
        *("-g", "50", "-bf", "2", "-pix_fmt", "yuv420p", str(made)),
    )
    return made


def make_h265(folder: Path) -> Path:
    """H.265 with a key frame each second."""
    made = folder / "h265.mp4"
    _ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-t", "60", "-c:v", "libx265", "-preset", "ultrafast"),
        *("-x265-params", "log-level=none:keyint=25:bframes=0", "-pix_fmt", "yuv420p", str(made)),
    )
    return made
