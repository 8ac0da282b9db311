from __future__ import annotations

import uuid
from contextlib import closing
from pathlib import Path
from typing import Any, Iterator

import boto3
import pytest

from storage.blobs import BlobStore, open_blobs
from storage.s3_settings import S3Settings


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(no_aws_settings: None) -> None:
    """Settings of the machine must not decide how S3 is reached."""


@pytest.fixture()
def settings(s3_server: str) -> S3Settings:
    return S3Settings("us-east-1", "test", "test", endpoint=s3_server)


@pytest.fixture()
def s3(settings: S3Settings) -> Iterator[Any]:
    """boto3's own client."""
    keys = {"aws_access_key_id": settings.access_key, "aws_secret_access_key": settings.secret_key}
    with closing(boto3.client("s3", settings.region, endpoint_url=settings.endpoint, **keys)) as client:
        yield client


@pytest.fixture()
def bucket(s3: Any) -> str:
    """An empty one of its own."""
    name = f"test-{uuid.uuid4()}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["folder", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store."""
    if request.param == "folder":
        (tmp_path / "blobs").mkdir()
        return str(tmp_path / "blobs")
    return f"s3://{request.getfixturevalue('bucket')}/some/prefix"


@pytest.fixture()
def store(uri: str, settings: S3Settings) -> Iterator[BlobStore]:
    with open_blobs(uri, settings) as found:
        yield found


@pytest.fixture()
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a temp folder for the test alone."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder
