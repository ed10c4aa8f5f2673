"""Settings that the console pushes: taken whole or not at all, kept for the next start, never below the local floor."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge_agent.schedule import Period
from storage.errors import InvalidInput, StorageError
from storage.spool.index import SpoolIndex

log = logging.getLogger(__name__)

DEFAULT_NOTICE = "本机正在记录 / This computer is being recorded"
_KEY = "pushed_settings"
_MAX_PERIODS = 200


@dataclass(frozen=True, slots=True)
class Pushed:
    """What the console wants. No periods: the hall has named none, so it is always in service."""

    version: int = 0
    interval_s: float = 5.0
    periods: tuple[Period, ...] = ()
    timezone: str = "UTC"
    notice_version: int = 0
    notice_text: str = DEFAULT_NOTICE

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


def parse_pushed(value: Any, min_interval_s: float) -> Pushed:
    """`settings` of the wire (docs/interfaces.md, section 7), with the interval raised to the floor.

    Raises:
        InvalidInput: `settings_invalid`: something in it makes no sense; the settings before stay in force.
    """
    try:
        periods = tuple(
            Period(int(p["weekday"]), int(p["from_minute"]), int(p["to_minute"])) for p in value["service_periods"]
        )
        pushed = Pushed(
            version=int(value["version"]),
            interval_s=min(max(_finite(value["interval_s"]), min_interval_s), 60.0),
            periods=periods,
            timezone=str(value["timezone"]),
            notice_version=int(value["notice"]["version"]),
            notice_text=str(value["notice"]["text"])[:500] or DEFAULT_NOTICE,
        )
        pushed.zone.utcoffset(None)
    except (KeyError, TypeError, ValueError, OverflowError, ZoneInfoNotFoundError, OSError) as error:
        raise InvalidInput("settings_invalid", f"the console's settings cannot be taken: {error!r}") from error
    if len(periods) > _MAX_PERIODS or any(not period.valid for period in periods):
        raise InvalidInput("settings_invalid", "a service period of the console is out of range")
    return pushed


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _period(item: Any) -> Period:
    return Period(int(item["weekday"]), int(item["from_minute"]), int(item["to_minute"]))


class PushedStore:
    """The settings in force. Read by several threads; changed by the reporter."""

    def __init__(self, index: SpoolIndex, min_interval_s: float, fallback: Pushed) -> None:
        self._index = index
        self._min_interval_s = min_interval_s
        self._current = self._kept() or fallback
        self._listeners: list[Callable[[Pushed], None]] = []

    @property
    def current(self) -> Pushed:
        return self._current

    def listen(self, listener: Callable[[Pushed], None]) -> None:
        """Call `listener` after each change, from the reporter's thread."""
        self._listeners.append(listener)

    def offer(self, value: Any) -> bool:
        """Take what the console sent; false when it is what we have or makes no sense."""
        try:
            pushed = parse_pushed(value, self._min_interval_s)
        except InvalidInput as error:
            log.warning("pushed_settings_refused", extra={"fields": {"message": error.message}})
            return False
        if pushed == self._current:
            return False
        self._index.put(_KEY, json.dumps(value))
        self._current = pushed
        log.info("pushed_settings_taken", extra={"fields": {"version": pushed.version}})
        for listener in self._listeners:
            listener(pushed)
        return True

    def _kept(self) -> Pushed | None:
        try:
            raw = self._index.get(_KEY)
            return None if raw is None else parse_pushed(json.loads(raw), self._min_interval_s)
        except (InvalidInput, StorageError, ValueError):
            return None
