"""Photos dropped in a bucket, answered as JSON in the same bucket.

`photos/a/b.jpg` leaves `results/a/b.jpg.json`, or `failures/a/b.jpg.json` with the error where it has no answer. S3 may
tell of a photo twice, and Lambda tries again what ended in an error: what the same model has answered stays as it is.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, NamedTuple
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.data_classes import S3Event

from api.answers import failure, milliseconds
from api.errors import TooLarge
from api.forms import base_name
from api.uploads import Options, Upload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from api.gateway import Gateway

PHOTOS, RESULTS, FAILURES = "photos/", "results/", "failures/"
MAX_BYTES = 25_000_000  # of a photo, which does not have to fit into a request here
TRANSIENT = "model_unavailable"  # says nothing of the photo

Json = dict


class S3Photo(NamedTuple):
    """etag: as S3 told of it; it may have been replaced since."""

    bucket: str
    key: str
    etag: str

    def beside(self, prefix: str) -> str:
        return f"{prefix}{self.key[len(PHOTOS) :]}.json"


class Outcome(NamedTuple):
    """kind: answered, failed, done_before or gone. status, code: as a request would have had them."""

    kind: str
    status: int = 0
    code: str | None = None
    body: Json | None = None


def _photos(event: Mapping[str, Any]) -> Iterator[S3Photo]:
    """Those that a notification of S3's tells of. What lies elsewhere is none, lest answers are taken for photos."""
    for record in S3Event(dict(event)).records if event.get("Records") else ():
        key = unquote_plus(record.s3.get_object.key)
        if key.startswith(PHOTOS) and not key.endswith("/"):
            yield S3Photo(record.s3.bucket.name, key, record.s3.get_object.etag)


def work_through(
    event: Mapping[str, Any], context: Any, classify: Callable[[Upload, str], Json], gateway: Gateway
) -> dict[str, int]:
    """Answer the photos that S3 tells of, in S3. -> how many came to what. Raises what Lambda is to try again."""
    gateway.begin(context.aws_request_id)
    counts: dict[str, int] = {}
    with closing(_Bulk(classify, gateway, context.aws_request_id)) as bulk:
        for photo in _photos(event):
            started = time.perf_counter()
            outcome = bulk.work(photo)
            counts[outcome.kind] = counts.get(outcome.kind, 0) + 1
            if outcome.status:
                gateway.publish(outcome.status, outcome.code, outcome.body, milliseconds(started))
    version = gateway.model_version()
    gateway.log.info("worked through", request_id=context.aws_request_id, model_version=version, photos=counts)
    return counts


class _Bulk:
    """Takes photos from S3 and leaves answers there. To be closed."""

    def __init__(self, classify: Callable[[Upload, str], Json], gateway: Gateway, request_id: str) -> None:
        self._classify, self._gateway, self._request_id = classify, gateway, request_id
        self._version = gateway.model_version() or ""
        self._s3 = _client()

    def close(self) -> None:
        self._s3.close()

    def work(self, photo: S3Photo) -> Outcome:
        """Raises what S3 refuses, and what says nothing of the photo: Lambda then tries again."""
        if self._is_done(photo):
            return Outcome("done_before")
        found = self._get(photo)
        if found is None:
            return Outcome("gone")
        photo, data = found
        try:
            if len(data) > MAX_BYTES:
                raise TooLarge(f"The photo has more than {MAX_BYTES / 1e6:.0f} MB.")
            upload = Upload(base_name(photo.key), data, Options(all_faces=True))
            answer = self._classify(upload, self._request_id)
        except Exception as error:  # a bug is one photo's failure, as it is one request's
            status, code, message = self._gateway.explain(error)
            if code == TRANSIENT:
                raise
            self._leave(photo, FAILURES, failure(code, message, self._request_id))
            self._s3.delete_object(Bucket=photo.bucket, Key=photo.beside(RESULTS))
            return Outcome("failed", status, code)
        self._leave(photo, RESULTS, answer)
        self._s3.delete_object(Bucket=photo.bucket, Key=photo.beside(FAILURES))
        return Outcome("answered", 200, None, answer)

    def _get(self, photo: S3Photo) -> tuple[S3Photo, bytes] | None:
        """The photo as it is now, or a byte more than may be of a larger one."""
        found = self._unless_missing(self._s3.get_object, photo.bucket, photo.key)
        if found is None:
            return None
        with closing(found["Body"]) as body:
            return photo._replace(etag=found["ETag"].strip('"')), body.read(MAX_BYTES + 1)

    def _is_done(self, photo: S3Photo) -> bool:
        found = self._unless_missing(self._s3.head_object, photo.bucket, photo.beside(RESULTS))
        return found is not None and found["Metadata"] == self._metadata(photo)

    def _metadata(self, photo: S3Photo) -> dict[str, str]:
        return {"photo-etag": photo.etag, "model-version": self._version}

    def _leave(self, photo: S3Photo, prefix: str, answer: Json) -> None:
        answer = {**answer, "source": photo._asdict()}
        self._s3.put_object(
            Bucket=photo.bucket,
            Key=photo.beside(prefix),
            Body=json.dumps(answer, ensure_ascii=False).encode(),
            ContentType="application/json",
            Metadata=self._metadata(photo),
        )

    @staticmethod
    def _unless_missing(ask: Callable[..., Any], bucket: str, key: str) -> Any:
        from botocore.exceptions import ClientError

        try:
            return ask(Bucket=bucket, Key=key)
        except ClientError as error:
            # A HEAD has no body to name the error in.
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise


def _client() -> S3Client:
    # Imported here because only this function needs it, and it takes a tenth of a second.
    from botocore.config import Config
    from botocore.session import Session

    config = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 4, "mode": "standard"})
    return Session().create_client("s3", config=config)
