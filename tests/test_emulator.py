"""The handler under AWS's own runtime: awslambdaric behind the Lambda runtime interface emulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Iterator

import boto3
import pytest

from tests.conftest import ROOT, free_port, recorded, training

EMULATOR = Path(sys.executable).parent / "aws-lambda-rie"


class Emulator:
    """One running function. The emulator starts it with the first event, as Lambda does."""

    def __init__(self, log: Path, **environment: str) -> None:
        self.log = log
        self._url = f"127.0.0.1:{free_port()}"
        command = [str(EMULATOR), "--runtime-interface-emulator-address", self._url]
        command += ["--runtime-api-address", f"127.0.0.1:{free_port()}"]
        command += [sys.executable, "-m", "awslambdaric", "handler.handle"]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=subprocess.STDOUT
            )

    def invoke(self, event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        url = f"http://{self._url}/2015-03-31/functions/function/invocations"
        for _ in range(100):
            try:
                with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=120) as reply:
                    answer = json.load(reply)
                return answer["statusCode"], json.loads(answer["body"])
            except ConnectionRefusedError:
                time.sleep(0.1)
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError):
                    raise
                time.sleep(0.1)
        raise AssertionError(f"the emulator does not answer: {self.log.read_text()[-2000:]}")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)


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
        status, answer = emulator.invoke(recorded("rest-known-person"))
        assert (status, answer["error"]["code"]) == (503, "model_unavailable")
        boto3.client("s3").create_bucket(Bucket="late-models")
        done = training("publish", "--model", "model/bundled", "--to", uri)
        assert done.returncode == 0, done.stderr
        status, answer = emulator.invoke(recorded("rest-known-person"))
        assert (status, answer["predicted_name"]) == (200, "Kofi Annan")
    finally:
        emulator.close()
