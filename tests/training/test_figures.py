from __future__ import annotations

import numpy as np

from training.figures import (
    as_strangers,
    cosines,
    fit_confidence,
    gallery,
    measure,
    named_at,
    threshold_at,
    top_k,
)

SCORES = np.array([[0.9, 0.1, 0.2], [0.3, 0.4, 0.8], [0.1, 0.6, 0.5]])
LABELS = np.array([0, 1, 1])


def test_top_k() -> None:
    assert abs(top_k(SCORES, LABELS, 1) - 2 / 3) < 1e-9
    assert top_k(SCORES, LABELS, 2) == 1


def test_gallery_is_the_mean_embedding() -> None:
    means = gallery(np.array([[1.0, 0], [0, 1], [0, 1]]), np.array([0, 0, 2]), 3)
    assert np.abs(means - [[0.5, 0.5], [0, 0], [0, 1]]).max() < 1e-6
    assert np.abs(cosines(np.array([[1.0, 0]]), means)[0] - [np.sqrt(0.5), 0, 0]).max() < 1e-6


def test_threshold_lets_in_no_more_than_the_rate() -> None:
    best = np.random.RandomState(0).rand(1000)
    for rate in (0.1, 0.01, 0.001):
        assert (best >= threshold_at(best, rate)).sum() == 1000 * rate
    assert (best[:50] >= threshold_at(best[:50], 0.001)).sum() == 0


def test_named_needs_the_right_name_and_the_score() -> None:
    assert abs(named_at(SCORES, LABELS, 0.7) - 1 / 3) < 1e-9
    assert abs(named_at(SCORES, LABELS, 0.0) - 2 / 3) < 1e-9


def test_strangers_made_of_known_probes_lack_their_own_person() -> None:
    assert as_strangers(SCORES, LABELS).max(axis=1).tolist() == [0.2, 0.8, 0.5]
    assert SCORES[0, 0] == 0.9


def test_confidence_is_high_for_the_known_and_low_for_strangers() -> None:
    random = np.random.RandomState(0)
    known = np.zeros((400, 5))
    known[:, 0] = 0.8 + 0.08 * random.randn(400)
    strangers = 0.4 + 0.08 * random.randn(200, 5)
    slope, intercept = fit_confidence(known, np.zeros(400, int), strangers)

    def confidence(cosine: float) -> float:
        return float(1 / (1 + np.exp(-(slope * cosine + intercept))))

    assert slope > 0
    assert confidence(0.8) > 0.95
    assert confidence(0.4) < 0.05
    found = measure(known, np.zeros(400, int), strangers)
    assert found["top1"] == 1
    assert found["named_at_strangers_accepted"]["0.01"] > 0.9


def test_confidence_stays_finite_where_nobody_is_confused() -> None:
    known, strangers = np.eye(6) * 0.9, np.full((6, 6), 0.1)
    slope, intercept = fit_confidence(known, np.arange(6), strangers)
    assert np.isfinite([slope, intercept]).all()
    assert slope * 0.9 + intercept > 0 > slope * 0.1 + intercept
