"""Verified copies of a store's objects in the temp folder, and a note which version was served last.

Lambda keeps the temp folder when it starts a function again after a crash or a timeout.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Collection, NamedTuple

from storage.blobs import BlobStore
from storage.errors import BlobNotFound, CorruptData, StorageFull, StorageRefused, StorageUnreachable

CHUNK = 1 << 20  # bytes
PARTIAL = ".partial"  # a file that is being written
ABANDONED = 3600  # seconds after which its writer is taken for dead; writing takes less than one


class Item(NamedTuple):
    """An object that never changes. limit: bytes, at most or exactly."""

    key: str
    sha256: str
    limit: int


def sha256_of(path: Path) -> str:
    """64 hex digits. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


class CachedStore:
    """Reads immutable objects of a store: in place from a folder, through verified copies from S3."""

    def __init__(
        self, blobs: BlobStore, deadline: float | None = None, offline: bool = False, folder: Path | None = None
    ) -> None:
        """deadline: time.monotonic() at which reading is given up; offline: use the copies alone; folder: for the
        copies, None for the temp folder.

        Raises StorageFull where no temp folder can be written to.
        """
        self.blobs, self._deadline, self._offline = blobs, deadline, offline
        try:
            self._folder = folder or Path(tempfile.gettempdir())
        except OSError as error:
            raise _no_room() from error
        # With the user's ID, because several users may share a temp folder and cannot replace each other's files.
        address = hashlib.sha256(blobs.uri.rstrip("/").encode()).hexdigest()[:16]
        self._name = f"faces-{os.getuid()}-{address}"
        self.note = self._folder / f"{self._name}.json"

    def read(self, key: str, limit: int) -> bytes:
        """Read an object that may change, of at most `limit` bytes. Raises StorageError."""
        if self._offline:
            raise StorageUnreachable(f"There is no copy of {key}.", "the storage cannot be reached")
        return self.blobs.get(key, limit, self._deadline).data

    def load(self, item: Item) -> bytes:
        """Read and verify an object. Raises StorageError, CorruptData for another content."""
        if self.blobs.local_path(item.key) is not None:
            return self._read_verified(item)
        path = self._path(item.sha256)
        with suppress(OSError):
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == item.sha256:
                return data
        return self._keep(path, self._read_verified(item))

    def fetch(self, item: Item) -> Path:
        """Return a verified local file. Raises StorageError, CorruptData for another content."""
        local = self.blobs.local_path(item.key)
        if local is not None:
            return _verified(local, item)
        path = self._path(item.sha256)
        if not _is_good(path, item.sha256):
            self._keep(path, self._read_verified(item))
        return path

    def mark_good(self, pointer: str, digests: Collection[str]) -> None:
        """Note that a version can be served, and remove copies of other objects. A store in a folder needs no note.

        pointer: the version's pointer as JSON; digests: SHA-256 of the objects that belong to it. Raises OSError.
        """
        if self.blobs.local_path(self.note.name) is not None:
            return
        self._write(self.note, json.dumps({"uri": self.blobs.uri, "pointer": pointer}).encode())
        kept = {self._path(digest) for digest in digests}
        for path in self._folder.glob(f"{self._name}-*"):
            if path not in kept and (path.suffix != PARTIAL or time.time() - path.stat().st_mtime > ABANDONED):
                path.unlink()

    def last_good(self) -> str | None:
        """Return the pointer that was noted last for this store, if any."""
        try:
            if not _is_ours(self.note):
                return None
            content = json.loads(self.note.read_bytes())
            return str(content["pointer"]) if content["uri"] == self.blobs.uri else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def _path(self, digest: str) -> Path:
        return self._folder / f"{self._name}-{digest[:32]}"

    def _read_verified(self, item: Item) -> bytes:
        data = self.read(item.key, item.limit)
        if hashlib.sha256(data).hexdigest() != item.sha256:
            raise _changed(item.key)
        return data

    def _keep(self, path: Path, data: bytes) -> bytes:
        """Write a copy and return its content. Raises StorageFull."""
        try:
            self._write(path, data)
        except OSError as error:
            raise _no_room() from error
        return data

    def _write(self, path: Path, data: bytes) -> None:
        """Write all or nothing, under a name of its own until then: other processes may write the same file."""
        handle, partial = tempfile.mkstemp(dir=self._folder, prefix=f"{self._name}-", suffix=PARTIAL)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    """Check who owns a file. Raises OSError."""
    # Several users may share a temp folder, anybody can write to it, and a model is code that is run.
    return path.lstat().st_uid == os.getuid()


def _is_good(path: Path, sha256: str) -> bool:
    try:
        return _is_ours(path) and sha256_of(path) == sha256
    except OSError:
        return False


def _verified(path: Path, item: Item) -> Path:
    """Verify a file in place. Raises StorageError."""
    try:
        if sha256_of(path) != item.sha256:
            raise _changed(item.key)
    except FileNotFoundError as error:
        raise BlobNotFound(f"{path} is missing.", "a file is missing") from error
    except OSError as error:
        raise StorageRefused(f"{path} cannot be read: {error.strerror}.", "a file cannot be read") from error
    return path


def _changed(key: str) -> CorruptData:
    return CorruptData(
        f"{key} is not the file that was published: its checksum differs.",
        "a file is not the one that was published: its checksum differs",
    )


def _no_room() -> StorageFull:
    return StorageFull(
        "The temp folder is full or cannot be written to.", "the temp folder is full or cannot be written to"
    )
