"""Commands on collections in a PostgreSQL database: its tables, people, backups, and embeddings of other networks."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator, NamedTuple

import numpy as np
import psycopg
import pytest

from model.embedding import GENERIC
from model.gallery import Gallery
from model.records import Person
from storage.postgres.database import connect
from testing.paths import SAMPLES
from testing.postgres import PostgresServer
from testing.servers import free_port
from tests import versions as tiny
from training.__main__ import main
from training.publishing.collections import Access

KOFI, TONY = SAMPLES / "Kofi_Annan_0006.jpg", SAMPLES / "Tony_Blair_0007.jpg"


class Done(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture()
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        code = main(list(map(str, arguments)))
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture()
def empty(postgres: PostgresServer) -> Iterator[str]:
    """The address of a database without tables."""
    with postgres.database(schema=False) as uri:
        yield uri


@pytest.fixture()
def uri(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database() as found:
        yield found


@pytest.fixture()
def places(uri: str, networks: Path) -> list[object]:
    """Options of the commands."""
    return ["--galleries", uri, "--model", networks]


def gallery(galleries: object, networks: Path, collection: str = "people") -> Gallery:
    return Access(str(galleries), str(networks)).galleries.open(collection)().snapshot.gallery.loaded()


def assert_same(found: Gallery, expected: Gallery) -> None:
    assert (found.spec, found.people, found.next_id) == (expected.spec, expected.people, expected.next_id)
    assert sorted(found.faces) == sorted(expected.faces)
    for person in expected.people:
        rows, others = found.face_rows_of(person.id), expected.face_rows_of(person.id)
        assert [found.face(row) for row in rows] == [expected.face(row) for row in others]
        assert (found.embeddings_of(rows) == expected.embeddings_of(others)).all()


# The tables


def test_the_tables_are_created_once(command: Command, empty: str, networks: Path) -> None:
    options = ["--galleries", empty, "--model", networks]
    before = command("people", "list", *options)
    assert (before.code, before.out) == (1, "")
    assert before.err.startswith("error: The database has no pgvector: install it, then run `python -m training")
    assert command("database", "--galleries", empty) == (0, "", "the tables of version 1 are created\n")
    assert command("people", "add", "Ada Lovelace", *options).code == 0
    assert command("database", "--galleries", empty) == (0, "", "the tables of version 1 were there already\n")
    assert command("people", "list", *options) == (0, "0      0  Ada Lovelace\n", "")


def test_a_database_without_tables(command: Command, empty: str, networks: Path) -> None:
    with connect(empty) as connection:
        connection.execute("create extension vector")
    done = command("people", "add", "Ada", "--galleries", empty, "--model", networks)
    message = "error: The database has no tables for collections: run `python -m training database`.\n"
    assert done == (1, "", message)


def test_the_address_may_be_in_the_environment(command: Command, empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GALLERY_URI", empty)
    assert command("database").err == "the tables of version 1 are created\n"


@pytest.mark.parametrize("place", ["galleries", "s3://my-bucket/galleries"])
def test_tables_need_a_database(command: Command, place: str) -> None:
    assert command("database", "--galleries", place) == (
        1,
        "",
        "error: database needs --galleries or GALLERY_URI of the form postgresql://user:password@host:port/database.\n",
    )


def test_a_role_gets_the_rights_of_the_service(
    command: Command, postgres: PostgresServer, empty: str, networks: Path
) -> None:
    role = postgres.role()
    address = empty.replace("//postgres:@", f"//{role}@")
    options = ["--galleries", address, "--model", networks]
    denied = command("database", "--galleries", address)
    assert (denied.code, "permission denied to create extension" in denied.err) == (1, True)
    assert command("database", "--galleries", empty).code == 0
    denied = command("people", "add", "Kofi Annan", KOFI, *options)
    assert denied.code == 1
    assert "The database user lacks a right: permission denied for schema face_recognition" in denied.err
    assert "`python -m training database --role USER` gives all of them." in denied.err
    for _ in range(2):
        done = command("database", "--galleries", empty, "--role", role)
        assert done == (0, "", "the tables of version 1 were there already\n")
    assert command("people", "add", "Kofi Annan", KOFI, *options).code == 0
    assert command("people", "delete", 0, *options).code == 0
    assert command("people", "list", *options).out == "There is nobody.\n"
    with connect(address) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("create schema another")


def test_a_role_that_is_not_there(command: Command, empty: str) -> None:
    for role in ("nobody", 'no"body; drop schema public'):
        done = command("database", "--galleries", empty, "--role", role)
        assert (done.code, done.err.startswith(f"error: The database has no role {role}: create it first")) == (1, True)
    assert command("database", "--galleries", empty).err == "the tables of version 1 are created\n"


def test_a_database_of_another_release(command: Command, places: list[object], uri: str) -> None:
    with connect(uri) as connection:
        connection.execute("update face_recognition.version set number = 2")
    for action in (["database"], ["people", "list", *places[2:]], ["people", "add", "Ada", *places[2:]]):
        done = command(*action, *places[:2])
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("error: The schema of the database has version 2, and this release uses 1: ")


def test_a_database_that_is_not_there(command: Command, networks: Path) -> None:
    uri = f"postgresql://service:secret@127.0.0.1:{free_port()}/faces"
    for action in (["database"], ["people", "list", "--model", networks], ["people", "add", "A", "--model", networks]):
        done = command(*action, "--galleries", uri)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("error: The database cannot be reached: ")
        assert "secret" not in done.err
    wrong = command("database", "--galleries", "postgresql://service:secret@127.0.0.1/faces?unknown=1")
    assert wrong == (1, "", "error: GALLERY_URI is not of the form postgresql://user:password@host:port/database.\n")


# People


def test_people_come_and_go(command: Command, places: list[object]) -> None:
    assert command("people", "add", "Zoë Müller", KOFI, *places) == (0, "", "Zoë Müller: ID 0, 1 photo added\n")
    assert command("people", "add", "Ada Lovelace", TONY, *places).code == 0
    again = command("people", "add", "Somebody", KOFI, *places)
    assert (again.code, again.err.endswith("The first one: it is enrolled already.\n")) == (1, True)
    assert command("people", "list", *places).out == "0      1  Zoë Müller\n1      1  Ada Lovelace\n"
    assert command("people", "rename", 1, "Ada King", *places) == (0, "", "")
    assert command("people", "list", *places).out == "0      1  Zoë Müller\n1      1  Ada King\n"
    assert command("people", "merge", 1, 0, *places) == (0, "", "")
    assert command("people", "list", *places).out == "0      2  Zoë Müller\n"
    assert command("people", "delete", 0, *places) == (0, "", "")
    assert command("people", "add", "Nobody Yet", *places).err == "Nobody Yet: ID 2, 0 photos added\n"
    assert command("people", "list", *places).out == "2      0  Nobody Yet\n"
    for action in (["rename", 7, "Ada"], ["merge", 7, 2], ["delete", 7]):
        done = command("people", *action, *places)
        assert (done.code, done.err.endswith("Nobody in this collection has this ID.\n")) == (1, True)


def test_a_database_keeps_an_index_of_its_own(command: Command, places: list[object]) -> None:
    done = command("people", "index", *places)
    message = "A database keeps an index of its own: this command is for collections in a folder or S3."
    assert done == (1, "", f"error: {message}\n")


def test_photos_are_enrolled(command: Command, places: list[object], uri: str, networks: Path, photos: Path) -> None:
    enrol = ["enrol", "--people", photos, *places]
    done = command(*enrol)
    assert done.code == 0
    assert "the collection people has 2 people and 2 faces" in done.err
    found = gallery(uri, networks)
    assert (found.people, found.spec) == ((Person(0, "Kofi Annan"), Person(1, "Tony Blair")), tiny.SPECS[GENERIC])
    again = command(*enrol)
    assert again.code == 0
    assert "nothing new: all photos with a face are enrolled already" in again.err
    assert_same(gallery(uri, networks), found)


def test_a_collection_begins_with_the_people_of_another_one(
    command: Command, places: list[object], uri: str, networks: Path, photos: Path
) -> None:
    enrol = ["enrol", "--people", photos, *places, "--from", "lfw", "--collection", "more"]
    for _ in range(2):
        assert command(*enrol).code == 0
    published, found = gallery(uri, networks, "lfw"), gallery(uri, networks, "more")
    assert (found.spec, found.people[:3]) == (published.spec, published.people)
    assert found.people[3:] == (Person(published.next_id, "Kofi Annan"), Person(published.next_id + 1, "Tony Blair"))
    assert len(found.faces) == len(published.faces) + 2


# Whole collections


@pytest.fixture()
def folder(tmp_path: Path, networks: Path) -> str:
    """A folder with a collection `people`: some with several faces, and one who was added with a photo."""
    place = str(tmp_path / "galleries")
    Access(place, str(networks)).galleries.restore(tiny.gallery(spec=tiny.SPECS[GENERIC]), None)
    assert main(["people", "add", "Kofi Annan", str(KOFI), "--galleries", place, "--model", str(networks)]) == 0
    return place


def test_a_collection_moves_into_a_database_and_back(
    command: Command, folder: str, uri: str, networks: Path, tmp_path: Path
) -> None:
    ways = [(folder, "people", uri, "people"), (uri, "people", uri, "copy"), (uri, "copy", folder, "back")]
    for source, name, target, copy in ways:
        file = tmp_path / f"{copy}.backup"
        exported = command("people", "export", file, "--galleries", source, "--model", networks, "--collection", name)
        assert (exported.code, "holds 4 people: names and biometric data" in exported.err) == (0, True)
        imported = command("people", "import", file, "--galleries", target, "--model", networks, "--collection", copy)
        assert imported == (0, "", "4 people imported\n")
        assert_same(gallery(target, networks, copy), gallery(source, networks, name))
    assert_same(gallery(folder, networks, "back"), gallery(folder, networks))
    for place, copy in ((uri, "people"), (folder, "back")):
        added = command("people", "add", "Next", "--galleries", place, "--model", networks, "--collection", copy)
        assert added.err == "Next: ID 12, 0 photos added\n"


def test_one_person_is_exported(
    command: Command, folder: str, places: list[object], uri: str, networks: Path, tmp_path: Path
) -> None:
    everybody, one = tmp_path / "everybody", tmp_path / "one"
    assert command("people", "export", everybody, "--galleries", folder, "--model", networks).code == 0
    assert command("people", "import", everybody, *places).code == 0
    assert command("people", "export", one, "--person", 2, *places).code == 0
    assert command("people", "import", one, *places, "--collection", "one").code == 0
    found, whole = gallery(uri, networks, "one"), gallery(uri, networks)
    assert (found.people, found.next_id) == ((whole.person(2),), whole.next_id)
    assert found.faces == whole.faces_of(2)


def test_a_collection_that_has_people_is_not_replaced(
    command: Command, folder: str, places: list[object], uri: str, networks: Path, tmp_path: Path
) -> None:
    assert command("people", "add", "Ada", *places).code == 0
    before, file = gallery(uri, networks), tmp_path / "backup"
    assert command("people", "export", file, "--galleries", folder, "--model", networks).code == 0
    done = command("people", "import", file, *places)
    assert done == (1, "", "error: The collection people exists already: begin a new one.\n")
    assert_same(gallery(uri, networks), before)


# Stored crops


@pytest.fixture()
def with_crops(command: Command, places: list[object], photos: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Options of a collection with crops."""
    monkeypatch.setenv("KEEP_CROPS", "on")
    assert command("enrol", "--people", photos, *places).code == 0
    return places


def crops(access: Access, collection: str) -> dict[str, bytes | None]:
    faces = access.galleries.open(collection)().snapshot.gallery.loaded().faces
    return {face.id: access.collections.crop(collection, face.id) for face in faces}


def test_embeddings_are_computed_anew_from_crops(
    command: Command, with_crops: list[object], uri: str, networks: Path
) -> None:
    before = gallery(uri, networks)
    done = command("people", "reembed", *with_crops)
    assert (done.code, done.err.splitlines()[-1]) == (0, "2 faces have new embeddings")
    after = gallery(uri, networks)
    assert (after.people, after.faces, after.next_id) == (before.people, before.faces, before.next_id)
    cosines = (before.embeddings * after.embeddings).sum(axis=1) / np.prod(
        [np.linalg.norm(each.embeddings, axis=1) for each in (before, after)], axis=0
    )
    assert cosines.min() > 0.97  # crops are stored as JPEG
    assert command("people", "add", "Next", *with_crops).code == 0


def test_without_crops_the_photos_are_needed(
    command: Command, with_crops: list[object], uri: str, networks: Path
) -> None:
    before = gallery(uri, networks)
    with connect(uri) as connection:
        connection.execute("update face_recognition.faces_1 set crop = null where person = 1")
    done = command("people", "reembed", *with_crops)
    assert done.code == 1
    assert "so the photos are needed: enrol them again in a new collection" in done.err
    assert_same(gallery(uri, networks), before)


def test_crops_move_into_a_folder_and_back(
    command: Command, with_crops: list[object], uri: str, networks: Path, tmp_path: Path
) -> None:
    folder, options = str(tmp_path / "galleries"), ["--model", networks]
    assert command("people", "export", tmp_path / "1", *with_crops).code == 0
    assert command("people", "import", tmp_path / "1", "--galleries", folder, *options).code == 0
    assert command("people", "export", tmp_path / "2", "--galleries", folder, *options).code == 0
    assert command("people", "import", tmp_path / "2", *with_crops, "--collection", "back").code == 0
    original = crops(Access(uri, str(networks)), "people")
    assert len(original) == 2 and all(original.values())
    assert crops(Access(folder, str(networks)), "people") == original
    assert crops(Access(uri, str(networks)), "back") == original
