"""Search in large galleries: the result is that of the flat index."""

from __future__ import annotations

from typing import Iterator

import numpy as np
import pytest

from model import gallery as galleries
from model import packed_index
from model.cohort import Cohort
from model.edit import Edit
from model.embedding import EmbeddingSpec, join, normalize
from model.gallery import Gallery
from model.records import EnrolledFace, Person

INCEPTION, MOBILE = 48, 16
SPEC = EmbeddingSpec("generic", "0" * 16, INCEPTION + MOBILE, MOBILE)
PEOPLE = 300


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every gallery with 100 people counts as large, and consists of several blocks."""
    monkeypatch.setattr(galleries, "FLAT_PEOPLE", 100)
    monkeypatch.setattr(packed_index, "BLOCK_PEOPLE", 64)
    monkeypatch.setattr(packed_index, "SMALL_PEOPLE", 16)
    monkeypatch.setattr(packed_index, "SMALL_BLOCKS", 2)


def joined(random: np.random.RandomState, count: int) -> np.ndarray:
    """Embeddings as faces have them, float32 [count, size]."""
    parts = (normalize(random.randn(count, size)).astype(np.float32) for size in (INCEPTION, MOBILE))
    return join(*parts)


def make(seed: int = 0, people: int = PEOPLE, faces: int = 2) -> Gallery:
    """Make a gallery whose every seventh person has no face, and every fifth resembles the person before."""
    random = np.random.RandomState(seed)
    ids = [3 * i for i in range(people)]
    owners = [key for i, key in enumerate(ids) if i % 7 for _ in range(1 + i % faces)]
    embeddings = joined(random, len(owners))
    embeddings[5::5] = embeddings[4:-1:5] * 0.98
    enrolled = [EnrolledFace(f"face-{i}", key, ("p",) * (1 + i % 3), "") for i, key in enumerate(owners)]
    cohort = Cohort(joined(random, 50))
    return Gallery.of(SPEC, cohort, [Person(key, f"Person {key}") for key in ids], enrolled, embeddings)


def flat(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    """Return the same gallery, to be searched by the flat index."""
    monkeypatch.setattr(galleries, "FLAT_PEOPLE", 10**9)
    return gallery


def probes_of(seed: int) -> Iterator[np.ndarray]:
    """Yield probes for both networks, and for MobileFaceNet alone, float32 [12, numbers]."""
    probes = joined(np.random.RandomState(seed), 12)
    yield probes
    yield normalize(probes[:, INCEPTION:])


def check(gallery: Gallery, monkeypatch: pytest.MonkeyPatch, k: int = 5) -> None:
    """Compare the results with those of the flat index."""
    for probes in probes_of(7):
        exclude = gallery.ids[np.arange(len(probes)) * 3]
        for excluded in (None, exclude):
            monkeypatch.setattr(galleries, "FLAT_PEOPLE", 100)
            found = gallery.search(probes, k, excluded)
            monkeypatch.setattr(galleries, "FLAT_PEOPLE", 10**9)
            expected = gallery.search(probes, k, excluded)
            scores, others = (np.nan_to_num(each.scores, neginf=-9) for each in (found, expected))
            assert np.abs(scores - others).max() < 1e-6
            # Scores that differ by rounding alone may change places.
            clear = np.pad(np.abs(np.diff(others)) > 2e-6, ((0, 0), (1, 1)), constant_values=True)
            clear = clear[:, 1:] & clear[:, :-1] & (others > -9)
            assert (found.ids[clear] == expected.ids[clear]).all() and clear.mean() > 0.9
    monkeypatch.setattr(galleries, "FLAT_PEOPLE", 100)


@pytest.mark.parametrize("k", [1, 5, 299, 1000])
@pytest.mark.parametrize("faces", [1, 3])
def test_it_finds_what_the_flat_index_finds(monkeypatch: pytest.MonkeyPatch, k: int, faces: int) -> None:
    check(make(faces=faces), monkeypatch, k)


def test_embeddings_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """A face can be the mean of unlike photos, and a file from elsewhere can hold anything."""
    made = make()
    lengths = np.random.RandomState(3).choice([0, 1e-3, 0.3, 1, 30], len(made.owners))
    odd = Gallery.of(SPEC, made.cohort, made.people, made.faces, made.embeddings * lengths[:, None])
    check(odd, monkeypatch)


def test_probes_with_outliers(monkeypatch: pytest.MonkeyPatch) -> None:
    """One large number makes the steps coarse to which a probe is rounded."""
    made = make()
    probe = np.full((1, SPEC.size), 1e-3, np.float32)
    probe[0, 3] = -1
    probe = normalize(probe)
    found = made.search(probe, 5)
    assert found.ids.tolist() == flat(made, monkeypatch).search(probe, 5).ids.tolist()


@pytest.mark.parametrize("complete", [False, True])
def test_changes(monkeypatch: pytest.MonkeyPatch, complete: bool) -> None:
    """Each change updates the index, and blocks of unchanged people are used again."""
    made, random = make(), np.random.RandomState(1)
    gallery = Gallery(SPEC, made.cohort, list(made.whole().pieces(40)))
    gallery.prepare()
    if complete:
        gallery.complete()
    before = {id(held.block) for held in gallery._packed.held}
    changed = gallery.remove(int(gallery.ids[1]))
    kept = before & {id(held.block) for held in changed._packed.held}
    assert len(kept) == len(before) - (not complete)
    for step in range(40):
        kind, person = step % 4, int(gallery.ids[random.randint(len(gallery.ids))])
        face = EnrolledFace(f"new-{step}", person, ("p",), "")
        if kind == 0:
            new = Person(gallery.next_id, "New")
            gallery = gallery.add(new, [face._replace(person=new.id)], joined(random, 1))
        elif kind == 1:
            gallery = gallery.edited(Edit((), (face,), joined(random, 1)))
        elif kind == 2:
            gallery = gallery.remove(person)
        else:
            gone = gallery.face(random.randint(len(gallery.owners))).id
            gallery = gallery.edited(Edit(removed_faces=frozenset([gone])))
        assert "_packed" in gallery.__dict__
        if step % 10 == 9:
            check(gallery, monkeypatch)
    assert len(gallery._packed.held) < 20  # small ones are joined
    again = Gallery(SPEC, gallery.cohort, gallery.parts, gallery.next_id)
    assert again.people == gallery.people and again.faces == gallery.faces
    check(again, monkeypatch)


def test_a_renamed_person_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = make()
    gallery.prepare()
    person = gallery.people[1]
    renamed = gallery.edited(Edit((person._replace(name="Renamed"),)))
    probe = normalize(renamed.means_of(np.array([1])))
    assert renamed.found(renamed.search(probe, 1).ids[0])[0].name == "Renamed"
    assert renamed.named("Renamed") == (person._replace(name="Renamed"),) and not renamed.named(person.name)
    check(renamed, monkeypatch)
