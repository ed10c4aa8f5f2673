"""The agent's settings (TOML). What the console pushes comes on top, above the floor that is set here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from screen_capture.change import Rectangle
from storage.errors import ConfigurationError
from storage.settings import option, section
from storage.spool.outbox import Limits

EVERY_MONITOR = "*"


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """How the screen is looked at."""

    interval_s: float = option(5.0, "seconds between two looks until the console says otherwise (1 to 60)")
    min_interval_s: float = option(1.0, "floor: the console cannot make the agent look more often than this")
    segment_s: float = option(60.0, "a segment goes to the console after so many seconds (5 to 60)")
    display: str = option("", 'X11 display, such as ":0"; empty: the session\'s own')
    timeout_s: float = option(5.0, "a grab that takes longer is ended and counts as failed")
    ignore: tuple[str, ...] = option((), "areas whose change alone makes no picture (a clock): 'monitor:x,y,w,h'")
    redact: tuple[str, ...] = option((), "areas painted over before anything is kept: 'monitor:x,y,w,h', * for all")


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """What waits for the console."""

    max_mb: int = option(2048, "most megabytes of segments that wait here")
    min_free_mb: int = option(1024, "megabytes that always stay free on the disk")
    max_age_days: float = option(30.0, "segments older than this are dropped, on record")


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """The notice that the machine is recorded. Without a visible one nothing is captured, whatever the console says."""

    kind: str = option("banner", "'banner' on the X11 desktop, or 'console' for machines without one (demonstrations)")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Everything in agent.toml."""

    folder: Path = option(Path(), "the agent's data (keys, spool); empty: the system's usual place")
    log_level: str = option("info", "debug, info, warning or error")
    report_s: float = option(30.0, "seconds between reports until the console says otherwise")
    capture: CaptureSettings = section(CaptureSettings, "how the screen is looked at")
    spool: SpoolSettings = section(SpoolSettings, "what waits for the console")
    notice: NoticeSettings = section(NoticeSettings, "the notice that the machine is recorded")


def check_settings(settings: AgentSettings) -> None:
    """Raises ConfigurationError naming the key whose value makes no sense."""
    _within("capture.interval_s", settings.capture.interval_s, 1.0, 60.0)
    _within("capture.min_interval_s", settings.capture.min_interval_s, 0.2, 60.0)
    _within("capture.segment_s", settings.capture.segment_s, 5.0, 60.0)
    _within("capture.timeout_s", settings.capture.timeout_s, 0.5, 60.0)
    _within("report_s", settings.report_s, 1.0, 3600.0)
    _within("spool.max_mb", settings.spool.max_mb, 16, 1024 * 1024)
    _within("spool.min_free_mb", settings.spool.min_free_mb, 0, 1024 * 1024)
    _within("spool.max_age_days", settings.spool.max_age_days, 0.01, 3650.0)
    for text in (*settings.capture.ignore, *settings.capture.redact):
        parse_area(text)
    if settings.notice.kind not in ("banner", "console"):
        raise ConfigurationError("setting_out_of_range", "notice.kind is 'banner' or 'console'")


def limits_of(settings: SpoolSettings) -> Limits:
    """The spool's bounds in its own units."""
    megabyte = 1024 * 1024
    return Limits(settings.max_mb * megabyte, settings.min_free_mb * megabyte, settings.max_age_days * 86400.0)


def areas_of(texts: tuple[str, ...], monitor: str) -> list[Rectangle]:
    """The areas among `texts` that lie on `monitor`."""
    parsed = [parse_area(text) for text in texts]
    return [area for name, area in parsed if name in (EVERY_MONITOR, monitor)]


def parse_area(text: str) -> tuple[str, Rectangle]:
    """`monitor:x,y,w,h` (`*` for every monitor); ConfigurationError when it is something else."""
    name, colon, numbers = text.rpartition(":")
    try:
        left, top, width, height = (int(number) for number in numbers.split(","))
    except ValueError:
        left = top = width = height = 0
    if not (colon and name and width > 0 and height > 0):
        raise ConfigurationError("area_invalid", f"{text!r} is no area: write 'monitor:x,y,width,height'")
    return name, Rectangle(left, top, width, height)


def _within(key: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigurationError("setting_out_of_range", f"{key} must be {least} to {most}, not {value}")
