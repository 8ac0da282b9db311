"""Metrics of face identification: rank-n accuracy, open-set rates and confidence calibration.

A probe is a photo to be identified against a gallery of known people (training/evaluation/gallery.py). Open-set terms
follow ISO/IEC 19795-1:
FPIR, false positive identification rate: share of strangers' photos identified as somebody.
TPIR, true positive identification rate: share of known people's photos identified correctly, above the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.calibration import confidence_of

FPIR_LEVELS = (0.1, 0.01, 0.001)
DEFAULT_FPIR = 0.01


@dataclass(frozen=True)
class Probes:
    """Results of matching N probes against a gallery.

    labels: int64 [N], class index, -1 for strangers; predicted: int64 [N], class index with the highest score;
    top_score: float32 [N], that score; rank: int64 [N], number of candidates who score higher than the probe's own
    person (0 is correct), or the number of candidates if that person is none of them.
    """

    labels: np.ndarray
    predicted: np.ndarray
    top_score: np.ndarray
    rank: np.ndarray

    @classmethod
    def none(cls) -> Probes:
        """Zero probes."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64))

    @classmethod
    def joined(cls, parts: Sequence[Probes]) -> Probes:
        """Concatenate probes. parts: at least one."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__))

    @property
    def correct(self) -> np.ndarray:
        """Predictions that match the label, bool [N]."""
        return self.predicted == self.labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, selection: Any) -> Probes:
        """Select probes by indices, a mask or a slice."""
        return Probes(*(getattr(self, name)[selection] for name in self.__annotations__))


def threshold_at_fpir(strangers: Probes, fpir: float) -> float:
    """The lowest score threshold whose FPIR on `strangers` is at most `fpir`. strangers: at least one."""
    ranked = np.sort(strangers.top_score)[::-1]
    accepted = int(fpir * len(ranked))
    if accepted == len(ranked):
        return float(ranked[-1])
    above = ranked[accepted - 1] if accepted else ranked[0] + 2 * abs(ranked[0]) * 1e-3
    return float((above + ranked[accepted]) / 2)


def tpir_at(known: Probes, threshold: float) -> float:
    """TPIR: share of known probes that score at least `threshold` and are identified correctly."""
    return float(((known.top_score >= threshold) & known.correct).mean())


def measure(known: Probes, strangers: Probes, images: int) -> dict[str, Any]:
    """Rank-1 and rank-5 accuracy, and, if there are strangers, TPIR at each of FPIR_LEVELS.

    images: number of photos of known people. Photos without a detected face are not among the probes and count as
    wrong.
    """
    share = len(known) / images
    found: dict[str, Any] = {f"top{n}": float((known.rank < n).mean()) * share for n in (1, 5)}
    if len(strangers):
        found["named_at_strangers_accepted"] = {
            str(fpir): tpir_at(known, threshold_at_fpir(strangers, fpir)) * share for fpir in FPIR_LEVELS
        }
    return found


def split_people(known: Probes, strangers: Probes) -> list[tuple[Probes, Probes]]:
    """Split known people and strangers into two halves that share no person.

    strangers: their photos ordered by person.
    """
    middle = len(strangers) // 2
    return [(known[known.labels % 2 == i], strangers[:middle] if i else strangers[middle:]) for i in range(2)]


def cross_validated(known: Probes, strangers: Probes, images: int) -> dict[str, Any]:
    """Estimate how threshold and confidence generalize to people who were not used to choose them.

    Two-fold cross-validation: both are chosen on one half of the people, known and strangers, and evaluated on the
    other half. images: see `measure`. Returns FPIR (`strangers_accepted`), TPIR (`named`), `calibration_error` and the
    `calibration` table of `reliability`.
    """
    halves = split_people(known, strangers)
    accepted, identified, confidence, correct, weight = [], [], [], [], []
    for (fit_known, fit_strangers), (test_known, test_strangers) in (halves, halves[::-1]):
        threshold = threshold_at_fpir(fit_strangers, DEFAULT_FPIR)
        slope, intercept = fit_confidence(fit_known, fit_strangers)
        accepted.append(test_strangers.top_score >= threshold)
        identified.append((test_known.top_score >= threshold) & test_known.correct)
        for part in (test_known, test_strangers):
            confidence.append(confidence_of(part.top_score, slope, intercept))
            correct.append(part.correct)
            weight.append(np.full(len(part), 0.25 / len(part)))
    calibration, error = reliability(np.concatenate(confidence), np.concatenate(correct), np.concatenate(weight))
    return {
        "strangers_accepted": float(np.concatenate(accepted).mean()),
        "named": float(np.concatenate(identified).sum() / images),
        "calibration_error": error,
        "calibration": calibration,
    }


def reliability(
    confidence: np.ndarray, correct: np.ndarray, weight: np.ndarray, bins: int = 10
) -> tuple[list[dict[str, float]], float]:
    """Reliability table and expected calibration error, the weighted mean of |confidence - accuracy| over bins.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015, with bins of equal width.
    confidence: float [N] in [0, 1]; correct: bool [N]; weight: float [N], with sum 1. Rows of the table: lower edge of
    the bin (`from`), number of probes, mean confidence, accuracy (`right`); empty bins are left out.
    """
    bin_index = np.minimum((confidence * bins).astype(int), bins - 1)
    rows, error = [], 0.0
    for i in range(bins):
        inside = bin_index == i
        total = float(weight[inside].sum())
        if total:
            mean, accuracy = (float((weight * x)[inside].sum() / total) for x in (confidence, correct))
            rows.append({"from": i / bins, "probes": int(inside.sum()), "confidence": mean, "right": accuracy})
            error += total * abs(mean - accuracy)
    return rows, error


def fit_confidence(known: Probes, strangers: Probes) -> tuple[float, float]:
    """Fit slope and intercept that convert a top score to the log odds that the prediction is correct.

    Logistic regression with smoothed targets (Platt, "Probabilistic Outputs for Support Vector Machines", 1999). Known
    people and strangers have equal total weight, because their proportion in use is not known in advance.
    """
    x = np.concatenate([known.top_score, strangers.top_score]).astype(np.float64)
    correct = np.concatenate([known.correct, np.zeros(len(strangers), bool)])
    weight = np.concatenate([np.full(len(part), 0.5 / len(part)) for part in (known, strangers)])
    positive, negative = correct.sum(), (~correct).sum()
    target = np.where(correct, (positive + 1) / (positive + 2), 1 / (negative + 2))
    design = np.stack([x, np.ones_like(x)], axis=1)
    return _logistic_regression(design, target, weight, np.array([10.0, -10.0 * x.mean()]))


def _logistic_regression(
    design: np.ndarray, target: np.ndarray, weight: np.ndarray, beta: np.ndarray
) -> tuple[float, float]:
    """Newton's method. design: [N, 2]; target, weight: [N]; beta: [2], initial slope and intercept."""
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        # The small ridge keeps the solution finite for perfectly separable classes.
        gradient = design.T @ (weight * (p - target)) + 1e-6 * beta
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step * min(1.0, 5 / np.abs(step).max())
        if np.abs(step).max() < 1e-9:
            break
    return float(beta[0]), float(beta[1])
