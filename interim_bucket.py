"""Photos' buckets through botocore, until storage/ has an S3 store to open them with."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import Iterator

from storage.blobs import Blob, BlobInfo, BlobStore, Progress
from storage.errors import BlobNotFound, CorruptData, StorageRefused, StorageUnreachable


class Bucket(BlobStore):
    def __init__(self, name: str) -> None:
        # Imported here because it takes a tenth of a second.
        from botocore.config import Config
        from botocore.session import Session

        config = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 4, "mode": "standard"})
        self._s3, self._name = Session().create_client("s3", config=config), name
        self.uri = f"s3://{name}"

    def get(self, key: str, limit: int | None = None) -> Blob:
        with _converted():
            found = self._s3.get_object(Bucket=self._name, Key=key)
            with closing(found["Body"]) as body:
                data = body.read() if limit is None else body.read(limit + 1)
        if limit is not None and len(data) > limit:
            raise CorruptData(
                f"{self.uri}/{key} is larger than {limit} bytes.", "an object is larger than it should be"
            )
        return Blob(data, found["ETag"].strip('"'))

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        with _converted():
            found = self._s3.put_object(Bucket=self._name, Key=key, Body=data, ContentType="application/json")
            return str(found["ETag"]).strip('"')

    def delete(self, key: str) -> None:
        with _converted():
            self._s3.delete_object(Bucket=self._name, Key=key)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        with _converted():
            page = self._s3.list_objects_v2(Bucket=self._name, Prefix=prefix)
        for entry in page.get("Contents", []):
            yield BlobInfo(entry["Key"], entry["Size"], entry["LastModified"])

    def get_if_changed(self, key: str, etag: str) -> Blob | None:
        raise NotImplementedError

    def put_file(self, key: str, path: Path, progress: Progress = lambda _: None) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._s3.close()


@contextmanager
def _converted() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        kind = BlobNotFound if code in ("NoSuchKey", "NoSuchBucket", "404") else StorageRefused
        raise kind(str(error), f"S3 says no ({code})") from error
    except BotoCoreError as error:
        raise StorageUnreachable(str(error), f"S3 cannot be reached ({type(error).__name__})") from error
