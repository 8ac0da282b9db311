"""Clusters: which ones a search looks at, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest

from model import clusters as ivf
from model import gallery as galleries
from model import packed_index
from model.clusters import NOWHERE, Clusters
from model.cohort import NO_COHORT
from model.embedding import normalize
from model.gallery import Gallery
from model.records import EnrolledFace, Person
from tests.model.test_packed_index import MOBILE, SPEC, joined

CLUSTERS, PEOPLE = 12, 360


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "FLAT_PEOPLE", 100)
    monkeypatch.setattr(ivf, "PROBED_CLUSTERS", 3)
    monkeypatch.setattr(packed_index, "MANY", 1)


def clustered(seed: int = 0) -> tuple[Gallery, np.ndarray]:
    """Make a gallery of people near CLUSTERS centres, in turn. -> it, without clusters, and the centres."""
    random = np.random.RandomState(seed)
    centres = joined(random, CLUSTERS)
    numbers = np.arange(PEOPLE) % CLUSTERS
    embeddings = normalize(centres[numbers] + 0.5 * joined(random, PEOPLE)).astype(np.float32)
    people = [Person(2 * i, f"Person {i}") for i in range(PEOPLE)]
    faces = [EnrolledFace(f"{i}", person.id, ("p",), "") for i, person in enumerate(people)]
    return Gallery.of(SPEC, NO_COHORT, people, faces, embeddings), centres


def with_clusters(gallery: Gallery, centres: np.ndarray, people: int = PEOPLE) -> Gallery:
    """people: the first ones are in clusters."""
    found = Clusters(gallery.ids[:people], (np.arange(people) % CLUSTERS).astype(np.int32), centres, MOBILE)
    return Gallery(SPEC, gallery.cohort, gallery.parts, gallery.next_id, clusters=found)


def test_the_cluster_of_a_person() -> None:
    found = Clusters(np.array([2, 5, 9]), np.array([1, 0, 1], np.int32), np.eye(2, SPEC.size, dtype=np.float32), MOBILE)
    assert found.of(np.array([0, 2, 3, 5, 9, 10])).tolist() == [NOWHERE, 1, NOWHERE, 0, 1, NOWHERE]
    nobody = Clusters(np.zeros(0, np.int64), np.zeros(0, np.int32), found.centroids, MOBILE)
    assert nobody.of(np.array([1, 2])).tolist() == [NOWHERE] * 2


def test_the_clusters_near_a_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, centres = clustered()
    found = with_clusters(gallery, centres).clusters
    assert found is not None
    for numbers in (slice(None), slice(-MOBILE, None)):
        probes = normalize(centres[:, numbers])
        for i, probe in enumerate(probes):
            near = found.near(probe[None])
            assert near.sum() == 4 and near[i] and near[NOWHERE]
            assert set(np.flatnonzero(near[:-1])) == set(np.argsort(-(probes @ probe))[:3])
    monkeypatch.setattr(ivf, "PROBED_SHARE", 0.5)
    assert found.near(centres[:1]).sum() == 7
    monkeypatch.setattr(ivf, "PROBED_SHARE", 1)
    assert found.near(centres[:1]).all()


@pytest.mark.parametrize("part", [slice(None), slice(-MOBILE, None)])
def test_people_of_near_clusters_are_found(part: slice) -> None:
    gallery, centres = clustered()
    found = with_clusters(gallery, centres)
    probes = normalize(gallery.embeddings[:60, part] + 0.1 * joined(np.random.RandomState(1), 60)[:, part])
    hits, exact = (each.search(probes.astype(np.float32), 5) for each in (found, gallery))
    assert (hits.ids[:, 0] == exact.ids[:, 0]).all()
    assert (hits.scores[:, 0] == exact.scores[:, 0]).all()
    assert np.mean(hits.ids == exact.ids) > 0.95


def test_people_of_other_clusters_are_not_looked_at() -> None:
    gallery, centres = clustered()
    found = with_clusters(gallery, centres)
    found.prepare()
    near = found._packed._near(found, centres[:1], 5)
    assert sum(len(held.block.ids) for held in near) == 3 * PEOPLE // CLUSTERS
    everybody = found._packed._near(found, centres[:1], PEOPLE)  # more are wanted than are there
    assert sum(len(held.block.ids) for held in everybody) == PEOPLE


def test_people_who_came_later_are_always_found() -> None:
    gallery, centres = clustered()
    found = with_clusters(gallery, centres, people=300)
    found.prepare()
    random = np.random.RandomState(2)
    for step in range(20):
        new = Person(found.next_id, "New")
        embedding = joined(random, 1)
        found = found.add(new, [EnrolledFace(f"new-{step}", new.id, ("p",), "")], embedding)
        assert found.search(embedding, 1).ids.tolist() == [[new.id]]
    everybody = Gallery(SPEC, gallery.cohort, found.parts, found.next_id, clusters=found.clusters)
    for row in range(300, 360, 7):
        for each in (found, everybody):
            assert each.search(gallery.embeddings[[row]], 1).ids.tolist() == [[2 * row]]
    gone = found.remove(600)
    assert gone.search(gallery.embeddings[[300]], 1).ids.tolist() != [[600]]
