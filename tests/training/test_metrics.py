from __future__ import annotations

import numpy as np

from training.evaluation.metrics import (
    Probes,
    cross_validated,
    evaluate_scores,
    fit_confidence,
    measure,
    named_at,
    reliability,
    threshold_at,
)
from training.evaluation.verify import cross_validate

SCORES = np.array([[0.9, 0.1, 0.2], [0.3, 0.4, 0.8], [0.1, 0.6, 0.5]])
LABELS = np.array([0, 1, 1])


def strangers(best: np.ndarray) -> Probes:
    n = len(best)
    return Probes(np.full(n, -1), np.zeros(n, int), best, np.full(n, 9))


def test_judged() -> None:
    found = evaluate_scores(SCORES, LABELS)
    assert found.named.tolist() == [0, 2, 1]
    assert found.right.tolist() == [True, False, True]
    assert found.rank.tolist() == [0, 1, 0]
    assert evaluate_scores(SCORES, np.full(3, -1)).rank.tolist() == [3, 3, 3]


def test_top1_and_top5() -> None:
    found = measure(evaluate_scores(SCORES, LABELS), Probes.none(), len(LABELS))
    assert abs(found["top1"] - 2 / 3) < 1e-9
    assert found["top5"] == 1


def test_a_photo_without_a_face_counts_as_wrong() -> None:
    found = measure(evaluate_scores(SCORES, LABELS), evaluate_scores(SCORES, np.full(3, -1)), 2 * len(LABELS))
    assert abs(found["top1"] - 1 / 3) < 1e-9
    assert max(found["named_at_strangers_accepted"].values()) <= 1 / 3


def test_threshold_lets_in_no_more_than_the_rate() -> None:
    best = np.random.RandomState(0).rand(1000)
    for rate in (1, 0.1, 0.01, 0.001):
        assert (best >= threshold_at(strangers(best), rate)).sum() == 1000 * rate
    assert (best[:50] >= threshold_at(strangers(best[:50]), 0.001)).sum() == 0


def test_named_needs_the_right_name_and_the_score() -> None:
    known = evaluate_scores(SCORES, LABELS)
    assert abs(named_at(known, 0.7) - 1 / 3) < 1e-9
    assert abs(named_at(known, 0.0) - 2 / 3) < 1e-9


def population(random: np.random.RandomState, mean: float, count: int) -> np.ndarray:
    return mean + 0.08 * random.randn(count)


def test_confidence_is_high_for_the_known_and_low_for_strangers() -> None:
    random = np.random.RandomState(0)
    labels = np.arange(400) % 20
    known = Probes(labels, labels, population(random, 0.8, 400), np.zeros(400, int))
    others = strangers(population(random, 0.4, 200))
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


def test_cross_validated_shows_a_threshold_that_does_not_carry_over() -> None:
    """Half of the strangers look like known people: what the other half chose lets them in."""
    random = np.random.RandomState(0)
    labels = np.arange(400) % 20
    known = Probes(labels, labels, population(random, 0.8, 400), np.zeros(400, int))
    others = strangers(np.concatenate([population(random, 0.2, 100), population(random, 0.8, 100)]))
    found = cross_validated(known, others, len(known))
    assert found["strangers_accepted"] > 0.4
    assert found["calibration_error"] > 0.1


def test_confidence_stays_finite_where_nobody_is_confused() -> None:
    people = np.arange(6)
    slope, intercept = fit_confidence(
        Probes(people, people, np.full(6, 0.9), np.zeros(6, int)), strangers(np.full(6, 0.1))
    )
    assert np.isfinite([slope, intercept]).all()
    assert slope * 0.9 + intercept > 0 > slope * 0.1 + intercept


def test_reliability() -> None:
    confidence, right = np.array([0.95, 0.95, 0.15, 1.0]), np.array([True, False, False, True])
    rows, error = reliability(confidence, right, np.full(4, 0.25))
    assert [(row["from"], row["probes"]) for row in rows] == [(0.1, 1), (0.9, 3)]
    assert abs(error - (0.25 * 0.15 + 0.75 * abs(2.9 / 3 - 2 / 3))) < 1e-9


def test_verification_takes_the_threshold_from_the_other_folds() -> None:
    same = np.array([True, False] * 6)
    fold = np.arange(12) // 4
    scores = np.where(same, 0.8, 0.2)
    assert cross_validate(scores, same, fold) == {"accuracy": 1.0, "standard_error": 0.0, "folds": 3}
    # The threshold of the others is wrong for a fold whose scores lie higher; its own would not be.
    found = cross_validate(np.where(fold == 0, scores + 0.5, scores), same, fold)
    assert abs(found["accuracy"] - (0.5 + 1 + 1) / 3) < 1e-9
    assert abs(found["standard_error"] - np.std([0.5, 1, 1], ddof=1) / np.sqrt(3)) < 1e-9
