"""Several writers to one collection, writers that are killed, and writers whose S3 fails in between."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from typing import Callable

import pytest

from model.edit import Edit
from model.gallery import Gallery
from storage.blobs import BlobStore
from storage.collections import Collections
from storage.errors import BlobConflict, BlobNotFound, StorageUnreachable
from storage.galleries import MANIFEST
from storage.s3_settings import S3Settings
from storage.turns import TURN
from testing.changes import COLLECTION, SPEC, adding, cohorts
from testing.paths import ROOT
from testing.wrapped_blobs import Operation, WrappedBlobs


@pytest.fixture()
def collections(store: BlobStore) -> Collections:
    made = Collections(store)
    assert made.create(COLLECTION, SPEC)
    return made


def names(collections: Collections) -> list[str]:
    return [person.name for person in collections.read(COLLECTION, cohorts).gallery.people]


def writer(uri: str, settings: S3Settings, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "testing.changes", uri, str(settings.endpoint), name, str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_no_change_of_many_writers_is_lost(uri: str, settings: S3Settings, collections: Collections) -> None:
    writers = [writer(uri, settings, f"writer {i}", 5) for i in range(4)]
    ids = [int(line) for each in writers for line in each.communicate(timeout=120)[0].split()]
    assert [each.returncode for each in writers] == [0] * 4
    found = collections.read(COLLECTION, cohorts).gallery
    assert sorted(ids) == list(range(20)) == [person.id for person in found.people]
    assert sorted(names(collections)) == sorted(f"writer {i} {j}" for i in range(4) for j in range(5))
    assert len({face.id for face in found.faces}) == 20


def test_a_killed_writer_leaves_a_whole_revision(uri: str, settings: S3Settings, collections: Collections) -> None:
    for attempt in range(4):
        process = writer(uri, settings, f"killed {attempt}", 1000)
        assert process.stdout is not None
        done = [int(process.stdout.readline())]  # it has begun to write
        time.sleep(random.uniform(0, 0.2))
        process.kill()
        done += [int(line) for line in process.communicate()[0].split()]
        revision = collections.read(COLLECTION, cohorts)  # it checks that counts, people and faces fit together
        assert set(done) <= {person.id for person in revision.gallery.people}
        assert len(revision.gallery.faces) == len(revision.gallery.people)
    collections.commit(COLLECTION, cohorts, lambda _: (Edit(removed_people=frozenset([0])), None), erase=True)
    assert revision.gallery.people[0].name not in names(collections)


# Without processes: another writer, or a fault, between two operations


def nothing(_: Operation) -> None:
    pass


def interrupted(
    store: BlobStore,
    before: Callable[[Operation], object] = nothing,
    after: Callable[[Operation], object] = nothing,
    patience: float = 2,
) -> Collections:
    return Collections(WrappedBlobs(store, before, after), patience, sleep=lambda _: None)


class Once:
    """Calls something at the first operation that fits."""

    def __init__(self, name: str, end: str, action: Callable[[], object]) -> None:
        self._name, self._end, self._action = name, end, action
        self.done = False

    def __call__(self, operation: Operation) -> None:
        if not self.done and operation.name == self._name and operation.key.endswith(self._end):
            self.done = True
            self._action()


def unreachable() -> None:
    raise StorageUnreachable("S3 does not answer.", "S3 cannot be reached")


def test_a_change_is_made_again_on_that_of_another_writer(store: BlobStore, collections: Collections) -> None:
    other = Once("put", MANIFEST, lambda: collections.commit(COLLECTION, cohorts, adding("Zoë", "2")))
    revision, key = interrupted(store, before=other).commit(COLLECTION, cohorts, adding("Ada", "1"))
    assert [(person.id, person.name) for person in revision.gallery.people] == [(0, "Zoë"), (1, "Ada")]
    assert key == 1
    assert len(list(store.list(f"{COLLECTION}/segments/"))) == len(revision.parts)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_change_without_an_answer_is_made_once(store: BlobStore, collections: Collections, moment: str) -> None:
    lost = Once("put", MANIFEST, unreachable)
    writer = interrupted(store, *((lost, nothing) if moment == "before" else (nothing, lost)))
    revision, key = writer.commit(COLLECTION, cohorts, adding("Ada", "1"))
    assert (lost.done, key, names(collections)) == (True, 0, ["Ada"])
    assert revision.manifest == collections.manifest(COLLECTION)
    revision, _ = writer.commit(COLLECTION, cohorts, lambda _: (Edit(removed_people=frozenset([0])), None), erase=True)
    assert [entry.key for entry in store.list()] == [f"{COLLECTION}/{MANIFEST}"]  # nothing was left


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_collection_is_deleted_although_there_is_no_answer(
    store: BlobStore, collections: Collections, moment: str
) -> None:
    collections.commit(COLLECTION, cohorts, adding("Ada", "1"))
    lost = Once("put", MANIFEST, unreachable)
    assert (
        interrupted(store, *((lost, nothing) if moment == "before" else (nothing, lost))).delete(COLLECTION).people == 1
    )
    assert (lost.done, collections.manifests()) == (True, [])
    assert [entry.key for entry in store.list()] == [f"{COLLECTION}/{MANIFEST}"]


def test_a_deletion_that_gets_no_answer_is_no_conflict(store: BlobStore, collections: Collections) -> None:
    def fail(operation: Operation) -> None:
        if operation.name == "put":
            unreachable()

    with pytest.raises(StorageUnreachable):
        interrupted(store, before=fail, patience=0).delete(COLLECTION)


def test_a_deletion_that_is_repeated_removes_what_is_left(store: BlobStore, collections: Collections) -> None:
    collections.commit(COLLECTION, cohorts, adding("Ada", "1"))

    def fail(operation: Operation) -> None:
        if operation.name == "delete" and operation.key.endswith(".safetensors"):
            unreachable()

    with pytest.raises(StorageUnreachable):
        interrupted(store, before=fail).delete(COLLECTION)
    with pytest.raises(BlobNotFound):
        collections.delete(COLLECTION)
    assert [entry.key for entry in store.list()] == [f"{COLLECTION}/{MANIFEST}"]


def test_what_could_not_be_removed_is_removed_at_the_second_attempt(store: BlobStore, collections: Collections) -> None:
    collections.commit(COLLECTION, cohorts, adding("Ada", "1"))
    fails = Once("delete", ".safetensors", unreachable)
    interrupted(store, before=fails).commit(
        COLLECTION, cohorts, lambda _: (Edit(removed_people=frozenset([0])), None), erase=True
    )
    assert fails.done
    assert [entry.key for entry in store.list()] == [f"{COLLECTION}/{MANIFEST}"]


def test_segments_of_a_change_that_was_made_stay(store: BlobStore, collections: Collections) -> None:
    """Old segments cannot be removed at two attempts, and can be at a third one."""
    collections.commit(COLLECTION, cohorts, adding("Ada", "1"))
    collections.commit(COLLECTION, cohorts, adding("Zoë", "2"))
    failures = [unreachable, unreachable]

    def fail(operation: Operation) -> None:
        if operation.name == "delete" and operation.key.endswith(".safetensors") and failures:
            failures.pop()()

    with pytest.raises(StorageUnreachable):
        interrupted(store, before=fail).commit(
            COLLECTION, cohorts, lambda _: (Edit(removed_people=frozenset([0])), None), erase=True
        )
    assert (failures, names(collections)) == ([], ["Zoë"])


class LateBlobs(WrappedBlobs):
    """The first manifest gets no answer, and arrives while the second one is being sent, which takes long."""

    late: Callable[[], object] | None = None

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        write = partial(super().put, key, data, if_match=if_match, if_absent=if_absent)
        if key.endswith(MANIFEST):
            if self.late is None:
                self.late = write
                unreachable()
            self.late()
            time.sleep(0.5)
        return write()


def test_segments_of_a_manifest_that_arrives_late_stay(store: BlobStore, collections: Collections) -> None:
    with pytest.raises(StorageUnreachable):
        Collections(LateBlobs(store), patience=0.5).commit(COLLECTION, cohorts, adding("Ada", "1"))
    assert names(collections) == ["Ada"]


def test_a_change_that_another_writer_has_made_leaves_nothing(store: BlobStore, collections: Collections) -> None:
    """Two uploads of one photo at the same time: the second attempt of one of them has nothing to add."""
    other = Once("put", MANIFEST, lambda: collections.commit(COLLECTION, cohorts, adding("Ada", "1")))

    def change(gallery: Gallery) -> tuple[Edit | None, None]:
        edit, _ = adding("Ada", "1")(gallery)
        return None if gallery.has_photo("1") else replace(edit, crops={"face": b"crop"}), None

    revision, _ = interrupted(store, before=other).commit(COLLECTION, cohorts, change)
    segments = [f"{COLLECTION}/{segment.file}" for segment in revision.manifest.segments]
    assert [entry.key for entry in store.list()] == [f"{COLLECTION}/{MANIFEST}", *segments]


def test_a_writer_that_always_loses_gives_up(store: BlobStore, collections: Collections) -> None:
    counter = iter(range(10**6))

    def other(operation: Operation) -> None:
        if operation.name == "put" and operation.key.endswith(MANIFEST):
            collections.commit(COLLECTION, cohorts, adding("Other", str(next(counter))))

    loser = interrupted(store, before=other, patience=0.3)
    with pytest.raises(BlobConflict, match="again and again"):
        loser.commit(COLLECTION, cohorts, adding("Ada", "1"))
    assert "Ada" not in names(collections)


def test_a_change_of_a_collection_that_is_being_deleted(store: BlobStore, collections: Collections) -> None:
    """Nothing of the change stays, even if its segment was written after the deletion had listed the segments."""

    def delete() -> None:
        (key,) = [entry.key for entry in store.list(f"{COLLECTION}/segments/")]
        data = store.get(key).data
        collections.delete(COLLECTION)
        store.put(key, data)

    deleted = Once("put", MANIFEST, delete)
    with pytest.raises(BlobNotFound):
        interrupted(store, before=deleted).commit(COLLECTION, cohorts, adding("Ada", "1"))
    assert deleted.done
    assert [entry.key for entry in store.list()] == [f"{COLLECTION}/{MANIFEST}"]


def test_a_change_that_is_given_up_leaves_nothing(store: BlobStore, collections: Collections) -> None:
    """The other writer has taken the last place."""
    other = Once("put", MANIFEST, lambda: collections.commit(COLLECTION, cohorts, adding("Zoë", "2")))

    def change(gallery: Gallery) -> tuple[Edit, int]:
        if len(gallery):
            raise ValueError("The collection is full.")
        edit, key = adding("Ada", "1")(gallery)
        return replace(edit, crops={"face": b"crop"}), key

    with pytest.raises(ValueError, match="full"):
        interrupted(store, before=other).commit(COLLECTION, cohorts, change)
    assert len(list(store.list())) == 2
    assert names(collections) == ["Zoë"]


def test_a_reader_whose_segments_were_just_replaced_reads_again(store: BlobStore, collections: Collections) -> None:
    collections.commit(COLLECTION, cohorts, adding("Ada", "1"))
    other = Once("get", MANIFEST, lambda: collections.commit(COLLECTION, cohorts, adding("Zoë", "2")))
    found = interrupted(store, after=other).read(COLLECTION, cohorts)
    assert [person.name for person in found.gallery.people] == ["Ada", "Zoë"]


def test_the_turn_of_a_killed_writer_is_taken(
    store: BlobStore, collections: Collections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.turns.ABANDONED", 0.05)
    store.put(f"{COLLECTION}/{TURN}", b"of a killed writer")
    other = Once("put", MANIFEST, lambda: collections.commit(COLLECTION, cohorts, adding("Zoë", "2")))
    waiting = Collections(WrappedBlobs(store, before=other), patience=5, sleep=lambda _: time.sleep(0.01))
    waiting.commit(COLLECTION, cohorts, adding("Ada", "1"))
    assert names(collections) == ["Zoë", "Ada"]
    assert f"{COLLECTION}/{TURN}" not in {entry.key for entry in store.list()}
