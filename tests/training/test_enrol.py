"""Into which collection people are enrolled, with networks that recognize nobody."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model.embedding import GENERIC, TUNED
from storage.networks import Pointer
from testing.paths import SAMPLES
from tests import versions as tiny
from training.__main__ import main
from training.errors import TrainingError
from training.publishing.enrol import enrol
from training.publishing.versions import write_version
from training.store import load_model


@pytest.fixture()
def photos(tmp_path: Path) -> Path:
    """A photo of each of two people."""
    folder = tmp_path / "photos"
    for person, photo in (("Kofi_Annan", "Kofi_Annan_0006"), ("Tony_Blair", "Tony_Blair_0007")):
        (folder / person).mkdir(parents=True)
        shutil.copy(SAMPLES / f"{photo}.jpg", folder / person)
    return folder


def model(folder: Path, collection: str = "lfw") -> Pointer:
    """Write a version with a collection of that name, with the embedding `tuned`."""
    return write_version(folder, lambda path: path.write_bytes(tiny.network()), tiny.gallery(), collection, None)


def names(folder: Path) -> list[str]:
    return [person.name for person in load_model(str(folder)).gallery.people]


def test_a_new_collection_begins_empty(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model(tmp_path / "m")
    result = enrol([photos], str(tmp_path / "m"), tmp_path / "out")
    found = load_model(str(tmp_path / "out"))
    assert found.pointer == result.pointer
    assert (found.pointer.collection, found.gallery.spec) == ("people", tiny.SPECS[GENERIC])
    assert [(person.id, person.name) for person in found.gallery.people] == [(0, "Kofi Annan"), (1, "Tony Blair")]
    assert result.added == {"Kofi Annan": 1, "Tony Blair": 1}
    message = capsys.readouterr().err
    assert "a new collection `people` begins without the people of `lfw`; --from lfw keeps them" in message
    assert "only one photo of Kofi Annan, Tony Blair: add a second one" in message
    assert "knows 2 people" in message
    assert names(tmp_path / "m") == list(tiny.NAMES)


@pytest.mark.parametrize(("collection", "copy"), [("lfw", "lfw"), ("people", None), ("people", "people")])
def test_a_collection_is_continued(
    collection: str, copy: str | None, tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its embedding, IDs and faces."""
    model(tmp_path / "m", collection)
    enrol([photos], str(tmp_path / "m"), tmp_path / "out", copy)
    before, after = load_model(str(tmp_path / "m")).gallery, load_model(str(tmp_path / "out"))
    assert (after.pointer.collection, after.gallery.spec) == ("people", tiny.SPECS[TUNED])
    assert after.gallery.people[:3] == before.people
    assert after.gallery.faces[: len(before.faces)] == before.faces
    added = [(person.id, person.name) for person in after.gallery.people[3:]]
    assert added == [(before.next_id, "Kofi Annan"), (before.next_id + 1, "Tony Blair")]
    assert "a new collection" not in capsys.readouterr().err


def test_the_collection_that_began_is_continued(tmp_path: Path, photos: Path) -> None:
    """Photos that it has are left out, and people get the next IDs."""
    model(tmp_path / "m")
    later = tmp_path / "later" / "Tony_Blair"
    later.parent.mkdir()
    shutil.move(str(photos / "Tony_Blair"), str(later))
    enrol([photos], str(tmp_path / "m"), tmp_path / "out")
    first = load_model(str(tmp_path / "out")).version
    again = enrol([photos], str(tmp_path / "out"), tmp_path / "out")
    assert (again.pointer, again.added, len(again.duplicates)) == (None, {}, 1)
    assert load_model(str(tmp_path / "out")).version == first
    result = enrol([photos, later.parent], str(tmp_path / "out"), tmp_path / "out")
    assert result.added == {"Tony Blair": 1}
    assert [person.id for person in load_model(str(tmp_path / "out")).gallery.people] == [0, 1]
    assert names(tmp_path / "out") == ["Kofi Annan", "Tony Blair"]


@pytest.mark.parametrize("copy", ["people", "lwf"])
def test_a_collection_that_the_model_does_not_have(copy: str, tmp_path: Path, photos: Path) -> None:
    model(tmp_path / "m")
    with pytest.raises(TrainingError, match=f"The model has no collection {copy}: its collection is lfw"):
        enrol([photos], str(tmp_path / "m"), tmp_path / "out", copy)
    assert not (tmp_path / "out" / "latest.json").exists()


def test_the_option_from(tmp_path: Path, photos: Path) -> None:
    model(tmp_path / "m")
    command = ["enrol", "--people", str(photos), "--model", str(tmp_path / "m"), "--out", str(tmp_path / "out")]
    assert main([*command, "--from", "lfw"]) == 0
    assert names(tmp_path / "out") == [*tiny.NAMES, "Kofi Annan", "Tony Blair"]
