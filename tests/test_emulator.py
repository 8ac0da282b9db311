"""The handler in AWS's runtime: awslambdaric behind the Lambda runtime interface emulator."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Iterator

import boto3
import pytest

from testing.emulator import Emulator
from testing.events import recorded
from tests.conftest import training


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A running function with the bundled model."""
    emulator = Emulator(tmp_path_factory.mktemp("emulator") / "log", MODEL_URI="")
    yield emulator
    emulator.close()


@pytest.mark.parametrize(
    ("event", "status", "expected"),
    [
        ("rest-known-person", 200, {"predicted_name": "Kofi Annan", "known": True, "faces_detected": 1}),
        ("rest-stranger", 200, {"predicted_name": None, "known": False, "faces_detected": 1}),
        ("rest-several-faces", 200, {"predicted_name": "Kofi Annan", "known": True, "faces_detected": 2}),
        ("rest-no-face", 422, "no_face"),
        ("rest-not-an-image", 415, "unsupported_media_type"),
        ("rest-empty-body", 400, "bad_request"),
        ("rest-empty-file", 400, "empty_upload"),
        ("http-known-person", 200, {"predicted_name": "Kofi Annan", "known": True}),
    ],
)
def test_responses(bundled: Emulator, event: str, status: int, expected: Any) -> None:
    found, body = bundled.invoke(recorded(event))
    assert found == status
    if isinstance(expected, str):
        assert body["error"]["code"] == expected
    else:
        assert {key: body[key] for key in expected} == expected


def test_model_is_loaded_once_before_the_first_request(bundled: Emulator) -> None:
    bundled.invoke(recorded("rest-known-person"))
    bundled.invoke(recorded("rest-known-person"))
    lines = bundled.log.read_text()
    assert lines.count("model loaded") == 1
    assert lines.index("model loaded") < lines.index('"answered"')


def test_missing_model_is_503_until_it_is_published(s3_environment: dict[str, str], tmp_path: Path) -> None:
    """The model is published to S3 while the function runs."""
    uri = "s3://late-models/faces"
    emulator = Emulator(tmp_path / "log", **s3_environment, MODEL_URI=uri, TMPDIR=str(tmp_path))
    try:
        result = emulator.answer(recorded("rest-known-person"))
        refused = time.monotonic()
        assert (result["statusCode"], json.loads(result["body"])["error"]["code"]) == (503, "model_unavailable")
        retry_after = float(result["multiValueHeaders"]["Retry-After"][0])
        boto3.client("s3").create_bucket(Bucket="late-models")
        done = training("publish", "--model", "model/bundled", "--to", uri)
        assert done.returncode == 0, done.stderr
        time.sleep(max(0, refused + retry_after - time.monotonic()))
        status, body = emulator.invoke(recorded("rest-known-person"))
        assert (status, body["predicted_name"]) == (200, "Kofi Annan")
        # The same runtime, which started without a model and logged the reason.
        log = emulator.log.read_text()
        assert log.count("no model at start") == 1
        assert "there is no such bucket (NoSuchBucket)" in log
    finally:
        emulator.close()
