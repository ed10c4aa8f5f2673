"""The first schema

Revision: 0001
Before:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.archive import tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.Text(), server_default="", nullable=False),
        sa.Column("password_hash", sa.Text(), server_default="", nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("login", name=op.f("uq_account_login")),
    )
    op.create_table(
        "alarm",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_us", sa.BigInteger(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarm")),
    )
    with op.batch_alter_table("alarm", schema=None) as batch_op:
        batch_op.create_index("ix_alarm_closed_us", ["closed_us"], unique=False)
        batch_op.create_index(
            "uq_alarm_open",
            ["kind", "subject"],
            unique=True,
            sqlite_where=sa.text("closed_us IS NULL"),
            postgresql_where=sa.text("closed_us IS NULL"),
        )

    op.create_table(
        "event_source",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("timezone", sa.Text(), server_default="", nullable=False),
        sa.Column("secret_box", sa.LargeBinary(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("disabled_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_source")),
        sa.UniqueConstraint("code", name=op.f("uq_event_source_code")),
    )
    op.create_table(
        "garbage",
        sa.Column("object_id", tables.Id(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=False),
        sa.Column("stream_id", tables.Id(), nullable=False),
        sa.Column("t0_us", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.String(length=40), nullable=False),
        sa.Column("marked_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", name=op.f("pk_garbage")),
    )
    op.create_table(
        "hall",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("timezone", sa.Text(), server_default="", nullable=False),
        sa.Column("notice_staff", sa.Text(), server_default="", nullable=False),
        sa.Column("notice_visitors", sa.Text(), server_default="", nullable=False),
        sa.Column("notice_version", sa.Integer(), nullable=False),
        sa.Column("time_source", sa.Text(), server_default="", nullable=False),
        sa.Column("quota_bytes", sa.BigInteger(), nullable=False),
        sa.Column("video_days", sa.Integer(), nullable=False),
        sa.Column("screen_days", sa.Integer(), nullable=False),
        sa.Column("visit_minutes", sa.Integer(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hall")),
    )
    op.create_table(
        "leaf",
        sa.Column("stream_id", tables.Id(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "sequence", name=op.f("pk_leaf")),
    )
    op.create_table(
        "node",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("public_key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("url", sa.Text(), server_default="", nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_node")),
    )
    op.create_table(
        "removed",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("stream_id", tables.Id(), nullable=False),
        sa.Column("t0_us", sa.BigInteger(), nullable=False),
        sa.Column("t1_us", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.String(length=40), nullable=False),
        sa.Column("removed_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removed")),
    )
    with op.batch_alter_table("removed", schema=None) as batch_op:
        batch_op.create_index("ix_removed_stream_id_t0_us", ["stream_id", "t0_us"], unique=False)

    op.create_table(
        "request_nonce",
        sa.Column("key_id", tables.Id(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=16), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "nonce", name=op.f("pk_request_nonce")),
    )
    with op.batch_alter_table("request_nonce", schema=None) as batch_op:
        batch_op.create_index("ix_request_nonce_expires_us", ["expires_us"], unique=False)

    op.create_table(
        "stream_head",
        sa.Column("stream_id", tables.Id(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", name=op.f("pk_stream_head")),
    )
    op.create_table(
        "account_role",
        sa.Column("account_id", tables.Id(), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_account_role_account_id_account")),
        sa.PrimaryKeyConstraint("account_id", "role", name=op.f("pk_account_role")),
    )
    op.create_table(
        "case_file",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("source_id", tables.Id(), nullable=False),
        sa.Column("number", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "key", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("item_code", sa.Text(), server_default="", nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["event_source.id"], name=op.f("fk_case_file_source_id_event_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_file")),
        sa.UniqueConstraint("source_id", "key", name=op.f("uq_case_file_source_id_key")),
    )
    with op.batch_alter_table("case_file", schema=None) as batch_op:
        batch_op.create_index("ix_case_file_key", ["key"], unique=False)

    op.create_table(
        "device",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("hall_id", tables.Id(), nullable=False),
        sa.Column("gateway_id", tables.Id(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("username", sa.Text(), server_default="", nullable=False),
        sa.Column("password_box", sa.LargeBinary(), nullable=True),
        sa.Column("credential_version", sa.Integer(), nullable=False),
        sa.Column("auth_failures", sa.Integer(), nullable=False),
        sa.Column("serial", sa.Text(), server_default="", nullable=False),
        sa.Column("manufacturer", sa.Text(), server_default="", nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("firmware", sa.Text(), server_default="", nullable=False),
        sa.Column("xaddr", sa.Text(), server_default="", nullable=False),
        sa.Column("clock_offset_us", sa.BigInteger(), nullable=True),
        sa.Column("clock_error_us", sa.BigInteger(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("retired_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["gateway_id"], ["node.id"], name=op.f("fk_device_gateway_id_node")),
        sa.ForeignKeyConstraint(["hall_id"], ["hall.id"], name=op.f("fk_device_hall_id_hall")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
    )
    op.create_table(
        "enrolment_code",
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hall_id", tables.Id(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("windows", sa.Text(), server_default="", nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("used_us", sa.BigInteger(), nullable=True),
        sa.Column("account_id", tables.Id(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_enrolment_code_account_id_account")),
        sa.ForeignKeyConstraint(["hall_id"], ["hall.id"], name=op.f("fk_enrolment_code_hall_id_hall")),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_enrolment_code")),
    )
    op.create_table(
        "hold",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("subject_kind", sa.String(length=40), nullable=False),
        sa.Column("subject_id", tables.Id(), nullable=False),
        sa.Column("t0_us", sa.BigInteger(), nullable=False),
        sa.Column("t1_us", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("account_id", tables.Id(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("released_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_hold_account_id_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold")),
    )
    op.create_table(
        "purpose",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("account_id", tables.Id(), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("reference", sa.Text(), server_default="", nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_purpose_account_id_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purpose")),
    )
    op.create_table(
        "service_period",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("hall_id", tables.Id(), nullable=False),
        sa.Column("weekday", sa.Integer(), nullable=False),
        sa.Column("from_minute", sa.Integer(), nullable=False),
        sa.Column("to_minute", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["hall_id"], ["hall.id"], name=op.f("fk_service_period_hall_id_hall")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_period")),
    )
    op.create_table(
        "service_window",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("hall_id", tables.Id(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("name_sort", sa.Text(), server_default="", nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("retired_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["hall_id"], ["hall.id"], name=op.f("fk_service_window_hall_id_hall")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_window")),
        sa.UniqueConstraint("hall_id", "number", name=op.f("uq_service_window_hall_id_number")),
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account_id", tables.Id(), nullable=False),
        sa.Column("csrf", sa.Text(), server_default="", nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_session_account_id_account")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_session")),
    )
    op.create_table(
        "workstation",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("hall_id", tables.Id(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("name_sort", sa.Text(), server_default="", nullable=False),
        sa.Column("public_key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("machine_id", sa.Text(), server_default="", nullable=False),
        sa.Column("hostname", sa.Text(), server_default="", nullable=False),
        sa.Column("agent_version", sa.Text(), server_default="", nullable=False),
        sa.Column("enrolled_us", sa.BigInteger(), nullable=False),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.Column("seen_us", sa.BigInteger(), nullable=True),
        sa.Column("clock_offset_us", sa.BigInteger(), nullable=True),
        sa.Column("clock_error_us", sa.BigInteger(), nullable=True),
        sa.Column("spool_bytes", sa.BigInteger(), nullable=False),
        sa.Column("spool_segments", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["hall_id"], ["hall.id"], name=op.f("fk_workstation_hall_id_hall")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workstation")),
    )
    op.create_table(
        "audit",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("account_id", tables.Id(), nullable=True),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.Text(), server_default="", nullable=False),
        sa.Column("purpose_id", tables.Id(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_audit_account_id_account")),
        sa.ForeignKeyConstraint(["purpose_id"], ["purpose.id"], name=op.f("fk_audit_purpose_id_purpose")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index("ix_audit_at_us", ["at_us"], unique=False)

    op.create_table(
        "case_event",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("source_id", tables.Id(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("case_id", tables.Id(), nullable=True),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("case_number", sa.Text(), server_default="", nullable=False),
        sa.Column("ticket", sa.Text(), server_default="", nullable=False),
        sa.Column("item_code", sa.Text(), server_default="", nullable=False),
        sa.Column("step", sa.Text(), server_default="", nullable=False),
        sa.Column("window_code", sa.Text(), server_default="", nullable=False),
        sa.Column("window_id", tables.Id(), nullable=True),
        sa.Column("staff", sa.Text(), server_default="", nullable=False),
        sa.Column("event_us", sa.BigInteger(), nullable=False),
        sa.Column("precision", sa.String(length=40), nullable=False),
        sa.Column("intake_us", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_case_event_case_id_case_file")),
        sa.ForeignKeyConstraint(["source_id"], ["event_source.id"], name=op.f("fk_case_event_source_id_event_source")),
        sa.ForeignKeyConstraint(
            ["window_id"], ["service_window.id"], name=op.f("fk_case_event_window_id_service_window")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_event")),
        sa.UniqueConstraint("source_id", "sequence", name=op.f("uq_case_event_source_id_sequence")),
    )
    with op.batch_alter_table("case_event", schema=None) as batch_op:
        batch_op.create_index("ix_case_event_case_id_event_us", ["case_id", "event_us"], unique=False)
        batch_op.create_index("ix_case_event_window_id_event_us", ["window_id", "event_us"], unique=False)

    op.create_table(
        "channel",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("device_id", tables.Id(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("name_sort", sa.Text(), server_default="", nullable=False),
        sa.Column("source_token", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_channel_device_id_device")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel")),
        sa.UniqueConstraint("device_id", "number", name=op.f("uq_channel_device_id_number")),
    )
    op.create_table(
        "monitor",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("workstation_id", tables.Id(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workstation_id"], ["workstation.id"], name=op.f("fk_monitor_workstation_id_workstation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor")),
        sa.UniqueConstraint("workstation_id", "name", name=op.f("uq_monitor_workstation_id_name")),
    )
    op.create_table(
        "workstation_window",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("workstation_id", tables.Id(), nullable=False),
        sa.Column("window_id", tables.Id(), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("to_us", sa.BigInteger(), nullable=True),
        sa.Column("account_id", tables.Id(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_workstation_window_account_id_account")),
        sa.ForeignKeyConstraint(
            ["window_id"], ["service_window.id"], name=op.f("fk_workstation_window_window_id_service_window")
        ),
        sa.ForeignKeyConstraint(
            ["workstation_id"], ["workstation.id"], name=op.f("fk_workstation_window_workstation_id_workstation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workstation_window")),
    )
    with op.batch_alter_table("workstation_window", schema=None) as batch_op:
        batch_op.create_index("ix_workstation_window_window_id_from_us", ["window_id", "from_us"], unique=False)

    op.create_table(
        "camera_window",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("channel_id", tables.Id(), nullable=False),
        sa.Column("window_id", tables.Id(), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("to_us", sa.BigInteger(), nullable=True),
        sa.Column("account_id", tables.Id(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_camera_window_account_id_account")),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"], name=op.f("fk_camera_window_channel_id_channel")),
        sa.ForeignKeyConstraint(
            ["window_id"], ["service_window.id"], name=op.f("fk_camera_window_window_id_service_window")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_camera_window")),
    )
    with op.batch_alter_table("camera_window", schema=None) as batch_op:
        batch_op.create_index("ix_camera_window_window_id_from_us", ["window_id", "from_us"], unique=False)

    op.create_table(
        "coverage",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("monitor_id", tables.Id(), nullable=False),
        sa.Column("t0_us", sa.BigInteger(), nullable=False),
        sa.Column("t1_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("author", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitor.id"], name=op.f("fk_coverage_monitor_id_monitor")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coverage")),
    )
    with op.batch_alter_table("coverage", schema=None) as batch_op:
        batch_op.create_index("ix_coverage_monitor_id_t0_us", ["monitor_id", "t0_us"], unique=False)

    op.create_table(
        "screen_segment",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("monitor_id", tables.Id(), nullable=False),
        sa.Column("t0_us", sa.BigInteger(), nullable=False),
        sa.Column("t1_us", sa.BigInteger(), nullable=False),
        sa.Column("pictures", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=False),
        sa.Column("picture_index", sa.LargeBinary(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitor.id"], name=op.f("fk_screen_segment_monitor_id_monitor")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_screen_segment")),
    )
    with op.batch_alter_table("screen_segment", schema=None) as batch_op:
        batch_op.create_index("ix_screen_segment_monitor_id_t0_us", ["monitor_id", "t0_us"], unique=False)
        batch_op.create_index("ix_screen_segment_t0_us", ["t0_us"], unique=False)

    op.create_table(
        "stream",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("channel_id", tables.Id(), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("profile_token", sa.Text(), server_default="", nullable=False),
        sa.Column("uri", sa.Text(), server_default="", nullable=False),
        sa.Column("transport", sa.String(length=8), nullable=False),
        sa.Column("codec", sa.String(length=40), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("fps_milli", sa.Integer(), nullable=False),
        sa.Column("gop_ms", sa.Integer(), nullable=False),
        sa.Column("bitrate_kbit", sa.Integer(), nullable=False),
        sa.Column("recorded", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"], name=op.f("fk_stream_channel_id_channel")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stream")),
        sa.UniqueConstraint("channel_id", "role", name=op.f("uq_stream_channel_id_role")),
    )
    op.create_table(
        "visit",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("case_id", tables.Id(), nullable=False),
        sa.Column("window_id", tables.Id(), nullable=False),
        sa.Column("staff", sa.Text(), server_default="", nullable=False),
        sa.Column("t0_us", sa.BigInteger(), nullable=False),
        sa.Column("t1_us", sa.BigInteger(), nullable=True),
        sa.Column("opened_by", sa.String(length=40), nullable=False),
        sa.Column("closed_by", sa.String(length=40), nullable=False),
        sa.Column("open_event_id", tables.Id(), nullable=False),
        sa.Column("ambiguous", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("derived_us", sa.BigInteger(), nullable=False),
        sa.Column("superseded_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_visit_case_id_case_file")),
        sa.ForeignKeyConstraint(["open_event_id"], ["case_event.id"], name=op.f("fk_visit_open_event_id_case_event")),
        sa.ForeignKeyConstraint(["window_id"], ["service_window.id"], name=op.f("fk_visit_window_id_service_window")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_visit")),
    )
    with op.batch_alter_table("visit", schema=None) as batch_op:
        batch_op.create_index("ix_visit_case_id", ["case_id"], unique=False)
        batch_op.create_index("ix_visit_window_id_t0_us", ["window_id", "t0_us"], unique=False)

    op.create_table(
        "gap",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("stream_id", tables.Id(), nullable=False),
        sa.Column("t0_us", sa.BigInteger(), nullable=False),
        sa.Column("t1_us", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["stream_id"], ["stream.id"], name=op.f("fk_gap_stream_id_stream")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gap")),
    )
    with op.batch_alter_table("gap", schema=None) as batch_op:
        batch_op.create_index("ix_gap_stream_id_t0_us", ["stream_id", "t0_us"], unique=False)

    op.create_table(
        "run",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("stream_id", tables.Id(), nullable=False),
        sa.Column("t0_us", sa.BigInteger(), nullable=False),
        sa.Column("t1_us", sa.BigInteger(), nullable=True),
        sa.Column("end", sa.String(length=40), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["stream_id"], ["stream.id"], name=op.f("fk_run_stream_id_stream")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index("ix_run_stream_id_t0_us", ["stream_id", "t0_us"], unique=False)

    op.create_table(
        "stream_state",
        sa.Column("stream_id", tables.Id(), nullable=False),
        sa.Column("live", sa.String(length=40), nullable=False),
        sa.Column("live_cause", sa.Text(), server_default="", nullable=False),
        sa.Column("live_since_us", sa.BigInteger(), nullable=False),
        sa.Column("recording", sa.String(length=40), nullable=False),
        sa.Column("recording_cause", sa.Text(), server_default="", nullable=False),
        sa.Column("recording_since_us", sa.BigInteger(), nullable=False),
        sa.Column("last_frame_us", sa.BigInteger(), nullable=True),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["stream_id"], ["stream.id"], name=op.f("fk_stream_state_stream_id_stream")),
        sa.PrimaryKeyConstraint("stream_id", name=op.f("pk_stream_state")),
    )
    op.create_table(
        "segment",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("stream_id", tables.Id(), nullable=False),
        sa.Column("run_id", tables.Id(), nullable=False),
        sa.Column("t0_us", sa.BigInteger(), nullable=False),
        sa.Column("t1_us", sa.BigInteger(), nullable=False),
        sa.Column("media_duration", sa.BigInteger(), nullable=False),
        sa.Column("timescale", sa.Integer(), nullable=False),
        sa.Column("codec", sa.Text(), server_default="", nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=False),
        sa.Column("salvaged", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_segment_run_id_run")),
        sa.ForeignKeyConstraint(["stream_id"], ["stream.id"], name=op.f("fk_segment_stream_id_stream")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment")),
    )
    with op.batch_alter_table("segment", schema=None) as batch_op:
        batch_op.create_index("ix_segment_location", ["location"], unique=False)
        batch_op.create_index("ix_segment_stream_id_t0_us", ["stream_id", "t0_us"], unique=False)
        batch_op.create_index("ix_segment_t0_us", ["t0_us"], unique=False)
