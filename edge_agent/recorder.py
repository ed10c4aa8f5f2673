"""One monitor: a look at its screen becomes a kept picture, `unchanged`, or a reason why there is none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from screen_capture.change import Rectangle, digest, fill, is_uniform
from screen_capture.encode import SegmentEncoder
from screen_capture.frames import Frame, GrabFailed, Words
from storage.errors import MediaError, StorageError
from storage.model import CoverageState
from storage.spool.ledger import Mark
from storage.spool.outbox import Outbox, SegmentWriter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Masks:
    """Areas of one monitor: `ignored` ones make no picture by changing, `redacted` ones are never kept."""

    ignored: Sequence[Rectangle] = ()
    redacted: Sequence[Rectangle] = ()


@dataclass
class _Open:
    """The segment being written."""

    encoder: SegmentEncoder
    writer: SegmentWriter
    seen_us: int  # until when its last picture is known to have been on the screen


class MonitorRecorder:
    """Turns frames of one monitor into segments in the outbox. Used from one thread."""

    def __init__(self, name: str, outbox: Outbox, masks: Masks, longest_us: int) -> None:
        """`longest_us`: how much time a segment may span before it is closed and goes to the console."""
        self.name = name
        self._longest_us = longest_us
        self._outbox = outbox
        self._masks = masks
        self._open: _Open | None = None
        self._kept: bytes | None = None

    def take(self, frame: Frame, t_us: int, photo_quality: int) -> Mark:
        """Keep the frame of `t_us` if it shows something new; what the monitor's time is from now on."""
        try:
            pixels = frame.words()
        except MediaError as error:
            return self.blank(t_us, CoverageState.FAILED, error.code)
        if is_uniform(pixels):
            return self.blank(t_us, CoverageState.UNIFORM_FRAME, f"#{int(pixels[0, 0]):06x}")
        fill(pixels, self._masks.redacted)
        shown = digest(pixels, self._masks.ignored)
        if shown == self._kept:
            return self._unchanged(t_us)
        try:
            self._keep(pixels, t_us, photo_quality)
        except (StorageError, MediaError) as error:
            log.warning("picture_not_kept", extra={"fields": {"monitor": self.name, "code": error.code}})
            self._abandon()
            return Mark(self.name, CoverageState.FAILED, error.code)
        self._kept = shown
        return Mark(self.name, CoverageState.RECORDING)

    def failed(self, error: GrabFailed, t_us: int) -> Mark:
        """There was no frame. Without a display server nobody can be logged in at it."""
        state = CoverageState.NO_SESSION if error.code == "no_display" else CoverageState.FAILED
        return self.blank(t_us, state, error.code)

    def blank(self, t_us: int, state: CoverageState, detail: str) -> Mark:
        """Nothing is kept from now on: the next picture will be a whole one, whatever it shows."""
        self.close(t_us)
        return Mark(self.name, state, detail)

    def close(self, t_us: int) -> None:
        """Finish the open segment; its last picture was seen until its last look, not until `t_us`."""
        if self._open is not None:
            self._finish(min(self._open.seen_us, t_us))
        self._kept = None

    def _unchanged(self, t_us: int) -> Mark:
        """Nothing new. A segment that reached its length is closed, so that it goes to the console."""
        if self._open is not None:
            self._open.seen_us = max(self._open.seen_us, t_us)
            if not self._open.encoder.takes(t_us):
                self._finish(t_us)
        return Mark(self.name, CoverageState.UNCHANGED)

    def _keep(self, pixels: Words, t_us: int, photo_quality: int) -> None:
        current = self._open
        data = None if current is None else current.encoder.add(pixels, t_us)
        if current is None or data is None:
            self._finish(t_us)
            current, data = self._start(pixels, t_us, photo_quality)
        current.writer.append(data, t_us)
        current.seen_us = t_us

    def _start(self, pixels: Words, t_us: int, photo_quality: int) -> tuple[_Open, bytes]:
        encoder = SegmentEncoder(pixels, t_us, photo_quality, self._longest_us)
        data = encoder.begin()
        writer = self._outbox.begin(self.name, encoder.header.width, encoder.header.height, t_us)
        self._open = _Open(encoder, writer, t_us)
        return self._open, data

    def _finish(self, t_us: int) -> None:
        done = self._open
        self._open = None
        if done is None:
            return
        last_us = done.encoder.last_us
        t1_us = min(max(t_us, last_us + 1), done.encoder.latest_us)
        done.writer.close(done.encoder.end(t1_us), t1_us)

    def _abandon(self) -> None:
        if self._open is not None:
            self._open.writer.abandon()
        self._open = None
        self._kept = None
