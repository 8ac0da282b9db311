"""`make ship` and `make smoke`: from photos to a tested endpoint, with the function in AWS's emulator."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Iterator

import pytest

from storage.networks import BUNDLED
from testing.emulator import Emulator
from testing.paths import SAMPLES
from tests.commands import documented, shell
from tests.conftest import some_of
from tests.gateway import serving

BUCKET = "our-models"
MODELS = f"s3://{BUCKET}/faces"


@pytest.fixture()
def published(checkout: Path, s3_environment: dict[str, str]) -> dict[str, str]:
    """Environment of a local S3 whose bucket, named as in the documents, holds the bundled model."""
    import boto3

    boto3.client("s3").create_bucket(Bucket=BUCKET)
    done = shell(documented("make publish MODEL_URI=s3://our-models/faces"), checkout, **s3_environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return s3_environment


@pytest.fixture()
def endpoint(published: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """URL of a function that serves the published model. It starts with the first request."""
    emulator = Emulator(tmp_path / "log", MODEL_URI=MODELS)
    try:
        with serving(emulator.answer) as url:
            yield url
    finally:
        emulator.close()


def photos(folder: Path) -> None:
    """Create `photos`, as named in the documents, with photos of one person who is not in the bundled model."""
    (folder / "photos/Eileen_Collins").mkdir(parents=True)
    shutil.copy(SAMPLES / "astronaut.jpg", folder / "photos/Eileen_Collins")


def test_ship(published: dict[str, str], endpoint: str, checkout: Path) -> None:
    photos(checkout)
    command = documented("make ship PEOPLE=photos MODEL_URI=s3://our-models/faces")
    settings = {**published, "URL": endpoint, "PHOTO": str(SAMPLES / "astronaut.jpg")}
    done = shell(command, checkout, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "knows 1 people" in done.stdout  # a collection of its own, without the bundled people
    assert "astronaut.jpg: Eileen Collins" in done.stdout
    assert "WRONG" not in done.stdout
    again = shell(command, checkout, **settings)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"no new people; {MODELS} is unchanged" in again.stdout

    bundled = json.loads(Path(BUNDLED, "latest.json").read_text())["version"]
    listed = shell(
        documented(".venv/bin/python -m training versions --model s3://our-models/faces"), checkout, **published
    )
    assert bundled in listed.stdout
    assert f"* {bundled}" not in listed.stdout
    back = documented(
        ".venv/bin/python -m training rollback 20261124-f8545707 --model s3://our-models/faces",
        replace={"20261124-f8545707": bundled},
    )
    done = shell(back, checkout, **published)
    assert f"now serves {bundled}" in done.stderr


def test_ship_of_a_new_training(
    published: dict[str, str], endpoint: str, checkout: Path, weights: Path, lfw_small: Path
) -> None:
    some_of(lfw_small, checkout / "photos", known=2, photos=4)
    command = documented("make ship DATA=photos MODEL_URI=s3://our-models/faces")
    done = shell(command, checkout, **published, URL=endpoint, TORCH_HOME=str(weights))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "knows 2 people" in done.stdout
    assert "WRONG" not in done.stdout


def test_ship_names_missing_settings(checkout: Path) -> None:
    done = shell("make ship PEOPLE=photos MODEL_URI=models", checkout)
    assert done.returncode != 0
    assert "set MODEL_URI=s3://bucket/prefix" in done.stderr
    assert "set PEOPLE=folder to add people" in shell("make ship MODEL_URI=s3://bucket/faces", checkout).stderr


def test_smoke(endpoint: str, checkout: Path) -> None:
    done = shell(documented("make smoke"), checkout, URL=endpoint)
    assert done.returncode == 0, done.stdout + done.stderr
    for found in ("knows 610 people", "Kofi_Annan_0006.jpg: Kofi Annan, 100.0%", "is accepted", "pages of *"):
        assert found in done.stdout
    assert "%|" not in done.stderr  # no progress bar, because stderr is not a terminal
    other = shell(f".venv/bin/python scripts/smoke.py --url {endpoint} --version x --wait 0", checkout)
    assert other.returncode == 1
    assert "still not x" in other.stdout


def test_documented_ways_to_send_a_photo(endpoint: str, checkout: Path) -> None:
    """Run the commands of docs/api.md."""
    shutil.copy(SAMPLES / "Kofi_Annan_0006.jpg", checkout / "photo.jpg")
    raw = documented('curl --data-binary @photo.jpg -H "Content-Type: image/jpeg" "$URL/classify"')
    in_json = documented(
        'echo "{\\"image\\": \\"$(base64 -w0 photo.jpg)\\"}" | '
        'curl -d @- -H "Content-Type: application/json" "$URL/classify"'
    )
    three = documented('curl -F file=@photo.jpg "$URL/classify?top=3"')
    everybody = documented('curl -F file=@photo.jpg -F faces=all "$URL/classify"')
    found = [json.loads(shell(way, checkout, URL=endpoint).stdout) for way in (raw, in_json, three, everybody)]
    assert [answer["predicted_name"] for answer in found] == ["Kofi Annan"] * 4
    assert [len(answer["candidates"]) for answer in found] == [5, 5, 3, 5]
    assert ["faces" in answer for answer in found] == [False, False, False, True]


def test_smoke_without_a_server(checkout: Path) -> None:
    done = shell("make smoke", checkout, URL="http://127.0.0.1:1")
    assert done.returncode != 0
    assert "WRONG  health       nothing answers at http://127.0.0.1:1" in done.stdout
    assert "there is no photo" in shell("make smoke", checkout, URL="http://127.0.0.1:1", PHOTO="none.jpg").stderr
