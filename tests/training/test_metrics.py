"""Metrics on small arrays whose results are known."""

from __future__ import annotations

import numpy as np
import pytest

from model.embedding import GENERIC
from model.gallery import Matches
from training.evaluation.calibrate import Comparisons, calibrate, shifted
from training.evaluation.evaluate import cross_validated, fit
from training.evaluation.gallery import probes_of
from training.evaluation.metrics import Probes, measure, reliability, threshold_at_fpir, tpir_at
from training.evaluation.verify import cross_validate
from training.network.base import Base

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


def normal_scores(people: int, seed: int, alike: int = 0) -> Comparisons:
    """Normally distributed scores with a standard deviation of 0.08: 0.8 for known people, 0.4 for strangers.

    alike: of 400 strangers, how many look like somebody known.
    """
    random = np.random.RandomState(seed)
    labels = np.repeat(np.arange(people), 20)
    known = 0.4 + 0.08 * random.randn(len(labels), people)
    known[np.arange(len(labels)), labels] += 0.4
    others = 0.4 + 0.08 * random.randn(400, people)
    others[:alike, 1] += 0.4
    return Comparisons(known, labels, others, False)


@pytest.fixture()
def base() -> Base:
    """Its calibration is of other scores."""
    return Base({}, {GENERIC: calibrate([normal_scores(20, seed=7)._replace(others_are_strangers=True)])})


def test_cross_validated(base: Base) -> None:
    found = cross_validated(normal_scores(20, seed=0), base, share=1)
    assert found["named"] > 0.9
    assert found["strangers_accepted"] < 0.06
    assert found["calibration_error"] < 0.03


def test_photos_without_a_face_count_as_not_identified(base: Base) -> None:
    compared = normal_scores(20, seed=0)
    whole, half = (cross_validated(compared, base, share) for share in (1, 0.5))
    assert abs(half["named"] - whole["named"] / 2) < 1e-9
    assert half["strangers_accepted"] == whole["strangers_accepted"]


def test_cross_validated_reveals_a_threshold_that_does_not_generalize(base: Base) -> None:
    """Half of the strangers look like known people: a threshold chosen on the other half accepts them."""
    found = cross_validated(normal_scores(20, seed=0, alike=200), base, share=1)
    assert found["strangers_accepted"] > 0.4
    assert found["calibration_error"] > 0.1


def test_few_photos_are_calibrated_by_the_base(base: Base) -> None:
    """As the base's scores are distributed in the same way, their calibration is nearly the same."""
    compared = normal_scores(20, seed=1)
    few = Comparisons(compared.known[::20], compared.labels[::20], compared.strangers, False)
    assert fit(compared, base) == calibrate([compared])
    found, like = fit(few, base), base.calibrations[GENERIC]
    assert found.tail.shape == like.tail.shape
    assert found == shifted(like, few.impostors())
    assert abs(found.threshold(20, 1.0) - like.threshold(20, 1.0)) < 0.02
    assert abs(found.confidence(np.array(0.6), 20) - like.confidence(np.array(0.6), 20)) < 0.1


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
