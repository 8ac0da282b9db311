"""Metrics on small arrays whose results are known."""

from __future__ import annotations

import numpy as np

from model.gallery import Matches
from training.evaluation.gallery import probes_of
from training.evaluation.metrics import (
    Probes,
    cross_validated,
    fit_confidence,
    measure,
    reliability,
    threshold_at_fpir,
    tpir_at,
)
from training.evaluation.verify import cross_validate

SCORES = np.array([[0.9, 0.1, 0.2], [0.3, 0.4, 0.8], [0.1, 0.6, 0.5]])
LABELS = np.array([0, 1, 1])


def probes(scores: np.ndarray, labels: np.ndarray) -> Probes:
    """Probes of a search that returns all people. scores: [N, people]; labels: [N], -1 for strangers."""
    ids = np.argsort(-scores, axis=1)
    return probes_of(Matches(ids, np.take_along_axis(scores, ids, axis=1)), labels)


def strangers(top_score: np.ndarray) -> Probes:
    """Strangers' probes against a gallery of nine people. top_score: [N]."""
    n = len(top_score)
    return Probes(np.full(n, -1), np.zeros(n, int), top_score, np.full(n, 9))


def test_probes_from_scores() -> None:
    found = probes(SCORES, LABELS)
    assert found.predicted.tolist() == [0, 2, 1]
    assert found.correct.tolist() == [True, False, True]
    assert found.rank.tolist() == [0, 1, 0]
    assert probes(SCORES, np.full(3, -1)).rank.tolist() == [3, 3, 3]


def test_top1_and_top5() -> None:
    found = measure(probes(SCORES, LABELS), Probes.none(), len(LABELS))
    assert abs(found["top1"] - 2 / 3) < 1e-9
    assert found["top5"] == 1


def test_a_photo_without_a_face_counts_as_wrong() -> None:
    found = measure(probes(SCORES, LABELS), probes(SCORES, np.full(3, -1)), 2 * len(LABELS))
    assert abs(found["top1"] - 1 / 3) < 1e-9
    assert max(found["named_at_strangers_accepted"].values()) <= 1 / 3


def test_threshold_keeps_the_fpir() -> None:
    scores = np.random.RandomState(0).rand(1000)
    for fpir in (1, 0.1, 0.01, 0.001):
        assert (scores >= threshold_at_fpir(strangers(scores), fpir)).sum() == 1000 * fpir
    assert (scores[:50] >= threshold_at_fpir(strangers(scores[:50]), 0.001)).sum() == 0


def test_tpir_counts_correct_predictions_above_the_threshold() -> None:
    known = probes(SCORES, LABELS)
    assert abs(tpir_at(known, 0.7) - 1 / 3) < 1e-9
    assert abs(tpir_at(known, 0.0) - 2 / 3) < 1e-9


def normal_scores(random: np.random.RandomState, mean: float, count: int) -> np.ndarray:
    """Normally distributed scores, [count]."""
    return mean + 0.08 * random.randn(count)


def test_confidence_is_high_for_known_people_and_low_for_strangers() -> None:
    random = np.random.RandomState(0)
    labels = np.arange(400) % 20
    known = Probes(labels, labels, normal_scores(random, 0.8, 400), np.zeros(400, int))
    others = strangers(normal_scores(random, 0.4, 200))
    slope, intercept = fit_confidence(known, others)

    def confidence(cosine: float) -> float:
        return float(1 / (1 + np.exp(-(slope * cosine + intercept))))

    assert slope > 0
    assert confidence(0.8) > 0.95
    assert confidence(0.4) < 0.05
    assert measure(known, others, len(known))["named_at_strangers_accepted"]["0.01"] > 0.9
    found = cross_validated(known, others, len(known))
    assert found["named"] > 0.9
    assert found["strangers_accepted"] < 0.06
    assert found["calibration_error"] < 0.03


def test_cross_validated_reveals_a_threshold_that_does_not_generalize() -> None:
    """Half of the strangers look like known people: a threshold chosen on the other half accepts them."""
    random = np.random.RandomState(0)
    labels = np.arange(400) % 20
    known = Probes(labels, labels, normal_scores(random, 0.8, 400), np.zeros(400, int))
    others = strangers(np.concatenate([normal_scores(random, 0.2, 100), normal_scores(random, 0.8, 100)]))
    found = cross_validated(known, others, len(known))
    assert found["strangers_accepted"] > 0.4
    assert found["calibration_error"] > 0.1


def test_confidence_stays_finite_for_separable_scores() -> None:
    people = np.arange(6)
    slope, intercept = fit_confidence(
        Probes(people, people, np.full(6, 0.9), np.zeros(6, int)), strangers(np.full(6, 0.1))
    )
    assert np.isfinite([slope, intercept]).all()
    assert slope * 0.9 + intercept > 0 > slope * 0.1 + intercept


def test_reliability() -> None:
    confidence, correct = np.array([0.95, 0.95, 0.15, 1.0]), np.array([True, False, False, True])
    rows, error = reliability(confidence, correct, np.full(4, 0.25))
    assert [(row["from"], row["probes"]) for row in rows] == [(0.1, 1), (0.9, 3)]
    assert abs(error - (0.25 * 0.15 + 0.75 * abs(2.9 / 3 - 2 / 3))) < 1e-9


def test_verification_chooses_the_threshold_on_the_other_folds() -> None:
    same = np.array([True, False] * 6)
    fold = np.arange(12) // 4
    scores = np.where(same, 0.8, 0.2)
    assert cross_validate(scores, same, fold) == {"accuracy": 1.0, "standard_error": 0.0, "folds": 3}
    # The other folds' threshold is wrong for a fold with higher scores; its own threshold would be right.
    found = cross_validate(np.where(fold == 0, scores + 0.5, scores), same, fold)
    assert abs(found["accuracy"] - (0.5 + 1 + 1) / 3) < 1e-9
    assert abs(found["standard_error"] - np.std([0.5, 1, 1], ddof=1) / np.sqrt(3)) < 1e-9
