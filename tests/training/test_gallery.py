from __future__ import annotations

import numpy as np
import pytest

from training.evaluation import gallery
from training.evaluation.gallery import Gallery, Normalisation


def test_the_mean_embedding_however_it_is_cut_in_batches() -> None:
    embeddings, labels = np.array([[1.0, 0], [0, 1], [0, 1]]), np.array([0, 0, 2])
    for batches in ([(labels, embeddings)], [(labels[:1], embeddings[:1]), (labels[1:], embeddings[1:])]):
        found = Gallery.of(batches, 3)
        assert np.abs(found.means - [[0.5, 0.5], [0, 0], [0, 1]]).max() < 1e-6


def test_a_score_is_the_cosine_less_what_it_owes_to_looking_like_many() -> None:
    means = np.array([[1.0, 0], [1, 1], [0, 1]])
    half = np.sqrt(0.5)
    norm = Normalisation()
    found = Gallery(means, norm)
    assert np.abs(found.hubness - [half / 2, half, half / 2]).max() < 1e-6
    runners_up = norm.probe * (half + 0) / 2
    expected = np.array([1, half, 0]) - runners_up - norm.person * np.array([half / 2, half, half / 2])
    assert np.abs(found.scores(np.array([[1.0, 0]]))[0] - expected).max() < 1e-6


def test_whoever_is_alone_owes_nothing() -> None:
    assert np.abs(Gallery(np.array([[0.0, 3]])).scores(np.array([[0.6, 0.8]])) - 0.8).max() < 1e-6


def test_hubness_however_many_people_are_looked_at_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    means = np.random.RandomState(0).randn(50, 8)
    whole = Gallery(means).hubness
    monkeypatch.setattr(gallery, "ROWS", 7)
    assert np.abs(Gallery(means).hubness - whole).max() < 1e-6


def test_known_probes_stand_in_for_strangers_without_their_own_person() -> None:
    embeddings = np.array([[0.8, 0.6, 0], [0, 1, 0]])
    found = Gallery(np.eye(3)).judge([(np.array([0, 1]), embeddings)], without_own=True)
    assert np.abs(found.top_score - [0.6, 0]).max() < 1e-6
    assert found.predicted.tolist()[0] == 1
    assert not found.correct.any()
