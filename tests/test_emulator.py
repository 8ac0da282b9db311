"""The handler under AWS's own runtime: awslambdaric behind the Lambda runtime interface emulator."""

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
def test_answers(bundled: Emulator, event: str, status: int, expected: Any) -> None:
    found, answer = bundled.invoke(recorded(event))
    assert found == status
    if isinstance(expected, str):
        assert answer["error"]["code"] == expected
    else:
        assert {key: answer[key] for key in expected} == expected


def test_the_model_is_loaded_once_and_before_the_first_request(bundled: Emulator) -> None:
    bundled.invoke(recorded("rest-known-person"))
    bundled.invoke(recorded("rest-known-person"))
    lines = bundled.log.read_text()
    assert lines.count("model loaded") == 1
    assert lines.index("model loaded") < lines.index('"answered"')


def test_a_missing_model_is_503_until_it_is_there(s3_environment: dict[str, str], tmp_path: Path) -> None:
    """From S3, through the runtime; published while the function runs."""
    uri = "s3://late-models/faces"
    emulator = Emulator(tmp_path / "log", **s3_environment, MODEL_URI=uri, TMPDIR=str(tmp_path))
    try:
        whole = emulator.answer(recorded("rest-known-person"))
        said = time.monotonic()
        assert (whole["statusCode"], json.loads(whole["body"])["error"]["code"]) == (503, "model_unavailable")
        wait = float(whole["multiValueHeaders"]["Retry-After"][0])
        boto3.client("s3").create_bucket(Bucket="late-models")
        done = training("publish", "--model", "model/bundled", "--to", uri)
        assert done.returncode == 0, done.stderr
        time.sleep(max(0, said + wait - time.monotonic()))
        status, answer = emulator.invoke(recorded("rest-known-person"))
        assert (status, answer["predicted_name"]) == (200, "Kofi Annan")
        # In the same runtime, which had started without it and says why.
        log = emulator.log.read_text()
        assert log.count("no model at start") == 1
        assert "there is no such bucket (NoSuchBucket)" in log
    finally:
        emulator.close()
