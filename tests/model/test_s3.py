"""The ways to a bucket; what becomes of its faults is in tests/test_faults.py."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest

from model.errors import ModelUnavailable
from model.s3 import UNHURRIED, Bucket, _url
from tests.faulty import Answer, Handler, Proxy, running


@pytest.fixture()
def content(s3_environment: dict[str, str]) -> bytes:
    """Of s3://ways/a folder/\u00e9+&.txt."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="ways")
    s3.put_object(Bucket="ways", Key="a folder/\u00e9+&.txt", Body=b"here")
    return b"here"


def read() -> bytes:
    with closing(Bucket("ways", "a folder/", UNHURRIED)) as bucket:
        return bytes(bucket.read("\u00e9+&.txt", 10))


def test_any_name(content: bytes) -> None:
    assert read() == content


@pytest.mark.parametrize(
    ("bucket", "region", "environment", "url"),
    [
        ("faces", "eu-west-1", {}, "https://faces.s3.eu-west-1.amazonaws.com/a/b%20c"),
        ("faces", "cn-north-1", {}, "https://faces.s3.cn-north-1.amazonaws.com.cn/a/b%20c"),
        ("our.faces", "us-east-1", {}, "https://s3.us-east-1.amazonaws.com/our.faces/a/b%20c"),
        ("faces", "us-east-1", {"AWS_ENDPOINT_URL": "http://here:1/"}, "http://here:1/faces/a/b%20c"),
        (
            "faces",
            "us-east-1",
            {"AWS_ENDPOINT_URL": "http://no", "AWS_ENDPOINT_URL_S3": "http://s3"},
            "http://s3/faces/a/b%20c",
        ),
    ],
)
def test_addresses(bucket: str, region: str, environment: dict[str, str], url: str) -> None:
    assert _url(bucket, "a/b c", region, environment) == url


def test_a_bucket_of_another_region(content: bytes, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_at_home(handler: Handler, answer: Answer) -> None:
        if "/eu-west-1/s3/" not in handler.headers["Authorization"]:
            answer = Answer(301, {"x-amz-bucket-region": "eu-west-1", "Content-Length": "0"}, b"")
        handler.send(answer)

    with running(Proxy(s3_server)) as proxy:
        proxy.faults[".txt"] = only_at_home
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        assert read() == content


def without_keys(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    (folder / "credentials").write_text(text)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_credentials_of_a_profile(content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_keys(monkeypatch, tmp_path, "[default]\naws_access_key_id = key\naws_secret_access_key = secret\n")
    assert read() == content


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [({}, "there are no AWS credentials here"), ({"AWS_PROFILE": "nobody"}, "AWS is set up wrongly here")],
)
def test_no_credentials(
    content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, Any], sentence: str
) -> None:
    without_keys(monkeypatch, tmp_path, "")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ModelUnavailable, match=sentence):
        read()


@pytest.mark.parametrize("endpoint", ["nowhere", "http://", "http://a b/"])
def test_an_endpoint_that_is_none(content: bytes, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(ModelUnavailable, match="The model cannot be fetched"):
        read()
