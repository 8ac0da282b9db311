"""`make ship` and `make smoke`: from photos to an answering endpoint, the function under AWS's emulator."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from tests.conftest import ROOT, SAMPLES, training
from tests.emulator import Emulator
from tests.front import serving


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture()
def published(s3_environment: dict[str, str], s3_server: str, request: pytest.FixtureRequest) -> str:
    import boto3

    bucket = request.node.name.replace("_", "-")
    boto3.client("s3").create_bucket(Bucket=bucket)
    uri = f"s3://{bucket}/faces"
    assert training("publish", "--model", "model/bundled", "--to", uri).returncode == 0
    return uri


@pytest.fixture()
def endpoint(published: str, tmp_path: Path) -> Iterator[str]:
    """The function that serves what is published. It starts with the first request."""
    emulator = Emulator(tmp_path / "log", MODEL_URI=published)
    try:
        with serving(emulator.answer) as url:
            yield url
    finally:
        emulator.close()


def test_ship(published: str, endpoint: str, tmp_path: Path) -> None:
    (tmp_path / "people/Eileen_Collins").mkdir(parents=True)
    shutil.copy(SAMPLES / "astronaut.jpg", tmp_path / "people/Eileen_Collins")
    settings = {"PEOPLE": str(tmp_path / "people"), "MODEL_URI": published, "URL": endpoint}
    photo = str(SAMPLES / "astronaut.jpg")
    done = make("ship", **settings, PHOTO=photo)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "knows 611 people" in done.stdout
    assert "astronaut.jpg: Eileen Collins" in done.stdout
    assert "WRONG" not in done.stdout
    again = make("ship", **settings, PHOTO=photo)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"nobody new, so {published} stays as it is" in again.stdout


def test_ship_says_what_it_needs(tmp_path: Path) -> None:
    done = make("ship", PEOPLE=str(tmp_path), MODEL_URI="models")
    assert done.returncode != 0
    assert "MODEL_URI=s3://bucket/prefix is where the model goes" in done.stderr
    assert "PEOPLE=folder adds people" in make("ship", MODEL_URI="s3://bucket/faces", PEOPLE="", DATA="").stderr


def test_smoke(endpoint: str) -> None:
    done = make("smoke", URL=endpoint)
    assert done.returncode == 0, done.stdout + done.stderr
    for found in ("knows 610 people", "Kofi_Annan_0006.jpg: Kofi Annan, 100.0%", "is taken, too", "pages of *"):
        assert found in done.stdout
    script = [str(ROOT / ".venv/bin/python"), "scripts/smoke.py", "--url", endpoint, "--version", "x", "--wait", "0"]
    other = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert other.returncode == 1
    assert "still not x" in other.stdout


def test_smoke_where_nothing_answers(tmp_path: Path) -> None:
    done = make("smoke", URL="http://127.0.0.1:1")
    assert done.returncode != 0
    assert "WRONG  health       nothing answers at http://127.0.0.1:1" in done.stdout
    assert "there is no photo" in make("smoke", URL="http://127.0.0.1:1", PHOTO=str(tmp_path / "none.jpg")).stderr
