"""Versions in a folder: written by export and enrol, listed and rolled back in any store."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from model.gallery import Gallery
from storage.blobs import BlobStore
from storage.cache import sha256_of
from storage.folder import LOCK, FolderBlobs
from storage.galleries import write_gallery
from storage.networks import FILE, OWN_POINTER, POINTER_BYTES, PROBES, VERSION, Pointer
from training.errors import TrainingError, log
from training.store import latest, megabytes, open_store, point


class Version(NamedTuple):
    """A complete version. current: the one that is served."""

    pointer: Pointer
    current: bool


def write_version(
    models: Path,
    write_network: Callable[[Path], object],
    gallery: Gallery,
    collection: str,
    probes: bytes | None,
    etag: str | None,
) -> Pointer:
    """Write a new version below `models`, then the pointer to it. An interruption leaves the old version in force.

    write_network: writes the network's file to a path; probes: as of `pack_probes`; etag: of the pointer that is
    replaced, None where there is none. Raises TrainingError where another process has written a version meanwhile,
    StorageError.
    """
    partial = models / ".new"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        write_network(partial / FILE)
        blobs = FolderBlobs(partial)
        manifest = write_gallery(blobs, f"galleries/{collection}/", collection, gallery)
        digest = hashlib.sha256(manifest).hexdigest()
        size = (partial / FILE).stat().st_size
        pointer = Pointer.to(sha256_of(partial / FILE), size, collection, digest, datetime.now(timezone.utc))
        if probes is not None:
            blobs.put(PROBES, probes)
        blobs.put(OWN_POINTER, pointer.to_json().encode())
        (partial / LOCK).unlink()
        if not (models / pointer.version).exists():
            os.replace(partial, models / pointer.version)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    point(FolderBlobs(models), pointer, etag)
    return pointer


def list_versions(blobs: BlobStore) -> list[Version]:
    """List the complete versions, oldest first. Raises StorageError."""
    current, _ = latest(blobs)
    pointers = []
    for entry in blobs.list():
        version, _, file = entry.key.partition("/")
        if VERSION.fullmatch(version) and file == OWN_POINTER:
            pointers.append(Pointer.parse(blobs.get(entry.key, POINTER_BYTES).data))
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
        _check_network(blobs, pointer)
        point(blobs, pointer, etag)
    log(f"{uri} now serves {version}, before it was {before.version if before else 'nothing that is there'}")


def _check_network(blobs: BlobStore, pointer: Pointer) -> None:
    """Raises TrainingError where the file is not the one that was published."""
    local = blobs.local_path(pointer.file)
    digest = sha256_of(local) if local else hashlib.sha256(blobs.get(pointer.file).data).hexdigest()
    if digest != pointer.sha256:
        raise TrainingError(
            f"{pointer.file} in {blobs.uri} is not the file that was published: its checksum starts with {digest[:8]}. "
            "latest.json is as it was."
        )
