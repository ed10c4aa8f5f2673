"""The peer: `ffmpeg -rtsp_transport tcp -c copy` into 60 s files of fragmented MP4, one process a camera."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage.clock import SystemClock

_APART_S = 0.05


@dataclass
class FfmpegRecorders:
    """Defaults otherwise. Finished files beyond `keep` of each camera are removed while it runs (`trim`)."""

    folder: Path
    urls: Sequence[str]
    keep: int = 2
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start them one after the other: all at once they would only wait for the processor."""
        clock = SystemClock()
        for number, url in enumerate(self.urls):
            folder = self.folder / f"{number:03d}"
            folder.mkdir(parents=True, exist_ok=True)
            arguments = ["ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", url, "-c", "copy", "-f", "segment"]
            arguments += ["-segment_time", "60", "-segment_format", "mp4"]
            arguments += ["-segment_format_options", "movflags=frag_keyframe+empty_moov"]
            arguments.append(str(folder / "%05d.mp4"))
            self._running.append(subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            clock.sleep(_APART_S)

    def all_write(self) -> bool:
        """Whether each camera has bytes in a file.

        Raises:
            AssertionError: one has ended.
        """
        for url, process in zip(self.urls, self._running, strict=True):
            assert process.poll() is None, f"ffmpeg of {url} ended with {process.returncode}"
        return all(any(file.stat().st_size for file in folder.iterdir()) for folder in self.folder.iterdir())

    def trim(self) -> None:
        """Remove old files, so that a long run needs no more disk than a short one."""
        for folder in self.folder.iterdir():
            for file in sorted(folder.iterdir())[: -self.keep]:
                file.unlink()

    def stop(self) -> None:
        """End them."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(30)

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self._running]
