"""Verified copies of a store's objects in the temp folder, and a note which version was served last.

Lambda keeps the temp folder when it starts a function again after a crash or a timeout.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Collection, NamedTuple

from storage.blobs import BlobStore
from storage.errors import BlobNotFound, CorruptData, StorageFull, StorageRefused, StorageUnreachable

CHUNK = 1 << 20  # bytes
PARTIAL = ".partial"  # a file that is being written


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

    def __init__(self, blobs: BlobStore, deadline: float | None = None, offline: bool = False) -> None:
        """deadline: time.monotonic() at which reading is given up; offline: use the copies alone.

        Raises StorageFull where no temp folder can be written to.
        """
        self.blobs, self._deadline, self._offline = blobs, deadline, offline
        try:
            self._folder = Path(tempfile.gettempdir())
        except OSError as error:
            raise _no_room() from error
        self._name = "faces-" + hashlib.sha256(blobs.uri.rstrip("/").encode()).hexdigest()[:16]
        self.note = self._folder / f"{self._name}.json"

    def read(self, key: str, limit: int) -> bytes:
        """Read an object that may change, of at most `limit` bytes. Raises StorageError."""
        if self._offline:
            raise StorageUnreachable(f"There is no copy of {key}.", "the storage cannot be reached")
        return self.blobs.get(key, limit, self._deadline).data

    def fetch(self, item: Item) -> Path:
        """Return a verified local file. Raises StorageError, CorruptData for another content."""
        local = self.blobs.local_path(item.key)
        if local is not None:
            return _verified(local, item)
        found = self.find(item)
        return found if found else self.add(item, self.read(item.key, item.limit))

    def find(self, item: Item) -> Path | None:
        """Return the verified copy, if there is one."""
        path = self._path(item.sha256)
        try:
            return path if sha256_of(path) == item.sha256 else None
        except OSError:
            return None

    def add(self, item: Item, data: bytes) -> Path:
        """Keep a copy. Raises CorruptData for another content, StorageFull."""
        if hashlib.sha256(data).hexdigest() != item.sha256:
            raise changed(item.key)
        path = self._path(item.sha256)
        try:
            self._write(path, data)
        except OSError as error:
            raise _no_room() from error
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
            if path not in kept and path.suffix != PARTIAL:
                path.unlink()

    def last_good(self) -> str | None:
        """Return the pointer that was noted last for this store, if any."""
        try:
            # In a temp folder of several users anybody can write a note, and the note decides which code runs.
            if self.note.stat().st_uid != os.getuid():
                return None
            content = json.loads(self.note.read_bytes())
            return str(content["pointer"]) if content["uri"] == self.blobs.uri else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _path(self, digest: str) -> Path:
        return self._folder / f"{self._name}-{digest[:32]}"

    def _write(self, path: Path, data: bytes) -> None:
        """Write all or nothing, under a name of its own until then: other processes may write the same file."""
        handle, partial = tempfile.mkstemp(dir=self._folder, prefix=f"{self._name}-", suffix=PARTIAL)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)


def _verified(path: Path, item: Item) -> Path:
    try:
        if sha256_of(path) != item.sha256:
            raise changed(item.key)
    except FileNotFoundError as error:
        raise BlobNotFound(f"{path} is missing.", "a file is missing") from error
    except OSError as error:
        raise StorageRefused(f"{path} cannot be read: {error.strerror}.", "a file cannot be read") from error
    return path


def changed(key: str) -> CorruptData:
    """The error for an object with another content than it was published with."""
    return CorruptData(
        f"{key} is not the file that was published: its checksum differs.",
        "a file is not the one that was published: its checksum differs",
    )


def _no_room() -> StorageFull:
    return StorageFull(
        "The temp folder is full or cannot be written to.", "the temp folder is full or cannot be written to"
    )
