"""Plan recordings

Schedules, calendar years, keeping classes and a plan per camera; which engine reads a stream and what it measured.
A camera without a plan goes on as before: always recorded.

Revision: 0005
Before: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.archive import tables

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "calendar_day",
        sa.Column("hall_id", tables.Id(), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("as_weekday", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["hall_id"], ["hall.id"], name=op.f("fk_calendar_day_hall_id_hall")),
        sa.PrimaryKeyConstraint("hall_id", "day", name=op.f("pk_calendar_day")),
    )
    op.create_table(
        "calendar_year",
        sa.Column("hall_id", tables.Id(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("loaded_us", sa.BigInteger(), nullable=False),
        sa.Column("account_id", tables.Id(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_calendar_year_account_id_account")),
        sa.ForeignKeyConstraint(["hall_id"], ["hall.id"], name=op.f("fk_calendar_year_hall_id_hall")),
        sa.PrimaryKeyConstraint("hall_id", "year", name=op.f("pk_calendar_year")),
    )
    op.create_table(
        "retention_class",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("hall_id", tables.Id(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("name_sort", sa.Text(), server_default="", nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("basis", sa.Text(), server_default="", nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["hall_id"], ["hall.id"], name=op.f("fk_retention_class_hall_id_hall")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention_class")),
        sa.UniqueConstraint("hall_id", "name", name=op.f("uq_retention_class_hall_id_name")),
    )
    op.create_table(
        "schedule",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("hall_id", tables.Id(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("name_sort", sa.Text(), server_default="", nullable=False),
        sa.Column("follows_calendar", sa.Boolean(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["hall_id"], ["hall.id"], name=op.f("fk_schedule_hall_id_hall")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
        sa.UniqueConstraint("hall_id", "name", name=op.f("uq_schedule_hall_id_name")),
    )
    op.create_table(
        "schedule_period",
        sa.Column("id", tables.Id(), nullable=False),
        sa.Column("schedule_id", tables.Id(), nullable=False),
        sa.Column("weekday", sa.Integer(), nullable=False),
        sa.Column("from_minute", sa.Integer(), nullable=False),
        sa.Column("to_minute", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["schedule_id"], ["schedule.id"], name=op.f("fk_schedule_period_schedule_id_schedule")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_period")),
    )
    op.create_table(
        "window_hours",
        sa.Column("window_id", tables.Id(), nullable=False),
        sa.Column("schedule_id", tables.Id(), nullable=True),
        sa.Column("lunch_weekdays", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["schedule_id"], ["schedule.id"], name=op.f("fk_window_hours_schedule_id_schedule")),
        sa.ForeignKeyConstraint(
            ["window_id"], ["service_window.id"], name=op.f("fk_window_hours_window_id_service_window")
        ),
        sa.PrimaryKeyConstraint("window_id", name=op.f("pk_window_hours")),
    )
    op.create_table(
        "recording_plan",
        sa.Column("channel_id", tables.Id(), nullable=False),
        sa.Column("mode", sa.String(length=40), nullable=False),
        sa.Column("schedule_id", tables.Id(), nullable=True),
        sa.Column("streams", sa.String(length=40), nullable=False),
        sa.Column("pre_roll_s", sa.Integer(), nullable=False),
        sa.Column("post_roll_s", sa.Integer(), nullable=False),
        sa.Column("on_visit", sa.Boolean(), nullable=False),
        sa.Column("on_motion", sa.Boolean(), nullable=False),
        sa.Column("extend_visits", sa.Boolean(), nullable=False),
        sa.Column("extend_after_s", sa.Integer(), nullable=False),
        sa.Column("extend_cap_s", sa.Integer(), nullable=False),
        sa.Column("keep_days", sa.Integer(), nullable=False),
        sa.Column("retention_class_id", tables.Id(), nullable=True),
        sa.Column("audio", sa.Boolean(), nullable=False),
        sa.Column("audio_basis", sa.Text(), server_default="", nullable=False),
        sa.Column("audio_account_id", tables.Id(), nullable=True),
        sa.Column("audio_us", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("account_id", tables.Id(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_recording_plan_account_id_account")),
        sa.ForeignKeyConstraint(
            ["audio_account_id"], ["account.id"], name=op.f("fk_recording_plan_audio_account_id_account")
        ),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"], name=op.f("fk_recording_plan_channel_id_channel")),
        sa.ForeignKeyConstraint(
            ["retention_class_id"],
            ["retention_class.id"],
            name=op.f("fk_recording_plan_retention_class_id_retention_class"),
        ),
        sa.ForeignKeyConstraint(["schedule_id"], ["schedule.id"], name=op.f("fk_recording_plan_schedule_id_schedule")),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_recording_plan")),
    )
    op.create_index("ix_recording_plan_retention_class_id", "recording_plan", ["retention_class_id"])
    op.create_index("ix_recording_plan_schedule_id", "recording_plan", ["schedule_id"])
    op.add_column("stream", sa.Column("engine", sa.String(length=8), server_default="", nullable=False))
    for column in (
        sa.Column("engine", sa.String(length=8), server_default="", nullable=False),
        sa.Column("engine_note", sa.Text(), server_default="", nullable=False),
        sa.Column("transport", sa.String(length=8), server_default="", nullable=False),
        sa.Column("clock_offset_us", sa.BigInteger(), nullable=True),
        sa.Column("clock_error_us", sa.BigInteger(), nullable=True),
        sa.Column("fps_milli", sa.Integer(), server_default="0", nullable=False),
        sa.Column("bitrate_kbit", sa.Integer(), server_default="0", nullable=False),
    ):
        op.add_column("stream_state", column)
