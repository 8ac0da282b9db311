"""Objects in an S3 bucket: lean signed GET requests for reading, boto3's client for everything else."""

from __future__ import annotations

import re
import threading
import uuid
from datetime import timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, ContextManager, Iterator

from botocore.exceptions import ClientError

from storage.blobs import Blob, BlobInfo, BlobStore, Progress, check_key
from storage.errors import BlobConflict, StorageRefused
from storage.s3_errors import BAD_BUCKET, storage_errors
from storage.s3_reader import Location, ObjectReader
from storage.s3_settings import RetryPolicy, S3Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = re.compile(r"[a-zA-Z0-9._-]{1,255}")  # as botocore checks it; older buckets may break today's rules
WRITE_ID = "write-id"  # metadata of an object


def split_s3_uri(uri: str) -> Location:
    """s3://bucket/some/prefix -> bucket, "some/prefix/". Raises StorageRefused."""
    scheme, _, rest = uri.partition("://")
    bucket, _, path = rest.partition("/")
    if scheme != "s3" or not bucket:
        reason = "the address is not of the form s3://bucket/prefix"
        raise StorageRefused(f"{uri!r} is not of the form s3://bucket/prefix.", reason)
    if not BUCKET.fullmatch(bucket):
        raise BAD_BUCKET.error(uri=uri, bucket=bucket)
    prefix = path.strip("/")
    if prefix:
        check_key(prefix)
    return Location(uri, bucket, f"{prefix}/" if prefix else "")


class S3Blobs(BlobStore):
    """Objects below s3://bucket/prefix. Safe for several threads."""

    def __init__(self, uri: str, settings: S3Settings, policy: RetryPolicy) -> None:
        """Check the URI without connecting. Raises StorageRefused."""
        self.uri = uri
        self._location = split_s3_uri(uri)
        self._settings, self._policy = settings, policy
        self._reader = ObjectReader(self._location, settings, policy)
        self._client: S3Client | None = None
        self._client_lock = threading.Lock()

    def get(
        self, key: str, limit: int | None = None, deadline: float | None = None, version: str | None = None
    ) -> Blob:
        """Read an object. version: ID of an object's version, None for the current one."""
        check_key(key)
        blob = self._reader.read(key, None, limit, deadline, version)
        assert blob is not None, "no condition was set"
        return blob

    def get_if_changed(
        self, key: str, etag: str, limit: int | None = None, deadline: float | None = None
    ) -> Blob | None:
        check_key(key)
        return self._reader.read(key, etag, limit, deadline)

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        name, write_id = self._name(key), uuid.uuid4().hex
        conditions: Any = {}
        if if_match is not None:
            conditions["IfMatch"] = f'"{if_match}"'
        if if_absent:
            conditions["IfNoneMatch"] = "*"
        try:
            with self._errors(key):
                metadata = {WRITE_ID: write_id}
                response = self._s3().put_object(
                    **name, Body=data, Metadata=metadata, **_content_type(key), **conditions
                )
            return response["ETag"].strip('"')
        except BlobConflict as conflict:
            # Of several attempts, an earlier one may have been carried out although its response was lost. If it has
            # been overwritten since, that remains unknown: callers must be able to apply a change a second time.
            etag = self._written(key, write_id) if _was_retried(conflict.__cause__) else None
            if etag is None:
                raise
            return etag

    def put_file(self, key: str, path: Path, progress: Progress = lambda _: None) -> None:
        name = self._name(key)
        with path.open("rb") as file, self._errors(key):
            self._s3().upload_fileobj(file, **name, ExtraArgs=_content_type(key), Callback=progress)

    def delete(self, key: str) -> None:
        name = self._name(key)
        with self._errors(key):
            self._s3().delete_object(**name)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        above = self._location.prefix
        with self._errors():
            pages = self._s3().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._location.bucket, Prefix=above + prefix):
                for entry in page.get("Contents", ()):
                    # The AWS console creates an object with the prefix itself as its key for a "folder".
                    if entry["Key"] != above:
                        modified = entry["LastModified"].astimezone(timezone.utc)
                        yield BlobInfo(entry["Key"][len(above) :], entry["Size"], modified)

    def close(self) -> None:
        self._reader.close()
        if self._client:
            self._client.close()

    def _name(self, key: str) -> dict[str, str]:
        check_key(key)
        return {"Bucket": self._location.bucket, "Key": self._location.prefix + key}

    def _errors(self, key: str = "") -> ContextManager[None]:
        return storage_errors(self.uri, self._location.bucket, key)

    def _written(self, key: str, write_id: str) -> str | None:
        """Return the object's ETag if it was written with this `write_id`, else None."""
        with self._errors(key):
            try:
                found = self._s3().head_object(**self._name(key))
            except ClientError as error:
                if error.response["Error"]["Code"] == "404":
                    return None
                raise
        return found["ETag"].strip('"') if found["Metadata"].get(WRITE_ID) == write_id else None

    def _s3(self) -> S3Client:
        with self._client_lock:
            if self._client is None:
                with storage_errors(self.uri, self._location.bucket, more=(ValueError,)):
                    self._client = _client(self._settings, self._policy)
            return self._client


def _client(settings: S3Settings, policy: RetryPolicy) -> S3Client:
    # Imported here because most functions only read, which needs none of these.
    from boto3.session import Session
    from botocore.config import Config
    from botocore.session import get_session

    core = get_session()
    keys = (settings.access_key, settings.secret_key, settings.session_token) if settings.has_keys else ()
    session = Session(*keys, region_name=settings.region, botocore_session=core)
    attempts = core.get_config_variable("max_attempts") or policy.attempts
    config = Config(
        connect_timeout=policy.connect,
        read_timeout=policy.read,
        retries={"mode": "standard", "total_max_attempts": attempts},
        s3={"addressing_style": "path"} if settings.endpoint else None,  # as the reader does
    )
    return session.client("s3", endpoint_url=settings.endpoint, config=config)


def _was_retried(error: BaseException | None) -> bool:
    return isinstance(error, ClientError) and error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0


def _content_type(key: str) -> dict[str, str]:
    return {"ContentType": "application/json"} if key.endswith(".json") else {}
