"""A month of a hall as rows, made from a seed: segments, gaps, screens, coverage, cases with visits. SQLite only."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from storage.archive.ingest import pack_times
from storage.clock import US, SystemClock
from storage.model import case_key

DAY_US = 86_400 * US
_NOW_US = SystemClock().now_us()
HALL_START_US = _NOW_US - (_NOW_US + 8 * 3600 * US) % DAY_US - 31 * DAY_US
"""A midnight in Shanghai, 31 days ago."""
MINUTE_US = 60 * US
OPEN_FROM_US, OPEN_TO_US = 9 * 3600 * US, 17 * 3600 * US
SEEN_US = HALL_START_US - DAY_US
PICTURES = 12


@dataclass(frozen=True, slots=True)
class Size:
    """How much: a window, a workstation and a camera in front of it go together."""

    days: int = 30
    cameras: int = 20
    cases_a_day: int = 48  # at each window

    @property
    def end_us(self) -> int:
        """When the month is over."""
        return HALL_START_US + self.days * DAY_US


@dataclass(frozen=True, slots=True)
class SeededCase:
    """A case as it was seeded: what the bench looks for."""

    number: str
    window: int
    t0_us: int
    t1_us: int


@dataclass
class Month:
    """Fills a migrated catalog that has a hall, its windows and an administrator already."""

    path: Path
    size: Size
    windows: dict[int, UUID]
    gateway: UUID
    random: random.Random = field(default_factory=lambda: random.Random(2))

    def fill(self) -> list[SeededCase]:
        """Write every row in one transaction; the cases, in order of time."""
        conn = sqlite3.connect(self.path, isolation_level=None)
        try:
            conn.execute("PRAGMA synchronous=OFF")
            conn.execute("BEGIN")
            self._devices(conn)
            self._footage(conn)
            self._screens(conn)
            cases = self._cases(conn)
            conn.execute("COMMIT")
            conn.execute("ANALYZE")
            return cases
        finally:
            conn.close()

    def id(self, kind: int, number: int, at_us: int = HALL_START_US) -> bytes:
        """A UUIDv7-like id: sorts by time, unique per kind and number."""
        value = (at_us // 1000) << 80 | 0x7 << 76 | kind << 68 | 0b10 << 62 | number
        return UUID(int=value).bytes

    def _devices(self, conn: sqlite3.Connection) -> None:
        hall = conn.execute("SELECT id FROM hall").fetchone()[0]
        for n in range(1, self.size.cameras + 1):
            device, channel, station = self.id(1, n), self.id(2, n), self.id(3, n)
            _insert(conn, "device", id=device, hall_id=hall, gateway_id=self.gateway.bytes, name=f"{n}号摄像头",
                    address=f"10.0.0.{n}", port=80, username="", credential_version=1, auth_failures=0,
                    enabled=True, created_us=SEEN_US)  # fmt: skip
            _insert(conn, "channel", id=channel, device_id=device, number=1, name=f"{n}号摄像头", name_sort=f"{n:012}")
            for role, recorded in (("main", True), ("sub", False)):
                _insert(conn, "stream", id=self.stream(n, role), channel_id=channel, role=role, codec="h264",
                        transport="tcp", width=1920, height=1080, fps_milli=25000, gop_ms=2000, bitrate_kbit=4000,
                        recorded=recorded)  # fmt: skip
            _insert(conn, "workstation", id=station, hall_id=hall, name=f"{n}号窗口电脑", name_sort=f"{n:012}",
                    public_key=bytes(32), enrolled_us=SEEN_US, spool_bytes=0, spool_segments=0)  # fmt: skip
            _insert(conn, "monitor", id=self.id(4, n), workstation_id=station, name="screen-1", width=1920,
                    height=1080, first_us=SEEN_US)  # fmt: skip
            seen_by = ((n, "front"), (n % self.size.cameras + 1, "overhead"), (1, "panorama"))
            for number, (camera, role) in enumerate(seen_by):
                _insert(conn, "camera_window", id=self.id(5, n * 4 + number), channel_id=self.id(2, camera),
                        window_id=self.windows[n].bytes, role=role, from_us=SEEN_US)  # fmt: skip
            _insert(conn, "workstation_window", id=self.id(6, n), workstation_id=station,
                    window_id=self.windows[n].bytes, from_us=SEEN_US)  # fmt: skip

    def stream(self, camera: int, role: str) -> bytes:
        """The id of a camera's stream."""
        return self.id(7 if role == "main" else 8, camera)

    def _footage(self, conn: sqlite3.Connection) -> None:
        runs = [
            (self.id(9, n * 1000 + day), self.stream(n, "main"), self._day(day), self._day(day + 1), "network", "")
            for day in range(self.size.days)
            for n in range(1, self.size.cameras + 1)
        ]
        conn.executemany("INSERT INTO run (id, stream_id, t0_us, t1_us, end, detail) VALUES (?,?,?,?,?,?)", runs)
        conn.executemany(
            "INSERT INTO segment (id, stream_id, run_id, t0_us, t1_us, media_duration, timescale, codec, width, height,"
            " frames, bytes, sha256, location, salvaged) VALUES (?,?,?,?,?,?,90000,'avc1.640028',1920,1080,1500,"
            "30000000,?,'disk',0)",
            self._segments(),
        )
        gaps = [
            (self.id(10, n * 1000 + day), self.stream(n, "main"), t0_us, t0_us + MINUTE_US)
            for day in range(self.size.days)
            for n in range(1, self.size.cameras + 1)
            for t0_us in (self._day(day) + _hole(n, day),)
        ]
        conn.executemany(
            "INSERT INTO gap (id, stream_id, t0_us, t1_us, reason, detail) VALUES (?,?,?,?,'network','')", gaps
        )

    def _segments(self) -> Iterator[tuple[object, ...]]:
        """A segment a minute for every camera, but for one minute a day, which is a gap."""
        for minute in range(self.size.days * 1440):
            t0_us = HALL_START_US + minute * MINUTE_US
            day = minute // 1440
            for n in range(1, self.size.cameras + 1):
                if t0_us - self._day(day) == _hole(n, day):
                    continue
                key, run = self.id(11, n, t0_us), self.id(9, n * 1000 + day)
                yield (key, self.stream(n, "main"), run, t0_us, t0_us + MINUTE_US, 5_400_000, key * 2)

    def _screens(self, conn: sqlite3.Connection) -> None:
        conn.executemany(
            "INSERT INTO screen_segment (id, monitor_id, t0_us, t1_us, pictures, bytes, sha256, location,"
            " picture_index, received_us) VALUES (?,?,?,?,?,90000,?,'disk',?,?)",
            self._screen_segments(),
        )
        conn.executemany(
            "INSERT INTO coverage (id, monitor_id, t0_us, t1_us, state, author, detail) VALUES (?,?,?,?,?,'agent','')",
            self._coverage(),
        )

    def _screen_segments(self) -> Iterator[tuple[object, ...]]:
        for t0_us in self._open_minutes():
            times = [t0_us + k * MINUTE_US // PICTURES for k in range(PICTURES)]
            index = pack_times(times)
            for n in range(1, self.size.cameras + 1):
                key = self.id(12, n, t0_us)
                yield (key, self.id(4, n), t0_us, t0_us + MINUTE_US, PICTURES, key * 2, index, t0_us + MINUTE_US)

    def _coverage(self) -> Iterator[tuple[object, ...]]:
        """Recording and unchanged by turns, every two minutes; off hours before and after."""
        for t0_us in self._open_minutes(step=4):
            for n in range(1, self.size.cameras + 1):
                for part, state in enumerate(("recording", "unchanged")):
                    from_us = t0_us + part * 2 * MINUTE_US
                    yield (self.id(13, n, from_us), self.id(4, n), from_us, from_us + 2 * MINUTE_US, state)

    def _cases(self, conn: sqlite3.Connection) -> list[SeededCase]:
        source = self.id(14, 1)
        _insert(conn, "event_source", id=source, code="approval", name="审批", timezone="Asia/Shanghai",
                secret_box=b"-", created_us=SEEN_US)  # fmt: skip
        seeded: list[SeededCase] = []
        sequence = 0
        slot_us = (OPEN_TO_US - OPEN_FROM_US) // self.size.cases_a_day
        for day in range(self.size.days):
            for slot in range(self.size.cases_a_day):
                for n in range(1, self.size.cameras + 1):
                    t0_us = self._day(day) + OPEN_FROM_US + slot * slot_us + self.random.randrange(30) * US
                    t1_us = t0_us + self.random.randrange(slot_us // 2, slot_us - 60 * US)
                    seeded.append(SeededCase(f"滁政务〔2026〕第{len(seeded) + 1:06}号", n, t0_us, t1_us))
                    sequence = self._case(conn, source, seeded[-1], sequence)
        return seeded

    def _case(self, conn: sqlite3.Connection, source: bytes, item: SeededCase, sequence: int) -> int:
        case_id, window = self.id(15, sequence, item.t0_us), self.windows[item.window].bytes
        conn.execute(
            "INSERT INTO case_file (id, source_id, number, key, item_code, first_us, last_us, status)"
            " VALUES (?,?,?,?,'340000-SCJG-0101',?,?,'evaluated')",
            (case_id, source, item.number, case_key(item.number), item.t0_us, item.t1_us),
        )
        middle_us = (item.t0_us + item.t1_us) // 2
        times = (item.t0_us, item.t0_us + 20 * US, middle_us, item.t1_us)
        rows = []
        for kind, at_us in zip(("called", "accepted", "step", "evaluated"), times, strict=True):
            sequence += 1
            key = self.id(16, sequence, at_us)
            named = (kind, item.number, str(item.window), window)
            rows.append((key, source, sequence, case_id, *named, at_us, at_us, key * 2))
        conn.executemany(
            "INSERT INTO case_event (id, source_id, sequence, case_id, kind, case_number, ticket, item_code, step,"
            " window_code, window_id, staff, event_us, precision, intake_us, digest)"
            " VALUES (?,?,?,?,?,?,'A001','','',?,?,'1001',?,'second',?,?)",
            rows,
        )
        conn.execute(
            "INSERT INTO visit (id, case_id, window_id, staff, t0_us, t1_us, opened_by, closed_by, open_event_id,"
            " ambiguous, version, derived_us) VALUES (?,?,?,'1001',?,?,'called','evaluated',?,0,1,?)",
            (self.id(17, sequence, item.t0_us), case_id, window, item.t0_us, item.t1_us, rows[0][0], item.t1_us),
        )
        return sequence

    def _day(self, day: int) -> int:
        return HALL_START_US + day * DAY_US

    def _open_minutes(self, step: int = 1) -> Iterable[int]:
        for day in range(self.size.days):
            yield from range(self._day(day) + OPEN_FROM_US, self._day(day) + OPEN_TO_US, step * MINUTE_US)


def fit_object(path: Path, table: str, key: bytes, data: bytes) -> None:
    """Make a row describe these bytes, so that the object can be served."""
    conn = sqlite3.connect(path)
    try:
        statement = f"UPDATE {table} SET bytes = ?, sha256 = ? WHERE id = ?"  # noqa: S608 - two table names of ours
        conn.execute(statement, (len(data), sha256(data).digest(), key))
        conn.commit()
    finally:
        conn.close()


def _hole(camera: int, day: int) -> int:
    """The minute of the day in which a camera has a gap, microseconds after midnight."""
    return OPEN_FROM_US + (camera * 37 + day * 11) % 480 * MINUTE_US


def _insert(conn: sqlite3.Connection, table: str, **values: object) -> None:
    columns, marks = ", ".join(values), ", ".join("?" * len(values))
    conn.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values()))  # noqa: S608 - our names
