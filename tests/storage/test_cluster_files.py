"""The index of a large collection: written beside the segments, and disposable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

import numpy as np
import pytest
import safetensors.numpy

from model import gallery as galleries
from model.clusters import Clusters
from model.gallery import Gallery
from storage.background import at_once
from storage.blobs import BlobStore
from storage.cluster_files import decode_clusters, encode_clusters
from storage.collections import Collections
from storage.errors import BlobNotFound, CorruptData
from storage.galleries import MANIFEST
from storage.live_collections import LiveCollections
from testing.changes import COLLECTION, SPEC, adding, cohorts

PEOPLE = 12


@pytest.fixture()
def stored(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> Collections:
    """A collection whose people count as many."""
    monkeypatch.setattr(galleries, "FLAT_PEOPLE", 5)
    made = Collections(store)
    made.create(COLLECTION, SPEC)
    for i in range(PEOPLE):
        made.commit(COLLECTION, cohorts, adding(f"Person {i}", str(i)))
    return made


def clusters(people: int = PEOPLE) -> Clusters:
    centroids = np.eye(2, SPEC.size, dtype=np.float32)
    return Clusters(np.arange(people), (np.arange(people) % 2).astype(np.int32), centroids, SPEC.mobile)


def index_files(store: BlobStore) -> list[str]:
    named = {segment.file for segment in Collections(store).read(COLLECTION, cohorts).manifest.segments}
    return [
        entry.key for entry in store.list() if "/segments/" in entry.key and entry.key.split("/", 1)[1] not in named
    ]


def test_an_index_is_written_and_read(store: BlobStore, stored: Collections) -> None:
    live = LiveCollections(lambda: store, start=at_once)

    def served() -> Gallery:
        return live.check(COLLECTION, cohorts).result().revision.gallery.loaded()

    assert served().clusters is None
    stored.write_index(COLLECTION, clusters())
    found = served()
    assert found.clusters is not None and found.clusters.ids.tolist() == list(range(PEOPLE))
    assert {held.cluster for held in found._packed.held} == {0, 1}
    # A change keeps it, and another one replaces it.
    revision, _ = live.commit(COLLECTION, cohorts, adding("New", "new"))
    assert revision.gallery.clusters is found.clusters and revision.manifest.index
    assert stored.read(COLLECTION, cohorts).gallery.clusters is not None
    before = index_files(store)
    stored.write_index(COLLECTION, clusters(PEOPLE + 1))
    assert len(before) == len(index_files(store)) == 1 and before != index_files(store)
    again = served().clusters
    assert again is not None and len(again.ids) == PEOPLE + 1


def test_an_index_goes_with_its_collection(store: BlobStore, stored: Collections) -> None:
    stored.write_index(COLLECTION, clusters())
    assert stored.delete(COLLECTION).people == PEOPLE
    assert [entry.key for entry in store.list()] == [f"{COLLECTION}/{MANIFEST}"]
    stored.create(COLLECTION, SPEC)
    assert stored.manifest(COLLECTION).index is None
    with pytest.raises(BlobNotFound):
        stored.write_index("another", clusters())
    assert [entry.key for entry in store.list()] == [f"{COLLECTION}/{MANIFEST}"]


@pytest.mark.parametrize("damage", ["missing", "changed", "another embedding"])
def test_a_collection_is_served_without_an_index_that_cannot_be_used(
    store: BlobStore, stored: Collections, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = clusters()
    if damage == "another embedding":
        other.centroids = np.eye(2, 7, dtype=np.float32)
    stored.write_index(COLLECTION, other)
    (file,) = index_files(store)
    if damage == "missing":
        store.delete(file)
    elif damage == "changed":
        store.put(file, store.get(file).data[:-1] + b"\7")
    caplog.clear()
    found = stored.read(COLLECTION, cohorts).gallery
    assert found.clusters is None and len(found.people) == PEOPLE
    assert len(caplog.messages) == 1 and caplog.messages[0].startswith("A collection is searched without its index: ")
    stored.write_index(COLLECTION, clusters())
    assert stored.read(COLLECTION, cohorts).gallery.clusters is not None


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrays: arrays.pop("ids"),
        lambda arrays: arrays.update(ids=arrays["ids"].astype(np.int32)),
        lambda arrays: arrays.update(ids=arrays["ids"][::-1].copy()),
        lambda arrays: arrays.update(ids=arrays["ids"][:-1]),
        lambda arrays: arrays.update(numbers=arrays["numbers"] + 1),
        lambda arrays: arrays.update(numbers=arrays["numbers"] - 1),
        lambda arrays: arrays.update(numbers=arrays["numbers"].astype(np.int64)),
        lambda arrays: arrays.update(centroids=arrays["centroids"].astype(np.float32)),
        lambda arrays: arrays.update(centroids=arrays["centroids"][:, 1:]),
        lambda arrays: arrays.update(centroids=arrays["centroids"].ravel()),
    ],
)
def test_what_an_index_must_be(damage: Callable[[Any], object]) -> None:
    data = encode_clusters(clusters())
    assert decode_clusters(data, SPEC).numbers.tolist() == [0, 1] * (PEOPLE // 2)
    arrays = safetensors.numpy.load(data)
    damage(arrays)
    with pytest.raises(CorruptData):
        decode_clusters(safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in arrays.items()}), SPEC)
    with pytest.raises(CorruptData):
        decode_clusters(data[:-1], SPEC)
    with pytest.raises(CorruptData):
        decode_clusters(data, replace(SPEC, size=SPEC.size + 1))
