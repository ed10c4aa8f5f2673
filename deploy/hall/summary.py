"""Tables on a terminal, where a Chinese character takes two columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def display_width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table with columns wide enough for everything, two spaces in from the left."""
    lines = [head, *rows]
    widths = [max(display_width(line[column]) for line in lines) for column in range(len(head))]
    rule = ["─" * width for width in widths]
    return [
        "  " + "  ".join(_pad(*cell) for cell in zip(line, widths, strict=True)).rstrip()
        for line in [head, rule, *rows]
    ]


def _pad(text: str, width: int) -> str:
    return text + " " * (width - display_width(text))
