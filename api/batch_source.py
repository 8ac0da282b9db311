"""Photos of a bucket for a batch: each problem with one of them is a result of its own, as long as S3 gives others."""

from __future__ import annotations

from api.batch_record import Answers
from api.bucket_photos import MAX_BYTES, TOO_LARGE, read_photo
from api.dialects.native import Json
from api.problems import Problem
from storage.blobs import Blob, BlobStore, check_key
from storage.errors import StorageRefused

ARCHIVED_CLASSES = ("GLACIER", "DEEP_ARCHIVE")  # of storage, which S3 does not read

GONE = Problem(404, "gone", "The object was deleted after it had been listed.")
BAD_KEY = Problem(400, "bad_key", "The key has a segment . or .. or bytes that are not UTF-8, and cannot be read.")
ARCHIVED = Problem(403, "archived", "The object is archived: restore it first.")
REFUSED = Problem(403, "refused", "S3 refuses to give the object.")


class Source:
    """Reads photos of one bucket, whose name is `name`."""

    def __init__(self, bucket: BlobStore, name: str) -> None:
        self.bucket, self.name = bucket, name
        self._refusal: StorageRefused | None = None

    def read(self, key: str, size: int = 0, storage: str = "") -> Blob | Problem:
        """Read a photo. size, storage: bytes and storage class of the listing. Raises StorageUnreachable."""
        try:
            check_key(key)
        except StorageRefused:
            return BAD_KEY
        if size > MAX_BYTES:
            return TOO_LARGE
        if storage in ARCHIVED_CLASSES:
            return ARCHIVED
        try:
            found = read_photo(self.bucket, key)
        except StorageRefused as error:
            self._refusal = error
            return REFUSED
        return GONE if found is None else found

    def check(self, answers: Answers) -> None:
        """Raise StorageRefused if S3 has refused every photo: the reason is hardly the photos."""
        if self._refusal and all(_is_refused(answer) for answer in answers if answer is not None):
            raise self._refusal


def _is_refused(answer: Json) -> bool:
    """Tell whether an answer says only that S3 has refused a photo, or all photos of a person."""
    reasons = {photo["reason"] for photo in answer.get("skipped", ())}
    return "error" in answer and (answer["error"]["code"] == REFUSED.code or reasons == {REFUSED.code})
