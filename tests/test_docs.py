"""Docs name every setting, links lead somewhere, decisions have numbers of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.tools import decision_index, settings_tables

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def test_operations_explains_every_setting() -> None:
    page = settings_tables.PAGE.read_text(encoding="utf-8")
    assert page == settings_tables.renewed(page), "run: python -m deploy.tools.settings_tables"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    dead = [link for link in _LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert dead == []


def test_decision_records_have_numbers_of_their_own_and_are_listed() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert len({path.name[:4] for path in records}) == len(records)
    page = decision_index.PAGE.read_text(encoding="utf-8")
    assert page == decision_index.index(), "run: python -m deploy.tools.decision_index"
