"""Collections in PostgreSQL: the same galleries as in memory, changes of several writers, and lost connections."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any, Callable, Iterator

import numpy as np
import pytest

from model.edit import Edit
from model.embedding import EmbeddingSpec, normalize
from model.errors import EmbeddingMismatch
from model.gallery import Gallery
from model.records import EnrolledFace, Person
from model.searchable import EditableGallery, SearchableGallery
from storage.errors import BlobConflict, BlobNotFound, StorageRefused, StorageUnreachable
from storage.postgres import changes as postgres_changes
from storage.postgres import gallery as postgres_gallery
from storage.postgres.collections import PostgresCollections
from storage.postgres.database import Database, connect
from storage.segments import rounded
from testing.changes import COLLECTION, SPEC, STRANGERS, adding, cohorts
from testing.paths import ROOT
from testing.postgres import PostgresServer
from tests.postgres_proxy import PostgresProxy, proxied

EMPTY = Gallery.of(SPEC, STRANGERS, [], [], np.zeros((0, SPEC.size), np.float32))


@pytest.fixture()
def uri(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database() as found:
        yield found


@pytest.fixture()
def collections(uri: str) -> PostgresCollections:
    made = PostgresCollections(Database(uri))
    assert made.create(COLLECTION, SPEC)
    return made


@pytest.fixture()
def proxy(uri: str) -> Iterator[tuple[PostgresProxy, PostgresCollections]]:
    """A proxy, and the collections through it."""
    PostgresCollections(Database(uri)).create(COLLECTION, SPEC)
    with proxied(uri) as (found, address):
        yield found, PostgresCollections(Database(address, seconds=1))


def embeddings(count: int, seed: int = 0) -> np.ndarray:
    return normalize(np.random.RandomState(seed).randn(count, SPEC.size)).astype(np.float32)


def making(edit: Edit) -> Callable[[object], tuple[Edit, None]]:
    return lambda _: (edit, None)


def served(collections: PostgresCollections) -> SearchableGallery:
    return collections.check(COLLECTION, cohorts).result().revision.gallery


def names(collections: PostgresCollections) -> list[str]:
    return [person.name for person in served(collections).people]


def random_edit(random: Random, gallery: SearchableGallery, number: int) -> Edit:
    """Make a change that fits a gallery."""
    people, kind = gallery.people, random.randrange(6)
    if kind < 2 or not people:
        name = random.choice(["Ada", "ADA", "Zoë", "山田", "Straße"])
        external, user = random.choice([None, f"e{number % 3}"]), random.choice([None, f"u{number}"])
        person = Person(gallery.next_id, name, external, user)
        return Edit((person,), *_faces(random, person.id, number))
    person = random.choice(people)
    if kind == 2:
        return Edit((), *_faces(random, person.id, number))
    if kind == 3:
        return Edit((person._replace(name="Renamed", external_id=None),))
    if kind == 4 and gallery.faces:
        return Edit(removed_faces=frozenset([random.choice(gallery.faces).id]))
    if kind == 5 and len(people) > 1:
        other = random.choice([each for each in people if each != person])
        rows = gallery.face_rows_of(person.id)
        faces = tuple(gallery.face(row)._replace(person=other.id, origin=person.id) for row in rows)
        return Edit((), faces, gallery.embeddings_of(rows), frozenset([person.id]))
    return Edit(removed_people=frozenset([person.id]), next_id=gallery.next_id + 3)


def _faces(random: Random, person: int, number: int) -> tuple[tuple[EnrolledFace, ...], np.ndarray]:
    faces = []
    for i in range(random.randrange(3)):
        photos = tuple(f"{number}-{j}" for j in range(random.randrange(1, 3)))
        face = EnrolledFace(f"{number}.{i}", person, photos, "2026-01-01T10:00:00+00:00")
        if random.random() < 0.5:
            face = face._replace(box=(0.1, 2.0, 1 / 3, 4.5), confidence=0.1 + 0.2, photo_size=(640, 480))
            face = face._replace(external_id="label", origin=random.choice([None, 3, "of an album"]))
        faces.append(face)
    return tuple(faces), rounded(embeddings(len(faces), number)).astype(np.float32)


def assert_same(found: SearchableGallery, expected: Gallery) -> None:
    assert (len(found), found.people_count, found.face_count) == (
        len(expected),
        expected.people_count,
        expected.face_count,
    )
    assert (found.people, found.next_id, found.ids.tolist()) == (
        expected.people,
        expected.next_id,
        expected.ids.tolist(),
    )
    assert sorted(found.faces) == sorted(expected.faces)
    for person in expected.people:
        assert sorted(found.faces_of(person.id)) == sorted(expected.faces_of(person.id))
        assert found.person(person.id) == person
        if expected.face_rows_of(person.id):
            assert np.abs(found.mean_of(person.id) - expected.mean_of(person.id)).max() < 1e-6
    for face in expected.faces:
        (row,) = found.face_rows([face.id])
        assert (found.find_face(face.id), found.face(row)) == (row, face)
        assert (found.embeddings_of([row]) == expected.embeddings_of(expected.face_rows([face.id]))).all()
        for digest in face.photos:
            assert found.has_photo(digest)
            rows = found.photo_faces(digest)
            assert {found.face(row) for row in rows} == set(map(expected.face, expected.photo_faces(digest)))
    for name in ("Ada", "ada", "STRASSE", "Renamed", "nobody"):
        assert (found.named(name), found.named_alike(name)) == (expected.named(name), expected.named_alike(name))
    for text in ("e0", "e1", "u0", "u1", "nobody"):
        assert found.with_external_id(text) == expected.with_external_id(text)
        assert found.user(text) == expected.user(text)
    assert found.users() == expected.users()
    for after, limit in ((-1, 3), (2, 100), (10**6, 1)):
        assert found.people_after(after, limit) == expected.people_after(after, limit)
    assert not found.has_photo("nothing") and found.find_face("nothing") is None and found.person(10**6) is None


def assert_same_search(found: SearchableGallery, expected: Gallery, k: int = 4) -> None:
    probes = embeddings(6, seed=99)
    mobile = normalize(probes[:, -SPEC.mobile :]).astype(np.float32)
    ids = expected.ids
    for used in (probes, mobile):
        for exclude in (None, np.resize(ids, len(used))) if len(ids) else (None,):
            ours, theirs = found.search(used, k, exclude), expected.search(used, k, exclude)
            assert ours.ids.shape == theirs.ids.shape
            finite = np.isfinite(theirs.scores)  # others are ignored, or have no face
            assert (ours.ids[finite] == theirs.ids[finite]).all()
            assert (np.isfinite(ours.scores) == finite).all()
            assert np.abs(ours.scores[finite] - theirs.scores[finite]).max(initial=0) < 1e-5
            assert found.found(ours.ids[0]) == expected.found(theirs.ids[0])


@pytest.mark.parametrize("seed", range(4))
def test_the_same_gallery_as_in_memory(collections: PostgresCollections, seed: int) -> None:
    random, expected = Random(seed), EMPTY
    for number in range(25):
        edit = random_edit(random, expected, number)
        expected = expected.edited(edit)
        written, _ = collections.commit(COLLECTION, cohorts, making(edit))
        assert written.manifest.changes == number + 1
    for found in (written.gallery, served(collections), served(collections).loaded()):
        assert_same(found, expected)
        assert_same_search(found, expected)
        assert_same_search(found, expected, k=1000)


def test_many_people_are_added_at_once(collections: PostgresCollections, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vector indexes are built after them, and find who is added later."""
    monkeypatch.setattr(postgres_changes, "REBUILT", 100)
    monkeypatch.setattr(postgres_changes, "BATCH", 70)
    monkeypatch.setattr(postgres_gallery, "EXACT_PEOPLE", 0)
    count = 300
    people = tuple(Person(i, f"Somebody {i}") for i in range(count))
    faces = tuple(EnrolledFace(str(i), i, (str(i),), "2026-01-01") for i in range(count))
    edits = [Edit(people, faces, rounded(embeddings(count))), Edit(removed_people=frozenset([7]))]
    edits.append(Edit((Person(count, "Last"),), (EnrolledFace("last", count, ("x",), "2026-01-01"),), embeddings(1, 5)))
    expected = EMPTY
    for edit in edits:
        collections.commit(COLLECTION, cohorts, making(edit))
        expected = expected.edited(edit)
    assert_same_search(served(collections), expected)
    found = served(collections).search(embeddings(1, 5), 1)
    assert found.ids.tolist() == [[count]]


def test_the_vector_indexes_are_used(collections: PostgresCollections, uri: str) -> None:
    collections.commit(COLLECTION, cohorts, adding("Ada", "1"))
    with connect(uri) as connection:
        connection.execute("set enable_seqscan = off")
        for column, size in (("whole", SPEC.size + 1), ("mobile", SPEC.mobile + 1)):
            vector = str([1.0] * size)
            plan = connection.execute(
                f"explain select person from face_recognition.entries_1 "
                f"order by {column}::halfvec({size}) <#> %s::vector::halfvec({size}) limit 5",
                [vector],
            ).fetchall()
            assert f"entries_1_{column}" in str(plan)


def test_a_change_sees_what_it_has_tried(collections: PostgresCollections) -> None:
    first = Edit((Person(0, "Ada"),), (EnrolledFace("1", 0, ("1",), "2026-01-01"),), embeddings(1))

    def change(gallery: EditableGallery) -> tuple[Edit, list[str]]:
        after = gallery.edited(first)
        assert (after.next_id, len(after), after.has_photo("1")) == (1, 1, True)
        assert after.search(embeddings(1), 1).ids.tolist() == [[0]]
        return first, [person.name for person in after.people]

    written, result = collections.commit(COLLECTION, cohorts, change)
    assert result == ["Ada"] == [person.name for person in written.gallery.people]
    assert written.manifest.faces == 1

    def give_up(gallery: EditableGallery) -> tuple[None, str]:
        gallery.edited(Edit(removed_people=frozenset([0])))
        return None, "nothing"

    unchanged, _ = collections.commit(COLLECTION, cohorts, give_up)
    assert unchanged.etag == written.etag
    assert names(collections) == ["Ada"]


def test_crops_stay_with_faces_that_move(collections: PostgresCollections) -> None:
    faces = tuple(EnrolledFace(str(i), i, (str(i),), "2026-01-01") for i in range(2))
    people = Person(0, "Ada"), Person(1, "Zoë")
    crops = {"0": b"zero", "1": b"one"}
    collections.commit(COLLECTION, cohorts, making(Edit(people, faces, embeddings(2), crops=crops)))
    moved = faces[0]._replace(person=1)
    collections.commit(COLLECTION, cohorts, making(Edit((), (moved,), embeddings(1), frozenset([0]))))
    assert [collections.crop(COLLECTION, key) for key in ("0", "1", "2")] == [b"zero", b"one", None]
    revision = collections.read(COLLECTION, cohorts)
    other = EmbeddingSpec("generic", "1" * 16, 64, 16)
    gallery = Gallery.of(
        other, STRANGERS.part(slice(0, 64)), revision.gallery.people, revision.gallery.faces, embeddings(2)[:, :64], 2
    )
    replaced = collections.replace(revision, gallery)
    assert (replaced.gallery.spec, replaced.manifest.people, replaced.manifest.faces) == (other, 1, 2)
    assert replaced.gallery.search(normalize(embeddings(1)[:, :64]).astype(np.float32), 1).ids.tolist() == [[1]]
    assert collections.crop(COLLECTION, "0") == b"zero"
    with pytest.raises(BlobConflict):
        collections.replace(revision, gallery)


def test_collections_come_and_go(collections: PostgresCollections, uri: str) -> None:
    assert not collections.create(COLLECTION, SPEC)
    collections.commit(COLLECTION, cohorts, adding("Ada", "1"))
    assert collections.create("other", SPEC)
    assert [manifest.collection for manifest in collections.manifests()] == ["other", COLLECTION]
    gallery = served(collections)
    assert collections.delete(COLLECTION).people == 1
    with connect(uri) as connection:
        query = "select relname from pg_class where relname ~ '^(people|faces|entries)_1'"
        assert connection.execute(query).fetchall() == []
    for lookup in (lambda: gallery.people, lambda: gallery.person(0), lambda: gallery.search(embeddings(1), 1)):
        with pytest.raises(BlobNotFound):
            lookup()
    missing: list[Callable[[], Any]] = [
        lambda: collections.read(COLLECTION, cohorts),
        lambda: collections.delete(COLLECTION),
        lambda: collections.manifest(COLLECTION),
        lambda: collections.commit(COLLECTION, cohorts, adding("Zoë", "2")),
    ]
    for attempt in missing:
        with pytest.raises(BlobNotFound):
            attempt()
    assert collections.crop(COLLECTION, "1") is None  # as in a folder and in S3
    # IDs are not assigned again.
    assert collections.create(COLLECTION, SPEC)
    written, key = collections.commit(COLLECTION, cohorts, adding("Zoë", "2"))
    assert (key, written.gallery.people_count) == (1, 1)


def test_a_collection_is_deleted_while_it_is_read(collections: PostgresCollections, uri: str) -> None:
    """A reader of people and then of faces, as for an export, and the deletion do not wait for each other."""
    collections.commit(COLLECTION, cohorts, adding("Ada", "1"))
    waiting = "select from pg_locks where not granted and mode = 'AccessExclusiveLock'"
    with connect(uri) as reader, connect(uri) as observer, ThreadPoolExecutor(1) as threads:
        reader.execute("select from face_recognition.people_1")
        deletion = threads.submit(collections.delete, COLLECTION)
        while not observer.execute(waiting).fetchall():
            time.sleep(0.01)
        reader.execute("select from face_recognition.faces_1")
        reader.commit()
        assert deletion.result(10).people == 1


def test_what_somebody_else_removes_meanwhile(collections: PostgresCollections) -> None:
    for number in range(3):
        collections.commit(COLLECTION, cohorts, adding(f"Somebody {number}", str(number)))
    gallery = served(collections)
    rows = gallery.face_rows_of(1)
    collections.commit(COLLECTION, cohorts, making(Edit(removed_people=frozenset([1]))), erase=True)
    for lookup in (lambda: gallery.embeddings_of(rows), lambda: gallery.found(np.array([1]))):
        with pytest.raises(BlobConflict):
            lookup()
    assert gallery.search(embeddings(2), 3).ids.shape == (2, 2)
    assert gallery.face(rows[0]).person == 1  # as it was when it was found


def test_embeddings_of_another_network(collections: PostgresCollections) -> None:
    def refuse(_: EmbeddingSpec) -> Any:
        raise EmbeddingMismatch("other networks")

    for attempt in (lambda: collections.read(COLLECTION, refuse), lambda: collections.commit(COLLECTION, refuse, make)):
        with pytest.raises(EmbeddingMismatch):
            attempt()


make = adding("Ada", "1")


# Writers


def test_no_change_of_many_writers_is_lost(uri: str, collections: PostgresCollections) -> None:
    code = "import sys; from tests.storage.postgres_writers import add; add(*sys.argv[1:])"
    commands = [[sys.executable, "-c", code, uri, f"writer {i}", "5"] for i in range(4)]
    writers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
    ids = [int(line) for each in writers for line in each.communicate(timeout=120)[0].split()]
    assert [each.returncode for each in writers] == [0] * 4
    assert sorted(ids) == list(range(20)) == served(collections).ids.tolist()
    assert sorted(names(collections)) == sorted(f"writer {i} {j}" for i in range(4) for j in range(5))


def test_a_killed_writer_leaves_nothing_half_done(uri: str, collections: PostgresCollections) -> None:
    code = "import sys; from tests.storage.postgres_writers import add; add(*sys.argv[1:])"
    for attempt in range(3):
        command = [sys.executable, "-c", code, uri, f"killed {attempt}", "1000"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            done = [int(process.stdout.readline())]
            time.sleep(Random(attempt).uniform(0, 0.1))
            process.kill()
            done += [int(line) for line in process.stdout.read().split()]
        gallery = served(collections)
        whole = gallery.loaded()
        assert set(done) <= set(whole.ids.tolist())
        assert len(gallery) == gallery.people_count == gallery.face_count == whole.face_count == whole.people_count
        with connect(uri) as connection:
            (entries,) = connection.execute("select count(*) from face_recognition.entries_1").fetchone() or (0,)
        assert entries == len(gallery)


def test_embeddings_are_computed_before_the_collection_is_locked(collections: PostgresCollections) -> None:
    class Slow:
        def prepare(self, spec: EmbeddingSpec) -> None:
            assert spec == SPEC
            collections.commit(COLLECTION, cohorts, adding("Another writer", "2"))

        def __call__(self, gallery: EditableGallery) -> tuple[Edit, int]:
            return adding("Ada", "1")(gallery)

    _, key = collections.commit(COLLECTION, cohorts, Slow())
    assert key == 1
    assert names(collections) == ["Another writer", "Ada"]


# The connection


def test_a_lost_answer_does_not_make_a_change_twice(proxy: tuple[PostgresProxy, PostgresCollections]) -> None:
    through, collections = proxy
    collections.commit(COLLECTION, cohorts, adding("Ada", "1"))
    through.cut_after = b"COMMIT"
    _, key = collections.commit(COLLECTION, cohorts, adding("Zoë", "2"))
    assert not through.cut_after
    assert key == 1
    assert names(collections) == ["Ada", "Zoë"]


def test_a_connection_that_is_lost_in_a_change(proxy: tuple[PostgresProxy, PostgresCollections]) -> None:
    through, collections = proxy
    through.cut_after = b"face_recognition.faces_1"
    _, key = collections.commit(COLLECTION, cohorts, adding("Ada", "1"))
    assert not through.cut_after
    assert (key, names(collections)) == (0, ["Ada"])


def test_connections_that_the_server_closed(uri: str, collections: PostgresCollections) -> None:
    assert names(collections) == []
    with connect(uri) as connection:
        connection.autocommit = True
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
    assert names(collections) == []


def test_a_silent_database_is_given_up_in_time(proxy: tuple[PostgresProxy, PostgresCollections]) -> None:
    through, collections = proxy
    gallery = served(collections)
    through.silent = True
    started = time.monotonic()
    with pytest.raises(StorageUnreachable):
        _ = gallery.people
    assert time.monotonic() - started < 20
    through.silent = False
    assert names(collections) == []


def test_a_database_that_is_slow(collections: PostgresCollections, uri: str) -> None:
    impatient = Database(uri, seconds=0.2)
    with pytest.raises(StorageUnreachable, match="took too long"), impatient.transaction() as cursor:
        cursor.execute("select pg_sleep(5)")
    with impatient.transaction() as cursor:
        assert cursor.execute("select 1").fetchone() == (1,)


def test_a_check_that_takes_too_long(uri: str) -> None:
    waiting = threading.Event()
    slow = PostgresCollections(Database(uri), start=lambda task: threading.Thread(target=task).start(), first=0.01)
    with connect(uri) as connection:
        connection.execute("lock table face_recognition.collections")
        with pytest.raises(StorageUnreachable) as caught:
            slow.check(COLLECTION, cohorts).result()
    assert caught.value.reason == "the database took too long"
    waiting.set()


def test_a_writer_that_waits_too_long_for_another_one(collections: PostgresCollections, uri: str) -> None:
    impatient = PostgresCollections(Database(uri, seconds=0.3), patience=0.1)
    with connect(uri) as connection:
        connection.execute("select 1 from face_recognition.collections for update")
        with pytest.raises(StorageUnreachable):
            impatient.commit(COLLECTION, cohorts, make)
    assert names(collections) == []
    impatient.commit(COLLECTION, cohorts, make)


def test_a_read_only_database(postgres: PostgresServer, collections: PostgresCollections, uri: str) -> None:
    collections.commit(COLLECTION, cohorts, make)
    name = uri.split("?")[0].rpartition("/")[2]
    postgres.run(f"alter database {name} set default_transaction_read_only = on")
    standby = PostgresCollections(Database(uri))
    assert names(standby) == ["Ada"]
    for attempt in (lambda: standby.commit(COLLECTION, cohorts, make), lambda: standby.delete(COLLECTION)):
        with pytest.raises(StorageRefused) as caught:
            attempt()
        assert caught.value.reason == "the database is read-only (25006)"
