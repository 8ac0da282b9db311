"""Calibrations of made-up scores whose distribution is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.calibration import STRICTNESS, TAIL, Calibration, Tail, fmr_of
from model.embedding import GENERIC
from training.evaluation.calibrate import LOWEST, Comparisons, calibrate, fit_tail, shifted
from training.evaluation.evaluate import fit
from training.evaluation.metrics import reliability
from training.network.base import Base

PEOPLE = 400
SIZES = (1, 10, 100, 400)  # people in the galleries that are tested
IMPOSTORS, GENUINE, DEVIATION = 0.05, 0.5, 0.08  # means and standard deviation of the scores


def compared(
    seed: int, people: int = PEOPLE, photos: int = 4, strangers: int = 1500, shift: float = 0.0
) -> Comparisons:
    """Independent, normally distributed scores. shift: of genuine scores. No photos are impostors' as well."""
    random = np.random.RandomState(seed)
    labels = np.repeat(np.arange(people), photos)
    known = IMPOSTORS + DEVIATION * random.randn(len(labels), people)
    known[np.arange(len(labels)), labels] += GENUINE - IMPOSTORS + shift
    return Comparisons(known, labels, IMPOSTORS + DEVIATION * random.randn(strangers, people), False)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate([compared(0)])


@pytest.fixture(scope="module")
def others() -> Comparisons:
    """Comparisons that were not used to calibrate."""
    return compared(1, strangers=8000)


def pareto(random: np.random.RandomState, tail: Tail, count: int) -> np.ndarray:
    """Scores of which a share of TAIL lies above `tail.start`, distributed as `tail` says, [count]."""
    fmr = random.rand(count)
    above = tail.start + tail.scale * ((np.minimum(fmr, TAIL) / TAIL) ** -tail.shape - 1) / tail.shape
    return np.where(fmr < TAIL, above, tail.start - (fmr - TAIL))


# Comparisons


def test_genuine_and_impostors() -> None:
    known, strangers = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), np.array([[0.4, 0.5]])
    found = Comparisons(known, np.array([0, 1, 1]), strangers, others_are_strangers=False)
    assert found.genuine().tolist() == [0.9, 0.8, 0.7]
    assert found.impostors().tolist() == [0.4, 0.5]
    assert found._replace(others_are_strangers=True).impostors().tolist() == [0.4, 0.5, 0.1, 0.2, 0.3]


def test_halves_share_neither_people_nor_strangers() -> None:
    """Each score tells where it comes from: the photo of a person, or the stranger, and the person in the gallery."""
    labels = np.array([0, 1, 1, 2, 3, 3, 4])
    known = 10 * np.arange(7)[:, None] + np.arange(5)
    strangers = 1000 + 10 * np.arange(6)[:, None] + np.arange(5)
    whole = Comparisons(known, labels, strangers, True)
    first, second = whole.half(0), whole.half(1)
    assert first.known.tolist() == [[0, 2, 4], [30, 32, 34], [60, 62, 64]]
    assert first.labels.tolist() == [0, 1, 2]
    assert second.known.tolist() == [[11, 13], [21, 23], [41, 43], [51, 53]]
    assert second.labels.tolist() == [0, 0, 1, 1]
    assert first.strangers.tolist() == [[1030, 1032, 1034], [1040, 1042, 1044], [1050, 1052, 1054]]
    assert second.strangers.tolist() == [[1001, 1003], [1011, 1013], [1021, 1023]]
    assert first.others_are_strangers
    assert sorted([*first.genuine(), *second.genuine()]) == sorted(whole.genuine())


def test_a_single_person_is_in_both_halves() -> None:
    whole = Comparisons(np.array([[0.9], [0.8]]), np.array([0, 0]), np.array([[0.1], [0.2]]), False)
    halves = [whole.half(i) for i in range(2)]
    assert [half.known.tolist() for half in halves] == [[[0.9], [0.8]]] * 2
    assert [half.strangers.tolist() for half in halves] == [[[0.2]], [[0.1]]]


def test_best_of_a_smaller_gallery() -> None:
    """The photos of people who are left out are strangers' only if they are meant to be."""
    known, labels = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.8], [0.1, 0.6, 0.7]]), np.array([0, 1, 2])
    found = Comparisons(known, labels, np.array([[0.4, 0.95, 0.3]]), False)
    scores, right, strangers = found.best(np.array([0, 2]))
    assert (scores.tolist(), right.tolist(), strangers.tolist()) == ([0.9, 0.7], [True, True], [0.4])
    *_, strangers = found._replace(others_are_strangers=True).best(np.array([0, 2]))
    assert strangers.tolist() == [0.4, 0.8]
    scores, right, _ = found.best(np.arange(3))
    assert (scores.tolist(), right.tolist()) == ([0.9, 0.8, 0.7], [True, False, True])


# The tail


@pytest.mark.parametrize("shape", [-0.05, -0.15, -0.3])
def test_fit_tail_recovers_a_generalized_pareto_distribution(shape: float) -> None:
    expected = Tail(start=0.2, scale=0.05, shape=shape, smallest_fmr=0.0)
    found = fit_tail(pareto(np.random.RandomState(0), expected, 3_000_000))
    assert abs(found.start - expected.start) < 0.001
    assert abs(found.scale - expected.scale) < 0.002
    assert abs(found.shape - expected.shape) < 0.03
    for fmr in (TAIL, 1e-3, 1e-5, 1e-6):  # the last one is beyond what was measured
        assert abs(found.score(fmr) - expected.score(fmr)) < 0.01, fmr


def test_fit_tail_with_a_known_shape_needs_fewer_comparisons() -> None:
    expected = Tail(start=0.2, scale=0.05, shape=-0.15, smallest_fmr=0.0)
    found = fit_tail(pareto(np.random.RandomState(0), expected, 10_000), expected.shape)
    assert found.shape == expected.shape
    assert abs(found.score(1e-4) - expected.score(1e-4)) < 0.02


@pytest.mark.parametrize("count", [1_000, 100_000, 3_000_000])
def test_smallest_fmr_is_what_the_comparisons_can_measure(count: int) -> None:
    found = fit_tail(np.random.RandomState(0).rand(count).astype(np.float32)).smallest_fmr
    assert found * count >= 10
    assert found <= max(30 / count, 1.01 * TAIL * 1e-4)


# Thresholds and confidences


@pytest.mark.parametrize("people", SIZES)
def test_thresholds_keep_their_promise_in_galleries_of_any_size(
    calibration: Calibration, others: Comparisons, people: int
) -> None:
    """Judge strangers who were not used to calibrate."""
    best = others.strangers.reshape(-1, people).max(axis=1)  # each part of a row is another stranger
    for strictness in STRICTNESS:
        promise = strictness / 100
        fpir = float((best >= calibration.threshold(people, strictness)).mean())
        error = (promise / len(best)) ** 0.5
        assert abs(fpir - promise) < 0.25 * promise + 4 * error, strictness


@pytest.mark.parametrize("people", SIZES)
def test_confidence_is_the_share_of_right_answers(calibration: Calibration, others: Comparisons, people: int) -> None:
    """Half of the photos show somebody in the gallery."""
    random = np.random.RandomState(2)
    confidence, right, weight = [], [], []
    draws = max(1, 400 // people)
    for _ in range(draws):
        columns = np.sort(random.permutation(PEOPLE)[:people])
        known, correct, strangers = others.best(columns)
        for scores, hits in ((known, correct), (strangers, np.zeros(len(strangers), bool))):
            confidence.append(calibration.confidence(scores, people))
            right.append(hits)
            weight.append(np.full(len(scores), 0.5 / len(scores) / draws))
    _, error = reliability(np.concatenate(confidence), np.concatenate(right), np.concatenate(weight))
    assert error < 0.03


def test_confidence_is_high_for_known_people_and_low_for_strangers(calibration: Calibration) -> None:
    assert calibration.slope > 0
    for people in SIZES:
        known, strangers = calibration.confidence(np.array([GENUINE, IMPOSTORS]), people)
        assert known > 0.95
        assert strangers < 0.05


def test_larger_galleries_are_stricter(calibration: Calibration) -> None:
    thresholds = [calibration.threshold(people, 1.0) for people in SIZES]
    confidences = [float(calibration.confidence(np.array(0.35), people)) for people in SIZES]
    assert thresholds == sorted(thresholds)
    assert confidences == sorted(confidences, reverse=True)


def test_lowest_is_below_nearly_all_photos_of_known_people(calibration: Calibration, others: Comparisons) -> None:
    assert abs(float((others.genuine() < calibration.lowest).mean()) - LOWEST) < 0.01


def test_odds_stay_finite_for_separable_scores() -> None:
    people = np.arange(6)
    known = np.where(people[:, None] == people, 0.9, 0.1)
    found = calibrate([Comparisons(known, people, 0.1 - 0.01 * np.random.RandomState(0).rand(400, 6), False)])
    assert np.isfinite([found.slope, found.intercept]).all()
    confidence = found.confidence(np.array([0.9, 0.1]), 6)
    assert confidence[0] > 0.5 > confidence[1]


def test_the_same_seed_gives_the_same_calibration() -> None:
    small = compared(3, people=40)
    assert calibrate([small], seed=1) == calibrate([small], seed=1)
    assert calibrate([small], seed=1) != calibrate([small], seed=2)


def test_all_galleries_count_and_the_first_decides_the_lowest_score() -> None:
    first, second = compared(4, people=60), compared(5, people=60, shift=0.1)
    both = calibrate([first, second])
    assert both.lowest == calibrate([first]).lowest
    alone = [float(calibrate([part]).confidence(np.array(0.35), 60)) for part in (first, second)]
    assert min(alone) < both.confidence(np.array(0.35), 60) < max(alone)


# By strangers alone


def test_shifted_gives_equal_confidence_for_equal_fmr(calibration: Calibration) -> None:
    """The other embedding's scores are twice as large and begin elsewhere."""
    impostors = compared(6).impostors()
    found = shifted(calibration, 2 * impostors + 0.3)
    assert found.tail.shape == calibration.tail.shape
    for people in SIZES:
        for strictness in STRICTNESS:
            thresholds = [each.threshold(people, strictness) for each in (calibration, found)]
            confidences = [
                float(each.confidence(np.array(threshold), people))
                for each, threshold in zip((calibration, found), thresholds)
            ]
            assert abs(confidences[0] - confidences[1]) < 1e-9
            assert abs(thresholds[1] - (2 * thresholds[0] + 0.3)) < 0.02
    assert abs(found.lowest - (2 * calibration.lowest + 0.3)) < 0.02


def test_shifted_to_the_same_scores_changes_nothing() -> None:
    impostors = compared(7).impostors()
    like = replace(calibrate([compared(7)]), tail=fit_tail(impostors))
    found = shifted(like, impostors)
    for name in ("slope", "intercept", "lowest"):
        assert abs(getattr(found, name) - getattr(like, name)) < 1e-6, name
    assert abs(found.tail.score(1e-4) - like.tail.score(1e-4)) < 1e-6


def test_shifted_keeps_the_promise_with_few_strangers(calibration: Calibration, others: Comparisons) -> None:
    few = 2 * others.strangers[:400, :50].ravel() + 0.3
    found = shifted(calibration, few)
    best = 2 * others.strangers[400:].reshape(-1, 10).max(axis=1) + 0.3
    assert abs(float((best >= found.threshold(10, 1.0)).mean()) - 0.01) < 0.004


def test_a_tail_needs_more_comparisons_than_two_people_have(calibration: Calibration, others: Comparisons) -> None:
    """Although there are enough photos of them and of strangers."""
    base = Base({}, {GENERIC: calibration})
    best = others.strangers.reshape(-1, 2).max(axis=1)
    fpir = [
        (best >= fit(compared(seed, people=2, photos=150, strangers=200), base).threshold(2, 1.0)).mean()
        for seed in range(8, 16)
    ]
    assert abs(float(np.mean(fpir)) - 0.01) < 0.004


def test_fmr_and_fpir() -> None:
    for people in SIZES:
        assert abs(1 - (1 - fmr_of(0.01, people)) ** people - 0.01) < 1e-12
