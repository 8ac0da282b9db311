"""Stored crops of enrolled faces: when they are written, and that they go with their faces."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from model.edit import Edit
from model.errors import UnreadableImage
from model.gallery import Gallery
from model.records import EnrolledFace, Person
from model.stored_crop import cut, pack, unpack
from storage.blobs import BlobStore
from storage.collections import Collections
from storage.galleries import MANIFEST
from testing.changes import COLLECTION, SPEC, STRANGERS, cohorts
from testing.wrapped_blobs import Operation, WrappedBlobs


def enrolled(*ids: str, person: int = 0) -> Edit:
    """Faces of one person, with crops."""
    faces = tuple(EnrolledFace(key, person, (key,), "2026-01-01") for key in ids)
    embeddings = np.random.RandomState(0).randn(len(ids), SPEC.size)
    return Edit((Person(person, "Ada"),), faces, embeddings, crops={key: key.encode() for key in ids})


def stored(store: BlobStore) -> set[str]:
    return {entry.key.split("/")[-1] for entry in store.list(f"{COLLECTION}/crops/")}


@pytest.fixture()
def collections(store: BlobStore) -> Collections:
    made = Collections(store)
    made.create(COLLECTION, SPEC)
    made.commit(COLLECTION, cohorts, lambda _: (enrolled("a", "b"), None))
    made.commit(COLLECTION, cohorts, lambda _: (enrolled("c", person=1), None))
    return made


def test_crops_go_with_their_faces(store: BlobStore, collections: Collections) -> None:
    assert stored(store) == {"a.jpg", "b.jpg", "c.jpg"}
    assert collections.crop(COLLECTION, "a") == b"a"
    assert collections.manifest(COLLECTION).crops
    collections.commit(COLLECTION, cohorts, lambda _: (Edit(removed_faces=frozenset(["a"])), None), erase=True)
    assert stored(store) == {"b.jpg", "c.jpg"}
    # Merging moves a face to another person: its crop stays.
    moved = EnrolledFace("c", 0, ("c",), "2026-01-01")
    merge = Edit((), (moved,), np.ones((1, SPEC.size)), removed_people=frozenset([1]))
    collections.commit(COLLECTION, cohorts, lambda _: (merge, None), erase=True)
    assert stored(store) == {"b.jpg", "c.jpg"}
    collections.commit(COLLECTION, cohorts, lambda _: (Edit(removed_people=frozenset([0])), None), erase=True)
    assert stored(store) == set()
    assert collections.crop(COLLECTION, "b") is None


def test_a_deleted_collection_leaves_no_crops(store: BlobStore, collections: Collections) -> None:
    collections.delete(COLLECTION)
    assert [entry.key for entry in store.list()] == [f"{COLLECTION}/{MANIFEST}"]


class Killed(BaseException):
    """The end of a process, after which nothing is tidied up."""


def kill_at_the_manifest(operation: Operation) -> None:
    if operation.name == "put" and operation.key.endswith(MANIFEST):
        raise Killed


def test_crops_of_killed_writers_go_with_the_next_deletion(store: BlobStore, collections: Collections) -> None:
    with pytest.raises(Killed):
        killed = Collections(WrappedBlobs(store, kill_at_the_manifest))
        killed.commit(COLLECTION, cohorts, lambda _: (enrolled("left", person=2), None))
    assert stored(store) == {"a.jpg", "b.jpg", "c.jpg", "left.jpg"}
    collections.commit(COLLECTION, cohorts, lambda _: (Edit(removed_faces=frozenset(["a"])), None), erase=True)
    assert stored(store) == {"b.jpg", "c.jpg"}


def test_crops_of_a_killed_writer_go_with_a_collection_without_crops(store: BlobStore) -> None:
    Collections(store).create(COLLECTION, SPEC)
    with pytest.raises(Killed):
        killed = Collections(WrappedBlobs(store, kill_at_the_manifest))
        killed.commit(COLLECTION, cohorts, lambda _: (enrolled("left"), None))
    Collections(store).delete(COLLECTION)
    assert [entry.key for entry in store.list()] == [f"{COLLECTION}/{MANIFEST}"]


def test_crops_of_a_writer_who_is_second_stay(store: BlobStore, collections: Collections) -> None:
    """A deletion finds crops of a change that is made again before the deletion has ended."""
    ids = iter(("first", "second"))

    def change(_: Gallery) -> tuple[Edit, None]:
        return enrolled(next(ids), person=2), None

    with pytest.raises(Killed):
        Collections(WrappedBlobs(store, kill_at_the_manifest)).commit(COLLECTION, cohorts, change)
    again: list[bool] = []

    def meanwhile(operation: Operation) -> None:
        if operation.name == "delete" and not again:
            again.append(True)
            collections.commit(COLLECTION, cohorts, change)

    erasing = Collections(WrappedBlobs(store, meanwhile))
    erasing.commit(COLLECTION, cohorts, lambda _: (Edit(removed_faces=frozenset(["a"])), None), erase=True)
    assert stored(store) == {"b.jpg", "c.jpg", "second.jpg"}


def test_crops_of_killed_writers_are_swept(store: BlobStore, collections: Collections) -> None:
    store.put(f"{COLLECTION}/crops/left.jpg", b"left")
    collections.sweep(COLLECTION, cohorts)
    assert stored(store) == {"a.jpg", "b.jpg", "c.jpg"}


class HeldBlobs(WrappedBlobs):
    """A manifest is sent when the test says so."""

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        write = partial(super().put, key, data, if_match=if_match, if_absent=if_absent)
        if not key.endswith(MANIFEST):
            return write()
        self.send = write
        raise Killed


def test_sweeping_leaves_the_crops_of_a_change_that_is_made_meanwhile(
    store: BlobStore, collections: Collections
) -> None:
    held = HeldBlobs(store)
    sent: list[str] = []

    def meanwhile(operation: Operation) -> None:
        if operation.name == "list" and operation.key.endswith("segments/"):
            with pytest.raises(Killed):
                Collections(held).commit(COLLECTION, cohorts, lambda _: (enrolled("new", person=2), None))
        if operation.name == "get" and operation.key.endswith(MANIFEST) and not sent:
            sent.append(held.send())

    Collections(WrappedBlobs(store, after=meanwhile)).sweep(COLLECTION, cohorts)
    assert collections.manifest(COLLECTION).faces == 4
    assert stored(store) == {"a.jpg", "b.jpg", "c.jpg", "new.jpg"}


def test_a_collection_with_another_embedding(store: BlobStore, collections: Collections) -> None:
    before = collections.read(COLLECTION, cohorts)
    other, old = replace(SPEC, digest="1" * 16), before.gallery
    new = Gallery.of(other, STRANGERS, old.people, old.faces, np.ones((3, SPEC.size)), old.next_id)
    collections.replace(before, new)
    after = Collections(store).read(COLLECTION, cohorts)
    assert (after.manifest.embedding, after.gallery.people, after.gallery.next_id) == (other, old.people, old.next_id)
    assert (after.gallery.embeddings == 1).all()
    assert len(list(store.list(f"{COLLECTION}/segments/"))) == 1


def test_the_crop_to_look_at() -> None:
    upper = np.asarray(Image.radial_gradient("L").resize((160, 160)).convert("RGB"))
    shown = Image.open(io.BytesIO(cut(pack(upper, np.zeros((112, 112, 3), np.uint8)))))
    assert (shown.format, shown.size) == ("JPEG", (160, 160))
    assert np.abs(np.asarray(shown, int) - upper).mean() < 1
    with pytest.raises(UnreadableImage):
        cut(b"no image")


def test_both_crops_in_one_file() -> None:
    """JPEG changes pixels a little, and the parts do not mix."""
    gradient = np.tile(np.arange(160, dtype=np.uint8)[:, None, None], (1, 160, 3))
    landmark = np.full((112, 112, 3), 200, np.uint8)
    data = pack(gradient, landmark)
    crop, landmark_crop = unpack(data, 160, 112)
    assert np.abs(crop.astype(int) - gradient).max() <= 3
    assert np.abs(landmark_crop.astype(int) - landmark).max() <= 12  # beside the other crop and the black border
    for damaged in (b"", b"no image", data[:200]):
        with pytest.raises(UnreadableImage):
            unpack(damaged, 160, 112)
    file = io.BytesIO()
    Image.new("RGB", (160, 160)).save(file, "JPEG")
    with pytest.raises(UnreadableImage, match="another size"):
        unpack(file.getvalue(), 160, 112)
