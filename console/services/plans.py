"""Recording plans of cameras: when, which streams, with sound or not, and how long it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from console.services.access import Actor
from console.services.audit_log import AuditLog, Detail
from console.services.device_rows import recorded_roles
from console.services.halls import hall_row
from console.services.plan_log import lock_plans, log_plans, settle_missing_years
from console.services.window_map import CAMERA, windows_now
from storage.archive.catalog import Catalog
from storage.archive.tables import account, channel, device, recording_plan, retention_class, schedule, stream
from storage.clock import Clock
from storage.errors import Conflict, InvalidInput, NotFound
from storage.evidence.leaf import Fact
from storage.model import RecordingMode, StreamPolicy

MOST_CAMERAS = 1000
BASIS_LENGTH = 500
LIMITS: Mapping[str, tuple[int, int]] = {
    "pre_roll_s": (0, 60),
    "post_roll_s": (0, 600),
    "extend_after_s": (0, 3600),
    "extend_cap_s": (0, 4 * 3600),
    "keep_days": (0, 3660),
}
"""The least and the most of each number."""
DEFAULTS: Mapping[str, Any] = {
    "mode": RecordingMode.ALWAYS.value,
    "schedule_id": None,
    "streams": StreamPolicy.AUTO.value,
    "pre_roll_s": 10,
    "post_roll_s": 30,
    "on_visit": True,
    "on_motion": True,
    "extend_visits": True,
    "extend_after_s": 600,
    "extend_cap_s": 7200,
    "keep_days": 0,
    "retention_class_id": None,
    "audio": False,
    "audio_basis": "",
}
"""What holds for a camera without a plan of its own."""
NULLABLE = frozenset({"schedule_id", "retention_class_id"})


@dataclass(frozen=True, slots=True)
class Plans:
    """Reads and changes recording plans."""

    catalog: Catalog
    clock: Clock
    audit: AuditLog

    def all(self) -> list[dict[str, Any]]:
        """All cameras in service with their plans, in natural order of their names."""
        with self.catalog.read() as conn:
            video_days = hall_row(conn).video_days
            seen = windows_now(conn, CAMERA, self.clock.now_us())
            with_sub = set(conn.execute(select(stream.c.channel_id).where(stream.c.role == "sub")).scalars())
            return [
                {
                    "camera_id": str(row["camera_id"]),
                    "name": row["camera"],
                    "device_id": str(row["device_id"]),
                    "enabled": row["enabled"],
                    "has_sub": row["camera_id"] in with_sub,
                    "windows": [
                        {name: entry[name] for name in ("window_id", "number", "name")}
                        for entry in seen.get(row["camera_id"], [])
                    ],
                    "plan": _shown(row, video_days),
                }
                for row in _rows(conn, None)
            ]

    def read(self, camera_id: UUID) -> dict[str, Any]:
        """One camera's plan. Raises NotFound (`camera_unknown`)."""
        with self.catalog.read() as conn:
            return _shown(_found(conn, [camera_id])[0], hall_row(conn).video_days)

    def change(
        self, actor: Actor, camera_ids: Sequence[UUID], values: Mapping[str, Any], version: int | None = None
    ) -> list[dict[str, Any]]:
        """Give all these cameras the values; what is not given stays as it is with each. All or nothing.

        Raises:
            NotFound: a camera is unknown.
            Conflict: a plan has another version than `version` (`plan_changed`).
            InvalidInput: a value cannot be taken, or sound is on without its legal basis.
        """
        given = {name: value for name, value in values.items() if value is not None or name in NULLABLE}
        _check_limits(given)
        with self.catalog.write() as conn:
            row = hall_row(conn)
            lock_plans(conn, row.id)
            _check_references(conn, row.id, given)
            found = _found(conn, camera_ids)
            if version is not None and any((one["version"] or 0) != version for one in found):
                raise Conflict("plan_changed", "somebody changed this plan meanwhile: read it again")
            wanted = {one["camera_id"]: self._merged(one, given, actor) for one in found}
            _set_streams(conn, {key: plan["streams"] for key, plan in wanted.items()})
            self._write(conn, found, wanted)
            self._note(conn, actor, row.id, given, wanted)
            return [
                {"camera_id": str(one["camera_id"]), "plan": _shown(one, row.video_days)}
                for one in _found(conn, camera_ids)
            ]

    def _merged(self, old: RowMapping, given: Mapping[str, Any], actor: Actor) -> dict[str, Any]:
        """The camera's whole plan as it will be."""
        merged = {**_settings(old), **given}
        merged["audio_basis"] = str(merged["audio_basis"]).strip()
        if merged["audio"] and not merged["audio_basis"]:
            raise InvalidInput("audio_basis_missing", "say on what legal basis sound is recorded", field="audio_basis")
        before = (bool(old["audio"]), old["audio_basis"] or "")
        turned = merged["audio"] and (True, merged["audio_basis"]) != before
        merged["audio_account_id"] = actor.account_id if turned else old["audio_account_id"]
        merged["audio_us"] = self.clock.now_us() if turned else old["audio_us"]
        if not merged["audio"]:
            merged |= {"audio_basis": "", "audio_account_id": None, "audio_us": None}
        about = {"version": (old["version"] or 0) + 1, "updated_us": self.clock.now_us()}
        return {**merged, **about, "account_id": actor.account_id}

    def _write(self, conn: Connection, found: Sequence[RowMapping], wanted: Mapping[UUID, Mapping[str, Any]]) -> None:
        new = [{"channel_id": one["camera_id"], **wanted[one["camera_id"]]} for one in found if one["version"] is None]
        old = [{"key": one["camera_id"], **wanted[one["camera_id"]]} for one in found if one["version"] is not None]
        if new:
            conn.execute(insert(recording_plan), new)
        if old:
            conn.execute(update(recording_plan).where(recording_plan.c.channel_id == bindparam("key")), old)

    def _note(
        self,
        conn: Connection,
        actor: Actor,
        hall_id: UUID,
        given: Mapping[str, Any],
        wanted: Mapping[UUID, Mapping[str, Any]],
    ) -> None:
        """An audit row and a leaf for each camera; then the alarms about calendar years."""
        facts: list[Mapping[str, Fact]] = []
        rows: list[tuple[str, Detail]] = []
        for camera_id, plan in wanted.items():
            told = {"mode": plan["mode"], "streams": plan["streams"], "audio": plan["audio"]}
            if plan["audio"]:
                told["audio_basis"] = plan["audio_basis"]
            rows.append((f"camera:{camera_id}", {"changed": sorted(given), **told}))
            facts.append({"change": "plan_change", "subject": f"camera:{camera_id}", **_facts(plan)})
        self.audit.record_all(conn, actor, "plan_change", rows)
        log_plans(conn, hall_id, facts)
        settle_missing_years(conn, self.clock, hall_id)


def _facts(plan: Mapping[str, Any]) -> dict[str, Fact]:
    """A plan as facts of a leaf: integers and texts."""
    kept = {name: plan[name] for name in (*DEFAULTS, "version", "updated_us")}
    return {name: "" if value is None else _fact(value) for name, value in kept.items()}


def _fact(value: Any) -> Fact:
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, int) else str(value)


def _settings(row: RowMapping) -> dict[str, Any]:
    if row["version"] is None:
        return dict(DEFAULTS)
    return {name: row[name] for name in DEFAULTS}


def _check_limits(given: Mapping[str, Any]) -> None:
    for name, (least, most) in LIMITS.items():
        if name in given and not least <= given[name] <= most:
            raise InvalidInput("out_of_range", f"{name} is {least} to {most}", field=name, least=least, most=most)
    if len(given.get("audio_basis", "")) > BASIS_LENGTH:
        raise InvalidInput("text_long", f"at most {BASIS_LENGTH} characters", field="audio_basis", most=BASIS_LENGTH)


def _check_references(conn: Connection, hall_id: UUID, given: Mapping[str, Any]) -> None:
    schedule_id, class_id = given.get("schedule_id"), given.get("retention_class_id")
    if schedule_id is not None:
        query = select(schedule.c.id).where(schedule.c.id == schedule_id, schedule.c.hall_id == hall_id)
        if conn.execute(query).first() is None:
            raise NotFound("schedule_unknown", "no such schedule")
    if class_id is not None:
        known = select(retention_class.c.id).where(retention_class.c.id == class_id)
        if conn.execute(known.where(retention_class.c.hall_id == hall_id)).first() is None:
            raise NotFound("retention_class_unknown", "no such keeping class")


def _rows(conn: Connection, camera_ids: Sequence[UUID] | None) -> Sequence[RowMapping]:
    plans, turner, changer = recording_plan, account.alias("turner"), account.alias("changer")
    joined = channel.join(device, device.c.id == channel.c.device_id)
    joined = joined.outerjoin(plans, plans.c.channel_id == channel.c.id)
    joined = joined.outerjoin(retention_class, retention_class.c.id == plans.c.retention_class_id)
    joined = joined.outerjoin(turner, turner.c.id == plans.c.audio_account_id)
    joined = joined.outerjoin(changer, changer.c.id == plans.c.account_id)
    columns = [plans.c[name] for name in (*DEFAULTS, "version", "updated_us", "audio_us", "audio_account_id")]
    query = select(
        channel.c.id.label("camera_id"),
        channel.c.name.label("camera"),
        device.c.id.label("device_id"),
        device.c.enabled,
        retention_class.c.days.label("class_days"),
        turner.c.display_name.label("audio_by"),
        changer.c.display_name.label("updated_by"),
        *columns,
    )
    query = query.select_from(joined).where(device.c.retired_us.is_(None))
    if camera_ids is not None:
        query = query.where(channel.c.id.in_(camera_ids))
    return conn.execute(query.order_by(channel.c.name_sort, channel.c.id)).mappings().all()


def _found(conn: Connection, camera_ids: Sequence[UUID]) -> Sequence[RowMapping]:
    wanted = list(dict.fromkeys(camera_ids))
    rows = _rows(conn, wanted)
    if not wanted or len(rows) != len(wanted):
        raise NotFound("camera_unknown", "no such camera in service")
    return rows


def _shown(row: RowMapping, video_days: int) -> dict[str, Any]:
    plan = _settings(row)
    return {
        **{name: str(value) if isinstance(value, UUID) else value for name, value in plan.items()},
        "keeps_days": max(video_days, plan["keep_days"], row["class_days"] or 0),
        "audio_by": row["audio_by"],
        "audio_us": row["audio_us"],
        "version": row["version"] or 0,
        "updated_us": row["updated_us"],
        "updated_by": row["updated_by"],
    }


def _set_streams(conn: Connection, policies: Mapping[UUID, str]) -> None:
    """Say of each stream of these cameras whether its plan takes it.

    Raises:
        InvalidInput: the substream of a camera that has none (`no_substream`, with the first and how many).
    """
    columns = (stream.c.id, stream.c.channel_id, stream.c.role, stream.c.codec, stream.c.recorded)
    streams: dict[UUID, list[RowMapping]] = {camera_id: [] for camera_id in policies}
    for row in conn.execute(select(*columns).where(stream.c.channel_id.in_(list(policies)))).mappings():
        streams[row["channel_id"]].append(row)
    lacking = [key for key, mine in streams.items() if policies[key] == "sub" and all(r["role"] != "sub" for r in mine)]
    if lacking:
        fields: dict[str, str | int] = {"camera": str(lacking[0]), "cameras": len(lacking)}
        raise InvalidInput("no_substream", "a camera without a substream cannot be recorded by it", **fields)
    changes = [
        {"key": row["id"], "wanted": wanted}
        for camera_id, mine in streams.items()
        for row in mine
        if (wanted := row["role"] in _roles(policies[camera_id], mine)) != row["recorded"]
    ]
    if changes:
        change = update(stream).where(stream.c.id == bindparam("key")).values(recorded=bindparam("wanted"))
        conn.execute(change, changes)


def _roles(policy: str, streams: Sequence[RowMapping]) -> set[str]:
    if policy == StreamPolicy.AUTO:
        return recorded_roles([{"role": row["role"], "codec": row["codec"]} for row in streams])
    return {"main", "sub"} if policy == StreamPolicy.BOTH else {policy}
