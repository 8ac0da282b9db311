"""Stored crops of a collection: embeddings of another network, and a training without the photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app import create_app
from model.embedding import normalize
from service.results import UploadedPhoto
from settings import Settings
from storage.networks import BUNDLED
from testing.events import upload
from testing.paths import SAMPLES
from tests.conftest import some_of, training
from training.__main__ import main
from training.data.people_photos import read_people
from training.publishing.backup import read_backup, write_backup
from training.publishing.collections import Access
from training.publishing.stored_crops import write_stored_crops


@pytest.fixture()
def enrolled(tmp_path: Path, lfw_small: Path, monkeypatch: pytest.MonkeyPatch) -> Access:
    """The place of a collection of three people with six photos each, with crops."""
    people = some_of(lfw_small, tmp_path / "photos", known=3, photos=6, strangers=0)
    monkeypatch.setenv("KEEP_CROPS", "on")
    assert main(["enrol", "--people", str(people), "--galleries", str(tmp_path / "galleries")]) == 0
    return Access(str(tmp_path / "galleries"), BUNDLED)


def embeddings(access: Access, collection: str = "people") -> np.ndarray:
    found: np.ndarray = normalize(access.galleries.open(collection)().snapshot.gallery.loaded().embeddings)
    return found


def test_embeddings_from_crops_are_those_of_the_photos(enrolled: Access, tmp_path: Path) -> None:
    before = embeddings(enrolled)
    galleries = str(tmp_path / "galleries")
    assert main(["people", "reembed", "--galleries", galleries]) == 0
    cosines = (before * embeddings(Access(galleries, BUNDLED))).sum(axis=1)
    assert cosines.min() > 0.97  # crops are stored as JPEG
    service = create_app(Settings(gallery_uri=galleries, metrics=False))
    (photo, *_) = sorted((tmp_path / "photos").rglob("*.jpg"))
    answer = service.handle(upload(photo.read_bytes()), type("Context", (), {"aws_request_id": "1"}))
    assert f'"predicted_name":"{photo.parent.name.replace("_", " ")}"' in answer["body"]


def test_without_crops_the_photos_are_needed(
    enrolled: Access, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = embeddings(enrolled)
    next((tmp_path / "galleries/people/crops").iterdir()).unlink()
    assert main(["people", "reembed", "--galleries", str(tmp_path / "galleries")]) == 1
    assert "so the photos are needed: enrol them again in a new collection" in capsys.readouterr().err
    assert (embeddings(Access(str(tmp_path / "galleries"), BUNDLED)) == before).all()


def test_crops_are_part_of_a_backup(enrolled: Access, tmp_path: Path) -> None:
    write_backup(enrolled, "people", tmp_path / "backup")
    read_backup(enrolled, "copy", tmp_path / "backup")
    crops = [
        {path.name: path.read_bytes() for path in (tmp_path / "galleries" / name / "crops").iterdir()}
        for name in ("people", "copy")
    ]
    assert len(crops[0]) == 18
    assert crops[0] == crops[1]


def test_training_on_a_collection(enrolled: Access, tmp_path: Path, weights: Path) -> None:
    galleries, out = tmp_path / "galleries", tmp_path / "run"
    command = ["all", "--collection", "people", "--galleries", galleries, "--out", out, "--seeds", "1"]
    done = training(*command, home=weights)
    assert done.returncode == 0, done.stderr
    assert len(list((out / "stored-crops").rglob("*.jpg"))) == 18
    prepare = "prepare", *command[1:-2]
    assert "prepare: unchanged, skipped" in training(*prepare).stderr
    # A face that is deleted is not trained on any more.
    face = enrolled.people.person("people", 0).faces[0]
    enrolled.people.delete_face("people", 0, face.id)
    assert training(*prepare).returncode == 0
    assert len(list((out / "stored-crops").rglob("*.jpg"))) == 17


def test_people_whose_folders_would_have_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slash and an underscore become spaces."""
    monkeypatch.setenv("KEEP_CROPS", "on")
    access = Access(str(tmp_path / "galleries"), BUNDLED)
    for name, photo in (("Ada/Berg", "Kofi_Annan_0006"), ("Ada_Berg", "Tony_Blair_0007"), ("Zoe", "Alicia_Witt_0001")):
        access.people.add("people", name, None, [UploadedPhoto(photo, (SAMPLES / f"{photo}.jpg").read_bytes())])
    folder = write_stored_crops(access, "people", tmp_path / "crops")
    assert list(read_people([folder]).people) == ["Ada Berg (0)", "Ada Berg (1)", "Zoe"]


def test_half_a_crop_does_not_stay(enrolled: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full_disk(path: Path, data: bytes) -> int:
        write(path, data[:1000])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full_disk)
        with pytest.raises(OSError):
            write_stored_crops(enrolled, "people", tmp_path / "crops")
    crops = write_stored_crops(enrolled, "people", tmp_path / "crops").rglob("*")
    assert min(path.stat().st_size for path in crops if path.is_file()) > 1000


def test_training_on_a_collection_without_crops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prepare", "--collection", "lfw", "--galleries", str(tmp_path / "none"), "--out", str(tmp_path / "run")]
    assert main(command) == 1
    assert "The collection lfw has no crops to train on" in capsys.readouterr().err
