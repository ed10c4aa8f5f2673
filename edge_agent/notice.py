"""The notice that this computer is recorded (本机正在记录). No visible notice, no capture."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

from storage.files import write_atomic

log = logging.getLogger(__name__)


class Notice(Protocol):
    """Tells the person at the screen. `show` and `visible` may be called from different threads."""

    def show(self, text: str) -> None:
        """Show `text` from now on, instead of what was shown before. Never raises: `visible` tells."""
        ...

    def visible(self) -> bool:
        """Whether a person at this screen can see the notice now."""
        ...

    def close(self) -> None:
        """Take it away."""
        ...


class ConsoleNotice:
    """For machines without a desktop, such as the demonstration's virtual PC: the text stands in the log and in a file.

    Nobody sits at such a machine; on a real one this shows a person nothing, so the settings name it expressly.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._shown = False

    def show(self, text: str) -> None:
        try:
            write_atomic(self._file, text.encode(), mode=0o644)
        except OSError as error:
            log.warning("notice_not_shown", extra={"fields": {"message": str(error)}})
            self._shown = False
            return
        log.info("notice_shown", extra={"fields": {"text": text}})
        self._shown = True

    def visible(self) -> bool:
        return self._shown and self._file.exists()

    def close(self) -> None:
        self._shown = False
        self._file.unlink(missing_ok=True)


class FakeNotice:
    """A notice in memory."""

    def __init__(self) -> None:
        self.text = ""
        self.hidden = False

    def show(self, text: str) -> None:
        self.text = text

    def visible(self) -> bool:
        return bool(self.text) and not self.hidden

    def close(self) -> None:
        self.text = ""
