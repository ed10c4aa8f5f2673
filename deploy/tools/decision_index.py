"""`python -m deploy.tools.decision_index`: write the list of decisions into docs/decisions/README.md."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
PAGE = FOLDER / "README.md"
_HEAD = """# Decisions

Each says what was decided, why, and what it costs. A changed mind is a new record that names the old one.
(This list is written by `python -m deploy.tools.decision_index`.)

"""


def index() -> str:
    """The page: every record's number and title."""
    return _HEAD + "".join(_line(path) for path in sorted(FOLDER.glob("[0-9]*.md")))


def _line(path: Path) -> str:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    title = re.sub(r"^#\s*(\d{4}[.:]?\s*)?", "", first)
    return f"- [{path.name[:4]}]({path.name}) {title}\n"


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(index(), encoding="utf-8")


if __name__ == "__main__":
    main()
