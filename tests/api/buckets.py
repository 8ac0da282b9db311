"""Buckets of the local S3 API, for the tests of photos in a bucket."""

from __future__ import annotations

import itertools
from contextlib import closing, contextmanager
from typing import Any, Iterator, TypeVar

import boto3

NUMBERS = itertools.count()


class S3Bucket:
    """One bucket. s3: boto3's client."""

    def __init__(self, s3: Any, name: str) -> None:
        self.s3, self.name = s3, name

    def upload(self, key: str, data: bytes) -> str:
        """Write an object. -> its ETag, in quotes."""
        etag: str = self.s3.put_object(Bucket=self.name, Key=key, Body=data)["ETag"]
        return etag

    def keys(self, prefix: str = "") -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return [entry["Key"] for entry in found.get("Contents", [])]

    def content(self, key: str) -> bytes:
        data: bytes = self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data


Kind = TypeVar("Kind", bound=S3Bucket)


@contextmanager
def new_bucket(kind: type[Kind]) -> Iterator[Kind]:
    """Create an empty bucket of its own for a test."""
    with closing(boto3.client("s3")) as s3:
        found = kind(s3, f"photos-{next(NUMBERS)}")
        s3.create_bucket(Bucket=found.name)
        yield found
