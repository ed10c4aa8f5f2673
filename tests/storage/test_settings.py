"""Settings: typed, unknown keys refused with the nearest known one, secrets starred."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.errors import ConfigurationError
from storage.settings import describe_settings, load_settings, option, section


@dataclass(frozen=True)
class StoreSettings:
    kind: str = option("disk", "disk or s3")
    secret: str = option("", "S3 secret key", secret=True)


@dataclass(frozen=True)
class ExampleSettings:
    port: int = option(8443, "TCP port")
    folder: Path = option(Path("data"), "where everything lives")
    interval_s: float = option(2.0, "seconds")
    verbose: bool = option(False, "more lines")
    subnets: tuple[str, ...] = option(("127.0.0.0/8",), "allowed subnets")
    store: StoreSettings = section(StoreSettings, "object store")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_without_a_file() -> None:
    assert load_settings(ExampleSettings, None) == ExampleSettings()


def test_file_then_override(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.toml",
        'port = 9\ninterval_s = 3\nfolder = "/srv"\nsubnets = ["10.0.0.0/8"]\n[store]\nkind = "s3"\n',
    )
    got = load_settings(ExampleSettings, path, port=10, verbose=None)
    assert got.port == 10
    assert got.interval_s == 3.0
    assert isinstance(got.interval_s, float)
    assert got.folder == Path("/srv")
    assert got.subnets == ("10.0.0.0/8",)
    assert got.store.kind == "s3"


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("prot = 1", "unknown_setting", "did you mean port?"),
        ("[store]\nsecrt = 'x'", "unknown_setting", "did you mean store.secret?"),
        ("zzzzzz = 1", "unknown_setting", "known here: port"),
        ("port = 'x'", "wrong_type", "port must be int"),
        ("port = true", "wrong_type", "port must be int"),
        ("verbose = 1", "wrong_type", "verbose must be bool"),
        ("subnets = [1]", "wrong_type", "subnets"),
        ("store = 1", "wrong_type", "write [store]"),
        ("port = ", "settings_unreadable", "a.toml"),
    ],
)
def test_refusals_name_the_key_and_the_fix(tmp_path: Path, text: str, code: str, part: str) -> None:
    path = write(tmp_path / "a.toml", text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(ExampleSettings, path)
    assert caught.value.code == code
    assert part in caught.value.message
    assert "a.toml" in caught.value.message


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="create it or leave the option out"):
        load_settings(ExampleSettings, tmp_path / "none.toml")


def test_check_stars_secrets_and_shows_the_rest() -> None:
    rows = {key: value for key, value, _ in describe_settings(ExampleSettings(store=StoreSettings(secret="abc")))}
    assert rows["store.secret"] == "***"
    assert rows["port"] == "8443"
    assert rows["subnets"] == "[127.0.0.0/8]"
    assert describe_settings(ExampleSettings())[0] == ("port", "8443", "TCP port")
