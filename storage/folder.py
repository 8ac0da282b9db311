"""Objects as files below a folder."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO, Iterator

from storage.blobs import Blob, BlobInfo, BlobStore, Progress, check_key
from storage.errors import (
    BlobConflict,
    BlobNotFound,
    CorruptData,
    Rule,
    StorageFull,
    StorageRefused,
    StorageUnreachable,
)

CHUNK = 1 << 20  # bytes

# In the folder itself. Names of collections have no tilde, so they cannot collide.
LOCK = ".~lock"
PARTIAL = ".~partial"

NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


UNUSABLE = "The folder {uri} cannot be used: {error}."
FULL = Rule(StorageFull, "The folder {uri} takes no more: {error}.", "the disk is full")
BUSY = Rule(StorageUnreachable, UNUSABLE, "the folder cannot be reached")
REFUSED = Rule(StorageRefused, UNUSABLE, "the folder cannot be used")
RULES = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: FULL,
    errno.ENOENT: Rule(BlobNotFound, UNUSABLE, "there is no such folder"),
    errno.EIO: BUSY,
    errno.ESTALE: BUSY,
    errno.ETIMEDOUT: BUSY,
    errno.EMFILE: BUSY,
    errno.ENFILE: BUSY,
    errno.ENOLCK: BUSY,
}


class FolderBlobs(BlobStore):
    """Files below a folder, which the first `put` creates. Safe for several threads and processes.

    Writers take turns by locking a file in the folder; the system releases the lock when a process dies. Readers need
    no lock, because files are replaced as a whole. Files whose names begin with a dot are ignored.
    """

    def __init__(self, path: Path) -> None:
        self.uri = str(path)
        self._root = path

    def get(self, key: str, limit: int | None = None, deadline: float | None = None) -> Blob:
        path = self._path(key)
        with self._storage_errors():
            try:
                with path.open("rb") as file:
                    data = file.read() if limit is None else file.read(limit + 1)
            except NOT_THERE as error:
                raise BlobNotFound(f"The folder {self.uri} has no file {key}.", "a file is missing") from error
        if limit is not None and len(data) > limit:
            raise CorruptData(f"{path} is larger than {limit} bytes.", "a file is larger than it should be")
        return Blob(data, _etag(data))

    def get_if_changed(
        self, key: str, etag: str, limit: int | None = None, deadline: float | None = None
    ) -> Blob | None:
        # Size and time are not enough: two versions of equal size can be written within one tick of the clock.
        blob = self.get(key, limit)
        return None if blob.etag == etag else blob

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        path = self._path(key)
        with self._locked():
            if if_match is not None and self._current_etag(key) != if_match:
                raise BlobConflict(f"{path} was changed by another writer.", "another writer changed it")
            if if_absent and path.is_file():
                raise BlobConflict(f"{path} exists already.", "it exists already")
            with self._replacing(path) as file:
                file.write(data)
        return _etag(data)

    def put_file(self, key: str, path: Path, progress: Progress = lambda _: None) -> None:
        target = self._path(key)
        with path.open("rb") as source, self._locked(), self._replacing(target) as file:
            for chunk in iter(lambda: source.read(CHUNK), b""):
                file.write(chunk)
                progress(len(chunk))

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._storage_errors():
            if not self._root.exists():
                return
        with self._locked():
            with suppress(*NOT_THERE):
                path.unlink()
            self._remove_empty(path.parent)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        with self._storage_errors():
            yield from _walk(self._root, "", prefix)

    def local_path(self, key: str) -> Path | None:
        return self._path(key)

    def _path(self, key: str) -> Path:
        """Locate an object. Raises StorageRefused for keys that no file below the folder can have."""
        check_key(key)
        parts = key.split("/")
        if "" in parts or "\\" in key or parts[-1].startswith("."):
            raise StorageRefused(
                f"{key!r} is not a key that a file in {self.uri} can have.", "a file cannot have such a key"
            )
        return self._root.joinpath(*parts)

    def _current_etag(self, key: str) -> str | None:
        try:
            return self.get(key).etag
        except BlobNotFound:
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Exclude other writers, both threads and processes."""
        with self._storage_errors():
            self._root.mkdir(parents=True, exist_ok=True)
            with (self._root / LOCK).open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                try:
                    # Left by a writer that was killed. It may contain data that is being deleted now.
                    (self._root / PARTIAL).unlink(missing_ok=True)
                    yield
                finally:
                    # Closing is not enough: a process that was forked meanwhile would keep the lock.
                    fcntl.flock(lock, fcntl.LOCK_UN)

    @contextmanager
    def _replacing(self, path: Path) -> Iterator[BinaryIO]:
        """Open a file that replaces `path` when everything is written. Use it under the lock."""
        partial = self._root / PARTIAL
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    def _remove_empty(self, folder: Path) -> None:
        """Remove a folder if it is empty, then its empty parents, up to the store's root."""
        while folder != self._root:
            with suppress(*NOT_THERE):
                if any(folder.iterdir()):
                    return
                folder.rmdir()
            folder = folder.parent

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        """Convert OSError to StorageError."""
        try:
            yield
        except OSError as error:
            rule = RULES.get(error.errno or 0, REFUSED)
            raise rule.error(uri=self.uri, error=error.strerror or error) from error


def _walk(folder: Path, key: str, prefix: str) -> Iterator[BlobInfo]:
    """List the files below a folder whose keys begin with `prefix`. key: of the folder, with a slash at its end.

    Raises OSError if the uppermost folder cannot be read. Folders below it may disappear meanwhile.
    """
    with os.scandir(folder) as entries:
        # With the slash, because "a-b" comes before "a/b".
        found = sorted((f"{key}{entry.name}{'/' if entry.is_dir() else ''}", entry) for entry in entries)
    for name, entry in found:
        with suppress(*NOT_THERE):
            if name.endswith("/"):
                if name.startswith(prefix) or prefix.startswith(name):
                    yield from _walk(folder / entry.name, name, prefix)
            elif name.startswith(prefix) and not entry.name.startswith(".") and entry.is_file():
                state = entry.stat()
                yield BlobInfo(name, state.st_size, datetime.fromtimestamp(state.st_mtime, timezone.utc))


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
