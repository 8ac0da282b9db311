"""Versions: written to a folder by export, listed and rolled back in any store."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from model.gallery import Gallery
from storage.blobs import BlobStore
from storage.cache import CachedStore, sha256_of
from storage.errors import BlobNotFound, CorruptData
from storage.folder import LOCK, FolderBlobs
from storage.galleries import write_gallery
from storage.networks import FILE, OWN_POINTER, POINTER_BYTES, VERSION, Pointer, check_version
from training.errors import TrainingError, log
from training.store import find_pointer, latest, megabytes, open_store, overtaken, point

# In the folder of versions. No version has such a name.
DRAFT = ".~draft"
DRAFT_LOCK = ".~draft.lock"


class Version(NamedTuple):
    """A complete version. current: the one that is served."""

    pointer: Pointer
    current: bool


def write_version(
    models: Path,
    write_network: Callable[[Path], object],
    gallery: Gallery,
    collection: str,
    etag: str | None,
) -> Pointer:
    """Write a new version below `models`, then the pointer to it. An interruption leaves the old version in force.

    write_network: writes the network's file to a path; etag: of the pointer that is replaced, None where there is none.
    Raises StorageError, OSError; TrainingError where another process is writing a version, or has written one since
    that pointer was read.
    """
    blobs = FolderBlobs(models)
    with _draft(models) as draft:
        before = find_pointer(blobs)
        if (before.etag if before else None) != etag:
            raise overtaken(blobs)
        write_network(draft / FILE)
        pointer = _complete(draft, gallery, collection)
        try:
            # The same network and people have been written before, for example by an export that was then interrupted.
            pointer = _own_pointer(blobs, pointer.version)
        except (BlobNotFound, CorruptData):
            shutil.rmtree(models / pointer.version, ignore_errors=True)  # incomplete, if it is there at all
            os.replace(draft, models / pointer.version)
        point(blobs, pointer, etag)
    return pointer


@contextmanager
def _draft(models: Path) -> Iterator[Path]:
    """Provide an empty folder for a new version, to one process at a time. Raises TrainingError, OSError."""
    models.mkdir(parents=True, exist_ok=True)
    with (models / DRAFT_LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                f"Another process is writing a version to {models} at the moment: run this again when it is done."
            ) from error
        draft = models / DRAFT
        try:
            shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
            draft.mkdir()
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            fcntl.flock(lock, fcntl.LOCK_UN)


def _complete(draft: Path, gallery: Gallery, collection: str) -> Pointer:
    """Write all of a version but its network, which is there. Raises StorageError, OSError."""
    blobs = FolderBlobs(draft)
    manifest = write_gallery(blobs, f"galleries/{collection}/", collection, gallery)
    pointer = Pointer.to(
        sha256_of(draft / FILE),
        (draft / FILE).stat().st_size,
        collection,
        hashlib.sha256(manifest).hexdigest(),
        datetime.now(timezone.utc),
    )
    blobs.put(OWN_POINTER, pointer.to_json().encode())
    (draft / LOCK).unlink()
    return pointer


def _own_pointer(blobs: BlobStore, version: str) -> Pointer:
    """Read a version's own pointer. Raises StorageError, BlobNotFound where the version is incomplete or missing."""
    key = f"{version}/{OWN_POINTER}"
    return Pointer.parse(blobs.get(key, POINTER_BYTES).data, key)


def list_versions(blobs: BlobStore) -> list[Version]:
    """List the complete versions, oldest first. One with a broken pointer of its own is mentioned and left out.

    Raises StorageError.
    """
    current, _ = latest(blobs)
    pointers = []
    for entry in blobs.list():
        version, _, file = entry.key.partition("/")
        if VERSION.fullmatch(version) and file == OWN_POINTER:
            try:
                pointers.append(_own_pointer(blobs, version))
            except CorruptData as error:
                log(f"left out: {error}")
    served = current.version if current else None
    pointers.sort(key=lambda pointer: (pointer.created, pointer.version))
    return [Version(pointer, pointer.version == served) for pointer in pointers]


def versions(uri: str) -> list[Version]:
    """List the versions in a folder or s3://bucket/prefix, oldest first. Raises TrainingError."""
    with open_store(uri) as blobs:
        return list_versions(blobs)


def table(found: Sequence[Version]) -> str:
    """Format versions for printing, without a newline at the end; `*` marks the current one."""
    if not found:
        return "There are no versions."
    sizes = [megabytes(one.pointer.bytes) for one in found]
    width = max(map(len, sizes))
    head = f"  {'version':17}  {'size':>{width}}  created"
    rows = [
        f"{'*' if one.current else ' '} {one.pointer.version:17}  {size:>{width}}  {one.pointer.created}"
        for one, size in zip(found, sizes)
    ]
    return "\n".join([head, *rows])


def rollback(uri: str, version: str) -> None:
    """Point latest.json of a folder or s3://bucket/prefix at a version that is there. Raises TrainingError.

    The pointer is written last: any earlier error leaves it as it was.
    """
    with open_store(uri) as blobs:
        before, etag = latest(blobs)
        found = {one.pointer.version: one.pointer for one in list_versions(blobs)}
        if version not in found:
            there = f"there are {', '.join(found)}" if found else "there are none at all"
            raise TrainingError(f"{uri} has no version {version}: {there}.")
        pointer = found[version]
        if before == pointer:
            log(f"{uri} serves {version} already, nothing is changed")
            return
        # Copies are of no use later: this machine need not be one that serves.
        with tempfile.TemporaryDirectory() as copies:
            check_version(CachedStore(blobs, folder=Path(copies)), pointer)
        point(blobs, pointer, etag)
    log(f"{uri} now serves {version}, before it was {before.version if before else 'nothing that is there'}")
