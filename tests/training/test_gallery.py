from __future__ import annotations

import numpy as np

from model.embedding import EmbeddingSpec
from model.gallery import Matches
from training.evaluation.gallery import mean_embeddings, mean_gallery, probes_of, search_probes


def test_mean_embedding_does_not_depend_on_the_batches() -> None:
    embeddings, labels = np.array([[1.0, 0], [0, 1], [0, 1]]), np.array([0, 0, 2])
    for batches in ([(labels, embeddings)], [(labels[:1], embeddings[:1]), (labels[1:], embeddings[1:])]):
        assert np.abs(mean_embeddings(batches, 3, 2) - [[0.5, 0.5], [0, 0], [0, 1]]).max() < 1e-6


def test_known_probes_replace_strangers_if_their_own_person_is_excluded() -> None:
    embeddings = np.array([[0.8, 0.6, 0], [0, 1, 0]])
    gallery = mean_gallery(EmbeddingSpec("tuned", "0" * 16, 3), ["A", "B", "C"], np.eye(3))
    found = search_probes(gallery, [(np.array([0, 1]), embeddings)], without_own=True)
    assert np.abs(found.top_score - [0.6, 0]).max() < 1e-6
    assert found.predicted.tolist()[0] == 1
    assert not found.correct.any()


def test_rank_is_the_position_of_the_person_among_the_candidates() -> None:
    matches = Matches(np.array([[4, 2], [4, 2], [4, 2]]), np.array([[0.9, 0.1]] * 3))
    found = probes_of(matches, np.array([4, 2, -1]))
    assert found.rank.tolist() == [0, 1, 2]
    assert found.predicted.tolist() == [4, 4, 4]
