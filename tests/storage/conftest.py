from __future__ import annotations

import uuid
from contextlib import closing
from pathlib import Path
from typing import Any, Iterator

import boto3
import pytest

from storage.blobs import BlobStore, open_blobs
from storage.s3_settings import S3Settings
from testing.paths import ROOT
from testing.servers import moto


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_MAX_ATTEMPTS", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3 that makes conditional writes."""
    with moto(str(ROOT / ".venv-notebook/bin/python"), str(ROOT / "tests/storage/moto_s3.py")) as url:
        yield url


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
