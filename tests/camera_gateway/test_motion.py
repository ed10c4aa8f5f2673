"""Motion from ONVIF metadata: makers' variants, hostile documents, and the state that follows from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_gateway.motion import (
    LONGEST_S,
    MAX_DOCUMENT,
    MAX_SOURCES,
    MAX_TAGS,
    MotionEvent,
    MotionTrigger,
    motion_events,
)
from storage.clock import FakeClock

POST_ROLL_S = 30.0


def document(
    topic: str,
    name: str,
    value: str,
    *,
    operation: str = "Changed",
    source: str = '<tt:SimpleItem Name="VideoSourceConfigurationToken" Value="1"/>',
    more: str = "",
) -> bytes:
    """A metadata document with one event, as the streaming specification shows it."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<tt:MetadataStream xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2"
 xmlns:tns1="http://www.onvif.org/ver10/topics">{more}
<tt:Event><wsnt:NotificationMessage>
<wsnt:Topic Dialect="http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet">{topic}</wsnt:Topic>
<wsnt:Message><tt:Message UtcTime="2026-11-21T01:00:00Z" PropertyOperation="{operation}">
<tt:Source>{source}</tt:Source><tt:Data><tt:SimpleItem Name="{name}" Value="{value}"/></tt:Data>
</tt:Message></wsnt:Message></wsnt:NotificationMessage></tt:Event></tt:MetadataStream>""".encode()


CELL = "tns1:RuleEngine/CellMotionDetector/Motion"
ALARM = "tns1:VideoSource/MotionAlarm"


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        (ALARM, "State"),
        (CELL, "IsMotion"),
        ("tns1:RuleEngine/MotionRegionDetector/Motion", "State"),
        ("tns1:VideoAnalytics/tnsdahua:MotionDetection", "State"),
        ("tns1:VideoSource/tnshik:MotionDetect", "Value"),
        ("  tns1:VideoSource/MotionAlarm\n", "Unheard"),
    ],
)
def test_the_variants_of_makers_begin_and_end(topic: str, name: str) -> None:
    for value, active in (("true", True), ("1", True), ("False", False), ("0", False)):
        (event,) = motion_events(document(topic, name, value))
        assert event.active is active


def test_an_initial_state_counts_and_a_deleted_property_is_over() -> None:
    assert motion_events(document(CELL, "IsMotion", "true", operation="Initialized"))[0].active
    assert not motion_events(document(CELL, "IsMotion", "true", operation="Deleted"))[0].active


@pytest.mark.parametrize(
    "body",
    [
        document("tns1:Device/Trigger/DigitalInput", "LogicalState", "true"),
        document("tns1:RuleEngine/FieldDetector/ObjectsInside", "IsInside", "true"),
        document(CELL, "IsMotion", "perhaps"),
        b"",
        b"\xff\xfe not xml, but with Motion",
        document(CELL, "IsMotion", "true")[:-20],
        b'<!DOCTYPE a [<!ENTITY b "Motion">]><a>&b;</a>',
        b"<a>" * 100 + b"Motion" + b"</a>" * 100,
        document(CELL, "IsMotion", "true", more="<tt:Pad>" + "x" * MAX_DOCUMENT + "</tt:Pad>"),
        document(CELL, "IsMotion", "true", more="<tt:Pad/>" * MAX_TAGS),
        b"<a><Topic>Motion</Topic><NotificationMessage/></a>",
    ],
)
def test_other_events_and_hostile_documents_say_nothing(body: bytes) -> None:
    assert motion_events(body) == []


def test_detectors_are_told_apart_by_what_they_say_of_themselves() -> None:
    one = '<tt:SimpleItem Name="Rule" Value="Left"/><tt:SimpleItem Name="Token" Value="1"/>'
    two = '<tt:SimpleItem Name="Token" Value="1"/><tt:SimpleItem Name="Rule" Value="Left"/>'
    first = motion_events(document(CELL, "IsMotion", "true", source=one))
    assert first == motion_events(document(CELL, "IsMotion", "true", source=two))
    assert first == [MotionEvent("RuleEngine/CellMotionDetector/Motion rule=left token=1", active=True)]


def test_a_notification_within_another_is_none() -> None:
    inner = "<wsnt:NotificationMessage><wsnt:Topic>Motion</wsnt:Topic></wsnt:NotificationMessage>"
    plain = motion_events(document(CELL, "IsMotion", "true"))
    assert len(plain) == 1
    source = f'<tt:SimpleItem Name="VideoSourceConfigurationToken" Value="1"/>{inner}'
    assert motion_events(document(CELL, "IsMotion", "true", source=source)) == plain


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    motion_events(b"<Motion>" + body)
    trigger = MotionTrigger(FakeClock(), POST_ROLL_S)
    assert not trigger.take(body) or trigger.wanted()


def test_motion_is_wanted_until_its_post_roll_is_over() -> None:
    clock = FakeClock()
    trigger = MotionTrigger(clock, POST_ROLL_S)
    assert not trigger.wanted()
    assert trigger.take(document(CELL, "IsMotion", "true"))
    assert not trigger.take(document(CELL, "IsMotion", "true"))  # it goes on: no news
    clock.advance(100)
    assert trigger.wanted()
    trigger.take(document(CELL, "IsMotion", "false"))
    clock.advance(POST_ROLL_S - 0.001)
    assert trigger.wanted()
    clock.advance(0.001)
    assert not trigger.wanted()
    assert trigger.take(document(CELL, "IsMotion", "true"))


def test_each_detector_ends_for_itself_and_an_end_without_a_beginning_is_none() -> None:
    clock = FakeClock()
    trigger = MotionTrigger(clock, 0)
    trigger.take(document(CELL, "IsMotion", "true"))
    trigger.take(document(ALARM, "State", "true"))
    trigger.take(document(CELL, "IsMotion", "false"))
    assert trigger.wanted()
    trigger.take(document(ALARM, "State", "false"))
    assert not trigger.wanted()
    quiet = MotionTrigger(clock, POST_ROLL_S)
    quiet.take(document(CELL, "IsMotion", "false"))
    assert not quiet.wanted()


def test_a_lost_end_is_made_good_and_a_repeated_motion_lasts() -> None:
    clock = FakeClock()
    trigger = MotionTrigger(clock, POST_ROLL_S)
    trigger.take(document(CELL, "IsMotion", "true"))
    clock.advance(LONGEST_S - 1)
    trigger.take(document(CELL, "IsMotion", "true"))
    clock.advance(LONGEST_S + POST_ROLL_S - 0.5)
    assert trigger.wanted()
    clock.advance(0.5)
    assert not trigger.wanted()


def test_a_lost_connection_ends_what_was_active_after_the_post_roll() -> None:
    clock = FakeClock()
    trigger = MotionTrigger(clock, POST_ROLL_S)
    trigger.reset()
    assert not trigger.wanted()
    trigger.take(document(CELL, "IsMotion", "true"))
    trigger.reset()
    assert trigger.wanted()
    clock.advance(POST_ROLL_S)
    assert not trigger.wanted()


def test_a_camera_that_makes_up_detectors_fills_no_memory() -> None:
    clock = FakeClock()
    trigger = MotionTrigger(clock, 0)
    for number in range(3 * MAX_SOURCES):
        trigger.take(document(CELL, "IsMotion", "true", source=f'<tt:SimpleItem Name="Rule" Value="{number}"/>'))
    assert len(trigger._active) == MAX_SOURCES + 1
    clock.advance(LONGEST_S)
    assert not trigger.wanted()
