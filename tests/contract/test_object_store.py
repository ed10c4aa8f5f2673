"""What every object store promises, checked on each of them; S3 is a real Ceph RGW bucket with Object Lock."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.retention import Retention

from storage.archive.objects import DiskStore, MemoryStore, ObjectStore, sha256_of
from storage.archive.s3 import S3Store, make_client
from storage.clock import US, FakeClock, SystemClock
from storage.errors import ConfigurationError, Conflict, InvalidInput, ObjectMissing, Unavailable
from storage.ids import new_id
from tests.peers.ceph import ACCESS_KEY, SECRET_KEY, S3Server

BIG = random.Random(7).randbytes(1_300_000)


def s3_store(server: S3Server, bucket: str) -> S3Store:
    return S3Store(make_client(server.endpoint, ACCESS_KEY, SECRET_KEY, secure=False), bucket)


@pytest.fixture(params=["memory", "disk", pytest.param("s3", marks=pytest.mark.peer)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "disk":
        return DiskStore(tmp_path / "objects")
    server: S3Server = request.getfixturevalue("s3_server")
    return s3_store(server, server.bucket())


@pytest.fixture
def object_id(fake_clock: FakeClock) -> UUID:
    return new_id(fake_clock)


def test_a_file_comes_back_whole_and_stays_where_it_was(store: ObjectStore, object_id: UUID, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(BIG)
    store.put_file(object_id, source)
    assert sha256_of(store.read(object_id)) == (hashlib.sha256(BIG).digest(), len(BIG))
    assert store.size(object_id) == len(BIG)
    assert source.read_bytes() == BIG


@pytest.mark.parametrize(("start", "length"), [(0, 1), (1, 300_000), (262_144, 262_144), (1_299_999, 50), (10, None)])
def test_a_range_is_exact(store: ObjectStore, object_id: UUID, start: int, length: int | None) -> None:
    store.put_bytes(object_id, BIG)
    end = None if length is None else start + length
    assert b"".join(store.read(object_id, start, length)) == BIG[start:end]


def test_empty_ranges_are_empty(store: ObjectStore, object_id: UUID) -> None:
    store.put_bytes(object_id, b"abc")
    assert b"".join(store.read(object_id, 3, 10)) == b""
    assert b"".join(store.read(object_id, 1, 0)) == b""


@pytest.mark.parametrize(("start", "length"), [(-1, 1), (4, 1), (0, -1)])
def test_impossible_ranges_are_refused(store: ObjectStore, object_id: UUID, start: int, length: int) -> None:
    store.put_bytes(object_id, b"abc")
    with pytest.raises(InvalidInput, match="outside"):
        store.read(object_id, start, length)


def test_the_same_bytes_again_are_harmless_and_others_are_refused(
    store: ObjectStore, object_id: UUID, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    store.put_bytes(object_id, b"first")
    store.put_bytes(object_id, b"first")
    with pytest.raises(Conflict) as refused:
        store.put_file(object_id, other)
    assert refused.value.code == "object_exists"
    assert b"".join(store.read(object_id)) == b"first"


def test_absent_objects_are_named(store: ObjectStore, object_id: UUID) -> None:
    with pytest.raises(ObjectMissing) as missing:
        store.size(object_id)
    assert missing.value.fields["object"] == str(object_id)
    with pytest.raises(ObjectMissing):
        store.read(object_id)


def test_deletion_is_final_and_harmless_to_repeat(store: ObjectStore, object_id: UUID) -> None:
    store.put_bytes(object_id, b"abc")
    store.delete(object_id)
    store.delete(object_id)
    with pytest.raises(ObjectMissing):
        store.size(object_id)
    assert object_id not in set(store.ids())


def test_ids_names_every_object(store: ObjectStore, fake_clock: FakeClock) -> None:
    made = {new_id(fake_clock) for _ in range(12)}
    for each in made:
        store.put_bytes(each, b"x")
    assert set(store.ids()) == made


def test_check_passes_and_leaves_nothing(store: ObjectStore) -> None:
    store.check()
    assert list(store.ids()) == []


def test_only_old_drafts_of_killed_processes_are_removed(tmp_path: Path, object_id: UUID) -> None:
    store = DiskStore(tmp_path / "objects")
    store.put_bytes(object_id, b"kept")
    os.utime(store.path(object_id), (0, 0))
    old, young = tmp_path / "objects" / "drafts" / "old", tmp_path / "objects" / "drafts" / "young"
    for path, age_s in ((old, 90_000), (young, 80_000)):
        path.write_bytes(b"half")
        os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    assert store.remove_old_drafts() == 1
    assert [path.name for path in young.parent.iterdir()] == ["young"]
    assert b"".join(store.read(object_id)) == b"kept"
    shutil.rmtree(young.parent)
    assert store.remove_old_drafts() == 0  # a disk that refuses keeps nobody from starting


class NotingClient:
    """An S3 client that notes the names it is told to write."""

    def __init__(self, client: Minio) -> None:
        self._client = client
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_object(self, bucket: str, name: str, *rest: Any, **named: Any) -> Any:
        self.names.append(name)
        return self._client.put_object(bucket, name, *rest, **named)


@pytest.mark.peer
def test_what_a_check_writes_is_never_taken_for_an_object(s3_server: S3Server) -> None:
    bucket = s3_server.bucket()
    client = NotingClient(s3_server.client())
    S3Store(client, bucket).check()  # type: ignore[arg-type]  # everything else is the client's
    (name,) = client.names
    with pytest.raises(ValueError, match="badly formed"):
        UUID(hex=name.removeprefix("objects/"))
    assert list(s3_server.client().list_objects(bucket, recursive=True)) == []


def test_disk_check_fails_when_the_folder_is_gone(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "objects")
    (tmp_path / "objects" / "drafts").rmdir()
    with pytest.raises(Unavailable) as away:
        store.check()
    assert away.value.code == "object_store_away"


def test_disk_moves_a_finished_file_in_without_copying(tmp_path: Path, object_id: UUID) -> None:
    store = DiskStore(tmp_path / "objects")
    part = tmp_path / "a.part"
    part.write_bytes(b"moved")
    inode = part.stat().st_ino
    store.move_in(object_id, part)
    assert store.path(object_id).stat().st_ino == inode
    assert not part.exists()


def test_disk_ignores_what_is_no_object(tmp_path: Path, object_id: UUID) -> None:
    store = DiskStore(tmp_path / "objects")
    store.put_bytes(object_id, b"x")
    store.path(object_id).with_name("notes.txt").write_text("left by somebody")
    assert list(store.ids()) == [object_id]


@pytest.mark.peer
def test_s3_says_when_it_is_away_and_works_again(s3_server: S3Server, object_id: UUID) -> None:
    store = s3_store(s3_server, s3_server.bucket())
    store.put_bytes(object_id, b"kept")
    s3_server.stop_s3()
    try:
        with pytest.raises(Unavailable) as away:
            store.put_bytes(object_id, b"kept")
        assert away.value.code == "object_store_away"
        with pytest.raises(Unavailable):
            store.size(object_id)
    finally:
        s3_server.start_s3()
    assert b"".join(store.read(object_id)) == b"kept"


@pytest.mark.peer
def test_s3_cannot_delete_what_the_bucket_keeps(s3_server: S3Server, object_id: UUID) -> None:
    bucket = s3_server.bucket(object_lock=True)
    store = s3_store(s3_server, bucket)
    store.put_bytes(object_id, b"kept")
    until = datetime.fromtimestamp(SystemClock().now_us() // US, UTC) + timedelta(days=1)
    s3_server.client().set_object_retention(bucket, f"objects/{object_id.hex}", Retention(COMPLIANCE, until))
    with pytest.raises(Conflict) as locked:
        store.delete(object_id)
    assert locked.value.code == "object_locked"
    assert b"".join(store.read(object_id)) == b"kept"


@pytest.mark.peer
def test_s3_check_names_a_missing_bucket_and_wrong_keys(s3_server: S3Server) -> None:
    with pytest.raises(ConfigurationError, match="no bucket nowhere-at-all"):
        s3_store(s3_server, "nowhere-at-all").check()
    stranger = S3Store(make_client(s3_server.endpoint, "somebody", "else0123456789", secure=False), s3_server.bucket())
    with pytest.raises(ConfigurationError, match="check its name and the keys"):
        stranger.check()
