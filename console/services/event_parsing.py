"""What a source sends, checked field by field: raw bytes in, events and per-index rejections out. No database.

Times: an offset in the text wins; without one the source's zone gives it. Where clocks go back and a local time
happens twice, the reading nearer to the intake is taken when one lies within two hours of it, else the first; a
local time that clocks skipped is rejected (`time_does_not_exist`), because the sender's clock is wrong.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from storage.clock import US
from storage.errors import InvalidInput
from storage.model import EventKind, TimePrecision, case_key

MAX_EVENTS = 500
MAX_BODY_BYTES = 1 << 20
MAX_SEQUENCE = (1 << 63) - 1
FUTURE_US = 86_400 * US
"""How far ahead of the intake an event may say it is: more is a typing error or a wrong clock."""
OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
FOLD_NEAR_US = 2 * 3600 * US

TEXT_LIMITS: Mapping[str, int] = {
    "case_number": 120,
    "ticket": 40,
    "item_code": 80,
    "step": 200,
    "window": 20,
    "staff": 80,
}
FIELDS = frozenset(TEXT_LIMITS) | {"sequence", "kind", "at", "precision"}
CASELESS = frozenset({EventKind.CALLED, EventKind.EVALUATED, EventKind.SIGNED_ON, EventKind.SIGNED_OFF})
"""Kinds that may come without a case number."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_AT = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<minute>\d{2}:\d{2})(?P<second>:\d{2})?(?P<fraction>\.\d{1,9})?(?P<offset>Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)
_FINENESS = [TimePrecision.DAY, TimePrecision.MINUTE, TimePrecision.SECOND, TimePrecision.MICROSECOND]


@dataclass(frozen=True, slots=True)
class ParsedEvent:
    """One event as a source sent it. `case_key` is empty without a case number."""

    index: int
    sequence: int
    kind: EventKind
    case_number: str
    case_key: str
    ticket: str
    item_code: str
    step: str
    window: str
    staff: str
    event_us: int
    precision: TimePrecision
    digest: bytes


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why the event at `index` was not taken; `sequence` is None when it could not be read."""

    index: int
    sequence: int | None
    code: str
    fields: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class EventContext:
    """What the reading of a time depends on: the source's zone, if it has one, and the moment of intake."""

    zone: ZoneInfo | None
    intake_us: int


def read_batch(body: bytes) -> list[Any]:
    """The list of raw events in a request body: one object counts as a list of one.

    Raises:
        InvalidInput: `body_too_large`, `body_not_json`, `body_not_events` or `too_many_events`.
    """
    if len(body) > MAX_BODY_BYTES:
        raise InvalidInput("body_too_large", f"a batch has at most {MAX_BODY_BYTES} bytes", limit=MAX_BODY_BYTES)
    try:
        raw = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("body_not_json", "the body is not JSON in UTF-8") from error
    events = raw if isinstance(raw, list) else [raw]
    if not isinstance(raw, list | dict):
        raise InvalidInput("body_not_events", "send one event object or a list of them")
    if len(events) > MAX_EVENTS:
        raise InvalidInput("too_many_events", f"at most {MAX_EVENTS} events at once", limit=MAX_EVENTS)
    return events


def parse_events(raw: list[Any], context: EventContext) -> tuple[list[ParsedEvent], list[Rejection]]:
    """Every event that can be taken, and a rejection for every one that cannot."""
    events: list[ParsedEvent] = []
    rejections: list[Rejection] = []
    for index, item in enumerate(raw):
        try:
            events.append(_event(index, item, context))
        except InvalidInput as error:
            rejections.append(Rejection(index, _sequence_or_none(item), error.code, error.fields))
    return events, rejections


def digest_of(item: Mapping[str, Any]) -> bytes:
    """SHA-256 of the event as sent, whatever the order of its keys: a repeat must have the same."""
    text = json.dumps(item, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).digest()


def read_time(text: str, context: EventContext) -> tuple[int, TimePrecision]:
    """The moment and the precision that `text` shows (`2026-11-21T09:30:00+08:00`, `2026-11-21 09:30`, `2026-11-21`).

    Raises:
        InvalidInput: `time_invalid`, `offset_required`, `time_does_not_exist`, `time_too_old`, `time_in_future`.
    """
    match = _AT.fullmatch(text)
    if match is None:
        raise InvalidInput("time_invalid", "write a time as 2026-11-21T09:30:00+08:00", at=text[:40])
    shown, precision = _shown(match)
    offset = match["offset"]
    moment_us = _to_us(shown, _offset(offset)) if offset else _local_us(shown, context)
    if moment_us < (OLDEST - _EPOCH) // timedelta(microseconds=1):
        raise InvalidInput("time_too_old", "the event's time is before the year 2000", at=text)
    if moment_us > context.intake_us + FUTURE_US:
        raise InvalidInput("time_in_future", "the event's time is more than a day ahead", at=text)
    return moment_us, precision


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _event(index: int, item: Any, context: EventContext) -> ParsedEvent:
    if not isinstance(item, dict):
        raise InvalidInput("event_not_object", "an event is a JSON object")
    unknown = sorted(item.keys() - FIELDS)
    if unknown:
        raise InvalidInput(
            "field_unknown", "this field is not part of an event", field=_CONTROL.sub("?", unknown[0])[:40]
        )
    texts = {name: _text(item, name) for name in TEXT_LIMITS}
    kind = _kind(item)
    if not texts["case_number"] and kind not in CASELESS:
        raise InvalidInput("case_number_required", "this kind of event needs a case number", kind=kind.value)
    if kind is EventKind.CALLED and not (texts["case_number"] or texts["ticket"]):
        raise InvalidInput("ticket_required", "a call needs a ticket or a case number")
    event_us, precision = _time(item, context)
    return ParsedEvent(
        index=index,
        sequence=_sequence(item),
        kind=kind,
        case_key=case_key(texts["case_number"]) if texts["case_number"] else "",
        event_us=event_us,
        precision=precision,
        digest=digest_of(item),
        **texts,
    )


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInput("wrong_type", f"{name} is text", field=name)
    if _CONTROL.search(value):
        raise InvalidInput("bad_characters", f"{name} holds control characters", field=name)
    cleaned = value.strip()
    if len(cleaned) > TEXT_LIMITS[name]:
        raise InvalidInput("text_long", f"{name} is too long", field=name, limit=TEXT_LIMITS[name])
    return cleaned


def _kind(item: Mapping[str, Any]) -> EventKind:
    value = item.get("kind")
    try:
        return EventKind(value if isinstance(value, str) else "")
    except ValueError as error:
        raise InvalidInput("kind_unknown", "see the list of event kinds", kind=_shorten(value)) from error


def _sequence(item: Mapping[str, Any]) -> int:
    value = _sequence_or_none(item)
    if value is None:
        raise InvalidInput("sequence_invalid", "sequence is a whole number from 0")
    return value


def _sequence_or_none(item: Any) -> int | None:
    value = item.get("sequence") if isinstance(item, dict) else None
    return value if type(value) is int and 0 <= value <= MAX_SEQUENCE else None


def _shorten(value: Any) -> str:
    return _CONTROL.sub("?", str(value))[:40] if isinstance(value, str | int | float) else type(value).__name__


def _time(item: Mapping[str, Any], context: EventContext) -> tuple[int, TimePrecision]:
    value = item.get("at")
    if not isinstance(value, str):
        raise InvalidInput("time_invalid", "at is text such as 2026-11-21T09:30:00+08:00", at=_shorten(value))
    event_us, shown = read_time(_CONTROL.sub("?", value), context)
    stated = item.get("precision")
    if stated is None:
        return event_us, shown
    try:
        precision = TimePrecision(stated if isinstance(stated, str) else "")
    except ValueError as error:
        raise InvalidInput("precision_unknown", "day, minute, second or microsecond", value=_shorten(stated)) from error
    if _FINENESS.index(precision) > _FINENESS.index(shown):
        raise InvalidInput("precision_too_fine", "the time does not show that precision", shown=shown.value)
    return event_us, precision


def _shown(match: re.Match[str]) -> tuple[datetime, TimePrecision]:
    """The wall time in a match, its zone still open, and how fine it was written."""
    minute, second, fraction = match["minute"], match["second"] or "", match["fraction"] or ""
    if fraction and not second:
        raise InvalidInput("time_invalid", "a fraction needs seconds", at=match.string[:40])
    text = f"{match['day']}T{minute or '00:00'}{second}{fraction[:7]}"
    try:
        shown = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidInput("time_invalid", "there is no such date or time", at=match.string[:40]) from error
    if minute is None:
        return shown, TimePrecision.DAY
    if not second:
        return shown, TimePrecision.MINUTE
    return shown, TimePrecision.MICROSECOND if fraction else TimePrecision.SECOND


def _offset(text: str) -> timedelta:
    if text == "Z":
        return timedelta()
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 14 or minutes > 59:
        raise InvalidInput("time_invalid", "there is no such offset", at=text)
    size = timedelta(hours=hours, minutes=minutes)
    return -size if text[0] == "-" else size


def _local_us(shown: datetime, context: EventContext) -> int:
    if context.zone is None:
        raise InvalidInput("offset_required", "this source has no zone: write the offset, such as +08:00")
    readings = []
    for fold in (0, 1):
        offset = shown.replace(tzinfo=context.zone, fold=fold).utcoffset()
        readings.append(_to_us(shown, offset or timedelta()))
    first, second = readings
    if first == second:
        return first
    if first > second:  # fold 0 lies after fold 1 only inside a gap
        raise InvalidInput("time_does_not_exist", "clocks skipped this local time: send an offset")
    near_us, nearest = min((abs(reading - context.intake_us), reading) for reading in readings)
    return nearest if near_us <= FOLD_NEAR_US else first


def _to_us(shown: datetime, offset: timedelta) -> int:
    return (shown - _EPOCH - offset) // timedelta(microseconds=1)
