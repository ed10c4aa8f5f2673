"""Prometheus' text format 0.0.4, written line by line, so that a number lives only where it arises."""

from __future__ import annotations

from collections.abc import Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABEL_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Exposition:
    """Collects samples family by family; `text` is the page."""

    def __init__(self) -> None:
        self._heads: dict[str, str] = {}
        self._samples: dict[str, list[str]] = {}

    def gauge(self, name: str, text: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """A value that goes up and down."""
        self._add("gauge", name, text, value, labels)

    def counter(self, name: str, text: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """A value that only rises until its process restarts; `name` ends in `_total`."""
        self._add("counter", name, text, value, labels)

    def text(self) -> str:
        """Every family once, its samples together, as the format demands."""
        return "".join(head + "".join(self._samples[name]) for name, head in self._heads.items())

    def _add(self, kind: str, name: str, text: str, value: float, labels: Mapping[str, str] | None) -> None:
        if name not in self._heads:
            self._heads[name] = f"# HELP {name} {text.translate(_HELP_ESCAPES)}\n# TYPE {name} {kind}\n"
            self._samples[name] = []
        pairs = ",".join(f'{key}="{said.translate(_LABEL_ESCAPES)}"' for key, said in (labels or {}).items())
        number = str(value) if isinstance(value, int) else repr(float(value))
        self._samples[name].append(f"{name}{{{pairs}}} {number}\n" if pairs else f"{name} {number}\n")
