"""`python -m deploy.tools.settings_tables`: write the tables of all settings into docs/operations.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from camera_gateway.settings import GatewaySettings
from console.settings import ConsoleSettings
from edge_agent.settings import AgentSettings
from storage.settings import describe_settings

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
MARK = "<!-- settings: written by python -m deploy.tools.settings_tables -->"

_TITLES: tuple[tuple[str, Any], ...] = (
    ("控制台 console (`config/console.toml`)", ConsoleSettings()),
    ("摄像头网关 camera gateway (`config/gateway.toml`)", GatewaySettings()),
    ("采集程序 agent (`agent.toml`)", AgentSettings()),
)


def tables() -> str:
    """The three tables as Markdown, made from the settings' own declarations."""
    parts = []
    for title, settings in _TITLES:
        rows = [f"| `{key}` | {_code(value)} | {text} |" for key, value, text in describe_settings(settings)]
        parts.append("\n".join([f"### {title}", "", "| setting | default | meaning |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def renewed(page: str) -> str:
    """`page` with everything after the mark written anew."""
    return page.split(MARK)[0] + MARK + "\n\n" + tables()


def _code(value: str) -> str:
    return f"`{value}`" if value else "empty"


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
