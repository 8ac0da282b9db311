"""Access to published versions for commands: storage errors become a TrainingError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from model.errors import FormatError
from settings import s3_settings_from_env
from storage.blobs import BlobStore, open_blobs
from storage.errors import BlobConflict, BlobNotFound, StorageError
from storage.networks import POINTER, POINTER_BYTES, Pointer, Snapshot, load_current
from training.errors import TrainingError, log


@contextlib.contextmanager
def open_store(uri: str) -> Iterator[BlobStore]:
    """Open a folder or s3://bucket/prefix. Raises TrainingError, also for what the storage refuses meanwhile."""
    try:
        with open_blobs(uri, s3_settings_from_env()) as blobs:
            yield blobs
    except StorageError as error:
        raise TrainingError(str(error)) from error


def load_model(uri: str) -> Snapshot:
    """Load the current version of a folder or s3://bucket/prefix. Raises TrainingError."""
    with open_store(uri) as blobs:
        try:
            return load_current(blobs)
        except FormatError as error:
            raise TrainingError(str(error)) from error


def latest(blobs: BlobStore) -> tuple[Pointer | None, str | None]:
    """Read the current pointer and its ETag, None for what is not there.

    A broken pointer is mentioned and counts as none, because it can be replaced. Raises StorageError.
    """
    try:
        found = blobs.get(POINTER, POINTER_BYTES)
    except BlobNotFound:
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
        raise TrainingError(
            f"Another version was written to {blobs.uri} at the same time, and that one is served: run this again to "
            f"serve {pointer.version}."
        ) from error


def megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
