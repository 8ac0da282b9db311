"""One interface for objects in an S3 bucket or in a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

from storage.addresses import check_address, is_s3
from storage.errors import StorageRefused
from storage.s3_settings import DEFAULT_POLICY, RetryPolicy, S3Settings

Progress = Callable[[int], object]  # called with the number of bytes that were sent since the last call


class Blob(NamedTuple):
    """Content of an object. etag: without quotes, changes whenever the bytes change."""

    data: bytes
    etag: str


class BlobInfo(NamedTuple):
    """An entry of a listing. key: relative to the store's prefix; modified: UTC."""

    key: str
    bytes: int
    modified: datetime


class BlobStore(ABC):
    """Objects below one prefix. Keys are relative to it, with slashes. Close after use, or use it in a `with` block.

    Every method raises a subclass of StorageError, see storage/errors.py.
    """

    uri: str  # as it was opened: a folder's path, or s3://bucket/prefix

    @abstractmethod
    def get(self, key: str, limit: int | None = None, deadline: float | None = None) -> Blob:
        """Read an object. limit: bytes; a larger object raises CorruptData. Raises BlobNotFound.

        deadline: give up at this time.monotonic(), if that is earlier than the policy's total. For calls that share
        one time limit.
        """

    @abstractmethod
    def get_if_changed(
        self, key: str, etag: str, limit: int | None = None, deadline: float | None = None
    ) -> Blob | None:
        """Read an object as `get` does, or return None if it still has that ETag."""

    @abstractmethod
    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Write an object atomically: readers see the old or the new object, never a part. -> its ETag.

        if_match: write only over the object with that ETag; if_absent: write only if there is no object. Raises
        BlobConflict otherwise. After StorageUnreachable it is unknown whether the object was written.
        """

    @abstractmethod
    def put_file(self, key: str, path: Path, progress: Progress = lambda _: None) -> None:
        """Write a large object from a local file. Raises OSError if that file cannot be opened."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an object. A missing object is not an error."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """List the objects whose keys begin with `prefix`, in the order of their keys.

        Raises BlobNotFound if the bucket or the folder itself does not exist.
        """

    def local_path(self, key: str) -> Path | None:
        """Return the path of an object on the local disk, or None for a remote store."""
        return None

    def close(self) -> None:  # noqa: B027 - a folder has none
        """Release connections."""

    def __enter__(self) -> BlobStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_blobs(uri: str, settings: S3Settings, policy: RetryPolicy = DEFAULT_POLICY) -> BlobStore:
    """Open s3://bucket/prefix, or a folder by its path. Does not connect yet. Raises StorageRefused.

    settings, policy: for S3 only.
    """
    # Imported here because both build on this module, and because a folder needs neither urllib3 nor botocore.
    try:
        check_address(uri)
    except ValueError as error:
        raise StorageRefused(str(error), "the address is of another kind") from error
    if is_s3(uri):
        from storage.s3 import S3Blobs

        return S3Blobs(uri, settings, policy)
    from storage.folder import FolderBlobs

    return FolderBlobs(Path(uri))


def check_key(key: str) -> None:
    """Refuse invalid keys: empty, with `.` or `..` between slashes, or not UTF-8. Raises StorageRefused."""
    # HTTP libraries resolve dots in paths, so in S3 such a key would name another object.
    if key and not {".", ".."} & set(key.split("/")) and "\0" not in key and _is_utf8(key):
        return
    raise StorageRefused(f"{key!r} is not a key that an object can have.", "an object cannot have such a key")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
