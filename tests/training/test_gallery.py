from __future__ import annotations

import numpy as np

from model.cohort import ENTRY_WEIGHT, NO_COHORT, PROBE_WEIGHT, Cohort
from model.embedding import EmbeddingSpec, normalize
from model.gallery import Matches
from training.evaluation.evaluate import cohort_scores
from training.evaluation.gallery import (
    TOP,
    mean_embeddings,
    mean_gallery,
    probes_of,
    search_probes,
    top_matches,
)

SPEC = EmbeddingSpec("tuned", "0" * 16, 3, 3)


def test_mean_embedding_does_not_depend_on_the_batches() -> None:
    embeddings, labels = np.array([[1.0, 0], [0, 1], [0, 1]]), np.array([0, 0, 2])
    for batches in ([(labels, embeddings)], [(labels[:1], embeddings[:1]), (labels[1:], embeddings[1:])]):
        assert np.abs(mean_embeddings(batches, 3, 2) - [[0.5, 0.5], [0, 0], [0, 1]]).max() < 1e-6


def test_probes_are_searched_without_normalization_if_there_is_no_cohort() -> None:
    embeddings = np.array([[0.8, 0.6, 0], [0, 1, 0]], np.float32)
    gallery = mean_gallery(SPEC, NO_COHORT, ["A", "B", "C"], np.eye(3))
    found = search_probes(gallery, [(np.array([0, -1]), embeddings)])
    assert np.abs(found.top_score - [0.8, 1]).max() < 1e-6
    assert found.predicted.tolist() == [0, 1]
    assert found.correct.tolist() == [True, False]


def test_scores_are_reduced_by_the_nearness_to_the_cohort() -> None:
    cohort = Cohort(np.array([[0, 0.6, 0.8]], np.float32))
    gallery = mean_gallery(SPEC, cohort, ["A", "B", "C"], np.eye(3))
    found = search_probes(gallery, [(np.array([1]), np.array([[0, 1, 0]], np.float32))])
    assert np.abs(found.top_score - [1 - PROBE_WEIGHT * 0.6 - ENTRY_WEIGHT * 0.6]).max() < 1e-6


def test_known_people_can_be_left_out_of_a_search() -> None:
    """Then the most similar other person is found."""
    embeddings = np.array([[0.8, 0.6, 0], [0, 1, 0]], np.float32)
    gallery = mean_gallery(SPEC, NO_COHORT, ["A", "B", "C"], np.eye(3))
    matches = gallery.search(embeddings, 3, exclude=np.array([0, 1]))
    found = probes_of(matches, np.array([0, 1]))
    assert np.abs(found.top_score - [0.6, 0]).max() < 1e-6
    assert found.predicted.tolist()[0] == 1
    assert not found.correct.any()


def test_top_matches_are_those_of_a_search() -> None:
    random = np.random.RandomState(0)
    cohort, means, probes = (normalize(random.randn(count, 8)).astype(np.float32) for count in (20, 9, 40))
    spec = EmbeddingSpec("tuned", "0" * 16, 8, 8)
    gallery = mean_gallery(spec, Cohort(cohort), [f"{i}" for i in range(9)], means)
    found, expected = top_matches(gallery, gallery.scores(probes)), gallery.search(probes, TOP)
    assert np.array_equal(found.ids, expected.ids)
    assert np.abs(found.scores - expected.scores).max() < 1e-6
    few = mean_gallery(spec, Cohort(cohort), ["A", "B"], means[:2])
    assert top_matches(few, few.scores(probes)).ids.shape == (40, 2)


def test_the_cohorts_strangers_are_not_normalized_by_themselves() -> None:
    """A stranger of the cohort scores as if they were not in it."""
    random = np.random.RandomState(0)
    strangers, means = (normalize(random.randn(count, 8)).astype(np.float32) for count in (11, 5))
    spec, names = EmbeddingSpec("tuned", "0" * 16, 8, 8), [f"{i}" for i in range(5)]
    gallery = mean_gallery(spec, Cohort(strangers), names, means)
    scores = cohort_scores(gallery)
    assert scores.shape == (11, 5)
    for i in range(11):
        nearness = Cohort(np.delete(strangers, i, axis=0)).nearness(strangers[i : i + 1])
        assert np.abs(scores[i] - gallery.scores(strangers[i : i + 1], nearness)[0]).max() < 1e-6
        # With themselves, whose cosine is 1, they would score lower.
        assert (scores[i] > gallery.scores(strangers[i : i + 1])[0]).all()


def test_the_same_people_and_photos_give_the_same_faces() -> None:
    photos = [("a", "b"), ("c",), ()]
    first, second = (mean_gallery(SPEC, NO_COHORT, ["A", "B", "C"], np.eye(3), photos) for _ in range(2))
    assert first.faces == second.faces
    assert [face.photos for face in first.faces] == photos
    assert len({face.id for face in first.faces}) == 3


def test_rank_is_the_position_of_the_person_among_the_candidates() -> None:
    matches = Matches(np.array([[4, 2], [4, 2], [4, 2]]), np.array([[0.9, 0.1]] * 3))
    found = probes_of(matches, np.array([4, 2, -1]))
    assert found.rank.tolist() == [0, 1, 2]
    assert found.predicted.tolist() == [4, 4, 4]
