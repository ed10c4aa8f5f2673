"""The catalog's one schema, for SQLite and PostgreSQL alike.

Rules (docs/storage.md): ids are 16 bytes (SQLite) or uuid (PostgreSQL) through `Id`; times are BIGINT microseconds
UTC named `*_us`; closed lists are short text holding the enum's value; no dialect types beside `Id`. Every change
needs an Alembic revision; a test compares head with this metadata on both engines.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.types import TypeEngine


class Id(TypeDecorator[UUID]):
    """A UUID as 16 bytes on SQLite and as `uuid` on PostgreSQL."""

    impl = LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Uuid(as_uuid=True))
        return dialect.type_descriptor(LargeBinary(16))

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return value.bytes

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:
        if value is None or isinstance(value, UUID):
            return value
        return _uuid(bytes(value))


@lru_cache(maxsize=4096)
def _uuid(raw: bytes) -> UUID:
    """Making one costs 4 us, and a gateway reads the same thousand ids every two seconds."""
    return UUID(bytes=raw)


NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)


def _id() -> Column[UUID]:
    return Column("id", Id, primary_key=True)


def _ref(name: str, target: str, *, nullable: bool = False) -> Column[UUID]:
    return Column(name, Id, ForeignKey(f"{target}.id"), nullable=nullable)


def _us(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _code(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, String(40), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable, server_default=None if nullable else "")


def _flag(name: str, *, default: bool) -> Column[bool]:
    return Column(name, Boolean, nullable=False, default=default)


# --- hall -----------------------------------------------------------------------------------------------------------
hall = Table(
    "hall",
    metadata,
    _id(),
    _text("name"),
    _text("timezone"),  # IANA name; days, plans and seals are cut in it
    _text("notice_staff"),
    _text("notice_visitors"),
    Column("notice_version", Integer, nullable=False, default=1),
    _text("time_source"),  # "system" or an NTP server's name, as told at first run
    Column("quota_bytes", BigInteger, nullable=False, default=0),  # 0: the volume less its reserve
    Column("video_days", Integer, nullable=False, default=30),
    Column("screen_days", Integer, nullable=False, default=90),
    Column("visit_minutes", Integer, nullable=False, default=30),  # an open visit closes after this
    _us("created_us"),
)
service_period = Table(
    "service_period",
    metadata,
    _id(),
    _ref("hall_id", "hall"),
    Column("weekday", Integer, nullable=False),  # ISO 8601: Monday is 1
    Column("from_minute", Integer, nullable=False),  # minutes after the hall's midnight
    Column("to_minute", Integer, nullable=False),
)
service_window = Table(
    "service_window",
    metadata,
    _id(),
    _ref("hall_id", "hall"),
    Column("number", Integer, nullable=False),
    _text("name"),
    _text("name_sort"),  # natural-order key, written with the name
    _us("created_us"),
    _us("retired_us", nullable=True),
    UniqueConstraint("hall_id", "number"),
)

# --- people ---------------------------------------------------------------------------------------------------------
account = Table(
    "account",
    metadata,
    _id(),
    Column("login", String(64), nullable=False, unique=True),  # folded to lower case
    _text("display_name"),
    _text("password_hash"),
    _flag("disabled", default=False),
    _us("created_us"),
)
account_role = Table(
    "account_role",
    metadata,
    Column("account_id", Id, ForeignKey("account.id"), primary_key=True),
    Column("role", String(40), primary_key=True),
)
session = Table(
    "session",
    metadata,
    Column("token_hash", LargeBinary(32), primary_key=True),  # SHA-256 of the cookie; the cookie itself is nowhere
    _ref("account_id", "account"),
    _text("csrf"),
    _us("created_us"),
    _us("seen_us"),
    _us("expires_us"),
    _text("address"),
)
purpose = Table(
    "purpose",
    metadata,
    _id(),
    _ref("account_id", "account"),
    Column("session_hash", LargeBinary(32), nullable=True),  # the one session in which it counts; that row goes
    _code("code"),  # PurposeCode
    _text("reference"),
    _text("note"),
    _us("created_us"),
)
audit = Table(
    "audit",
    metadata,
    _id(),
    _us("at_us"),
    _ref("account_id", "account", nullable=True),
    _code("action"),
    _text("subject"),  # "camera:<id>", "case:<id>", ...
    _ref("purpose_id", "purpose", nullable=True),
    _text("detail"),  # JSON object, never a secret
    _text("address"),
    Index("ix_audit_at_us", "at_us"),
)

# --- processes ------------------------------------------------------------------------------------------------------
node = Table(  # consoles and gateways that may talk to each other
    "node",
    metadata,
    _id(),
    _code("kind"),  # console | gateway
    _text("name"),
    Column("public_key", LargeBinary(32), nullable=False),  # Ed25519
    _text("url"),  # where a gateway answers
    _us("created_us"),
    _us("seen_us", nullable=True),
)

# --- cameras --------------------------------------------------------------------------------------------------------
device = Table(
    "device",
    metadata,
    _id(),
    _ref("hall_id", "hall"),
    _ref("gateway_id", "node"),
    _text("name"),
    Column("address", String(255), nullable=False),  # host as registered; XAddrs are pinned to it
    Column("port", Integer, nullable=False),
    _text("username"),
    Column("password_box", LargeBinary, nullable=True),  # AES-256-GCM, the device id is associated data
    Column("credential_version", Integer, nullable=False, default=1),
    Column("auth_failures", Integer, nullable=False, default=0),  # two stop all retries until the version changes
    _text("serial"),
    _text("manufacturer"),
    _text("model"),
    _text("firmware"),
    _text("xaddr"),
    Column("clock_offset_us", BigInteger, nullable=True),  # camera minus hall
    Column("clock_error_us", BigInteger, nullable=True),
    _flag("enabled", default=True),
    _us("created_us"),
    _us("retired_us", nullable=True),
)
channel = Table(  # one picture of a device: what users call a camera (摄像头)
    "channel",
    metadata,
    _id(),
    _ref("device_id", "device"),
    Column("number", Integer, nullable=False),
    _text("name"),
    _text("name_sort"),
    _text("source_token"),  # ONVIF video source token
    UniqueConstraint("device_id", "number"),
)
stream = Table(
    "stream",
    metadata,
    _id(),
    _ref("channel_id", "channel"),
    _code("role"),  # main | sub
    _text("profile_token"),
    _text("uri"),  # RTSP without credentials
    Column("transport", String(8), nullable=False, default="tcp"),  # tcp | udp
    Column("engine", String(8), nullable=False, server_default=""),  # "" (automatic) | rtsp | libav
    _code("codec"),  # h264 | h265
    Column("width", Integer, nullable=False, default=0),
    Column("height", Integer, nullable=False, default=0),
    Column("fps_milli", Integer, nullable=False, default=0),
    Column("gop_ms", Integer, nullable=False, default=0),
    Column("bitrate_kbit", Integer, nullable=False, default=0),
    _flag("recorded", default=False),  # its camera's plan takes this stream; when, is for `recording_plan` to say
    UniqueConstraint("channel_id", "role"),
)
stream_state = Table(  # what the gateway last saw; written on change and every ten seconds
    "stream_state",
    metadata,
    Column("stream_id", Id, ForeignKey("stream.id"), primary_key=True),
    _code("live"),  # LiveState
    _text("live_cause"),
    _us("live_since_us"),
    _code("recording"),  # recorded | GapReason
    _text("recording_cause"),
    _us("recording_since_us"),
    _us("last_frame_us", nullable=True),
    Column("engine", String(8), nullable=False, server_default=""),  # rtsp | libav: which one reads it now
    _text("engine_note"),  # why it is not the first choice
    Column("transport", String(8), nullable=False, server_default=""),  # tcp | udp | tls, as it runs now
    Column("clock_offset_us", BigInteger, nullable=True),  # camera minus hall, from RTCP sender reports
    Column("clock_error_us", BigInteger, nullable=True),
    Column("fps_milli", Integer, nullable=False, server_default="0"),  # measured; 0: not known yet
    Column("bitrate_kbit", Integer, nullable=False, server_default="0"),
    _us("updated_us"),
)
camera_window = Table(  # which camera sees which window, with history
    "camera_window",
    metadata,
    _id(),
    _ref("channel_id", "channel"),
    _ref("window_id", "service_window"),
    _code("role"),  # CameraRole
    _us("from_us"),
    _us("to_us", nullable=True),
    _ref("account_id", "account", nullable=True),
    Index("ix_camera_window_window_id_from_us", "window_id", "from_us"),
)

# --- recording plans ------------------------------------------------------------------------------------------------
schedule = Table(  # a named week of periods (班次)
    "schedule",
    metadata,
    _id(),
    _ref("hall_id", "hall"),
    _text("name"),
    _text("name_sort"),
    _flag("follows_calendar", default=True),  # holidays close it, 调休 workdays open it
    _us("created_us"),
    UniqueConstraint("hall_id", "name"),
)
schedule_period = Table(
    "schedule_period",
    metadata,
    _id(),
    _ref("schedule_id", "schedule"),
    Column("weekday", Integer, nullable=False),  # ISO 8601: Monday is 1
    Column("from_minute", Integer, nullable=False),  # minutes after the hall's midnight
    Column("to_minute", Integer, nullable=False),  # above 1440: into the next day
)
window_hours = Table(  # what a window's service hours are, where they are not simply the hall's
    "window_hours",
    metadata,
    Column("window_id", Id, ForeignKey("service_window.id"), primary_key=True),
    _ref("schedule_id", "schedule", nullable=True),  # null: the hall's periods
    Column("lunch_weekdays", Integer, nullable=False, default=0),  # 午间值班: bit 0 is Monday
)
calendar_year = Table(  # years whose holidays are known: without its row a year is not loaded
    "calendar_year",
    metadata,
    Column("hall_id", Id, ForeignKey("hall.id"), primary_key=True),
    Column("year", Integer, primary_key=True),
    _text("source"),  # the notice it was taken from
    _us("loaded_us"),
    _ref("account_id", "account", nullable=True),
)
calendar_day = Table(  # days that differ from the plain week
    "calendar_day",
    metadata,
    Column("hall_id", Id, ForeignKey("hall.id"), primary_key=True),
    Column("day", String(10), primary_key=True),  # YYYY-MM-DD in the hall's zone
    _code("kind"),  # DayKind
    Column("as_weekday", Integer, nullable=False, default=0),  # a workday is worked as this one; 0: closed
    _text("name"),
)
retention_class = Table(  # how long recordings are kept, and on what basis (保存期限类别)
    "retention_class",
    metadata,
    _id(),
    _ref("hall_id", "hall"),
    _text("name"),
    _text("name_sort"),
    Column("days", Integer, nullable=False),
    _text("basis"),
    _us("created_us"),
    UniqueConstraint("hall_id", "name"),
)
recording_plan = Table(  # when a camera is recorded; a camera without a row: always
    "recording_plan",
    metadata,
    Column("channel_id", Id, ForeignKey("channel.id"), primary_key=True),
    _code("mode"),  # RecordingMode
    _ref("schedule_id", "schedule", nullable=True),  # null: its windows' hours, else the hall's
    _code("streams"),  # StreamPolicy
    Column("pre_roll_s", Integer, nullable=False, default=10),
    Column("post_roll_s", Integer, nullable=False, default=30),
    _flag("on_visit", default=True),
    _flag("on_motion", default=True),
    _flag("extend_visits", default=True),  # a visit open at closing time keeps its window's cameras recorded
    Column("extend_after_s", Integer, nullable=False, default=600),
    Column("extend_cap_s", Integer, nullable=False, default=7200),
    Column("keep_days", Integer, nullable=False, default=0),  # 0: no rule of its own
    _ref("retention_class_id", "retention_class", nullable=True),
    _flag("audio", default=False),
    _text("audio_basis"),  # 依据: required while audio is on
    _ref("audio_account_id", "account", nullable=True),
    _us("audio_us", nullable=True),
    Column("version", Integer, nullable=False, default=1),
    _us("updated_us"),
    _ref("account_id", "account", nullable=True),
    Index("ix_recording_plan_schedule_id", "schedule_id"),
    Index("ix_recording_plan_retention_class_id", "retention_class_id"),
)

# --- workstations ---------------------------------------------------------------------------------------------------
workstation = Table(
    "workstation",
    metadata,
    _id(),
    _ref("hall_id", "hall"),
    _text("name"),
    _text("name_sort"),
    Column("public_key", LargeBinary(32), nullable=False),
    _text("machine_id"),
    _text("hostname"),
    _text("agent_version"),
    _us("enrolled_us"),
    _us("revoked_us", nullable=True),
    _us("seen_us", nullable=True),
    Column("clock_offset_us", BigInteger, nullable=True),
    Column("clock_error_us", BigInteger, nullable=True),
    Column("spool_bytes", BigInteger, nullable=False, default=0),
    Column("spool_segments", Integer, nullable=False, default=0),
)
enrolment_code = Table(
    "enrolment_code",
    metadata,
    Column("code_hash", LargeBinary(32), primary_key=True),
    _ref("hall_id", "hall"),
    _text("name"),
    _text("windows"),  # JSON list of window ids that the workstation serves from its enrolment
    _us("created_us"),
    _us("expires_us"),
    _us("used_us", nullable=True),
    _ref("account_id", "account", nullable=True),
)
workstation_window = Table(
    "workstation_window",
    metadata,
    _id(),
    _ref("workstation_id", "workstation"),
    _ref("window_id", "service_window"),
    _us("from_us"),
    _us("to_us", nullable=True),
    _ref("account_id", "account", nullable=True),
    Index("ix_workstation_window_window_id_from_us", "window_id", "from_us"),
)
monitor = Table(  # a monitor of a workstation: its id names the screen chain
    "monitor",
    metadata,
    _id(),
    _ref("workstation_id", "workstation"),
    Column("name", String(64), nullable=False),  # the agent's stable name for it
    Column("width", Integer, nullable=False, default=0),
    Column("height", Integer, nullable=False, default=0),
    _us("first_us"),
    UniqueConstraint("workstation_id", "name"),
)
request_nonce = Table(  # signed requests are taken once
    "request_nonce",
    metadata,
    Column("key_id", Id, primary_key=True),
    Column("nonce", LargeBinary(16), primary_key=True),
    _us("expires_us"),
    Index("ix_request_nonce_expires_us", "expires_us"),
)

# --- media ----------------------------------------------------------------------------------------------------------
run = Table(
    "run",
    metadata,
    _id(),
    _ref("stream_id", "stream"),
    _us("t0_us"),
    _us("t1_us", nullable=True),
    _code("end", nullable=True),  # RunEnd
    _text("detail"),
    Index("ix_run_stream_id_t0_us", "stream_id", "t0_us"),
)
segment = Table(
    "segment",
    metadata,
    _id(),
    _ref("stream_id", "stream"),
    _ref("run_id", "run"),
    _us("t0_us"),
    _us("t1_us"),
    Column("media_duration", BigInteger, nullable=False),
    Column("timescale", Integer, nullable=False),
    _text("codec"),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("location", String(64), nullable=False),  # "disk" | "s3" | "staging:<gateway id>"
    _flag("salvaged", default=False),
    Index("ix_segment_stream_id_t0_us", "stream_id", "t0_us"),
    Index("ix_segment_t0_us", "t0_us"),
    Index("ix_segment_location", "location"),
)
gap = Table(
    "gap",
    metadata,
    _id(),
    _ref("stream_id", "stream"),
    _us("t0_us"),
    _us("t1_us", nullable=True),  # null: still open
    _code("reason"),  # GapReason
    _text("detail"),
    Index("ix_gap_stream_id_t0_us", "stream_id", "t0_us"),
)
screen_segment = Table(
    "screen_segment",
    metadata,
    _id(),
    _ref("monitor_id", "monitor"),
    _us("t0_us"),
    _us("t1_us"),
    Column("pictures", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("location", String(64), nullable=False),
    Column("picture_index", LargeBinary, nullable=False),  # packed: int64 big-endian times (us), one a picture
    _us("received_us"),
    Index("ix_screen_segment_monitor_id_t0_us", "monitor_id", "t0_us"),
    Index("ix_screen_segment_t0_us", "t0_us"),
)
coverage = Table(  # a workstation's ledger: agent's claims, and the server's agent_down
    "coverage",
    metadata,
    _id(),
    _ref("monitor_id", "monitor"),
    _us("t0_us"),
    _us("t1_us"),
    _code("state"),  # CoverageState
    _code("author"),  # agent | server
    _text("detail"),
    Index("ix_coverage_monitor_id_t0_us", "monitor_id", "t0_us"),
)

# --- keeping and deleting -------------------------------------------------------------------------------------------
hold = Table(  # 封存: beats every retention rule
    "hold",
    metadata,
    _id(),
    _code("subject_kind"),  # stream | monitor | hall
    Column("subject_id", Id, nullable=False),
    _us("t0_us"),
    _us("t1_us"),
    _text("reason"),
    _ref("account_id", "account", nullable=True),
    _us("created_us"),
    _us("released_us", nullable=True),
)
garbage = Table(  # objects whose row is gone; removed by retention alone, oldest first
    "garbage",
    metadata,
    Column("object_id", Id, primary_key=True),
    _code("kind"),  # segment | screen
    Column("location", String(64), nullable=False),
    Column("stream_id", Id, nullable=False),
    _us("t0_us"),
    Column("bytes", BigInteger, nullable=False),
    _code("rule"),  # age | quota
    _us("marked_us"),
)

stored = Table(  # what a stream or monitor keeps now: a running total, written with each row and each deletion
    "stored",
    metadata,
    Column("stream_id", Id, primary_key=True),  # a camera stream or a monitor
    Column("objects", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

removed = Table(  # what retention took away: one row per unbroken stretch, so that coverage can say so for ever
    "removed",
    metadata,
    _id(),
    Column("stream_id", Id, nullable=False),  # a camera stream or a monitor
    _us("t0_us"),
    _us("t1_us"),
    _code("rule"),  # age | quota
    _us("removed_us"),
    Index("ix_removed_stream_id_t0_us", "stream_id", "t0_us"),
)

orphan = Table(  # objects without a row: found and reported; adopted or set aside by a person, never deleted
    "orphan",
    metadata,
    Column("object_id", Id, primary_key=True),
    Column("location", String(64), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    _code("state"),  # found | adopted | quarantined
    _us("found_us"),
    _us("settled_us", nullable=True),
)

# --- evidence log ---------------------------------------------------------------------------------------------------
leaf = Table(
    "leaf",
    metadata,
    Column("stream_id", Id, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    _code("kind"),  # LeafKind
    Column("hash", LargeBinary(32), nullable=False),
    Column("body", LargeBinary, nullable=False),  # canonical JSON, exactly the hashed bytes
)
stream_head = Table(
    "stream_head",
    metadata,
    Column("stream_id", Id, primary_key=True),
    _code("kind"),  # StreamKind
    Column("sequence", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("epoch", BigInteger, nullable=False, default=0),
)

# --- cases ----------------------------------------------------------------------------------------------------------
event_source = Table(
    "event_source",
    metadata,
    _id(),
    Column("code", String(64), nullable=False, unique=True),
    _text("name"),
    _text("timezone"),  # for events that carry no offset; empty: an offset is required
    Column("secret_box", LargeBinary, nullable=False),  # AES-256-GCM, the source id is associated data
    _us("created_us"),
    _us("disabled_us", nullable=True),
)
case = Table(
    "case_file",
    metadata,
    _id(),
    _ref("source_id", "event_source"),
    _text("number"),  # as the source wrote it first
    Column("key", String(64).with_variant(String(64, collation="C"), "postgresql"), nullable=False),  # in byte order
    _text("item_code"),
    _us("first_us"),
    _us("last_us"),
    _code("status"),  # the last event's kind
    UniqueConstraint("source_id", "key"),
    Index("ix_case_file_key", "key"),
)
case_event = Table(
    "case_event",
    metadata,
    _id(),
    _ref("source_id", "event_source"),
    Column("sequence", BigInteger, nullable=False),
    _ref("case_id", "case_file", nullable=True),
    _code("kind"),  # EventKind
    _text("case_number"),
    _text("ticket"),
    _text("item_code"),
    _text("step"),
    _text("window_code"),
    _ref("window_id", "service_window", nullable=True),
    _text("staff"),
    _us("event_us"),
    _code("precision"),  # TimePrecision
    _us("intake_us"),
    Column("digest", LargeBinary(32), nullable=False),  # of the event as sent: a repeat must be equal
    UniqueConstraint("source_id", "sequence"),
    Index("ix_case_event_case_id_event_us", "case_id", "event_us"),
    Index("ix_case_event_window_id_event_us", "window_id", "event_us"),
)
visit = Table(  # versioned: a changed visit is a new row that supersedes the old one
    "visit",
    metadata,
    _id(),
    _ref("case_id", "case_file"),
    _ref("window_id", "service_window"),
    _text("staff"),
    _us("t0_us"),
    _us("t1_us", nullable=True),
    _code("opened_by"),  # VisitMethod
    _code("closed_by"),  # VisitMethod
    _ref("open_event_id", "case_event"),
    _flag("ambiguous", default=False),  # 待核实
    Column("version", Integer, nullable=False),
    _us("derived_us"),
    _us("superseded_us", nullable=True),
    Index("ix_visit_case_id", "case_id"),
    Index("ix_visit_window_id_t0_us", "window_id", "t0_us"),
)

# --- alarms ---------------------------------------------------------------------------------------------------------
alarm = Table(
    "alarm",
    metadata,
    _id(),
    _code("kind"),  # AlarmKind
    Column("subject", String(120), nullable=False),  # "camera:<id>", "workstation:<id>", "hall"
    _us("opened_us"),
    _us("closed_us", nullable=True),
    Column("count", Integer, nullable=False, default=1),
    _text("detail"),  # JSON object
    Index("ix_alarm_closed_us", "closed_us"),
    Index(  # one open alarm for a fault, whoever finds it first
        "uq_alarm_open",
        "kind",
        "subject",
        unique=True,
        sqlite_where=text("closed_us IS NULL"),
        postgresql_where=text("closed_us IS NULL"),
    ),
)
