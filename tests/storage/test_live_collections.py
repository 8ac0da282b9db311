"""Collections in the memory of a running function: when they are read, and when an old revision is served."""

from __future__ import annotations

import threading
import time
from typing import Callable

import pytest

from model.cohort import NO_COHORT, Cohort
from model.edit import Edit
from model.embedding import EmbeddingSpec
from model.errors import EmbeddingMismatch
from storage import edits
from storage.background import Task
from storage.blobs import BlobStore
from storage.collections import Collections
from storage.errors import BlobNotFound, StorageRefused, StorageUnreachable
from storage.galleries import MANIFEST
from storage.live_collections import LiveCollections
from testing.changes import COLLECTION, SPEC, STRANGERS, adding, cohorts
from testing.wrapped_blobs import Operation, WrappedBlobs


@pytest.fixture()
def others(store: BlobStore) -> Collections:
    """The same collections in another process, which adds a person first."""
    made = Collections(store)
    made.create(COLLECTION, SPEC)
    made.commit(COLLECTION, cohorts, adding("Ada", "1"))
    return made


def live(store: BlobStore, patience: float = 5) -> LiveCollections:
    return LiveCollections(lambda: store, patience=patience)


def names(found: LiveCollections) -> tuple[list[str], bool]:
    """Names of the people who are served, and whether they may be out of date."""
    revision, stale = found.check(COLLECTION, cohorts).result()
    return [person.name for person in revision.gallery.people], stale


def test_a_change_is_seen_by_the_next_request_of_every_runtime(store: BlobStore, others: Collections) -> None:
    runtimes = [live(store) for _ in range(3)]
    assert [names(each) for each in runtimes] == [(["Ada"], False)] * 3
    others.commit(COLLECTION, cohorts, adding("Zoë", "2"))
    assert [names(each) for each in runtimes] == [(["Ada", "Zoë"], False)] * 3
    runtimes[0].commit(COLLECTION, cohorts, lambda _: (Edit(removed_people=frozenset([0])), None), erase=True)
    assert [names(each) for each in runtimes] == [(["Zoë"], False)] * 3
    others.delete(COLLECTION)
    for each in runtimes:
        with pytest.raises(BlobNotFound):
            names(each)
    others.create(COLLECTION, SPEC)
    assert [names(each) for each in runtimes] == [([], False)] * 3


def test_only_what_has_changed_is_read(store: BlobStore, others: Collections) -> None:
    counted = WrappedBlobs(store)
    runtime = live(counted)
    names(runtime)
    counted.operations.clear()
    names(runtime)
    assert counted.operations == [Operation("get", f"{COLLECTION}/{MANIFEST}")]
    runtime.commit(COLLECTION, cohorts, adding("Zoë", "2"))
    counted.operations.clear()
    assert names(runtime)[0] == ["Ada", "Zoë"]
    # A segment that was replaced may be deleted at the same time.
    assert [each.key for each in counted.operations if each.name == "get"] == [f"{COLLECTION}/{MANIFEST}"]


def fail(_: Operation) -> None:
    raise StorageUnreachable("S3 does not answer.", "S3 cannot be reached")


def test_without_s3_people_in_memory_are_served(
    store: BlobStore, others: Collections, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = WrappedBlobs(store)
    runtime = live(faulty)
    names(runtime)
    faulty.before = fail
    assert names(runtime) == (["Ada"], True)
    assert caplog.messages == ["Serving people from memory: S3 cannot be reached."]
    with pytest.raises(StorageUnreachable):
        names(live(faulty))  # nothing is in memory
    faulty.before = lambda _: None
    assert names(runtime) == (["Ada"], False)


@pytest.mark.parametrize("end", [MANIFEST, ".safetensors"])
def test_a_slow_s3_does_not_hold_up_requests(
    store: BlobStore, others: Collections, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.live_collections.LOADING", 0.05)
    may_go_on = threading.Event()
    slow = WrappedBlobs(store)
    runtime = live(slow, patience=0.05)
    names(runtime)
    others.commit(COLLECTION, cohorts, adding("Zoë", "2"))
    slow.before = lambda operation: operation.key.endswith(end) and may_go_on.wait(10)
    assert names(runtime) == (["Ada"], True)
    may_go_on.set()
    until(lambda: people(runtime) == 2)  # the read that was given up goes on
    runtime = live(slow, patience=5)
    assert names(runtime) == (["Ada", "Zoë"], False)


def people(runtime: LiveCollections) -> int:
    """Number of people in memory."""
    revision = runtime.known(COLLECTION)
    return revision.manifest.people if revision else 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_late_answer_does_not_bring_back_an_older_revision(store: BlobStore, others: Collections) -> None:
    runtime = live(store)
    old = others.read(COLLECTION, cohorts)
    runtime.commit(COLLECTION, cohorts, adding("Zoë", "2"))
    runtime.keep(old)
    assert people(runtime) == 2


def test_a_collection_with_embeddings_of_another_network(store: BlobStore, others: Collections) -> None:
    def refuse(_: EmbeddingSpec) -> Cohort:
        raise EmbeddingMismatch("It holds embeddings of another network.")

    runtime = live(store)
    names(runtime)
    for attempt in (runtime, live(store)):  # also after the network was exchanged
        with pytest.raises(EmbeddingMismatch):
            attempt.check(COLLECTION, refuse).result()
    other = Cohort(STRANGERS.embeddings[:100])
    revision, _ = runtime.check(COLLECTION, lambda _: other).result()
    assert revision.gallery.cohort is other


def test_people_in_memory_are_compared_by_the_networks_that_are_served(store: BlobStore, others: Collections) -> None:
    """Also while the collection cannot be checked: after a start, which reads it before the networks, and after an
    exchange of networks.
    """

    def refuse(_: EmbeddingSpec) -> Cohort:
        raise EmbeddingMismatch("It holds embeddings of another network.")

    faulty = WrappedBlobs(store)
    runtime = live(faulty)
    assert runtime.check(COLLECTION, lambda _: NO_COHORT).result().revision.gallery.cohort is NO_COHORT
    faulty.before = fail
    revision, stale = runtime.check(COLLECTION, cohorts).result()
    assert (revision.gallery.cohort is STRANGERS, stale) == (True, True)
    with pytest.raises(EmbeddingMismatch):
        runtime.check(COLLECTION, refuse).result()


def test_small_segments_are_joined_beside_the_requests(
    store: BlobStore, others: Collections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edits, "TAIL_BYTES", 3_000)  # one face
    runtime = live(store)
    for number in range(edits.SMALL_SEGMENTS):
        runtime.commit(COLLECTION, cohorts, adding("Zoë", str(number)))
    until(lambda: len(others.manifest(COLLECTION).segments) == 1)
    assert len(names(runtime)[0]) == edits.SMALL_SEGMENTS + 1


def test_collections_in_memory_are_limited(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.live_collections.KEPT", 2)
    runtime = live(store)
    for name in ("a", "b", "c"):
        runtime.stored.create(name, SPEC)
        runtime.check(name, cohorts).result()
    assert [name for name in "abc" if runtime.known(name)] == ["b", "c"]


def test_faces_in_memory_are_limited(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.live_collections.KEPT_FACES", 18)
    runtime = live(store)
    for name, faces in (("a", 1), ("b", 2), ("c", 2), ("d", 4)):
        runtime.stored.create(name, SPEC)
        for number in range(faces):
            runtime.commit(name, cohorts, adding("Ada", str(number)))
        kept = [other for other in "abcd" if runtime.known(other)]
        assert kept == {"a": ["a"], "b": ["a", "b"], "c": ["c"], "d": ["d"]}[name]


def test_a_store_that_refuses_is_opened_again(store: BlobStore, others: Collections) -> None:
    """Lambda renews credentials in the environment, which is read when the store is opened."""

    def refuse(_: Operation) -> None:
        raise StorageRefused("The credentials have expired.", "S3 denies access")

    expired = WrappedBlobs(store)
    stores = iter([expired, store])
    runtime = LiveCollections(lambda: next(stores))
    assert names(runtime) == (["Ada"], False)
    expired.before = refuse
    assert names(runtime) == (["Ada"], True)
    assert names(runtime) == (["Ada"], False)


def test_requests_wait_for_one_load(store: BlobStore, others: Collections) -> None:
    """They give up after a time, and the load goes on."""
    may_go_on = threading.Event()
    slow = WrappedBlobs(store)
    slow.before = lambda operation: operation.key.endswith(".safetensors") and may_go_on.wait(10)
    runtime = LiveCollections(lambda: slow, first=0.05)
    for _ in range(3):
        with pytest.raises(StorageUnreachable) as caught:
            names(runtime)
        assert caught.value.reason == "it is still being loaded"
    waiting = runtime.check(COLLECTION, cohorts)
    may_go_on.set()
    assert waiting.result(10).revision.manifest.people == 1
    assert [each.key for each in slow.operations if each.key.endswith(".safetensors")] == [
        each.key for each in store.list() if each.key.endswith(".safetensors")
    ]
    assert names(runtime) == (["Ada"], False)


def test_a_load_that_fails_is_begun_again(store: BlobStore, others: Collections) -> None:
    faulty = WrappedBlobs(store)
    faulty.before = fail
    runtime = live(faulty)
    for _ in range(2):
        with pytest.raises(StorageUnreachable):
            names(runtime)
    faulty.before = lambda _: None
    assert names(runtime) == (["Ada"], False)


def test_a_request_that_began_before_a_load_ended_does_not_load_again(store: BlobStore, others: Collections) -> None:
    counted = WrappedBlobs(store)
    tasks: list[Task] = []
    runtime = LiveCollections(lambda: counted, start=tasks.append)
    checks = [runtime.check(COLLECTION, cohorts) for _ in range(2)]
    for task in tasks:
        task()
    assert [check.result().revision.manifest.people for check in checks] == [1, 1]
    assert len([each for each in counted.operations if each.key.endswith(".safetensors")]) == 1
