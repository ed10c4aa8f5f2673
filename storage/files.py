"""Files that survive a power cut: the one place that writes, publishes and syncs them.

Guarantees, on a file system that honours fsync: after `write_atomic` or `publish` returned, the name holds the whole
new content even if the machine loses power at once; before that it holds the whole old content or does not exist.
Windows has no sync of a folder's entry: there the rename is atomic but may be undone by a power cut.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Make `path` hold exactly `data`: a synced temporary file in the same folder takes its name.

    Readers see the old or the new content, never a part. `mode` holds from the first byte on.

    Raises:
        OSError: the folder is missing or the disk refused; `path` is as before.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write_synced(draft, data, mode)
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        raise
    sync_folder(path.parent)


def create_secret(path: Path, data: bytes) -> None:
    """Write a key file (0600) that must not exist yet; its folder is made with 0700.

    Raises:
        FileExistsError: `path` exists; it is left alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _write_synced(draft, data, 0o600)
    try:
        os.link(draft, path)  # unlike a rename it refuses an existing name
    finally:
        draft.unlink()
    sync_folder(path.parent)


def publish(part: Path, final: Path) -> None:
    """Sync the finished file `part`, give it the name `final` (same file system) and sync both folders.

    Harmless when an earlier try got as far as the name: two names of one file become one.
    """
    sync_file(part)
    os.replace(part, final)
    with contextlib.suppress(FileNotFoundError):  # POSIX leaves both names when they are of the same file
        part.unlink()
    sync_folder(final.parent)
    if part.parent != final.parent:
        sync_folder(part.parent)


def sync_published(final: Path) -> None:
    """Sync a file and its name that an earlier `publish` left there: it may have died before it had synced both."""
    sync_file(final)
    sync_folder(final.parent)


def remove(path: Path) -> None:
    """Remove a file durably; one that is gone already is no error."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Wait until the file's bytes and size are on the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on the disk (does nothing on Windows, which has no such call)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_synced(path: Path, data: bytes, mode: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
