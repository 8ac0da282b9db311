"""Access to published versions for commands: errors of the storage become a TrainingError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from model.errors import FormatError
from settings import s3_settings_from_env
from storage.blobs import Blob, BlobStore, open_blobs
from storage.errors import BlobConflict, BlobNotFound, StorageError
from storage.networks import POINTER, POINTER_BYTES, Pointer, Snapshot, load_current
from training.errors import TrainingError, log


@contextlib.contextmanager
def open_store(uri: str) -> Iterator[BlobStore]:
    """Open a folder or s3://bucket/prefix. Raises TrainingError, also for what is refused or unusable in the block."""
    try:
        with open_blobs(uri, s3_settings_from_env()) as blobs:
            yield blobs
    except (StorageError, FormatError) as error:
        raise TrainingError(str(error)) from error


def load_model(uri: str) -> Snapshot:
    """Load the current version of a folder or s3://bucket/prefix. Raises TrainingError."""
    with open_store(uri) as blobs:
        return load_current(blobs)


def find_pointer(blobs: BlobStore) -> Blob | None:
    """Read latest.json, whatever it holds; None where there is none. Raises StorageError."""
    try:
        return blobs.get(POINTER, POINTER_BYTES)
    except BlobNotFound:
        return None


def latest(blobs: BlobStore) -> tuple[Pointer | None, str | None]:
    """Read the current pointer and its ETag, None for what is not there.

    A broken pointer is mentioned and counts as none, because it can be replaced. Raises StorageError.
    """
    found = find_pointer(blobs)
    if found is None:
        return None, None
    try:
        return Pointer.parse(found.data), found.etag
    except StorageError as error:
        log(f"nothing is served from {blobs.uri}: {error}")
        return None, found.etag


def point(blobs: BlobStore, pointer: Pointer, etag: str | None) -> None:
    """Write latest.json, if it still has that ETag, or is still missing. Raises TrainingError where it has not."""
    try:
        blobs.put(POINTER, pointer.to_json().encode(), if_match=etag, if_absent=etag is None)
    except BlobConflict as error:
        if latest(blobs)[0] != pointer:  # otherwise another process has just published the same version
            raise overtaken(blobs) from error


def overtaken(blobs: BlobStore) -> TrainingError:
    """The error of a process that is not the first to write latest.json."""
    return TrainingError(
        f"Another process has written {POINTER} in {blobs.uri} meanwhile, and its version is served: run this again."
    )


def megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
