"""Collections that change: what is stored after each change, in a folder and in S3."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Callable

import numpy as np
import pytest

from model.edit import Edit
from model.embedding import EmbeddingSpec
from model.gallery import Gallery
from model.records import EnrolledFace, Person
from storage import edits
from storage.blobs import BlobStore
from storage.collections import Collections
from storage.errors import BlobNotFound, CorruptData
from storage.galleries import MANIFEST, Manifest
from storage.revisions import Revision
from testing.changes import COLLECTION, SPEC, STRANGERS, adding, cohorts
from testing.wrapped_blobs import WrappedBlobs


@pytest.fixture()
def collections(store: BlobStore) -> Collections:
    made = Collections(store)
    assert made.create(COLLECTION, SPEC)
    return made


def add(collections: Collections, *names: str) -> Revision:
    """Add people with one face each, and return the last revision."""
    for number, name in enumerate(names):
        revision, _ = collections.commit(COLLECTION, cohorts, adding(name, str(number)))
    return revision


def keys(store: BlobStore) -> list[str]:
    return [entry.key for entry in store.list()]


def assert_same(found: Gallery, expected: Gallery) -> None:
    assert (found.people, found.next_id) == (expected.people, expected.next_id)
    assert sorted(found.faces) == sorted(expected.faces)
    rows = [expected.faces.index(face) for face in found.faces]
    assert (found.embeddings == expected.embeddings[rows]).all()
    assert np.abs(found.nearness - expected.nearness).max() < 1e-5


def returning(edit: Edit) -> Callable[[Gallery], tuple[Edit, str]]:
    return lambda _: (edit, "result")


def test_changes_as_others_read_them(store: BlobStore, collections: Collections) -> None:
    """A writer's revision, one that is read anew, and one that is read with an old revision in memory are the same."""
    old = add(collections, "Ada", "Zoë", "山田")
    face = EnrolledFace("more", 1, ("more",), "2026-01-02", (1.0, 2.0, 3.5, 4.0), 0.99)
    embedding = np.full((1, SPEC.size), 0.1)
    changes = [
        Edit((), (face,), embedding),
        Edit((Person(0, "Ada King", "external"),)),
        Edit(removed_faces=frozenset(["more"])),
        Edit(removed_people=frozenset([2])),
        Edit((Person(3, "Nobody yet"),)),
    ]
    for edit in changes:
        written, result = collections.commit(COLLECTION, cohorts, returning(edit), erase=True)
        assert result == "result"
        read, known = (Collections(store).read(COLLECTION, cohorts, known) for known in (None, old))
        for revision in (read, known):
            assert (revision.etag, revision.manifest) == (written.etag, written.manifest)
            assert_same(revision.gallery, written.gallery)
        expected = Gallery.of(
            SPEC, STRANGERS, written.gallery.people, written.gallery.faces, written.gallery.embeddings
        )
        assert np.abs(read.gallery.nearness - expected.nearness).max() < 1e-5
        old = known
    assert [person.name for person in read.gallery.people] == ["Ada King", "Zoë", "Nobody yet"]
    assert (read.gallery.next_id, len(read.gallery), len(read.gallery.faces)) == (4, 2, 2)


def test_a_collection_that_does_not_exist(store: BlobStore) -> None:
    some = Collections(store)
    assert some.manifests() == []
    for attempt in (
        lambda: some.read("people", cohorts),
        lambda: some.manifest("people"),
        lambda: some.delete("people"),
        lambda: some.commit("people", cohorts, adding("Ada", "1")),
    ):
        with pytest.raises(BlobNotFound):
            attempt()


def test_ids_are_not_assigned_again_after_a_collection_was_deleted(store: BlobStore, collections: Collections) -> None:
    add(collections, "Ada", "Zoë")
    assert not collections.create(COLLECTION, SPEC)
    assert collections.create("others", SPEC)
    assert [(found.collection, found.people) for found in collections.manifests()] == [("others", 0), ("people", 2)]
    deleted = collections.delete(COLLECTION)
    assert (deleted.people, deleted.faces) == (2, 2)
    assert [found.collection for found in collections.manifests()] == ["others"]
    assert keys(store) == [f"others/{MANIFEST}", f"people/{MANIFEST}"]
    with pytest.raises(BlobNotFound):
        collections.read(COLLECTION, cohorts)
    other = EmbeddingSpec("tuned", "1" * 16, SPEC.size, SPEC.mobile)
    assert collections.create(COLLECTION, other)
    created = collections.read(COLLECTION, cohorts)
    assert (created.gallery.people, created.gallery.next_id, created.manifest.embedding) == ((), 2, other)


def test_rounded_embeddings_are_what_the_writer_has_too(collections: Collections) -> None:
    found = add(collections, "Ada").gallery.embeddings
    assert (found == found.astype(np.float16).astype(np.float32)).all()


def test_without_an_edit_nothing_is_written(collections: Collections) -> None:
    before = add(collections, "Ada")
    after, result = collections.commit(COLLECTION, cohorts, lambda gallery: (None, len(gallery)))
    assert (after.etag, result) == (before.etag, 1)


# Deletion


def test_nothing_of_what_was_erased_is_in_any_object(store: BlobStore, collections: Collections) -> None:
    revision = add(collections, *(f"Person {i}" for i in range(100)))
    gallery = revision.gallery

    def is_there(text: str | bytes) -> bool:
        wanted = text.encode() if isinstance(text, str) else text
        return any(wanted in store.get(entry.key).data for entry in store.list())

    def stored(row: int) -> bytes:
        return gallery.embeddings[row].astype(np.float16).tobytes()

    # Left by a writer that was killed.
    data = store.get(f"{COLLECTION}/{revision.manifest.segments[0].file}").data
    store.put(f"{COLLECTION}/segments/{'a' * 32}.safetensors", data)
    assert is_there("Person 3") and is_there("Person 77") and is_there(stored(3)) and is_there(gallery.faces[3].id)
    collections.commit(COLLECTION, cohorts, lambda _: (Edit(removed_people=frozenset([3])), None), erase=True)
    for trace in (stored(3), gallery.faces[3].id, '"Person 3"'):
        assert not is_there(trace)
    rename = Edit((gallery.people[77]._replace(name="Somebody"),))
    collections.commit(COLLECTION, cohorts, lambda _: (rename, None), erase=True)
    assert not is_there("Person 77") and is_there("Somebody") and is_there(stored(77))
    face = gallery.faces[50]
    collections.commit(COLLECTION, cohorts, lambda _: (Edit(removed_faces=frozenset([face.id])), None), erase=True)
    assert not is_there(stored(50)) and not is_there(face.id) and is_there("Person 50")
    segments = list(store.list(f"{COLLECTION}/segments/"))
    assert len(segments) == len(collections.manifest(COLLECTION).segments)
    collections.delete(COLLECTION)
    assert not is_there("Person") and not is_there("Somebody")


def test_sweeping_removes_what_killed_writers_have_left(store: BlobStore, collections: Collections) -> None:
    before = add(collections, "Ada")
    collections.sweep(COLLECTION, cohorts)
    assert collections.manifest(COLLECTION) == before.manifest  # there was nothing to do
    store.put(f"{COLLECTION}/segments/left.safetensors", b"Zoe")
    collections.sweep(COLLECTION, cohorts)
    assert f"{COLLECTION}/segments/left.safetensors" not in keys(store)
    assert_same(collections.read(COLLECTION, cohorts).gallery, before.gallery)


# Size


def large(people: int) -> Edit:
    """People with one face each, to be added at once."""
    random = np.random.RandomState(0)
    added = tuple(Person(i, f"Person {i}") for i in range(people))
    faces = tuple(EnrolledFace(f"face-{i}", i, (f"{i:016x}",), "2026-01-01") for i in range(people))
    return Edit(added, faces, random.randn(people, SPEC.size).astype(np.float16))


def test_adding_a_face_to_a_large_collection_is_cheap(store: BlobStore, collections: Collections) -> None:
    edit = large(9_000)
    revision, _ = collections.commit(COLLECTION, cohorts, lambda _: (edit, None))
    assert [segment.faces for segment in revision.manifest.segments] == [4096, 4096, 808]
    counted = WrappedBlobs(store)
    writer = Collections(counted)
    face = EnrolledFace("new", 5, ("new",), "2026-01-02")
    for change in (adding("New", "1"), adding("New", "2"), lambda _: (Edit((), (face,), large(1).embeddings), None)):
        counted.operations.clear()
        revision, _ = writer.commit(COLLECTION, cohorts, change, revision)
        segments = [each for each in counted.operations if each.name == "put" and not each.key.endswith(MANIFEST)]
        assert len(counted.operations) <= 4
        assert sum(each.bytes for each in segments) <= edits.TAIL_BYTES
    assert len(revision.gallery.faces_of(5)) == 2
    assert_same(Collections(store).read(COLLECTION, cohorts).gallery, revision.gallery)


def test_small_segments_are_joined(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "TAIL_BYTES", 3_000)  # one face
    collections = Collections(store)
    collections.create(COLLECTION, SPEC)
    names = [f"Person {i}" for i in range(edits.SMALL_SEGMENTS + 3)]
    before = add(collections, *names)
    assert len(before.parts) > edits.SMALL_SEGMENTS
    # Faces of people who are in other segments: their rows are written again, and joining keeps the last ones.
    face = EnrolledFace("more", 1, ("more",), "2026-01-02")
    before, _ = collections.commit(COLLECTION, cohorts, lambda _: (Edit((), (face,), large(1).embeddings), None))
    after = collections.compact(COLLECTION, cohorts, before)
    assert len(after.parts) == 1
    assert len(keys(store)) == 2
    assert_same(Collections(store).read(COLLECTION, cohorts).gallery, before.gallery)
    assert collections.compact(COLLECTION, cohorts, after) is after


# Damage


def test_a_manifest_of_another_collection(store: BlobStore, collections: Collections) -> None:
    manifest = collections.manifest(COLLECTION)
    store.put(f"copied/{MANIFEST}", manifest.to_json())
    with pytest.raises(CorruptData, match="The manifest of copied is one of people"):
        collections.read("copied", cohorts)


def test_a_segment_that_is_missing_or_changed(store: BlobStore, collections: Collections) -> None:
    (segment,) = add(collections, "Ada").manifest.segments
    key = f"{COLLECTION}/{segment.file}"
    data = store.get(key).data
    store.put(key, data[:-1] + b"\0")
    with pytest.raises(CorruptData, match="its checksum differs"):
        Collections(store).read(COLLECTION, cohorts)
    store.delete(key)
    with pytest.raises(CorruptData, match="A segment of the collection people is missing"):
        Collections(store).read(COLLECTION, cohorts)


def test_the_manifest_of_a_collection_that_changes(store: BlobStore, collections: Collections) -> None:
    revision = add(collections, "Ada", "Zoë")
    content = json.loads(store.get(f"{COLLECTION}/{MANIFEST}").data)
    assert (content["changes"], len(content["commits"]), "deleted" in content) == (3, 3, False)
    assert Manifest.parse(revision.manifest.to_json()) == revision.manifest
    assert replace(revision.manifest, deleted=True).to_json() != revision.manifest.to_json()
