"""`python -m training people export` and `import`: what a file brings back, and which files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import numpy as np
import pytest

from model.embedding import GENERIC, EmbeddingSpec
from model.gallery import Gallery
from model.networks import CONFIG
from model.records import Person
from testing.paths import SAMPLES
from tests import versions as tiny
from training.__main__ import main
from training.publishing.backup import read_backup, write_backup
from training.publishing.collections import Access

KOFI = SAMPLES / "Kofi_Annan_0006.jpg"
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "text": lambda data: b"names and biometric data",
    "a photo": lambda data: KOFI.read_bytes(),
    "truncated": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
}


@pytest.fixture(params=["folder", "s3"])
def galleries(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("uri") if request.param == "s3" else tmp_path / "galleries")


@pytest.fixture()
def access(galleries: str, networks: Path) -> Access:
    """A place with a collection `people`: some with several faces, and one who was added with a photo."""
    found = Access(galleries, str(networks))
    found.galleries.restore(tiny.gallery(spec=tiny.SPECS[GENERIC]), None)
    assert main(["people", "add", "Kofi Annan", str(KOFI), *options(galleries, networks)]) == 0
    return found


def options(galleries: str, networks: Path, collection: str = "people") -> list[str]:
    return ["--galleries", galleries, "--model", str(networks), "--collection", collection]


def gallery(access: Access, collection: str) -> Gallery:
    return access.galleries.open(collection)().snapshot.gallery.loaded()


def assert_same(found: Gallery, expected: Gallery) -> None:
    assert (found.spec, found.people, found.next_id) == (expected.spec, expected.people, expected.next_id)
    assert found.faces == expected.faces
    assert (found.embeddings == expected.embeddings).all()
    assert np.abs(found.nearness - expected.nearness).max(initial=0) < 1e-5


def test_a_collection_comes_back(
    access: Access, galleries: str, networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "backup"
    assert main(["people", "export", str(file), *options(galleries, networks)]) == 0
    assert f"{file} holds 4 people: names and biometric data" in capsys.readouterr().err
    assert file.stat().st_mode & 0o777 == 0o600
    assert main(["people", "import", str(file), *options(galleries, networks, "copy")]) == 0
    assert "4 people imported" in capsys.readouterr().err
    assert_same(gallery(access, "copy"), gallery(access, "people"))
    assert [person.id for person in gallery(access, "copy").people] == [0, 2, 4, 11]
    assert main(["people", "add", "Next", *options(galleries, networks, "copy")]) == 0
    assert gallery(access, "copy").people[-1] == Person(12, "Next")


def test_one_person(access: Access, galleries: str, networks: Path, tmp_path: Path) -> None:
    file, everybody = tmp_path / "one", gallery(access, "people")
    assert main(["people", "export", str(file), "--person", "2", *options(galleries, networks)]) == 0
    for name in (*tiny.NAMES, "Kofi Annan"):
        assert (name.encode() in file.read_bytes()) == (name == "Zoë Müller")
    assert main(["people", "import", str(file), *options(galleries, networks, "one")]) == 0
    found = gallery(access, "one")
    assert (found.people, found.next_id) == ((everybody.person(2),), everybody.next_id)
    assert found.faces == everybody.faces_of(2)
    rows = [row for row, face in enumerate(everybody.faces) if face.person == 2]
    assert (found.embeddings == everybody.embeddings[rows]).all()


def test_an_unknown_person(
    access: Access, galleries: str, networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["people", "export", str(tmp_path / "one"), "--person", "3", *options(galleries, networks)]) == 1
    assert capsys.readouterr().err.endswith("error: Nobody in this collection has this ID.\n")
    assert not (tmp_path / "one").exists()


def test_the_published_collection_keeps_its_embedding(access: Access, tmp_path: Path) -> None:
    assert write_backup(access, "lfw", tmp_path / "backup") == len(tiny.NAMES)
    read_backup(access, "copy", tmp_path / "backup")
    assert_same(gallery(access, "copy"), gallery(access, "lfw"))


def test_an_empty_collection(access: Access, tmp_path: Path) -> None:
    access.galleries.create("empty")
    assert write_backup(access, "empty", tmp_path / "backup") == 0
    assert read_backup(access, "copy", tmp_path / "backup") == 0
    assert_same(gallery(access, "copy"), gallery(access, "empty"))


@pytest.mark.parametrize(
    ("collection", "message"),
    [
        ("people", "The collection people exists already: begin a new one."),
        ("lfw", "The collection lfw was published with the model and does not change: name another one."),
    ],
)
def test_a_collection_that_has_people_is_not_replaced(
    collection: str,
    message: str,
    access: Access,
    galleries: str,
    networks: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = gallery(access, collection)
    write_backup(access, "people", tmp_path / "backup")
    assert main(["people", "import", str(tmp_path / "backup"), *options(galleries, networks, collection)]) == 1
    assert capsys.readouterr().err.endswith(f"error: {message}\n")
    assert_same(gallery(access, collection), before)


# In a folder


@pytest.fixture()
def here(networks: Path, tmp_path: Path) -> Access:
    """A folder without collections."""
    return Access(str(tmp_path / "galleries"), str(networks))


def imported(here: Access, networks: Path, file: Path) -> int:
    return main(["people", "import", str(file), *options(str(file.parent / "galleries"), networks)])


def backup(here: Access, tmp_path: Path) -> Path:
    write_backup(here, "lfw", tmp_path / "backup")
    return tmp_path / "backup"


@pytest.mark.parametrize("damage", DAMAGES)
def test_other_files_are_refused(
    damage: str, here: Access, networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = backup(here, tmp_path)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert imported(here, networks, file) == 1
    assert f"error: {file} is not a file of `people export`: " in capsys.readouterr().err
    assert not (tmp_path / "galleries").exists()


def test_every_changed_byte_is_noticed(here: Access, networks: Path, tmp_path: Path) -> None:
    file = backup(here, tmp_path)
    data = file.read_bytes()
    for position in np.random.RandomState(0).choice(len(data), 40, replace=False):
        changed = bytearray(data)
        changed[position] ^= 1
        file.write_bytes(changed)
        assert imported(here, networks, file) == 1, position
    assert not (tmp_path / "galleries").exists()


def test_a_segment_is_no_backup(
    here: Access, networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (segment,) = networks.rglob("*.safetensors")
    (tmp_path / "segment").write_bytes(segment.read_bytes())
    assert imported(here, networks, tmp_path / "segment") == 1
    assert "is not a file of `people export`: KeyError, 'collection'" in capsys.readouterr().err


def test_embeddings_of_another_network(
    here: Access, networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads(tiny.network_config().to_json())
    config["specs"][GENERIC]["digest"] = "f" * 16
    people = tiny.gallery(spec=EmbeddingSpec(**config["specs"][GENERIC]))
    tiny.write(tmp_path / "other", people, tiny.pack({CONFIG: json.dumps(config)}))
    write_backup(Access(str(tmp_path / "galleries"), str(tmp_path / "other")), "people", tmp_path / "backup")
    assert imported(here, networks, tmp_path / "backup") == 1
    assert "holds embeddings `generic` of another network (ffffffffffffffff)" in capsys.readouterr().err


def test_files_that_cannot_be_read_or_written(
    here: Access, networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none" / "backup"
    places = options(str(tmp_path / "galleries"), networks, "lfw")
    for action in ("import", "export"):
        assert main(["people", action, str(missing), *places]) == 1
        assert "error: No such file or directory" in capsys.readouterr().err
    assert main(["people", "export", str(tmp_path), *places]) == 1
    assert "error: Is a directory" in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]
