"""Settings of every process: TOML files into frozen dataclasses; unknown keys refused with the nearest known one.

A settings class is a frozen dataclass whose fields have defaults and a `metadata={"help": ..., "secret": bool}`
(use `option`). Supported field types: str, int, float, bool, pathlib.Path, tuple[str, ...], and nested dataclasses.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from storage.errors import ConfigurationError
from storage.logs import scrub

T = TypeVar("T")


def option(default: Any, help: str, *, secret: bool = False) -> Any:
    """A settings field with its default, its one-line explanation and whether `check` must star it."""
    return dataclasses.field(default=default, metadata={"help": help, "secret": secret})


def section(kind: type[Any], help: str) -> Any:
    """A nested table of settings."""
    return dataclasses.field(default_factory=kind, metadata={"help": help, "secret": False})


def load_settings(kind: type[T], path: Path | None, **overrides: Any) -> T:
    """Read `path` (TOML; None: defaults only) into `kind`; `overrides` (not None) win over the file.

    Raises:
        ConfigurationError: the file is missing or no TOML, a key is unknown, or a value has the wrong type.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        raw = _read_toml(path)
    raw.update({key: value for key, value in overrides.items() if value is not None})
    return _build(kind, raw, where=str(path) if path else "command line", prefix="")


def describe_settings(settings: Any, *, prefix: str = "") -> list[tuple[str, str, str]]:
    """(dotted key, effective value with secrets and URLs' passwords starred, help) of every setting, in order."""
    rows: list[tuple[str, str, str]] = []
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        key = f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            rows.extend(describe_settings(value, prefix=f"{key}."))
            continue
        shown = "***" if item.metadata.get("secret") and value else _shown(value)
        rows.append((key, shown, str(item.metadata.get("help", ""))))
    return rows


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(scrub(str(item)) for item in value) + "]"
    return scrub(str(value))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            "settings_missing", f"no settings file at {path}: create it or leave the option out"
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError("settings_unreadable", f"{path}: {error}") from error


def _build(kind: type[T], raw: dict[str, Any], *, where: str, prefix: str) -> T:
    hints = get_type_hints(kind)
    known = [item.name for item in dataclasses.fields(kind)]  # type: ignore[arg-type]  # T is a dataclass by contract
    for key in raw:
        if key not in known:
            raise ConfigurationError("unknown_setting", _unknown(prefix + key, key, known, where, prefix))
    values = {name: _value(hints[name], raw[name], where=where, key=prefix + name) for name in known if name in raw}
    return kind(**values)


def _unknown(full: str, key: str, known: list[str], where: str, prefix: str) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"; did you mean {prefix}{near[0]}?" if near else f"; known here: {', '.join(known)}"
    return f"{where}: unknown setting {full}{hint}"


def _value(hint: Any, value: Any, *, where: str, key: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ConfigurationError("wrong_type", f"{where}: {key} is a table, write [{key}]")
        return _build(hint, value, where=where, prefix=f"{key}.")
    if hint is Path:
        if isinstance(value, str | Path):
            return Path(value)
    elif get_origin(hint) is tuple:
        if isinstance(value, list | tuple) and all(isinstance(v, get_args(hint)[0]) for v in value):
            return tuple(value)
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    expected = getattr(hint, "__name__", str(hint))
    raise ConfigurationError("wrong_type", f"{where}: {key} must be {expected}, not {value!r}")
