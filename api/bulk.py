"""Photos dropped in a bucket, answered as JSON in the same bucket.

`photos/a/b.jpg` leaves `results/a/b.jpg.json`, or `failures/a/b.jpg.json` with the error. S3 may name a photo twice,
and Lambda retries an event that ended in an error: a photo that the same model has answered is skipped.
"""

from __future__ import annotations

import functools
import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple

from api.dialects import native
from api.dialects.native import Json
from api.errors import TooLarge
from api.forms import base_name
from api.lambda_events import S3Photo, s3_photos
from api.problems import Problem, attempt, describe_error
from api.telemetry import Telemetry
from service.errors import ModelUnavailable
from service.results import Identification, IdentifyOptions
from storage.blobs import BlobStore
from storage.errors import BlobNotFound, CorruptData, StorageError, StorageUnreachable

if TYPE_CHECKING:  # the service imports torch
    from service.faces import FaceService

PHOTOS, RESULTS, FAILURES = "photos/", "results/", "failures/"
MAX_BYTES = 25_000_000  # of a photo, which does not have to fit into a request here
TRANSIENT = (ModelUnavailable, StorageUnreachable)  # say nothing about the photo

OpenBucket = Callable[[str], BlobStore]


class BulkRecognition:
    """Identifies the photos that S3 notifications name."""

    def __init__(
        self, service: FaceService, telemetry: Telemetry, open_bucket: OpenBucket, max_bytes: int = MAX_BYTES
    ) -> None:
        """open_bucket: opens a bucket by name; max_bytes: of a photo."""
        self._service, self._telemetry = service, telemetry
        self._open_bucket, self._max_bytes = open_bucket, max_bytes

    def process_event(self, event: Mapping[str, Any], request_id: str) -> dict[str, int]:
        """Answer the photos of an S3 notification and return their number by kind of result: answered, failed,
        done_before or gone.

        Other keys are ignored, so that results are not processed as photos. Raises ModelUnavailable or StorageError:
        Lambda then retries the event.
        """
        version = self._service.model().version
        counts: dict[str, int] = {}
        for photo in s3_photos(event):
            if photo.key.startswith(PHOTOS) and not photo.key.endswith("/"):
                kind = self._process(photo, version, request_id)
                counts[kind] = counts.get(kind, 0) + 1
        self._telemetry.photos(request_id, counts)
        return counts

    def _process(self, photo: S3Photo, version: str, request_id: str) -> str:
        started = time.perf_counter()
        try:
            with closing(self._open_bucket(photo.bucket)) as bucket:
                kind, outcome = self._answer(_Job(photo, bucket, version, request_id))
        except StorageError as error:
            # Lambda logs the message, and a key may contain a person's name.
            raise type(error)(f"The bucket cannot be used: {error.reason}.", error.reason) from None
        if outcome is not None:
            self._telemetry.photo(outcome, (time.perf_counter() - started) * 1000)
        return kind

    def _answer(self, job: _Job) -> tuple[str, Identification | Problem | None]:
        """Return the kind of result, and of a photo that was read what came of it."""
        if job.is_done():
            return "done_before", None
        outcome: Identification | Problem
        etag = job.photo.etag
        try:
            image, etag = job.bucket.get(job.photo.key, self._max_bytes)
        except BlobNotFound:
            job.check_bucket()
            return "gone", None
        except CorruptData:
            outcome = describe_error(TooLarge(f"The photo has more than {self._max_bytes / 1e6:.0f} MB."))
        else:
            outcome = self._identify(image, job.request_id)
        job.leave(outcome, etag)
        return "failed" if isinstance(outcome, Problem) else "answered", outcome

    def _identify(self, image: bytes, request_id: str) -> Identification | Problem:
        """A bug is one photo's failure, as it is one request's. Raises TRANSIENT errors."""
        options = IdentifyOptions(all_faces=True)
        log_bug = functools.partial(self._telemetry.bug, request_id)
        return attempt(lambda: self._service.identify(image, options), log_bug, let_through=TRANSIENT)


class _Job(NamedTuple):
    """One photo of a notification. version: of the model."""

    photo: S3Photo
    bucket: BlobStore
    version: str
    request_id: str

    def is_done(self) -> bool:
        """Check whether the result is about these bytes and from this model."""
        try:
            found = json.loads(self.bucket.get(self._beside(RESULTS), MAX_BYTES).data)
            return (found["source"]["etag"], found["model"]["version"]) == (self.photo.etag, self.version)
        except (BlobNotFound, CorruptData, ValueError, TypeError, KeyError, RecursionError):
            return False

    def check_bucket(self) -> None:
        """Raise BlobNotFound if the bucket is missing, not only the photo."""
        next(self.bucket.list(self.photo.key), None)

    def leave(self, outcome: Identification | Problem, etag: str) -> None:
        """Write the result or failure and remove what an earlier attempt left. etag: of the bytes that were read."""
        if isinstance(outcome, Problem):
            body, prefix, other = native.error(outcome, self.request_id), FAILURES, RESULTS
        else:
            name = base_name(self.photo.key)
            body = native.identification(name, outcome, self.request_id, all_faces=True)
            prefix, other = RESULTS, FAILURES
        answer: Json = {**body, "source": self.photo._replace(etag=etag)._asdict()}
        self.bucket.put(self._beside(prefix), json.dumps(answer, ensure_ascii=False).encode())
        self.bucket.delete(self._beside(other))

    def _beside(self, prefix: str) -> str:
        return f"{prefix}{self.photo.key[len(PHOTOS) :]}.json"
