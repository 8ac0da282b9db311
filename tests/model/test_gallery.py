from __future__ import annotations

import numpy as np
import pytest

from model import gallery
from model.calibration import Calibration, ScoreNormalization
from model.embedding import EmbeddingSpec
from model.gallery import EnrolledFace, Gallery, Person


def make_gallery(means: np.ndarray, ids: list[int] | None = None, photos: int = 1) -> Gallery:
    """Make a gallery with one face per mean."""
    ids = list(range(len(means))) if ids is None else ids
    faces = [EnrolledFace(f"face-{i}", i, tuple(f"{i}-{n}" for n in range(photos)), "2026-01-01") for i in ids]
    spec = EmbeddingSpec("tuned", "0" * 16, means.shape[1])
    return Gallery(spec, ScoreNormalization(), [Person(i, f"Person {i}") for i in ids], faces, means)


def test_score_is_the_cosine_minus_the_cohort_means_of_probe_and_person() -> None:
    half = np.sqrt(0.5)
    found = make_gallery(np.array([[1.0, 0], [1, 1], [0, 1]]))
    hubness = np.array([half / 2, half, half / 2])
    assert np.abs(found.hubness - hubness).max() < 1e-6
    normalization = found.normalization
    runners_up = normalization.probe_weight * (half + 0) / 2
    expected = np.array([1, half, 0]) - runners_up - normalization.entry_weight * hubness
    matches = found.search(np.array([[1.0, 0]], np.float32), 3)
    assert matches.ids[0].tolist() == [0, 1, 2]
    assert np.abs(matches.scores[0] - expected).max() < 1e-6


def test_a_gallery_of_one_has_no_cohort() -> None:
    matches = make_gallery(np.array([[0.0, 3]])).search(np.array([[0.6, 0.8]], np.float32), 5)
    assert matches.ids.tolist() == [[0]]
    assert np.abs(matches.scores - 0.8).max() < 1e-6


def test_an_empty_gallery_has_no_matches() -> None:
    matches = make_gallery(np.zeros((0, 2))).search(np.array([[0.6, 0.8]], np.float32), 5)
    assert matches.ids.shape == matches.scores.shape == (1, 0)


def test_no_probes() -> None:
    assert make_gallery(np.eye(3)).search(np.zeros((0, 3), np.float32), 2).ids.shape == (0, 2)


def test_k_best_are_the_first_of_all_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(0)
    found, probes = make_gallery(random.randn(50, 8), list(range(100, 150))), random.randn(20, 8).astype(np.float32)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    complete = found.search(probes, 50)
    assert (np.diff(complete.scores, axis=1) <= 0).all()
    monkeypatch.setattr(gallery, "ROWS", 7)
    few = make_gallery(found.means, list(range(100, 150))).search(probes, 4)
    assert (few.ids == complete.ids[:, :4]).all()
    assert np.abs(few.scores - complete.scores[:, :4]).max() < 1e-6


def test_equal_scores_are_sorted_by_id() -> None:
    matches = make_gallery(np.array([[0.0, 1], [1, 0], [1, 0]])).search(np.array([[1.0, 0]], np.float32), 2)
    assert matches.ids.tolist() == [[1, 2]]


def test_excluding_a_person_equals_a_gallery_without_them() -> None:
    means = np.random.RandomState(1).randn(10, 4)
    probe = (means[3:4] / np.linalg.norm(means[3])).astype(np.float32)
    without = [i for i in range(10) if i != 3]
    excluded = make_gallery(means).search(probe, 9, np.array([3]))
    assert excluded.ids[0].tolist() == make_gallery(means[without], without).search(probe, 9).ids[0].tolist()
    assert 3 not in excluded.ids


def test_mean_is_weighted_by_photos() -> None:
    spec = EmbeddingSpec("tuned", "0" * 16, 2)
    faces = [EnrolledFace("a", 7, ("1", "2", "3"), ""), EnrolledFace("b", 7, ("4",), "")]
    found = Gallery(spec, ScoreNormalization(), [Person(7, "Seven")], faces, np.array([[1.0, 0], [0, 1]]))
    assert np.abs(found.means - [[0.75, 0.25]]).max() < 1e-6


def test_ids_are_never_reused() -> None:
    empty = make_gallery(np.zeros((0, 2)))
    first = Person(empty.next_id, "First")
    one = empty.add(first, [EnrolledFace("a", first.id, ("1",), "")], np.array([[1.0, 0]]))
    assert (one.people, one.next_id, len(empty.people)) == ((first,), 1, 0)
    more = one.add(first._replace(name="Renamed"), [EnrolledFace("b", 0, ("2",), "")], np.array([[0.0, 1]]))
    assert [person.name for person in more.people] == ["Renamed"]
    assert np.abs(more.means - [[0.5, 0.5]]).max() < 1e-6
    gone = more.remove(0)
    assert (gone.people, gone.faces, gone.embeddings.shape, gone.next_id) == ((), (), (0, 2), 1)


def test_confidence_and_score_are_inverse() -> None:
    calibration = Calibration(ScoreNormalization(), slope=20.0, intercept=-8.0, threshold=0.7)
    assert abs(float(calibration.confidence(np.array([calibration.score(0.7)]))[0]) - 0.7) < 1e-6
