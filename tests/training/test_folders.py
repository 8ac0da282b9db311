"""Folders of photos as people really have them: which folders are people, and which files are photos."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Sequence

import pytest

from service.results import Skipped
from training.data.people_photos import PeoplePhotos, read_people
from training.data.skipped import (
    DEAD_LINK,
    LINK_AROUND,
    LINK_TWICE,
    LOOSE,
    NOT_A_PHOTO,
    SPECIAL,
    TOO_DEEP,
    Summary,
)
from training.data.tree import MAX_DEPTH
from training.errors import TrainingError

PHOTO = b"\xff\xd8\xff\xe0"  # the first bytes of one


def write(root: Path, *paths: str) -> Path:
    """Write files that begin like photos."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(PHOTO)
    return root


def counts(found: PeoplePhotos) -> dict[str, int]:
    return {name: len(paths) for name, paths in found.people.items()}


def reasons(found: PeoplePhotos, root: Path) -> list[tuple[str, str]]:
    return [(os.path.relpath(photo.file, root), photo.reason) for photo in found.skipped]


@pytest.mark.parametrize(
    "ignored",
    [
        "Anna Berg/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "Anna Berg/.picasaoriginals/1.jpg",
        "Anna Berg/trip/.thumbnails/1.jpg",
        "Anna Berg/.@__thumb/1.jpg",
        "Anna Berg/._1.jpg",
        ".thumbnails/1.jpg",
        ".Trash-1000/files/1.jpg",
        ".Trashes/501/1.jpg",
        "$RECYCLE.BIN/S-1-5-21/1.jpg",
        "#recycle/Ben Ode/1.jpg",
        "@Recycle/Ben Ode/1.jpg",
        "System Volume Information/1.jpg",
        "__MACOSX/Anna Berg/._1.jpg",
        "lost+found/1.jpg",
        "Thumbs.db",
        "Previews.lrdata/1/2.jpg",
        "Photos Library.photoslibrary/originals/0/1.jpg",
    ],
)
def test_hidden_and_system_folders_are_ignored_and_counted(ignored: str, tmp_path: Path) -> None:
    """At any depth."""
    found = read_people([write(tmp_path, "Anna Berg/1.jpg", "Ben Ode/trip/1.jpg", ignored)])
    assert (counts(found), found.skipped) == ({"Anna Berg": 1, "Ben Ode": 1}, ())
    assert len(found.ignored) == 1
    assert str(tmp_path / ignored).startswith(found.ignored[0])


def test_a_folder_that_is_given_may_be_hidden(tmp_path: Path) -> None:
    assert counts(read_people([write(tmp_path / ".photos/trash", "Anna/1.jpg", "Ben/1.jpg")])) == {"Anna": 1, "Ben": 1}


@pytest.mark.parametrize(
    "paths",
    [
        ("Anna Berg/2019/1.jpg", "Anna Berg/2020/1.jpg", "Ben Ode/2019/2.jpg"),
        ("anna/2019-05-03/1.jpg", "anna/2019-06 Summer/1.jpg", "ben/1.jpg"),
        ("anna/front/1.jpg", "anna/profile/1.jpg", "ben/front/1.jpg", "ben/profile/1.jpg"),
        ("anna/1.jpg", "anna/berlin/1.jpg", "anna/rome/deep/er/1.jpg", "ben/1.jpg"),
        ("Anna Berg/berlin/1.jpg", "Anna Berg/rome/1.jpg", "Ben Ode/Summer Holiday/1.jpg"),
        ("anna/DCIM/100CANON/1.jpg", "anna/iPhone/2.jpg", "ben/WhatsApp Images/1.jpg"),
        ("anna/1.jpg", "ben/1.jpg", "cleo/berlin/1.jpg", "cleo/rome/1.jpg"),
        ("Anna Berg/album.jpg/1.jpg", "Ben Ode/1.jpg"),
        ("test/1.jpg", "anna/1.jpg"),
    ],
)
def test_the_person_is_the_folder_below_the_one_given(paths: Sequence[str], tmp_path: Path) -> None:
    found = read_people([write(tmp_path, *paths)])
    assert set(found.people) == {path.split("/")[0] for path in paths}
    assert sum(counts(found).values()) == len(paths)


@pytest.mark.parametrize(
    ("paths", "group"),
    [
        (("train/Anna Berg/1.jpg", "train/Ben Ode/1.jpg", "test/Anna Berg/2.jpg"), "test"),
        (("Training Data/anna/1.jpg", "val/anna/2.jpg"), "Training Data"),
        (("train/1.jpg", "val/2.jpg"), "train"),
        (("staff/Anna Berg/1.jpg", "guests/Ben Ode/1.jpg"), "guests"),
        (("people/anna/1.jpg", "people/ben/1.jpg"), "people"),
        (("2019/Anna Berg/1.jpg", "2020/Anna Berg/1.jpg"), "2019"),
        (("monday/Jane_Doe/1.jpg", "tuesday/Jane_Doe/1.jpg"), "monday"),
        (("fold1/anna/1.jpg", "fold1/ben/1.jpg", "fold2/anna/2.jpg", "fold2/ben/2.jpg"), "fold1"),
    ],
)
def test_an_ambiguous_layout_is_an_error(paths: Sequence[str], group: str, tmp_path: Path) -> None:
    """Which says what was understood, and how to choose."""
    write(tmp_path, *paths)
    with pytest.raises(TrainingError, match=f"are people: {group} .*is a person, add --level 1"):
        read_people([tmp_path])
    assert set(read_people([tmp_path], 1).people) == {path.split("/")[0] for path in paths}
    if "/1.jpg" in paths[0].partition("/")[2]:
        assert set(read_people([tmp_path], 2).people) == {path.split("/")[1].replace("_", " ") for path in paths}


def test_a_data_set_may_have_its_people_in_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "lfw/data/Anna_Berg/1.jpg", "lfw/data/Ben_Ode/1.jpg")
    (tmp_path / "lfw/README.txt").write_text("no photo")
    found = read_people([tmp_path], data_set=True)
    assert counts(found) == {"Anna Berg": 1, "Ben Ode": 1}
    assert f"the people are the folders in {tmp_path / 'lfw/data'}" in capsys.readouterr().err
    assert reasons(found, tmp_path) == [("lfw/README.txt", NOT_A_PHOTO)]
    with pytest.raises(TrainingError, match="It is not clear"):
        read_people([tmp_path])


@pytest.mark.parametrize("paths", [("Anna Berg.jpg", "Ben Ode.jpg"), ("1.jpg", "2.jpg")])
def test_photos_without_folders_are_explained(paths: Sequence[str], tmp_path: Path) -> None:
    """They are of one person, whose folder was given, or of several people."""
    write(tmp_path / "here", *paths)
    with pytest.raises(TrainingError, match=rf"has 2 photos, but none .* give the folder above it, {tmp_path}\. Other"):
        read_people([tmp_path / "here"])


def test_loose_photos_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = read_people([write(tmp_path, "Anna Berg/1.jpg", "Ben Ode.jpg")])
    assert (counts(found), reasons(found, tmp_path)) == ({"Anna Berg": 1}, [("Ben Ode.jpg", LOOSE)])
    message = capsys.readouterr().err
    assert f"{tmp_path / 'Ben Ode.jpg'}: left out, not in a person's folder: put it into a folder with the" in message


def test_a_folder_without_photos(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has no photos: it needs one folder of photos per person"):
        read_people([tmp_path])
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(TrainingError, match=r"per person. .*notes.txt: left out, not a photo in a supported format"):
        read_people([tmp_path])
    with pytest.raises(TrainingError, match=r"notes.txt is not a folder"):
        read_people([tmp_path / "notes.txt"])


def test_one_name_in_two_forms_of_unicode(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Zoë Ångström")
    found = read_people([write(tmp_path, f"{decomposed}/1.jpg", "Zoë Ångström/2.jpg")])
    assert counts(found) == {"Zoë Ångström": 2}


def test_names_that_are_not_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [os.fsdecode(name) for name in (b"Jos\xe9 Ruiz", b"Ben\x81 Ode")]
    found = read_people([write(tmp_path, f"{names[0]}/1.jpg", f"{names[1]}/1.jpg", "Ada/ni\udcf1o.jpg")])
    assert counts(found) == {"Ada": 1, "Ben\ufffd Ode": 1, "José Ruiz": 1}
    assert "not UTF-8, read as Windows-1252: Ben\ufffd Ode, José Ruiz" in capsys.readouterr().err


def test_links_are_followed(tmp_path: Path) -> None:
    people = write(tmp_path / "people", "Ben Ode/1.jpg")
    write(tmp_path / "store", "Anna/1.jpg", "Anna/trip/2.jpg", "loose/3.jpg")
    (people / "Anna Berg").symlink_to("../store/Anna")
    (people / "Ben Ode/3.jpg").symlink_to(tmp_path / "store/loose/3.jpg")
    found = read_people([people])
    assert (counts(found), found.skipped) == ({"Anna Berg": 2, "Ben Ode": 2}, ())


def test_links_that_lead_nowhere_or_back(tmp_path: Path) -> None:
    """A link to photos of another person adds none, because it would mix two people."""
    people = write(tmp_path / "people", "Anna/1.jpg", "Ben/1.jpg", "Ben/trip/2.jpg")
    for name, target in (
        ("Anna/dead.jpg", "/nonexistent/x.jpg"),
        ("Anna/self", "self"),
        ("Anna/friend", "../Ben"),
        ("Anna/friend.jpg", "../Ben/1.jpg"),
        ("Ann", "Anna"),
        ("Ben/loop", ".."),
        ("Ben/all", "/"),
        ("Ben/trip/up", ".."),
        ("Ben/null.jpg", "/dev/null"),
    ):
        (people / name).symlink_to(target)
    found = read_people([people])
    assert counts(found) == {"Anna": 1, "Ben": 2}
    assert dict(reasons(found, people)) == {
        "Anna/dead.jpg": DEAD_LINK,
        "Anna/self": DEAD_LINK,
        "Anna/friend": LINK_TWICE,
        "Anna/friend.jpg": LINK_TWICE,
        "Ann": LINK_TWICE,
        "Ben/loop": LINK_AROUND,
        "Ben/all": LINK_AROUND,
        "Ben/trip/up": LINK_TWICE,
        "Ben/null.jpg": SPECIAL,
    }


def test_links_of_linked_folders_end(tmp_path: Path) -> None:
    """Two folders elsewhere that lead to each other."""
    people = write(tmp_path / "people", "Ben/1.jpg")
    for name, other in (("a", "b"), ("b", "a")):
        write(tmp_path / name, f"{name}.jpg")
        (tmp_path / name / "other").symlink_to(tmp_path / other)
    (people / "Anna").symlink_to(tmp_path / "a")
    found = read_people([people])
    assert counts(found) == {"Anna": 2, "Ben": 1}
    assert reasons(found, people) == [("Anna/other/other", LINK_TWICE)]


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(write(tmp_path, "Anna/1.jpg", "Ben/1.jpg") / "Anna/pipe.jpg")
    (tmp_path / "Ben/notes.jpg").write_text("no photo")
    (tmp_path / "Ben/empty.jpg").write_bytes(b"")
    assert reasons(read_people([tmp_path]), tmp_path) == [
        ("Anna/pipe.jpg", SPECIAL),
        ("Ben/empty.jpg", NOT_A_PHOTO),
        ("Ben/notes.jpg", NOT_A_PHOTO),
    ]


def test_very_deep_folders(tmp_path: Path) -> None:
    found = read_people([write(tmp_path, "Anna/1.jpg", f"Anna/{'x/' * MAX_DEPTH}2.jpg", "Ben/1.jpg")])
    assert counts(found) == {"Anna": 1, "Ben": 1}
    assert [photo.reason for photo in found.skipped] == [TOO_DEEP]


def test_the_table_names_the_first_file_of_each_reason() -> None:
    skipped = [Skipped("a/1", LOOSE), Skipped("a/2", DEAD_LINK), Skipped("a/3", LOOSE)]
    lines = [" ".join(line.split()) for line in Summary(2, 1234, skipped).table().splitlines()]
    assert lines == [
        "people 2",
        "photos used 1,234",
        "skipped: not in a person's folder: put it into a folder with the person's name 2 such as a/1",
        "skipped: the link leads nowhere 1 such as a/2",
    ]
