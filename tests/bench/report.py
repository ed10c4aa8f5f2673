"""Rows of a bench: printed as a table, written to bench-results/NAME.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path("bench-results")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: ours, a peer's in the same run where there is one, and their ratio."""

    id: str
    ours: float
    unit: str
    peer: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours divided by the peer's."""
        return None if not self.peer else self.ours / self.peer


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of all values do not exceed.

    Raises:
        ValueError: there are no values: nothing was measured.
    """
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(percent) // 100) - 1)]


def write(name: str, rows: Sequence[Row]) -> Path:
    """Print the table and keep the figures."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    kept = [{**asdict(row), "ratio": row.ratio} for row in rows]
    path.write_text(json.dumps({"rows": kept}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    width = max(len(row.id) for row in rows)
    print(f"{'row':{width}}  {'ours':>10}  {'peer':>10}  {'ratio':>6}  unit  note")
    for row in rows:
        peer = "" if row.peer is None else f"{row.peer:.2f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        print(f"{row.id:{width}}  {row.ours:>10.2f}  {peer:>10}  {ratio:>6}  {row.unit:4}  {row.note}")
    print(f"written: {path}")
    return path
