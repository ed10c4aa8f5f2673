"""Motion from a camera's ONVIF metadata stream: what one document says, and whether there is motion now.

A document is a `tt:MetadataStream` as the RTP payload carries it (ONVIF Streaming Specification, 5.2.1.1). Its bytes
are hostile: bounded here, checked by `xml_guard`, and a document that cannot be read says nothing. Topics are told
apart by their last part, without prefixes, because makers put the same event under names of their own:
`tns1:VideoSource/MotionAlarm`, `tns1:RuleEngine/CellMotionDetector/Motion`,
`tns1:VideoAnalytics/tnsdahua:MotionDetection`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from camera_gateway.onvif.xml_guard import ForbiddenXml, NotXml, parse_xml
from storage.clock import Clock

MAX_DOCUMENT = 256 * 1024
"""Longest metadata document looked at, bytes; analytics of a crowd stay under a quarter of it."""
MAX_TAGS = 10_000
"""Most beginnings and ends of elements in a document looked at: all cameras of a worker wait while it is read, and so
many take 15 ms. A hundred objects of twenty elements each have 4,000."""
MAX_SOURCES = 64
"""Most detectors of a camera that are told apart; more of them count as one."""
LONGEST_S = 900.0
"""A motion whose end never comes counts as over so long after its last word: cameras repeat what lasts."""

_STATES = frozenset({"ismotion", "state", "motion", "motionactive", "value", "logicalstate", "active"})
_TRUE = frozenset({"true", "1", "on", "yes", "active", "start", "begin"})
_FALSE = frozenset({"false", "0", "off", "no", "inactive", "stop", "end"})


@dataclass(frozen=True, slots=True)
class MotionEvent:
    """A detector says that motion began (or goes on), or that it ended."""

    source: str
    active: bool


def motion_events(document: bytes) -> list[MotionEvent]:
    """What a metadata document says of motion, in its order; empty when it says nothing or cannot be read."""
    if len(document) > MAX_DOCUMENT or b"otion" not in document or document.count(b"<") > MAX_TAGS:
        return []
    try:
        root = parse_xml(document)
    except (NotXml, ForbiddenXml):
        return []
    return list(_events(root))


def _events(root: ElementTree.Element) -> Iterator[MotionEvent]:
    for notification in _notifications(root):
        topic = next((_text(part) for part in notification.iter() if _local(part.tag) == "Topic"), "")
        message = next((part for part in notification.iter() if _is_inner_message(part)), None)
        if message is None or not _is_motion(topic):
            continue
        active = _active(message)
        if active is not None:
            yield MotionEvent(_source(topic, message), active)


def _notifications(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """The notifications in their order. One within another is none: each would be searched once for every level."""
    left = [root]
    while left:
        part = left.pop()
        if _local(part.tag) == "NotificationMessage":
            yield part
        else:
            left.extend(reversed(part))


def _is_inner_message(part: ElementTree.Element) -> bool:
    """`tt:Message`, not the `wsnt:Message` around it: it is the one that holds the source or the data."""
    return _local(part.tag) == "Message" and any(_local(child.tag) in ("Data", "Source") for child in part)


def _is_motion(topic: str) -> bool:
    last = topic.rpartition("/")[2].rpartition(":")[2].casefold()
    return last.startswith("motion")


def _active(message: ElementTree.Element) -> bool | None:
    """Whether the detector sees motion; None: it does not say. A deleted property is over."""
    if message.get("PropertyOperation", "").casefold() == "deleted":
        return False
    values = dict(_items(message, "Data"))
    known = [value for name, value in values.items() if name in _STATES] or list(values.values())
    for value in known:
        if value in _TRUE or value in _FALSE:
            return value in _TRUE
    return None


def _source(topic: str, message: ElementTree.Element) -> str:
    """Which detector speaks: its topic without prefixes and what it says of itself."""
    path = "/".join(part.rpartition(":")[2] for part in topic.split("/"))
    said = sorted(f"{name}={value}" for name, value in _items(message, "Source"))
    return " ".join([path, *said])[:200]


def _items(message: ElementTree.Element, group: str) -> Iterator[tuple[str, str]]:
    """Names and values of the simple items of a group, folded to lower case."""
    for part in message:
        if _local(part.tag) != group:
            continue
        for item in part.iter():
            if _local(item.tag) == "SimpleItem":
                yield item.get("Name", "").casefold(), item.get("Value", "").strip().casefold()


def _local(tag: object) -> str:
    return str(tag).rpartition("}")[2]


def _text(part: ElementTree.Element) -> str:
    return (part.text or "").strip()


class MotionTrigger:
    """Whether a camera's motion asks for recording now: while any detector is active, and `post_roll_s` after.

    One for each camera; used by one thread. A lost end is made good by `LONGEST_S`, a lost connection by `reset`.
    """

    def __init__(self, clock: Clock, post_roll_s: float) -> None:
        self._clock = clock
        self._active: dict[str, float] = {}  # source -> when it last said so, seconds
        self._until_s = 0.0
        self.post_roll_s = post_roll_s

    def take(self, document: bytes) -> bool:
        """Read one metadata document; true when it asked for recording that was not going on."""
        events = motion_events(document)
        if not events:
            return False
        before = self.wanted()
        now_s = self._clock.monotonic()
        for event in events:
            if event.active:
                self._begin(event.source, now_s)
            elif self._active.pop(event.source, None) is not None:
                self._until_s = max(self._until_s, now_s + self.post_roll_s)
        return self.wanted() and not before

    def wanted(self) -> bool:
        """Whether the camera has to be recorded for its motion now."""
        now_s = self._clock.monotonic()
        for source, said_s in list(self._active.items()):
            if now_s >= said_s + LONGEST_S:
                del self._active[source]
                self._until_s = max(self._until_s, said_s + LONGEST_S + self.post_roll_s)
        return bool(self._active) or now_s < self._until_s

    def reset(self) -> None:
        """The connection is gone and with it every end that was to come: what was active ends, with its post-roll."""
        if self._active:
            self._until_s = max(self._until_s, self._clock.monotonic() + self.post_roll_s)
            self._active.clear()

    def _begin(self, source: str, now_s: float) -> None:
        if source not in self._active and len(self._active) >= MAX_SOURCES:
            source = "others"
        self._active[source] = now_s
