"""The data folder that `make run` makes, and the messages of a start that cannot work."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from deploy.hall.__main__ import hold_folder
from deploy.hall.folder import HallFolder, Ports
from storage.errors import ConfigurationError

PORTS = Ports("127.0.0.1", 8443, 8444)


def test_the_first_start_writes_settings_for_both_processes(tmp_path: Path) -> None:
    folder = HallFolder(tmp_path / "大厅 数据")
    assert folder.prepare(PORTS, ("192.168.0.0/16",)) == PORTS
    console = tomllib.loads(folder.console_settings.read_text(encoding="utf-8"))
    gateway = tomllib.loads(folder.gateway_settings.read_text(encoding="utf-8"))
    assert console["listen"] == {"host": "127.0.0.1", "port": 8443}
    assert console["gateway"]["url"] == "http://127.0.0.1:8444"
    assert console["catalog_url"] == gateway["catalog_url"]
    assert Path(console["data"]) == folder.root
    assert gateway["cameras"]["subnets"] == ["192.168.0.0/16"]


def test_folders_and_settings_are_closed_to_other_users(tmp_path: Path) -> None:
    folder = HallFolder(tmp_path / "data")
    folder.prepare(PORTS, ())
    assert folder.root.stat().st_mode & 0o777 == 0o700
    assert folder.console_settings.stat().st_mode & 0o777 == 0o600


def test_settings_that_exist_are_kept_and_their_ports_win(tmp_path: Path) -> None:
    folder = HallFolder(tmp_path)
    folder.prepare(PORTS, ())
    before = folder.console_settings.read_text(encoding="utf-8")
    assert folder.prepare(Ports("0.0.0.0", 9443, 9444), ()) == PORTS
    assert folder.console_settings.read_text(encoding="utf-8") == before


def test_broken_settings_name_the_file(tmp_path: Path) -> None:
    folder = HallFolder(tmp_path)
    folder.prepare(PORTS, ())
    folder.gateway_settings.write_text("[listen\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"gateway\.toml"):
        folder.prepare(PORTS, ())


def test_settings_without_a_port_say_what_is_missing(tmp_path: Path) -> None:
    folder = HallFolder(tmp_path)
    folder.prepare(PORTS, ())
    folder.gateway_settings.write_text('[listen]\nhost = "127.0.0.1"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="port"):
        folder.prepare(PORTS, ())


def test_one_data_folder_runs_one_hall(tmp_path: Path) -> None:
    folder = HallFolder(tmp_path)
    folder.prepare(PORTS, ())
    with hold_folder(folder), pytest.raises(ConfigurationError, match="已有一个大厅在运行"):
        hold_folder(folder)
    hold_folder(folder).close()
