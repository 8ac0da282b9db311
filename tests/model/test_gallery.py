from __future__ import annotations

import numpy as np
import pytest

from model import cohort, index
from model.cohort import NEAREST, NO_COHORT, Cohort
from model.embedding import EmbeddingSpec, join, normalize
from model.gallery import Gallery, Matches
from model.records import EnrolledFace, Person


def make_gallery(
    means: np.ndarray, ids: list[int] | None = None, cohort: Cohort = NO_COHORT, mobile: int = 1
) -> Gallery:
    """Make a gallery with one face per mean."""
    ids = list(range(len(means))) if ids is None else ids
    faces = [EnrolledFace(f"face-{i}", i, (f"{i}",), "2026-01-01") for i in ids]
    spec = EmbeddingSpec("tuned", "0" * 16, means.shape[1], mobile)
    return Gallery.of(spec, cohort, [Person(i, f"Person {i}") for i in ids], faces, means)


def units(count: int, size: int, seed: int) -> np.ndarray:
    """Random embeddings of length 1, float32 [count, size]."""
    found: np.ndarray = normalize(np.random.RandomState(seed).randn(count, size)).astype(np.float32)
    return found


def random_gallery(people: int = 30, ids: list[int] | None = None) -> Gallery:
    """Embeddings of 6 numbers, of which 2 are MobileFaceNet's; a cohort of 40 strangers; means shorter than 1."""
    lengths = np.random.RandomState(1).uniform(0.4, 1, (people, 1))
    return make_gallery(units(people, 6, seed=2) * lengths, ids, Cohort(units(40, 6, seed=3)), mobile=2)


def near(embeddings: np.ndarray, strangers: np.ndarray) -> np.ndarray:
    """Mean of the ten highest cosines, [N]."""
    return np.sort(normalize(embeddings) @ normalize(strangers).T, axis=1)[:, -10:].mean(axis=1)


def by_person(matches: Matches, row: int = 0) -> dict[int, float]:
    return dict(zip(matches.ids[row].tolist(), matches.scores[row].tolist()))


# The score


def test_a_persons_mean_counts_photos() -> None:
    """Faces come in any order, a face is the mean of several photos, and a person may have no face."""
    random = np.random.RandomState(0)
    owners, photos = [7, 2, 7, 5, 2, 7], [1, 3, 0, 2, 1, 4]
    embeddings = random.randn(6, 4).astype(np.float32)
    faces = [EnrolledFace(f"{i}", owner, ("p",) * count, "") for i, (owner, count) in enumerate(zip(owners, photos))]
    people = [Person(i, "") for i in (2, 3, 5, 7)]
    found = Gallery.of(EmbeddingSpec("tuned", "0" * 16, 4, 1), NO_COHORT, people, faces, embeddings).means
    weights = np.maximum(photos, 1)
    for row, person in zip(found, people):
        own = np.array(owners) == person.id
        expected = np.average(embeddings[own], axis=0, weights=weights[own]) if own.any() else np.zeros(4)
        assert np.abs(row - expected).max() < 1e-6
    assert Gallery.of(EmbeddingSpec("tuned", "", 4, 1), NO_COHORT, people, [], embeddings[:0]).means.shape == (4, 4)


def test_score_is_the_cosine_minus_the_nearness_of_probe_and_person() -> None:
    stranger = Cohort(np.array([[0.6, 0.8]], np.float32))
    found = make_gallery(np.array([[1.0, 0], [0.25, 0]]), cohort=stranger)
    matches = found.search(np.array([[0.8, 0.6]], np.float32), 2)
    penalty = 0.5 * 0.96 + 0.3 * 0.6  # the probe's cosine with the stranger, and the person's
    assert matches.ids.tolist() == [[0, 1]]
    # A short mean is divided by its length to the power of 0.7.
    assert np.abs(matches.scores[0] - [0.8 - penalty, 0.8 * 0.25**0.3 - penalty]).max() < 1e-6


@pytest.mark.parametrize("numbers", [slice(None), slice(-2, None)], ids=["both networks", "MobileFaceNet alone"])
def test_scores_of_a_random_gallery(numbers: slice) -> None:
    found, probes = random_gallery(), units(8, 6, seed=4)
    probes, means, strangers = (
        array[:, numbers].astype(np.float64) for array in (probes, found.means, found.cohort.embeddings)
    )
    probes = normalize(probes)
    if numbers != slice(None):
        means = means / np.sqrt(0.5)  # the length of a face's part
    entries = means / np.linalg.norm(means, axis=1, keepdims=True) ** 0.7
    expected = probes @ entries.T - 0.5 * near(probes, strangers)[:, None] - 0.3 * near(means, strangers)
    assert np.abs(found.scores(probes.astype(np.float32)) - expected).max() < 1e-5
    matches = found.search(probes.astype(np.float32), 30)
    assert (matches.ids == np.argsort(-expected, axis=1)).all()
    assert np.abs(matches.scores + np.sort(-expected, axis=1)).max() < 1e-5
    column = 0 if numbers == slice(None) else 1
    assert (found.nearness.dtype, found.nearness.shape) == (np.float32, (30, 2))
    assert np.abs(found.nearness[:, column] - near(means, strangers)).max() < 1e-5


def test_known_nearness_of_probes_is_not_computed_again() -> None:
    found, probes = random_gallery(), units(8, 6, seed=4)
    nearness = found.cohort.nearness(probes)
    assert np.abs(found.scores(probes, nearness) - found.scores(probes)).max() < 1e-6
    assert np.abs(found.scores(probes, nearness + 1) - (found.scores(probes) - 0.5)).max() < 1e-6


def test_known_nearness_of_people_is_not_computed_again() -> None:
    found = random_gallery()
    nearness = found.nearness + np.array([1, 2])
    more = Gallery.of(found.spec, found.cohort, found.people, found.faces, found.means, nearness=nearness)
    for probes, added in ((units(8, 6, seed=4), 1), (units(8, 2, seed=4), 2)):
        assert np.abs(more.scores(probes) - (found.scores(probes) - 0.3 * added)).max() < 1e-5


def test_without_a_cohort_scores_are_cosines() -> None:
    matches = make_gallery(np.array([[0.0, 1]])).search(np.array([[0.6, 0.8]], np.float32), 5)
    assert matches.ids.tolist() == [[0]]
    assert np.abs(matches.scores - 0.8).max() < 1e-6


def test_mobilefacenets_part_of_a_joined_embedding() -> None:
    """The part is as long as its weight, and people's means are not normalized: both are undone."""
    first, second = units(4, 5, seed=5), units(4, 3, seed=6)
    joined = join(first, second)
    assert np.abs(np.linalg.norm(joined, axis=1) - 1).max() < 1e-6
    assert np.abs(joined @ joined.T - (first @ first.T + second @ second.T) / 2).max() < 1e-6
    strangers = Cohort(join(units(20, 5, seed=7), units(20, 3, seed=8)))
    found = make_gallery(joined, cohort=strangers, mobile=3)
    probes = units(6, 3, seed=9)
    cosines = probes @ second.T
    penalties = 0.5 * near(probes, units(20, 3, seed=8))[:, None] + 0.3 * near(second, units(20, 3, seed=8))
    assert np.abs(found.scores(probes) - (cosines - penalties)).max() < 1e-5


# The cohort


def test_nearness_is_the_mean_of_the_nearest() -> None:
    strangers, probes = units(50, 4, seed=0), units(7, 4, seed=1)
    assert NEAREST == 10
    assert np.abs(Cohort(strangers).nearness(probes) - near(probes, strangers)).max() < 1e-6
    few = Cohort(strangers[:3])
    assert np.abs(few.nearness(probes) - (probes @ strangers[:3].T).mean(axis=1)).max() < 1e-6
    assert NO_COHORT.nearness(probes).tolist() == [0] * 7
    assert Cohort(strangers).nearness(probes[:0]).shape == (0,)


def test_nearness_of_strangers_ignores_their_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohort, "ROWS", 8)
    strangers = units(50, 4, seed=0)
    own = np.arange(50)
    own[20:30] = -1  # these are not ignored
    found = Cohort(strangers).nearness(strangers, own)
    for i in range(50):
        others = strangers if own[i] < 0 else np.delete(strangers, i, axis=0)
        assert abs(found[i] - near(strangers[i : i + 1], others)[0]) < 1e-6


def test_part_of_a_cohort_has_length_1() -> None:
    part = Cohort(units(50, 4, seed=0)).part(slice(-2, None))
    assert part.embeddings.shape == (50, 2)
    assert np.abs(np.linalg.norm(part.embeddings, axis=1) - 1).max() < 1e-6
    assert NO_COHORT.part(slice(-2, None)).nearness(units(3, 2, seed=1)).tolist() == [0] * 3


@pytest.mark.parametrize("size", [6, 2])
def test_score_of_a_person_depends_on_nobody_else(size: int) -> None:
    found, probes = random_gallery(), units(5, size, seed=4)
    before = [by_person(found.search(probes, 30), row) for row in range(5)]
    double = found.means[7:8] * 1.1  # the new person resembles somebody
    grown = found.add(Person(30, "New"), [EnrolledFace("new", 30, ("1",), "")], double)
    changed = found.add(found.people[7], [EnrolledFace("more", 7, ("1",), "")], units(1, 6, seed=8))
    shrunk = found.remove(7)
    for gallery, missing in ((grown, ()), (changed, (7,)), (shrunk, (7,))):
        after = [by_person(gallery.search(probes, 31), row) for row in range(5)]
        for one, other in zip(before, after):
            same = set(one) - set(missing)
            assert same <= set(other)
            assert max(abs(one[key] - other[key]) for key in same) < 1e-6
    assert 30 in by_person(grown.search(probes, 31))
    assert 7 not in by_person(shrunk.search(probes, 31))
    assert abs(by_person(changed.search(probes, 31))[7] - before[0][7]) > 1e-3


# The search


@pytest.mark.parametrize("size", [2, 1])
def test_an_empty_gallery_has_no_matches(size: int) -> None:
    for strangers in (NO_COHORT, Cohort(units(3, 2, seed=0))):
        empty = make_gallery(np.zeros((0, 2)), cohort=strangers)
        matches = empty.search(units(4, size, seed=1), 5)
        assert matches.ids.shape == matches.scores.shape == (4, 0)
        assert (len(empty), empty.nearness.shape, empty.next_id) == (0, (0, 2), 0)


def test_no_probes() -> None:
    assert make_gallery(np.eye(3)).search(np.zeros((0, 3), np.float32), 2).ids.shape == (0, 2)
    assert make_gallery(np.zeros((0, 3))).search(np.zeros((0, 3), np.float32), 2).ids.shape == (0, 0)


def test_more_matches_than_people() -> None:
    found, probes = random_gallery(), units(4, 6, seed=4)
    assert len(found) == 30
    many, all_of_them = found.search(probes, 99), found.search(probes, 30)
    assert many.ids.shape == (4, 30)
    assert (many.ids == all_of_them.ids).all()
    assert all(sorted(ids) == list(range(30)) for ids in many.ids.tolist())


def test_k_best_are_the_first_of_all_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    found, probes = random_gallery(50, list(range(100, 150))), units(20, 6, seed=4)
    complete = found.search(probes, 50)
    assert (np.diff(complete.scores, axis=1) <= 0).all()
    for module in (cohort, index):
        monkeypatch.setattr(module, "ROWS", 7)
    few = random_gallery(50, list(range(100, 150))).search(probes, 4)
    assert (few.ids == complete.ids[:, :4]).all()
    assert np.abs(few.scores - complete.scores[:, :4]).max() < 1e-6


def test_equal_scores_are_sorted_by_id() -> None:
    found = make_gallery(np.array([[0.0, 1], [1, 0], [1, 0]]), [3, 5, 9], Cohort(units(3, 2, seed=0)))
    for k in (2, 3):
        assert found.search(np.array([[1.0, 0]], np.float32), k).ids[0, :2].tolist() == [5, 9]


def test_the_best_of_many_equal_scores_are_the_first() -> None:
    """Also where not all of the equal ones are among the k best."""
    random = np.random.RandomState(0)
    for people in range(1, 60):
        scores = random.randint(0, 4, (5, people)).astype(np.float32)
        expected = np.argsort(-scores, axis=1, kind="stable")
        for k in {1, (people + 1) // 2, people}:
            found = index.best(scores, k)
            assert (found.rows == expected[:, :k]).all()
            assert (found.scores == np.take_along_axis(scores, expected[:, :k], axis=1)).all()


def test_excluding_a_person_equals_a_gallery_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "ROWS", 4)
    found, probes = random_gallery(10, list(range(0, 20, 2))), units(10, 6, seed=4)
    exclude = np.arange(18, -2, -2)
    excluded = found.search(probes, 9, exclude)
    for row, person in enumerate(exclude.tolist()):
        expected = found.remove(person).search(probes[row : row + 1], 9)
        assert excluded.ids[row].tolist() == expected.ids[0].tolist()
        assert np.abs(excluded.scores[row] - expected.scores[0]).max() < 1e-6
        assert person not in excluded.ids[row]


def test_an_excluded_person_comes_last() -> None:
    found, probes = random_gallery(10), units(10, 6, seed=4)
    matches = found.search(probes, 10, np.arange(10))
    assert matches.ids[:, -1].tolist() == list(range(10))
    assert np.isneginf(matches.scores[:, -1]).all()
    assert np.isfinite(matches.scores[:, :-1]).all()


# People and faces


def test_mean_is_weighted_by_photos() -> None:
    spec = EmbeddingSpec("tuned", "0" * 16, 2, 1)
    faces = [EnrolledFace("a", 7, ("1", "2", "3"), ""), EnrolledFace("b", 7, ("4",), "")]
    found = Gallery.of(spec, NO_COHORT, [Person(7, "Seven")], faces, np.array([[1.0, 0], [0, 1]]))
    assert np.abs(found.means - [[0.75, 0.25]]).max() < 1e-6


def test_ids_are_never_reused() -> None:
    empty = make_gallery(np.zeros((0, 2)), cohort=Cohort(units(3, 2, seed=0)))
    first = Person(empty.next_id, "First")
    one = empty.add(first, [EnrolledFace("a", first.id, ("1",), "")], np.array([[1.0, 0]]))
    assert (one.people, one.next_id, len(empty.people)) == ((first,), 1, 0)
    more = one.add(first._replace(name="Renamed"), [EnrolledFace("b", 0, ("2",), "")], np.array([[0.0, 1]]))
    assert [person.name for person in more.people] == ["Renamed"]
    assert np.abs(more.means - [[0.5, 0.5]]).max() < 1e-6
    gone = more.remove(0)
    assert (gone.people, gone.faces, gone.embeddings.shape, gone.next_id) == ((), (), (0, 2), 1)
    assert one.cohort is more.cohort is gone.cohort is empty.cohort
    assert (more.people[0].name, len(more), len(gone)) == ("Renamed", 1, 0)


def test_nearness_of_a_changed_gallery_is_that_of_its_people() -> None:
    found = random_gallery()
    nearness = found.nearness  # computed before the changes
    face = EnrolledFace("more", 3, ("1",), "")
    changed = found.add(found.people[3], [face], units(1, 6, seed=8)).remove(5)
    kept = [person.id for person in changed.people if person.id != 3]
    rows = [row for row, person in enumerate(changed.people) if person.id != 3]
    assert np.abs(changed.nearness[rows] - nearness[kept]).max() < 1e-6
    assert np.abs(changed.nearness[3, 0] - near(changed.means[3:4], found.cohort.embeddings)[0]) < 1e-6
    assert abs(changed.nearness[3, 0] - nearness[3, 0]) > 1e-3
