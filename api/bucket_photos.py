"""Photos in a bucket: the one way to read and identify them, and the one form of their results.

Used for photos that a notification names (api/bulk.py) and for batches of photos that are there already
(api/batches.py).
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Callable, Union

from api.dialects import native
from api.dialects.native import Json
from api.errors import TooLarge
from api.forms import base_name
from api.problems import Problem, attempt, describe_error
from api.s3_events import S3Photo
from api.telemetry import Telemetry
from service.errors import ModelUnavailable, UnknownCollection
from service.results import Identification, IdentifyOptions
from storage.blobs import Blob, BlobStore
from storage.errors import BlobNotFound, CorruptData, StorageError, StorageUnreachable

if TYPE_CHECKING:  # the service imports torch
    from service.faces import FaceService

MAX_BYTES = 25_000_000  # of a photo, which does not have to fit into a request here
TRANSIENT = (ModelUnavailable, StorageUnreachable)  # say nothing about the photo

TOO_LARGE = describe_error(TooLarge(f"The photo has more than {MAX_BYTES / 1e6:.0f} MB."))

OpenBucket = Callable[[str], BlobStore]  # by name
Outcome = Union[Identification, Problem]


def without_names(error: StorageError) -> StorageError:
    """Return the error without names: Lambda logs the message, and a key may contain a person's name."""
    return type(error)(f"The bucket cannot be used: {error.reason}.", error.reason)


def read_photo(bucket: BlobStore, key: str) -> Blob | Problem | None:
    """Read a photo. -> its bytes, or the problem with them, or None if it is gone.

    Raises StorageError, BlobNotFound only if the bucket is missing.
    """
    try:
        return bucket.get(key, MAX_BYTES)
    except BlobNotFound:
        next(bucket.list(key), None)  # raises BlobNotFound if the bucket is missing, not only the photo
        return None
    except CorruptData:
        return TOO_LARGE


def result(photo: S3Photo, outcome: Outcome, request_id: str) -> Json:
    """Encode the result of a photo. photo: with the ETag of the bytes that were read."""
    if isinstance(outcome, Problem):
        body = native.error(outcome, request_id)
    else:
        body = native.identification(base_name(photo.key), outcome, request_id, all_faces=True)
    return {**body, "source": photo._asdict()}


class PhotoIdentifier:
    """Identifies all faces in photos."""

    def __init__(self, service: FaceService, telemetry: Telemetry) -> None:
        self._service, self.telemetry = service, telemetry

    def version(self) -> str:
        """Return the model's version. Raises ModelUnavailable."""
        return self._service.model().version

    def identify(self, image: bytes, request_id: str, collection: str | None = None) -> Outcome:
        """Identify all faces. A bug is one photo's failure, as it is one request's.

        collection: None for the default. Raises TRANSIENT errors; UnknownCollection.
        """
        options = IdentifyOptions(all_faces=True, collection=collection)
        log_bug = functools.partial(self.telemetry.bug, request_id)
        let_through = (*TRANSIENT, UnknownCollection)
        return attempt(lambda: self._service.identify(image, options), log_bug, let_through)

    def record(self, outcome: Outcome, started: float) -> None:
        """Record a photo in the metrics. started: time.perf_counter() before it was read."""
        self.telemetry.photo(outcome, (time.perf_counter() - started) * 1000)
