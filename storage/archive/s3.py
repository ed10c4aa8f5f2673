"""Objects in an S3 bucket through the `minio` client. Its errors are translated here and nowhere else.

Keys are the ids' 32 hex digits below a prefix. A bucket with Object Lock is versioned: `delete` removes the newest
version for good when its retention allows it, and says so when not; nothing is hidden behind delete markers.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID, uuid4

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError

from storage.archive.objects import CHUNK, check_range, file_sha256, missing, sha256_of
from storage.errors import ConfigurationError, Conflict, StorageFull, Unavailable

_ABSENT = frozenset({"NoSuchKey", "NoSuchVersion", "NotFound"})
_FULL = frozenset({"QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull", "EntityTooLarge"})
_OURS = frozenset({"NoSuchBucket", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidBucketName"})
_KEPT = frozenset({"AccessDenied", "ObjectLocked", "InvalidRequest"})


def make_client(endpoint: str, access_key: str, secret_key: str, *, secure: bool) -> Minio:
    """A client that gives up in bounded time: the callers retry, with their clock, not the client."""
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=5, read=30), retries=False, maxsize=16, cert_reqs="CERT_REQUIRED"
    )
    return Minio(endpoint, access_key=access_key, secret_key=secret_key, secure=secure, http_client=pool)


class S3Store:
    """An `ObjectStore` in one bucket."""

    location = "s3"

    def __init__(self, client: Minio, bucket: str, prefix: str = "objects/") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def put_file(self, object_id: UUID, path: Path) -> None:
        with path.open("rb") as file:
            self._put(object_id, file, path.stat().st_size, file_sha256(path))

    def put_bytes(self, object_id: UUID, data: bytes) -> None:
        self._put(object_id, io.BytesIO(data), len(data), hashlib.sha256(data).digest())

    def read(self, object_id: UUID, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        size = self.size(object_id)
        check_range(start, length, size)
        wanted = size - start if length is None else min(length, size - start)
        if wanted == 0:
            return iter(())
        with self._translated(object_id):
            answer = self._client.get_object(self._bucket, self._key(object_id), offset=start, length=wanted)
        return self._pieces(object_id, answer, wanted)

    def size(self, object_id: UUID) -> int:
        with self._translated(object_id):
            return self._client.stat_object(self._bucket, self._key(object_id)).size or 0

    def delete(self, object_id: UUID) -> None:
        """Remove every version of the object.

        Raises:
            Conflict: `object_locked`: the bucket's retention keeps a version; it is still there.
        """
        self._delete_key(self._key(object_id))

    def ids(self) -> Iterator[UUID]:
        with self._translated(None):
            for entry in self._client.list_objects(self._bucket, prefix=self._prefix, recursive=True):
                name = str(entry.object_name).removeprefix(self._prefix)
                try:
                    yield UUID(hex=name)
                except ValueError:
                    continue  # not ours: somebody else's object below our prefix

    def check(self) -> None:
        with self._translated(None):
            if not self._client.bucket_exists(self._bucket):
                raise ConfigurationError("bucket_missing", f"there is no bucket {self._bucket}: create it first")
        key, data = f"{self._prefix}check-{uuid4().hex}", b"sunhall"  # no object's id: a scan must not take it for one
        with self._translated(None):
            self._client.put_object(self._bucket, key, io.BytesIO(data), len(data))
            answer = self._client.get_object(self._bucket, key)
            try:
                found = answer.read()
            finally:
                answer.close()
                answer.release_conn()
        self._delete_key(key)
        if found != data:
            raise Unavailable("object_store_away", f"bucket {self._bucket} does not give back what was written")

    def _key(self, object_id: UUID) -> str:
        return f"{self._prefix}{object_id.hex}"

    def _put(self, object_id: UUID, file: BinaryIO, size: int, digest: bytes) -> None:
        if self._exists(object_id):
            kept, _ = sha256_of(self.read(object_id))
            if kept != digest:
                raise Conflict("object_exists", f"object {object_id} exists with other bytes", object=str(object_id))
            return
        with self._translated(object_id):
            self._client.put_object(self._bucket, self._key(object_id), file, size, part_size=64 * 1024 * 1024)

    def _exists(self, object_id: UUID) -> bool:
        try:
            self._client.stat_object(self._bucket, self._key(object_id))
        except S3Error as error:
            if error.code in _ABSENT:
                return False
            raise _translate(error, self._bucket) from error
        except (MinioException, HTTPError) as error:
            raise _translate(error, self._bucket) from error
        return True

    def _delete_key(self, key: str) -> None:
        with self._translated(None):
            found = list(self._client.list_objects(self._bucket, prefix=key, include_version=True))
        for version in found:
            self._delete_version(key, version.version_id)

    def _delete_version(self, key: str, version_id: str | None) -> None:
        try:
            self._client.remove_object(self._bucket, key, version_id=version_id)
        except S3Error as error:
            if error.code in _ABSENT:
                return
            if error.code in _KEPT:
                name = key.removeprefix(self._prefix)
                raise Conflict("object_locked", f"the bucket's retention keeps object {name}", object=name) from error
            raise _translate(error, self._bucket) from error
        except (MinioException, HTTPError) as error:
            raise _translate(error, self._bucket) from error

    def _pieces(self, object_id: UUID, answer: Any, wanted: int) -> Iterator[bytes]:
        got = 0
        try:
            with self._translated(object_id):
                for piece in answer.stream(CHUNK):
                    got += len(piece)
                    yield piece
        finally:
            answer.close()
            answer.release_conn()
        if got != wanted:
            raise Unavailable("object_store_away", f"the bucket broke off after {got} of {wanted} bytes")

    @contextmanager
    def _translated(self, object_id: UUID | None) -> Iterator[None]:
        try:
            yield
        except S3Error as error:
            if object_id is not None and error.code in _ABSENT:
                raise missing(object_id, self.location) from error
            raise _translate(error, self._bucket) from error
        except (MinioException, HTTPError) as error:
            raise _translate(error, self._bucket) from error


def _translate(error: MinioException | HTTPError, bucket: str) -> Exception:
    if isinstance(error, S3Error):
        if error.code in _FULL:
            return StorageFull("disk_full", f"no room left in bucket {bucket}")
        if error.code in _OURS:
            return ConfigurationError("bucket_refused", f"bucket {bucket}: {error.code}: check its name and the keys")
        return Unavailable("object_store_away", f"bucket {bucket}: {error.code}")
    if isinstance(error, ServerError | InvalidResponseError):
        return Unavailable("object_store_away", f"bucket {bucket}: the server answered with an error")
    return Unavailable("object_store_away", f"bucket {bucket}: {type(error).__name__}")
