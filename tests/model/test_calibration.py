from __future__ import annotations

import math

import numpy as np
import pytest

from model.calibration import (
    DEFAULT_STRICTNESS,
    HOPELESS,
    STRICTNESS,
    SURE,
    TAIL,
    Calibration,
    Tail,
    confidence_of,
    fmr_of,
)

BOUNDED = Tail(start=0.1, scale=0.06, shape=-0.1, smallest_fmr=1e-5)
HEAVY = Tail(start=0.1, scale=0.06, shape=0.2, smallest_fmr=1e-5)
CALIBRATION = Calibration(BOUNDED, slope=40.0, intercept=-6.0, lowest=0.2)
PEOPLE = (1, 2, 10, 610, 10_000, 1_000_000)


# From the share of strangers to the false match rate of a comparison


@pytest.mark.parametrize("people", PEOPLE)
@pytest.mark.parametrize("fpir", [0.001, 0.01, 0.03, 0.5])
def test_fmr_of_each_comparison_gives_the_fpir_of_all(people: int, fpir: float) -> None:
    assert abs(1 - (1 - fmr_of(fpir, people)) ** people - fpir) < 1e-9


def test_fmr_of_one_person_is_the_fpir() -> None:
    for people in (0, 1):  # nobody can be identified in an empty gallery, but there is a threshold
        assert abs(fmr_of(0.01, people) - 0.01) < 1e-12


def test_tiny_fmr_is_exact() -> None:
    assert abs(fmr_of(1e-6, 10**9) * 1e15 - 1) < 1e-5


# The tail


@pytest.mark.parametrize("tail", [BOUNDED, HEAVY], ids=["bounded", "heavy"])
def test_scores_of_the_tail(tail: Tail) -> None:
    assert abs(tail.score(TAIL) - tail.start) < 1e-12
    for fmr in (1e-2, 1e-4, 1e-6):
        # The survival function of the generalized Pareto distribution, of which `score` is the inverse.
        survival = (1 + tail.shape * (tail.score(fmr) - tail.start) / tail.scale) ** (-1 / tail.shape)
        assert abs(TAIL * survival / fmr - 1) < 1e-9
    scores = [tail.score(fmr) for fmr in (1e-1, 1e-2, 1e-4, 1e-8, 1e-16)]
    assert scores == sorted(set(scores))


def test_a_bounded_tail_has_an_end() -> None:
    end = BOUNDED.start - BOUNDED.scale / BOUNDED.shape
    assert abs(end - 0.7) < 1e-9
    assert end - 1e-6 < BOUNDED.score(1e-60) < end


# Thresholds


@pytest.mark.parametrize("strictness", STRICTNESS)
def test_threshold_grows_with_people(strictness: float) -> None:
    thresholds = [CALIBRATION.threshold(people, strictness) for people in PEOPLE]
    assert thresholds == sorted(set(thresholds))


@pytest.mark.parametrize("people", PEOPLE)
def test_threshold_grows_as_fewer_strangers_may_be_identified(people: int) -> None:
    assert DEFAULT_STRICTNESS in STRICTNESS
    thresholds = [CALIBRATION.threshold(people, strictness) for strictness in sorted(STRICTNESS, reverse=True)]
    assert thresholds == sorted(set(thresholds))


@pytest.mark.parametrize("strictness", STRICTNESS)
@pytest.mark.parametrize("people", [1, 20, 610])
def test_threshold_identifies_the_promised_share_of_strangers(people: int, strictness: float) -> None:
    """Strangers whose scores have this tail, each compared with all people: the best score is the one that counts."""
    count = 20_000
    random = np.random.RandomState(0)
    best = 1 - random.rand(count) ** (1 / people)  # smallest of `people` uniform FMRs
    scores = np.array([BOUNDED.score(max(fmr, 1e-12)) for fmr in best])
    found = 100 * (scores >= CALIBRATION.threshold(people, strictness)).mean()
    deviation = 100 * math.sqrt(strictness / 100 / count)
    assert abs(found - strictness) < 4 * deviation


@pytest.mark.parametrize("strictness", STRICTNESS)
def test_a_threshold_is_extrapolated_in_a_large_gallery(strictness: float) -> None:
    """The FMR falls in proportion to the number of people, and below `smallest_fmr` it has not been measured."""
    last = int(-math.log1p(-strictness / 100) / -math.log1p(-BOUNDED.smallest_fmr))
    assert not any(CALIBRATION.extrapolated(people, strictness) for people in (0, 1, last - 1))
    assert all(CALIBRATION.extrapolated(people, strictness) for people in (last + 2, 10 * last))


# Confidences


def test_confidence_and_score_are_inverse() -> None:
    scores = np.array([-0.2, 0.1, 0.15, 0.2, 0.4])
    found = CALIBRATION.confidence(scores, 1)
    assert np.abs((np.log(found / (1 - found)) + 6) / 40 - scores).max() < 1e-9
    assert abs(CALIBRATION.confidence(np.array([0.15]), 1)[0] - 0.5) < 1e-12
    assert abs(confidence_of(0.15, 40.0, -6.0) - 0.5) < 1e-12


@pytest.mark.parametrize("people", PEOPLE)
def test_log_odds_fall_by_the_logarithm_of_the_people(people: int) -> None:
    scores = np.array([[0.1, 0.2, 0.3], [0.15, 0.25, 0.0]])
    one, many = (CALIBRATION.confidence(scores, count) for count in (1, people))
    assert many.shape == scores.shape
    assert np.abs(np.log(one / (1 - one)) - np.log(many / (1 - many)) - math.log(people)).max() < 1e-6
    assert ((many > 0) & (many < 1)).all()


def test_confidence_grows_with_the_score() -> None:
    assert (np.diff(CALIBRATION.confidence(np.linspace(-1, 1, 50), 610)) > 0).all()


def test_confidence_in_an_empty_gallery_is_finite() -> None:
    assert CALIBRATION.confidence(np.zeros((3, 0)), 0).shape == (3, 0)
    assert abs(CALIBRATION.confidence(np.array([0.15]), 0)[0] - 0.5) < 1e-12


# Which faces need both networks


@pytest.mark.parametrize("strictness", STRICTNESS)
@pytest.mark.parametrize("people", PEOPLE)
@pytest.mark.parametrize("lowest", [-1.0, 0.2, 2.0])
def test_undecided_lie_between_rejection_and_acceptance(people: int, strictness: float, lowest: float) -> None:
    calibration = Calibration(BOUNDED, slope=40.0, intercept=-6.0, lowest=lowest)
    accept = calibration.threshold(people, SURE * strictness)
    laxer = calibration.threshold(people, HOPELESS * strictness)
    # Rejected are only scores that hardly a known person has, and that do not reach a much laxer threshold.
    reject = min(lowest, laxer)
    assert reject < calibration.threshold(people, strictness) < accept
    scores = np.array([reject - 1e-9, reject, (reject + accept) / 2, accept - 1e-9, accept, accept + 1])
    found = calibration.undecided(scores, people, strictness)
    assert found.dtype == bool
    assert found.tolist() == [False, True, True, True, False, False]


def test_no_scores() -> None:
    assert CALIBRATION.undecided(np.zeros(0), 610, DEFAULT_STRICTNESS).shape == (0,)
