"""Photos dropped in a bucket, answered as JSON in the same bucket.

`photos/a/b.jpg` leaves `results/a/b.jpg.json`, or `failures/a/b.jpg.json` with the error. S3 may name a photo twice,
and Lambda retries an event that ended in an error: a photo that the same model has answered is skipped.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from api.bucket_photos import MAX_BYTES, OpenBucket, Outcome, PhotoIdentifier, read_photo, result, without_names
from api.errors import BadRequest
from api.photo_keys import FAILURES, RESULTS
from api.problems import Problem
from api.s3_events import S3Photo, parse_object_events
from api.telemetry import Telemetry
from storage.blobs import BlobStore
from storage.errors import BlobNotFound, CorruptData, StorageError

if TYPE_CHECKING:  # the service imports torch
    from service.faces import FaceService

PHOTOS = "photos/"


class BulkRecognition:
    """Identifies the photos that S3 notifications name."""

    def __init__(self, service: FaceService, telemetry: Telemetry, open_bucket: OpenBucket) -> None:
        self._photos, self._open_bucket = PhotoIdentifier(service, telemetry), open_bucket

    def process_event(self, event: Any, request_id: str) -> dict[str, int]:
        """Answer the photos of S3's events (api/s3_events.py) and return their number by kind of result: answered,
        failed, done_before, gone, or ignored.

        Other keys are ignored, so that results are not processed as photos, and so are other events of S3. Raises
        ModelUnavailable or StorageError, and, after all photos, BadRequest for messages that are not of S3: Lambda
        then retries the event.
        """
        found, version = parse_object_events(event), self._photos.version()
        counts = {"ignored": found.ignored, "refused": found.refused}
        for photo in found.photos:
            is_ours = photo.key.startswith(PHOTOS) and not photo.key.endswith("/")
            kind = self._process(photo, version, request_id) if is_ours else "ignored"
            counts[kind] = counts.get(kind, 0) + 1
        counts = {kind: count for kind, count in counts.items() if count}
        self._photos.telemetry.photos(request_id, counts)
        if found.refused:
            raise BadRequest(
                "The event has messages that are not complete notifications from S3, directly or through SNS, SQS or "
                f"EventBridge: {found.refused}."
            )
        return counts

    def _process(self, photo: S3Photo, version: str, request_id: str) -> str:
        started = time.perf_counter()
        try:
            with closing(self._open_bucket(photo.bucket)) as bucket:
                kind, outcome = self._answer(_Job(photo, bucket, version, request_id))
        except StorageError as error:
            raise without_names(error) from None
        if outcome is not None:
            self._photos.record(outcome, started)
        return kind

    def _answer(self, job: _Job) -> tuple[str, Outcome | None]:
        """Return the kind of result, and of a photo that was read what came of it."""
        if job.is_done():
            return "done_before", None
        read = read_photo(job.bucket, job.photo.key)
        if read is None:
            return "gone", None
        if isinstance(read, Problem):
            job.leave(read, job.photo.etag)
            return "failed", read
        outcome = self._photos.identify(read.data, job.request_id)
        job.leave(outcome, read.etag)
        return "failed" if isinstance(outcome, Problem) else "answered", outcome


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

    def leave(self, outcome: Outcome, etag: str) -> None:
        """Write the result or failure and remove what an earlier attempt left. etag: of the bytes that were read."""
        prefix, other = (FAILURES, RESULTS) if isinstance(outcome, Problem) else (RESULTS, FAILURES)
        answer = result(self.photo._replace(etag=etag), outcome, self.request_id)
        self.bucket.put(self._beside(prefix), json.dumps(answer, ensure_ascii=False).encode())
        self.bucket.delete(self._beside(other))

    def _beside(self, prefix: str) -> str:
        return f"{prefix}{self.photo.key[len(PHOTOS) :]}.json"
