"""Atomic writes: whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from storage.files import create_secret, publish, remove, sync_folder, write_atomic


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomic(path, b"a folder cannot be replaced by a file")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_draft_left_by_a_crash_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".state.{os.getpid()}.tmp").write_bytes(b"half")
    write_atomic(tmp_path / "state", b"whole")
    assert os.listdir(tmp_path) == ["state"]


def test_create_secret_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"
    create_secret(path, b"first")
    with pytest.raises(FileExistsError):
        create_secret(path, b"second")
    assert path.read_bytes() == b"first"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_publish_and_remove(tmp_path: Path) -> None:
    part, final = tmp_path / "a" / "x.part", tmp_path / "b" / "x"
    part.parent.mkdir()
    final.parent.mkdir()
    part.write_bytes(b"media")
    publish(part, final)
    assert final.read_bytes() == b"media"
    assert not part.exists()
    remove(final)
    remove(final)
    assert os.listdir(final.parent) == []


def test_sync_folder_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "none")


def test_publishing_again_ends_what_an_earlier_try_began(tmp_path: Path) -> None:
    """The earlier try got as far as the new name; the part file came back as a second name of the same file."""
    final, part = tmp_path / "final", tmp_path / "part"
    final.write_bytes(b"media")
    part.hardlink_to(final)
    publish(part, final)
    assert final.read_bytes() == b"media"
    assert not part.exists()
