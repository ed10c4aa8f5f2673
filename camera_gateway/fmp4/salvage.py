"""Makes a whole file of what a crash left: cut to the last whole fragment, index rebuilt."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from camera_gateway.fmp4.reader import FileHead, FragmentFacts, read_fragments, read_head
from camera_gateway.fmp4.writer import random_access_index
from storage.errors import MediaError

_HASH_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a row needs to know of a recorded file."""

    head: FileHead
    frames: int
    media_duration: int
    size_bytes: int
    sha256: bytes


def salvage(path: Path) -> FileFacts:
    """Cut the part file at `path` to its last whole fragment, write its index and sync it.

    Raises:
        MediaError: there is no head or not one whole fragment (`nothing_to_salvage`); the file is left as it was.
        OSError: the disk said no.
    """
    with path.open("r+b") as file:
        head, fragments = _inspect(file)
        end = fragments[-1].end
        file.truncate(end)
        file.seek(end)
        file.write(index_of(fragments))
        file.flush()
        os.fsync(file.fileno())
        return _facts(file, head, fragments)


def inspect(path: Path) -> FileFacts:
    """The facts of a finished file, read only.

    Raises:
        MediaError: it is none of ours or has no whole fragment.
    """
    with path.open("rb") as file:
        head, fragments = _inspect(file)
        return _facts(file, head, fragments)


def index_of(fragments: list[FragmentFacts]) -> bytes:
    """The `mfra` of these fragments."""
    return random_access_index([(f.decode_time, f.start) for f in fragments if f.samples[0].key])


def _inspect(file: BinaryIO) -> tuple[FileHead, list[FragmentFacts]]:
    head = read_head(file)
    fragments = list(read_fragments(file, head.size))
    if not fragments:
        raise MediaError("nothing_to_salvage", "the file has no whole fragment")
    return head, fragments


def _facts(file: BinaryIO, head: FileHead, fragments: list[FragmentFacts]) -> FileFacts:
    file.seek(0)
    digest = hashlib.sha256()
    size = 0
    while chunk := file.read(_HASH_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    frames = sum(len(fragment.samples) for fragment in fragments)
    return FileFacts(head, frames, fragments[-1].end_time, size, digest.digest())
