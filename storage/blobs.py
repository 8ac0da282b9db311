"""One interface for objects in an S3 bucket or in a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

Progress = Callable[[int], object]  # called with the number of bytes that were sent since the last call


class Blob(NamedTuple):
    """etag: changes whenever the bytes do, without quotes."""

    data: bytes
    etag: str


class BlobInfo(NamedTuple):
    """An entry of a listing. key: relative to the store's prefix; modified: UTC."""

    key: str
    bytes: int
    modified: datetime


class BlobStore(ABC):
    """Objects below one prefix. Keys are relative to it, with slashes. Close after use.

    Every method raises StorageError, of the class that storage/errors.py names for the case.
    """

    uri: str  # as it was opened: a folder's path, or s3://bucket/prefix

    @abstractmethod
    def get(self, key: str, limit: int | None = None) -> Blob:
        """Read an object. limit: bytes; a larger object raises CorruptData. Raises BlobNotFound."""

    @abstractmethod
    def get_if_changed(self, key: str, etag: str) -> Blob | None:
        """Read an object unless it still has that ETag: None then. Raises BlobNotFound."""

    @abstractmethod
    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Write an object at once: readers see all of it or the old one. -> its ETag.

        if_match: only over the object with that ETag; if_absent: only where there is none; else BlobConflict is raised.
        """

    @abstractmethod
    def put_file(self, key: str, path: Path, progress: Progress = lambda _: None) -> None:
        """Write a large object from a local file."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """List the objects whose keys begin with `prefix`, in the order of their keys."""

    def local_path(self, key: str) -> Path | None:
        """Where an object lies on this machine's disk. None for a store elsewhere."""
        return None

    def close(self) -> None:
        """Release connections."""
