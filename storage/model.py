"""The shared vocabulary: closed lists and value types that wire, catalog, UI and leaves all use.

Times are integer microseconds UTC (`*_us`). Intervals are half-open: [t0_us, t1_us).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from storage.errors import InvalidInput


class CoverageState(StrEnum):
    """What a second of a workstation's monitor was. Every second of its day is in exactly one.

    The agent writes its own states with the evidence named; the server alone writes `agent_down`.
    """

    RECORDING = "recording"  # agent: a picture was taken and kept
    UNCHANGED = "unchanged"  # agent: a grab equalled the last kept picture (exact hash, clock area masked)
    PAUSED = "paused"  # agent: a person paused it, with reason and limit
    LOCKED = "locked"  # agent: the session is locked
    OFF_HOURS = "off_hours"  # agent: outside the service periods in force
    POWERED_OFF = "powered_off"  # agent, before a clean shutdown or sleep, until its next start
    NO_SESSION = "no_session"  # agent: nobody is logged in
    SECURE_DESKTOP = "secure_desktop"  # agent: the system shows a desktop that cannot be grabbed (UAC)
    NOTICE_HIDDEN = "notice_hidden"  # agent: the notice was not visible, so nothing was captured
    UNSUPPORTED = "unsupported"  # agent: this desktop cannot be captured (Wayland without the portal)
    UNIFORM_FRAME = "uniform_frame"  # agent: the grab was one single colour, which is no evidence
    FAILED = "failed"  # agent: the grab raised or hung; detail says how
    AGENT_DOWN = "agent_down"  # server: silence that nothing above explains


SERVER_ONLY_STATES = frozenset({CoverageState.AGENT_DOWN})
"""Coverage states an agent may not claim for itself."""


class GapReason(StrEnum):
    """Why a planned camera stream has no segment for a while. Written by the gateway unless said otherwise."""

    UNREACHABLE = "unreachable"  # connect failed or timed out; no route
    REFUSED = "refused"  # the host answered and refused the connection or the request
    AUTHENTICATION = "authentication"  # RTSP or ONVIF 401/403
    NO_MEDIA = "no_media"  # connected, but no frames came or no such stream
    NETWORK = "network"  # an established session broke (reset, end of stream, silence)
    DISK_SLOW = "disk_slow"  # the bounded ring overflowed
    DISK_FULL = "disk_full"  # no room was left; an alarm was raised before
    CRASH = "crash"  # the process or machine died; found at the next start
    PLAN = "plan"  # outside the recording plan (not a fault)
    MAINTENANCE = "maintenance"  # an administrator disabled the camera
    CLOCK_STEP = "clock_step"  # the wall clock jumped
    PRIVACY_PAUSE = "privacy_pause"  # paused by order
    UNKNOWN = "unknown"  # none of the above has evidence


class RecordingMode(StrEnum):
    """When a camera is recorded (录像计划)."""

    ALWAYS = "always"  # 全天
    PERIODS = "periods"  # 服务时段: its schedule's, its windows' or the hall's
    EVENT = "event"  # 事件触发: a visit at its windows, or motion, with pre-roll
    OFF = "off"  # 停录


class StreamPolicy(StrEnum):
    """Which of a camera's streams are recorded."""

    AUTO = "auto"  # the main stream, and beside an H.265 main its H.264 substream
    MAIN = "main"
    SUB = "sub"
    BOTH = "both"


class DayKind(StrEnum):
    """How a day of the calendar differs from the plain week."""

    HOLIDAY = "holiday"  # 放假: closed
    WORKDAY = "workday"  # 调休上班: worked as another weekday


class DerivedState(StrEnum):
    """States that coverage queries add to what was written, so that every instant is in exactly one span."""

    RECORDED = "recorded"  # camera: a committed segment holds it
    PENDING = "pending"  # not committed or reported yet: a running run's open segment, an agent's next report
    REMOVED = "removed"  # it was recorded and retention removed it (期满清除)
    FUTURE = "future"  # later than now


class RunEnd(StrEnum):
    """Why an unbroken run of segments ended: a gap reason, or a clean stop."""

    STOPPED = "stopped"  # the gateway was stopped in order
    PARAMETERS = "parameters"  # new parameter sets: the next run follows without a gap
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    AUTHENTICATION = "authentication"
    NO_MEDIA = "no_media"
    NETWORK = "network"
    DISK_SLOW = "disk_slow"
    DISK_FULL = "disk_full"
    CRASH = "crash"
    PLAN = "plan"
    MAINTENANCE = "maintenance"
    CLOCK_STEP = "clock_step"
    PRIVACY_PAUSE = "privacy_pause"
    UNKNOWN = "unknown"


class LeafKind(StrEnum):
    """Kinds of facts in the evidence log."""

    SEGMENT = "segment"
    SCREEN = "screen"
    GAP = "gap"
    PLAN = "plan"
    MAP = "map"
    BINDING = "binding"
    HOLD = "hold"
    DELETE = "delete"
    VIEW = "view"
    EXPORT = "export"
    SEAL = "seal"
    WORM = "worm"


class StreamKind(StrEnum):
    """What a chain in the evidence log is about. A stream id names exactly one chain."""

    CAMERA_MAIN = "camera_main"
    CAMERA_SUB = "camera_sub"
    SCREEN = "screen"  # one per workstation and monitor
    MAP = "map"  # which camera or workstation serves which window, one chain per hall
    BINDING = "binding"  # visits, one chain per hall
    HOLD = "hold"  # one chain per hall
    VIEW = "view"  # who watched what, one chain per hall


class CameraRole(StrEnum):
    """How a camera sees a window."""

    FRONT = "front"  # 正面
    OVERHEAD = "overhead"  # 俯拍
    PANORAMA = "panorama"  # 全景
    OUTDOOR = "outdoor"  # 室外


class Role(StrEnum):
    """What an account may be. Several for one person are allowed, flagged and logged."""

    SUPERVISOR = "supervisor"  # 值班监看员: live walls, archive with purpose
    AUDITOR = "auditor"  # 调阅员: cases and archive with purpose
    HALL_ADMIN = "hall_admin"  # 大厅管理员: cameras, workstations; live preview only under 设备调试
    SYSTEM_ADMIN = "system_admin"  # 系统管理员: accounts and settings, no media


class PurposeCode(StrEnum):
    """调阅事由: why somebody asks for footage; on record with a reference."""

    COMPLAINT = "complaint"  # 投诉核查
    AUDIT = "audit"  # 审计
    DISCIPLINE = "discipline"  # 纪检核查
    PATROL = "patrol"  # 日常巡查
    COMMISSIONING = "commissioning"  # 设备调试
    OTHER = "other"  # 其他


class EventKind(StrEnum):
    """The vocabulary of case events (办件事件)."""

    APPLIED = "applied"  # 申请
    CALLED = "called"  # 叫号: carries a ticket; the case number may join later
    ACCEPTED = "accepted"  # 受理
    NOTIFIED = "notified"  # 告知
    SUPPLEMENT = "supplement"  # 补正
    STEP = "step"  # 环节
    SUSPENDED = "suspended"  # 特别程序开始
    RESUMED = "resumed"  # 特别程序结束
    DECIDED = "decided"  # 审批结果
    DELIVERED = "delivered"  # 送达
    EVALUATED = "evaluated"  # 评价
    SIGNED_ON = "signed_on"  # 上岗
    SIGNED_OFF = "signed_off"  # 离岗


class TimePrecision(StrEnum):
    """How exact the source says an event's time is; it widens the link to footage."""

    MICROSECOND = "microsecond"
    SECOND = "second"
    MINUTE = "minute"
    DAY = "day"


class VisitMethod(StrEnum):
    """What opened or closed a visit."""

    CALLED = "called"
    ACCEPTED = "accepted"
    NEXT_EVENT = "next_event"  # the next called/accepted at that window
    EVALUATED = "evaluated"
    CLOSING_TIME = "closing_time"
    TIMEOUT = "timeout"
    OPEN = "open"  # not closed yet


class LiveState(StrEnum):
    """What a live tile says about itself, always with a cause."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    OFFLINE = "offline"
    NO_PERMISSION = "no_permission"
    UNSUPPORTED = "unsupported"


class AlarmKind(StrEnum):
    """Faults that somebody must see."""

    DISK_FULL = "disk_full"
    DISK_FORECAST = "disk_forecast"
    DISK_SLOW = "disk_slow"
    CAMERA_OFFLINE = "camera_offline"
    CAMERA_AUTHENTICATION = "camera_authentication"
    CAMERA_CLOCK = "camera_clock"
    AGENT_SILENT = "agent_silent"
    AGENT_SPOOL_DROPPED = "agent_spool_dropped"
    SEGMENT_CONFLICT = "segment_conflict"  # the same segment id with another hash
    SEQUENCE_HOLE = "sequence_hole"
    SEQUENCE_CONFLICT = "sequence_conflict"  # the same source sequence with another event
    UNKNOWN_WINDOW = "unknown_window"  # events name a window that this hall does not have
    OBJECT_STORE_AWAY = "object_store_away"
    CHAIN_BROKEN = "chain_broken"
    ORPHAN_OBJECT = "orphan_object"
    SEVERAL_ROLES = "several_roles"
    CALENDAR_UNLOADED = "calendar_unloaded"  # plans need a year whose holidays nobody has entered


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open interval of wall time, microseconds UTC."""

    t0_us: int
    t1_us: int

    def overlaps(self, other: Span) -> bool:
        return self.t0_us < other.t1_us and other.t0_us < self.t1_us


@dataclass(frozen=True, slots=True)
class CoverageSpan:
    """A stretch of time in one state: a `CoverageState`, `GapReason` or 'recorded' value, with its detail."""

    t0_us: int
    t1_us: int
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CameraSegment:
    """A committed or about-to-be-committed camera segment: one fragmented-MP4 object.

    `media_duration` is in units of 1/`timescale` s; t0/t1 are jitter-smoothed arrival times.
    """

    id: UUID
    stream_id: UUID
    run_id: UUID
    t0_us: int
    t1_us: int
    media_duration: int
    timescale: int
    codec: str  # RFC 6381 codec string, e.g. avc1.64001F or hvc1.1.6.L93.B0
    width: int
    height: int
    frames: int
    size_bytes: int
    sha256: bytes
    salvaged: bool = False


@dataclass(frozen=True, slots=True)
class ScreenSegment:
    """A screen segment: one self-contained codec group of one workstation's monitor."""

    id: UUID
    workstation_id: UUID
    monitor: str
    t0_us: int
    t1_us: int
    pictures: int
    size_bytes: int
    sha256: bytes


def case_key(number: str) -> str:
    """The search key of a case number: NFKC, upper case, without spaces, brackets and dashes.

    Raises:
        InvalidInput: nothing is left (`case_number_empty`) or it is longer than 64 (`case_number_long`).
    """
    key = _fold(number)
    while (again := _fold(key)) != key:  # removing a space can leave a pair that composes
        key = again
    if not key:
        raise InvalidInput("case_number_empty", "a case number needs at least one letter or digit")
    if len(key) > 64:
        raise InvalidInput("case_number_long", "a case number has at most 64 characters", length=len(key))
    return key


_BRACKETS_AND_DASHES = frozenset("()[]{}<>〔〕【】《》〈〉「」『』-‐‑‒–—―−_﹣－~")


def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).upper()
    return "".join(char for char in folded if not _is_ornament(char))


def _is_ornament(char: str) -> bool:
    return char.isspace() or char in _BRACKETS_AND_DASHES
