"""Which people and photos are enrolled in which collection, with networks that recognize nobody."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from model.embedding import GENERIC
from model.gallery import Gallery
from model.records import Person
from service.results import DUPLICATE, NO_FACE, SEVERAL_FACES, UNREADABLE
from testing.paths import SAMPLES
from tests import versions as tiny
from tests.training.images import beside
from training.__main__ import main
from training.data.skipped import COPY
from training.errors import TrainingError
from training.publishing.collections import Access
from training.publishing.enrol import BATCH, enrol


@pytest.fixture(params=["folder", "s3"])
def galleries(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("uri") if request.param == "s3" else tmp_path / "galleries")


@pytest.fixture()
def access(tmp_path: Path, networks: Path) -> Access:
    return Access(str(tmp_path / "galleries"), str(networks))


def gallery(access: Access, collection: str = "people") -> Gallery:
    return access.galleries.open(collection)().snapshot.gallery.loaded()


def collections(access: Access) -> list[str]:
    return [info.name for info in access.galleries.list()]


def test_a_new_collection_begins_empty(
    galleries: str, networks: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["enrol", "--people", str(photos), "--galleries", galleries, "--model", str(networks)]
    assert main(command) == 0
    found = gallery(Access(galleries, str(networks)))
    assert (found.people, found.spec) == ((Person(0, "Kofi Annan"), Person(1, "Tony Blair")), tiny.SPECS[GENERIC])
    message = capsys.readouterr().err
    assert "the collection people is new and begins without the people of lfw; --from lfw begins with them" in message
    assert "Kofi Annan: ID 0, 1 photo added" in message
    assert "only one photo of Kofi Annan, Tony Blair. Add a second photo: of 200 people" in message
    assert "the collection people has 2 people and 2 faces" in message

    assert main(command) == 0
    message = capsys.readouterr().err
    assert f"{photos / 'Tony_Blair' / 'Tony_Blair_0007.jpg'}: left out, enrolled already" in message
    assert "nothing new: all photos with a face are enrolled already" in message
    assert gallery(Access(galleries, str(networks))).faces == found.faces


def test_a_new_collection_begins_with_the_people_of_another_one(
    galleries: str, networks: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its embedding, IDs and faces. The same command again continues it."""
    command = ["enrol", "--people", str(photos), "--galleries", galleries, "--model", str(networks), "--from", "lfw"]
    assert main([*command, "--collection", "more"]) == 0
    assert "the collection more begins with the 3 people of lfw" in capsys.readouterr().err
    access = Access(galleries, str(networks))
    before, after = gallery(access, "lfw"), gallery(access, "more")
    assert (after.spec, after.people[:3]) == (before.spec, before.people)
    assert after.people[3:] == (Person(before.next_id, "Kofi Annan"), Person(before.next_id + 1, "Tony Blair"))
    assert after.faces[: len(before.faces)] == before.faces
    assert (after.embeddings[: len(before.faces)] == before.embeddings).all()
    assert main([*command, "--collection", "more"]) == 0
    assert gallery(access, "more").faces == after.faces


def test_a_collection_of_others_is_not_mixed_with_a_copy(access: Access, photos: Path) -> None:
    enrol([photos], access)
    with pytest.raises(TrainingError, match="The collection people exists already: begin a new one"):
        enrol([photos], access, "lfw")
    with pytest.raises(TrainingError, match="There is no collection lwf to begin with: there are lfw, people"):
        enrol([photos], access, "lwf")
    assert [person.name for person in gallery(access).people] == ["Kofi Annan", "Tony Blair"]


def test_the_published_collection_does_not_change(access: Access, networks: Path, photos: Path, tmp_path: Path) -> None:
    for copy in (None, "lfw"):
        with pytest.raises(TrainingError, match="The collection lfw was published with the model and does not change"):
            enrol([photos], Access(str(tmp_path / "galleries"), str(networks), "lfw"), copy)
    assert collections(access) == ["lfw"]


def test_one_name_in_two_forms_of_unicode_is_one_person(access: Access, tmp_path: Path) -> None:
    for name, photo in (("Zoë", "Kofi_Annan_0006"), (unicodedata.normalize("NFD", "Zoë"), "Tony_Blair_0007")):
        folder = tmp_path / "both" / name
        folder.mkdir(parents=True)
        shutil.copy(SAMPLES / f"{photo}.jpg", folder)
    assert enrol([tmp_path / "both"], access).added == {"Zoë": 2}
    assert gallery(access).face_counts.tolist() == [2]


def test_a_name_stands_for_the_same_person(access: Access, photos: Path, tmp_path: Path) -> None:
    """In another folder, in a later run, and however the file system writes its letters."""
    enrol([photos], access)
    other = tmp_path / "other"
    for folder, photo in (("Kofi Annan", "astronaut"), (unicodedata.normalize("NFD", "Zoë"), "Alicia_Witt_0001")):
        (other / folder).mkdir(parents=True)
        shutil.copy(SAMPLES / f"{photo}.jpg", other / folder)
    report = enrol([photos, other], access)
    assert (report.added, report.single) == ({"Kofi Annan": 1, "Zoë": 1}, ["Zoë"])
    assert [reason for _, reason, _ in report.skipped] == [DUPLICATE, DUPLICATE]
    found = gallery(access)
    assert [person.name for person in found.people] == ["Kofi Annan", "Tony Blair", "Zoë"]
    assert found.face_counts.tolist() == [2, 1, 1]


@pytest.mark.parametrize("name", ["Ada\x07", "\u202eAda"])
def test_a_folder_whose_name_nobody_can_have(name: str, access: Access, photos: Path, tmp_path: Path) -> None:
    (photos / "Kofi_Annan").rename(photos / name)
    with pytest.raises(TrainingError, match=r"Rename a folder: .* cannot be a person's name"):
        enrol([photos], access)
    assert not (tmp_path / "galleries").exists()


def test_photos_that_are_left_out(access: Access, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(SAMPLES / "Kofi_Annan_0006.jpg", photos / "Kofi_Annan" / "copy.jpg")
    shutil.copy(SAMPLES / "Kofi_Annan_0006.jpg", photos / "Tony_Blair" / "copy.jpg")
    (photos / "Kofi_Annan" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (photos / "Kofi_Annan" / "dangling.jpg").symlink_to(photos / "nowhere.jpg")
    (photos / "Nobody").mkdir()
    Image.new("RGB", (64, 64)).save(photos / "Nobody" / "blank.png")
    report = enrol([photos], access)
    assert report.added == {"Kofi Annan": 1, "Tony Blair": 1}
    assert sorted((Path(photo.file).name, photo.reason) for photo in report.skipped) == [
        ("blank.png", NO_FACE),
        ("broken.jpg", UNREADABLE),
        *[("copy.jpg", COPY)] * 2,
    ]
    assert [person.name for person in gallery(access).people] == ["Kofi Annan", "Tony Blair"]
    message = capsys.readouterr().err
    assert f"{photos / 'Kofi_Annan' / 'broken.jpg'}: left out, cannot be read" in message
    assert f"{photos / 'Nobody' / 'blank.png'}: left out, no face found" in message


def test_a_bystander_is_not_enrolled(access: Access, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Enrol a face beside others only if it is much larger than they are."""
    beside("Kofi_Annan_0006", "Tony_Blair_0007").save(photos / "Kofi_Annan/team.jpg")
    beside("Kofi_Annan_0006", "Tony_Blair_0007", scale=0.5).save(photos / "Kofi_Annan/in front.jpg")
    report = enrol([photos], access)
    assert report.added == {"Kofi Annan": 2, "Tony Blair": 1}
    assert [(Path(photo.file).name, photo.reason) for photo in report.skipped] == [("team.jpg", SEVERAL_FACES)]
    message = capsys.readouterr().err
    assert f"{photos / 'Kofi_Annan/team.jpg'}: left out, several faces, none at least twice as large as" in message


def test_dry_run(access: Access, networks: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It finds the faces, and changes nothing."""
    beside("Kofi_Annan_0006", "Tony_Blair_0007").save(photos / "Kofi_Annan/team.jpg")
    shutil.copy(SAMPLES / "Kofi_Annan_0006.jpg", photos / "Tony_Blair/copy.jpg")
    place = str(photos.parent / "galleries")
    command = ["enrol", "--people", str(photos), "--galleries", place, "--model", str(networks)]
    assert main([*command, "--dry-run"]) == 0
    message = capsys.readouterr().err
    assert "Kofi Annan: 1 photo would be added" in message
    assert "dry run: nothing was changed" in message
    lines = [" ".join(line.split()) for line in message.splitlines()[-4:]]
    assert lines == [
        "people 2",
        "photos used 2",
        "skipped: several faces, none at least twice as large as the next one 1 such as "
        f"{photos / 'Kofi_Annan/team.jpg'}",
        f"skipped: a copy of another photo 1 such as {photos / 'Tony_Blair/copy.jpg'}",
    ]
    assert collections(access) == ["lfw"]
    assert main([*command, "--dry-run", "--strict"]) == 1
    assert "error: --strict: 2 files were skipped" in capsys.readouterr().err
    assert main(command) == 0
    assert gallery(access).face_counts.tolist() == [1, 1]


def test_strict(access: Access, photos: Path) -> None:
    """Photos that an earlier run has enrolled are no loss."""
    for _ in range(2):
        enrol([photos], access, strict=True)
    (photos / "Tony_Blair/notes.txt").write_text("no photo")
    with pytest.raises(TrainingError, match=r"--strict: 1 files were skipped, such as .*notes.txt"):
        enrol([photos], access, strict=True)


def test_folders_that_may_be_one_person(access: Access, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "Tony_Blair").rename(photos / "annan, kofi")
    enrol([photos], access)
    assert "Kofi Annan / annan, kofi: if this is one person, give the folders the same name" in capsys.readouterr().err


def test_nobody(access: Access, networks: Path, tmp_path: Path) -> None:
    """No collection begins either, because the service would use it in place of the published one."""
    (tmp_path / "photos" / "Nobody").mkdir(parents=True)
    (tmp_path / "photos" / "Nobody" / "x.jpg").write_bytes(b"\xff\xd8\xff")
    for collection in (None, "people", "other"):
        with pytest.raises(TrainingError, match=r"No photo could be used: nobody was enrolled\."):
            enrol([tmp_path / "photos"], Access(str(tmp_path / "galleries"), str(networks), collection))
    assert collections(access) == ["lfw"]


def test_several_batches(access: Access, photos: Path) -> None:
    """Each is one commit, and a person is never divided."""
    for i in range(BATCH):
        Image.new("RGB", (8 + i, 8)).save(photos / "Kofi_Annan" / f"blank {i}.png")
    report = enrol([photos], access)
    assert report.added == {"Kofi Annan": 1, "Tony Blair": 1}
    assert [reason for _, reason, _ in report.skipped] == [NO_FACE] * BATCH
    assert gallery(access).face_counts.tolist() == [1, 1]
