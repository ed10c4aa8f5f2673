"""The coverage ledger: every second of a monitor's time in exactly one state, and silence where nobody was there.

Seconds are whole wall-clock seconds. `mark` decides the second it falls into and, by carrying the state before, those
since the last mark. Rows of one monitor never overlap. Only three things leave seconds out: the process was killed, the
machine lost power, or the ledger's file was lost; the server then writes `agent_down`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from storage.clock import US
from storage.model import SERVER_ONLY_STATES, CoverageState
from storage.spool.index import SpoolIndex

_SHUT = "shut_down"
REWIND_US = 60 * US
"""The wall clock went back by more than this: seconds decided beyond now were never lived and are taken back."""
_PICTURED = (CoverageState.RECORDING.value, CoverageState.UNCHANGED.value)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a monitor is now."""

    monitor: str
    state: CoverageState
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A stretch of whole seconds in one state; `id` is for `confirm` and `release`.

    `sealed`: it may have reached the server before, so it is sent again exactly as it is.
    """

    id: int
    monitor: str
    t0_us: int
    t1_us: int
    state: str
    detail: str
    sealed: bool


class Ledger:
    """Keeps the ledger in the spool's index. Every method is one transaction."""

    def __init__(self, index: SpoolIndex) -> None:
        self._index = index
        self._present: dict[str, Mark] = {}

    def resume(self, now_us: int) -> None:
        """At start: after a clean shutdown the time since is `powered_off`; after anything else it stays silence."""
        self._present.clear()
        with self._index.write() as connection:
            _rewind(connection, _floor(now_us))
            if self._index.get(_SHUT) is None:
                return
            for monitor, end_us in _tails(connection).items():
                _extend(connection, monitor, end_us, _floor(now_us), CoverageState.POWERED_OFF, "")
            self._index.put(_SHUT, None)

    def mark(
        self, marks: list[Mark], now_us: int, carry_s: float, gap: tuple[CoverageState, str] | None = None
    ) -> None:
        """Say what each monitor is at `now_us`.

        Since its last mark a monitor keeps its state for at most `carry_s`; what is longer becomes `gap`, else
        `failed: stalled`. When the wall clock went back, seconds that have a state keep it; after a step of more than
        a minute the unreported seconds beyond now are taken back, or a clock once set years ahead would silence us.

        Raises:
            ValueError: a state that only the server may write.
            StorageError: nothing was written; the next mark carries over the missing time.
        """
        if any(mark.state in SERVER_ONLY_STATES for mark in marks):
            raise ValueError("the agent may not claim a state of the server")
        second = _floor(now_us)
        with self._index.write() as connection:
            _rewind(connection, second)
            tails = _tails(connection)
            for mark in marks:
                self._fill(connection, mark.monitor, tails.get(mark.monitor), second, carry_s, gap)
                start = max(second, tails.get(mark.monitor, second))
                _extend(connection, mark.monitor, start, second + US, mark.state, mark.detail)
        self._present.update({mark.monitor: mark for mark in marks})

    def shut(self, now_us: int) -> None:
        """Before a clean shutdown or sleep: carry the states to now, then `powered_off`.

        One second of it is written at once, for the last report; the next start writes the rest.
        """
        second = _floor(now_us)
        with self._index.write() as connection:
            for monitor, end_us in _tails(connection).items():
                before = self._present.get(monitor)
                if before is not None:
                    _extend(connection, monitor, end_us, second, before.state, before.detail)
                    start = max(second, end_us)
                    _extend(connection, monitor, start, start + US, CoverageState.POWERED_OFF, "")
            self._index.put(_SHUT, str(now_us))
        self._present.clear()

    def monitors(self) -> list[str]:
        """Every monitor that ever had a state."""
        with self._index.read() as connection:
            return sorted(_tails(connection))

    def end_us(self, monitor: str) -> int | None:
        """Until when the monitor's seconds are decided."""
        with self._index.read() as connection:
            return _tails(connection).get(monitor)

    # --- reporting ----------------------------------------------------------------------------------------------------
    def take(self, until_us: int, limit: int = 500) -> list[LedgerRow]:
        """The oldest unreported rows that end by `until_us`; they do not change until `confirm` or `release`."""
        with self._index.write() as connection:
            query = "SELECT * FROM ledger WHERE t1_us <= ? ORDER BY id LIMIT ?"
            rows = [_row(row) for row in connection.execute(query, (until_us, limit)).fetchall()]
            connection.executemany("UPDATE ledger SET sealed = 1 WHERE id = ?", [(row.id,) for row in rows])
        return rows

    def confirm(self, rows: list[LedgerRow]) -> None:
        """The server has kept these rows."""
        with self._index.write() as connection:
            connection.executemany("DELETE FROM ledger WHERE id = ?", [(row.id,) for row in rows])

    def release(self, rows: list[LedgerRow]) -> None:
        """This time the rows certainly did not reach the server: those that never did before may grow again."""
        fresh = [(row.id,) for row in rows if not row.sealed]
        with self._index.write() as connection:
            connection.executemany("UPDATE ledger SET sealed = 0 WHERE id = ?", fresh)

    def rows(self) -> list[LedgerRow]:
        """All unreported rows, in order of writing."""
        with self._index.read() as connection:
            return [_row(row) for row in connection.execute("SELECT * FROM ledger ORDER BY id")]

    def _fill(
        self,
        connection: sqlite3.Connection,
        monitor: str,
        end_us: int | None,
        second: int,
        carry_s: float,
        gap: tuple[CoverageState, str] | None,
    ) -> None:
        """Decide the seconds between the last mark and this one; none when this process has not marked before."""
        before = self._present.get(monitor)
        if before is None or end_us is None or end_us >= second:
            return
        carried = min(second, end_us + round(carry_s) * US)
        if gap is not None:
            carried = min(carried, end_us + US)
        _extend(connection, monitor, end_us, carried, before.state, before.detail)
        state, detail = gap or (CoverageState.FAILED, "stalled")
        _extend(connection, monitor, carried, second, state, detail)


def amend_dropped(
    connection: sqlite3.Connection, monitor: str, t0_us: int, t1_us: int, until_us: int, detail: str
) -> None:
    """The pictures of a segment [t0, t1) are lost before the server had them: the ledger stops claiming them.

    Rows that no server has seen are corrected up to the monitor's next segment (`until_us`), because `unchanged` after
    a lost picture shows nothing either. For the segment's own time that was reported before, a later claim is added,
    which the server prefers.
    """
    low, high = _floor(t0_us), _ceiling(until_us)
    query = "SELECT * FROM ledger WHERE monitor = ? AND sealed = 0 AND t0_us < ? AND t1_us > ? ORDER BY t0_us"
    reported_from = low
    for row in connection.execute(query, (monitor, high, low)).fetchall():
        inner0, inner1 = max(row["t0_us"], low), min(row["t1_us"], high)
        _insert(connection, monitor, reported_from, min(inner0, _ceiling(t1_us)), CoverageState.FAILED.value, detail)
        reported_from = inner1
        if row["state"] not in _PICTURED:
            continue
        connection.execute("DELETE FROM ledger WHERE id = ?", (row["id"],))
        _insert(connection, monitor, row["t0_us"], inner0, row["state"], row["detail"])
        _insert(connection, monitor, inner0, inner1, CoverageState.FAILED.value, detail)
        _insert(connection, monitor, inner1, row["t1_us"], row["state"], row["detail"])
    tail = _tails(connection).get(monitor, 0)
    _insert(connection, monitor, reported_from, min(_ceiling(t1_us), tail), CoverageState.FAILED.value, detail)


def _rewind(connection: sqlite3.Connection, second: int) -> None:
    for monitor, end_us in _tails(connection).items():
        if end_us - second <= REWIND_US:
            continue
        connection.execute("DELETE FROM ledger WHERE monitor = ? AND t0_us >= ? AND sealed = 0", (monitor, second))
        connection.execute(
            "UPDATE ledger SET t1_us = ? WHERE monitor = ? AND t0_us < ? AND t1_us > ? AND sealed = 0",
            (second, monitor, second, second),
        )
        connection.execute("UPDATE ledger_tail SET end_us = ? WHERE monitor = ?", (second, monitor))


def _extend(
    connection: sqlite3.Connection, monitor: str, t0_us: int, t1_us: int, state: CoverageState, detail: str
) -> None:
    if t1_us <= t0_us:
        return
    grown = connection.execute(
        "UPDATE ledger SET t1_us = ? WHERE monitor = ? AND t1_us = ? AND state = ? AND detail = ? AND sealed = 0",
        (t1_us, monitor, t0_us, state.value, detail),
    )
    if grown.rowcount == 0:
        _insert(connection, monitor, t0_us, t1_us, state.value, detail)
    connection.execute("INSERT OR REPLACE INTO ledger_tail VALUES (?, ?)", (monitor, t1_us))


def _insert(connection: sqlite3.Connection, monitor: str, t0_us: int, t1_us: int, state: str, detail: str) -> None:
    if t1_us > t0_us:
        connection.execute(
            "INSERT INTO ledger (monitor, t0_us, t1_us, state, detail) VALUES (?, ?, ?, ?, ?)",
            (monitor, t0_us, t1_us, state, detail),
        )


def _tails(connection: sqlite3.Connection) -> dict[str, int]:
    return {row["monitor"]: row["end_us"] for row in connection.execute("SELECT * FROM ledger_tail")}


def _row(row: sqlite3.Row) -> LedgerRow:
    return LedgerRow(
        row["id"], row["monitor"], row["t0_us"], row["t1_us"], row["state"], row["detail"], bool(row["sealed"])
    )


def _floor(t_us: int) -> int:
    return t_us - t_us % US


def _ceiling(t_us: int) -> int:
    return -(-t_us // US) * US
