"""`make ship` and `make smoke`: from photos to a tested endpoint, with the function in AWS's emulator."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Callable, Iterator

import boto3
import pytest
from PIL import Image, ImageOps

from storage.networks import BUNDLED
from testing.emulator import Emulator
from testing.paths import SAMPLES
from tests.commands import documented, shell
from tests.conftest import some_of
from tests.gateway import serving

BUCKET = "our-models"
MODELS, GALLERIES = f"s3://{BUCKET}/networks", f"s3://{BUCKET}/galleries"
KEY = "administrator"


@pytest.fixture()
def published(checkout: Path, s3_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Environment of a local S3 whose bucket, named as in the documents, holds the bundled model."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    done = shell(documented("make publish MODEL_URI=s3://our-models/networks"), checkout, **s3_environment)
    assert done.returncode == 0, done.stdout + done.stderr
    yield s3_environment
    for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        s3.delete_object(Bucket=BUCKET, Key=entry["Key"])


@pytest.fixture()
def endpoint(published: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """URL of a function that serves the published model and collections. It starts with the first request."""
    emulator = Emulator(tmp_path / "log", MODEL_URI=MODELS, GALLERY_URI=GALLERIES, ADMIN_KEY=KEY)
    try:
        with serving(emulator.answer) as url:
            yield url
    finally:
        emulator.close()


def photo_of(person: str, sample: str, folder: Path) -> None:
    """Copy a photo of a person to `photos`, as the folder is named in the documents."""
    (folder / "photos" / person).mkdir(parents=True)
    shutil.copy(SAMPLES / f"{sample}.jpg", folder / "photos" / person)


def test_ship(published: dict[str, str], endpoint: str, checkout: Path) -> None:
    """The running function knows people at once, who are in a collection of their own."""
    photo_of("Eileen_Collins", "astronaut", checkout)
    command = documented("make ship PEOPLE=photos MODEL_URI=s3://our-models/networks")
    settings = {**published, "URL": endpoint, "PHOTO": str(SAMPLES / "astronaut.jpg")}
    done = shell(command, checkout, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "knows 1 people" in done.stdout
    assert "astronaut.jpg: Eileen Collins" in done.stdout
    assert "WRONG" not in done.stdout

    photo_of("Tony_Blair", "Tony_Blair_0007", checkout)
    again = shell(command, checkout, **settings)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "astronaut.jpg: left out, enrolled already" in again.stderr
    assert "knows 2 people" in again.stdout

    people = ".venv/bin/python -m training people"
    there, remote = f"--galleries {GALLERIES} --model {MODELS}", f"--url {endpoint} --key {KEY}"
    listed = "0      1  Eileen Collins\n1      1  Tony Blair\n"
    assert [shell(f"{people} list {place}", checkout, **published).stdout for place in (there, remote)] == [listed] * 2
    assert shell(f"{people} delete 1 {remote}", checkout, **published).returncode == 0
    assert shell(f"{people} list {there}", checkout, **published).stdout == listed.splitlines(keepends=True)[0]


def test_ship_into_a_collection_of_another_place(published: dict[str, str], endpoint: str, checkout: Path) -> None:
    photo_of("Eileen_Collins", "astronaut", checkout)
    settings = {**published, "URL": endpoint, "GALLERY_URI": f"s3://{BUCKET}/elsewhere", "COLLECTION": "team"}
    done = shell(f"make ship PEOPLE=photos MODEL_URI={MODELS}", checkout, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the collection team has 1 people and 1 faces" in done.stderr
    assert "knows 610 people" in done.stdout  # the function has other collections
    found = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="elsewhere/")
    assert {entry["Key"].split("/")[1] for entry in found["Contents"]} == {"team"}


def test_ship_of_a_new_training(
    published: dict[str, str], endpoint: str, checkout: Path, weights: Path, lfw_small: Path
) -> None:
    """And back to the version before."""
    some_of(lfw_small, checkout / "photos", known=2, photos=4)
    command = documented("make ship DATA=photos MODEL_URI=s3://our-models/networks")
    done = shell(command, checkout, **published, URL=endpoint, TORCH_HOME=str(weights))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "knows 2 people" in done.stdout
    assert "WRONG" not in done.stdout

    bundled = json.loads(Path(BUNDLED, "latest.json").read_text())["version"]
    listed = shell(
        documented(".venv/bin/python -m training versions --model s3://our-models/networks"), checkout, **published
    )
    assert bundled in listed.stdout
    assert f"* {bundled}" not in listed.stdout
    back = documented(
        ".venv/bin/python -m training rollback 20261124-f8545707 --model s3://our-models/networks",
        replace={"20261124-f8545707": bundled},
    )
    done = shell(back, checkout, **published)
    assert f"now serves {bundled}" in done.stderr


def test_ship_names_missing_settings(checkout: Path) -> None:
    for settings, message in (
        ("PEOPLE=photos MODEL_URI=models", "set MODEL_URI=s3://bucket/prefix"),
        ("MODEL_URI=s3://bucket/networks", "set PEOPLE=folder to add people"),
        ("PEOPLE=photos MODEL_URI=s3://bucket/faces", "set GALLERY_URI=s3://bucket/prefix"),
        ("PEOPLE=photos MODEL_URI=s3://bucket/networks GALLERY_URI=galleries", "set GALLERY_URI=s3://bucket/prefix"),
    ):
        done = shell(f"make ship {settings}", checkout)
        assert done.returncode != 0
        assert message in done.stderr


def test_smoke(endpoint: str, checkout: Path) -> None:
    done = shell(documented("make smoke"), checkout, URL=endpoint)
    assert done.returncode == 0, done.stdout + done.stderr
    for found in ("knows 610 people", "Kofi_Annan_0006.jpg: Kofi Annan, 100.0%", "is accepted", "pages of *"):
        assert found in done.stdout
    assert "%|" not in done.stderr  # no progress bar, because stderr is not a terminal
    other = shell(f".venv/bin/python scripts/smoke.py --url {endpoint} --version x --wait 0", checkout)
    assert other.returncode == 1
    assert "still not x" in other.stdout


def test_smoke_of_a_collection_with_more_people_than_one_answer_has(checkout: Path) -> None:
    people = {"count": 1200, "people": [{"id": i, "name": "Ada", "faces": 1} for i in range(1000)], "next": 999}
    body = json.dumps({**people, "model": {"version": "20261124-f8545707"}})
    with serving(lambda _: {"statusCode": 200, "multiValueHeaders": {}, "body": body}) as url:
        done = shell("make smoke", checkout, URL=url)
    assert "ok     people       knows 1200 people" in done.stdout


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


Answers = Callable[[str], Any]


@pytest.fixture()
def answer(endpoint: str, checkout: Path) -> Answers:
    """Runs a command of docs/api.md and returns the JSON of its answer. `photo.jpg`, `ada1.jpg` and `ada2.jpg` show the
    same person, `ada3.jpg` another one.
    """
    photo = Image.open(SAMPLES / "astronaut.jpg")
    for name, change in (("photo", photo), ("ada1", ImageOps.mirror(photo)), ("ada2", ImageOps.expand(photo, 9))):
        change.save(checkout / f"{name}.jpg")
    shutil.copy(SAMPLES / "Alicia_Witt_0001.jpg", checkout / "ada3.jpg")
    return lambda command: json.loads(shell(command, checkout, URL=endpoint, ADMIN_KEY=KEY).stdout)


def test_documented_ways_to_manage_people(answer: Answers) -> None:
    enrol = documented(
        'curl -H "X-Api-Key: $ADMIN_KEY" -F name="Ada Lovelace" -F file=@ada1.jpg -F file=@ada2.jpg "$URL/people"'
    )
    ada, other = answer(enrol), answer(enrol.replace("Ada", "Augusta").replace("ada1", "ada3"))
    assert [(each["id"], each["collection"], len(each["faces"])) for each in (ada, other)] == [
        (0, "people", 2),
        (1, "people", 1),
    ]
    assert other["skipped"] == [{"file": "ada2.jpg", "reason": "duplicate"}]
    people = answer(documented('curl "$URL/people"'))["people"]
    assert [(person["name"], person["faces"]) for person in people] == [("Ada Lovelace", 2), ("Augusta Lovelace", 1)]

    merge = documented(
        'curl -X PATCH -H "X-Api-Key: $ADMIN_KEY" -H "Content-Type: application/json" '
        '-d \'{"into": 3}\' "$URL/people/7"',
        replace={"/people/7": "/people/1", '"into": 3': '"into": 0'},
    )
    assert len(answer(merge)["faces"]) == 3
    of_ada = {"/people/3": "/people/0"}
    more = documented('curl -H "X-Api-Key: $ADMIN_KEY" -F file=@ada3.jpg "$URL/people/3/faces"', replace=of_ada)
    assert [face["id"] for face in answer(more)["faces"]] == [other["faces"][0]["id"]]  # it is there already
    rename = documented(
        'curl -X PATCH -H "X-Api-Key: $ADMIN_KEY" -H "Content-Type: application/json" '
        '-d \'{"name": "Ada King"}\' "$URL/people/3"',
        replace=of_ada,
    )
    assert answer(rename)["name"] == "Ada King"
    assert answer(documented('curl "$URL/people/3"', replace=of_ada)) == answer(rename)
    assert answer('curl -F file=@photo.jpg "$URL/classify"')["predicted_name"] == "Ada King"
    delete = documented('curl -X DELETE -H "X-Api-Key: $ADMIN_KEY" "$URL/people/3"', replace=of_ada)
    assert answer(delete)["deleted_faces"] == 3
    assert answer('curl "$URL/people"')["people"] == []


def test_documented_requests_about_collections_and_faces(answer: Answers) -> None:
    assert answer(documented('curl -X PUT -H "X-Api-Key: $ADMIN_KEY" "$URL/collections/team"'))["people"] == 0
    assert answer(documented('curl -F file=@photo.jpg "$URL/classify?collection=team"'))["candidates"] == []
    compared = answer(documented('curl -F source=@photo.jpg -F target=@ada1.jpg "$URL/compare"'))
    assert [face["same"] for face in compared["faces"]] == [True]
    embedded = answer(documented('curl -H "X-Api-Key: $ADMIN_KEY" -F file=@photo.jpg "$URL/embed"'))
    assert len(embedded["faces"][0]["embedding"]) == embedded["embedding"]["size"] == 704
    detected = answer(documented('curl -F file=@photo.jpg "$URL/detect"'))
    assert [face["quality"]["good"] for face in detected["faces"]] == [True]


def test_smoke_without_a_server(checkout: Path) -> None:
    done = shell("make smoke", checkout, URL="http://127.0.0.1:1")
    assert done.returncode != 0
    assert "WRONG  health       nothing answers at http://127.0.0.1:1" in done.stdout
    assert "there is no photo" in shell("make smoke", checkout, URL="http://127.0.0.1:1", PHOTO="none.jpg").stderr
