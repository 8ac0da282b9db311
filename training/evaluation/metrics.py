"""How good a model is, as numbers: closed set, open set, and what a score is worth as a confidence.

A probe is a photo to be named by the gallery of the people who are known (training/evaluation/gallery.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FALSE_ACCEPT_RATES = (0.1, 0.01, 0.001)  # shares of strangers' photos taken for somebody
DEFAULT_RATE = 0.01


@dataclass(frozen=True)
class Probes:
    """What a gallery says of N probes.

    labels: int64 [N], class index, -1 for strangers; named: int64 [N], whose score is highest; best: float32 [N], that
    score; rank: int64 [N], how many candidates score higher than the probe's own person (0 is right), or the number of
    candidates where that person is none of them.
    """

    labels: np.ndarray
    named: np.ndarray
    best: np.ndarray
    rank: np.ndarray

    @classmethod
    def none(cls) -> Probes:
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64))

    @classmethod
    def joined(cls, parts: Sequence[Probes]) -> Probes:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__))

    @property
    def right(self) -> np.ndarray:
        """bool [N]"""
        return self.named == self.labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, which: Any) -> Probes:
        """Some of them: indices, a mask or a slice."""
        return Probes(self.labels[which], self.named[which], self.best[which], self.rank[which])


def evaluate_scores(found: np.ndarray, labels: np.ndarray) -> Probes:
    """found: scores [N, people]; labels: [N]."""
    own = np.where(labels >= 0, found[np.arange(len(labels)), labels], -np.inf)
    return Probes(labels, found.argmax(axis=1), found.max(axis=1), (found > own[:, None]).sum(axis=1))


def threshold_at(strangers: Probes, rate: float) -> float:
    """The score from which at most that share of strangers is accepted."""
    ranked = np.sort(strangers.best)[::-1]
    accepted = int(rate * len(ranked))
    if accepted == len(ranked):
        return float(ranked[-1])
    above = ranked[accepted - 1] if accepted else ranked[0] + 2 * abs(ranked[0]) * 1e-3
    return float((above + ranked[accepted]) / 2)


def named_at(known: Probes, threshold: float) -> float:
    """Share of known probes that are accepted and named rightly."""
    return float(((known.best >= threshold) & known.right).mean())


def measure(known: Probes, strangers: Probes, images: int) -> dict[str, Any]:
    """The figures of a report: top1 and top5, and what is named rightly while so many strangers are accepted.

    images: photos of known people; one in which no face was found, which is no probe, counts as wrong.
    """
    share = len(known) / images
    found: dict[str, Any] = {f"top{n}": float((known.rank < n).mean()) * share for n in (1, 5)}
    if len(strangers):
        found["named_at_strangers_accepted"] = {
            str(rate): named_at(known, threshold_at(strangers, rate)) * share for rate in FALSE_ACCEPT_RATES
        }
    return found


def confidence_of(scores: Any, slope: float, intercept: float) -> Any:
    """Scores, one or an array of them -> confidences, by what `fit_confidence` found."""
    return 1 / (1 + np.exp(-(slope * scores + intercept)))


def halves(known: Probes, strangers: Probes) -> list[tuple[Probes, Probes]]:
    """Two halves with no person in both, as long as strangers' photos lie person by person."""
    middle = len(strangers) // 2
    return [(known[known.labels % 2 == i], strangers[:middle] if i else strangers[middle:]) for i in range(2)]


def cross_validated(known: Probes, strangers: Probes, images: int) -> dict[str, Any]:
    """What the threshold and the confidence are worth on people who did not choose them.

    Both are chosen on one half of the people, known and strangers, and judged on the other; then the other way round.
    images: as for `measure`.
    """
    sides = halves(known, strangers)
    accepted, named, confidence, right, weight = [], [], [], [], []
    for (chosen_by, chosen_by_strangers), (probes, others) in (sides, sides[::-1]):
        threshold = threshold_at(chosen_by_strangers, DEFAULT_RATE)
        slope, intercept = fit_confidence(chosen_by, chosen_by_strangers)
        accepted.append(others.best >= threshold)
        named.append((probes.best >= threshold) & probes.right)
        for part in (probes, others):
            confidence.append(confidence_of(part.best, slope, intercept))
            right.append(part.right)
            weight.append(np.full(len(part), 0.25 / len(part)))
    calibration, error = reliability(np.concatenate(confidence), np.concatenate(right), np.concatenate(weight))
    return {
        "strangers_accepted": float(np.concatenate(accepted).mean()),
        "named": float(np.concatenate(named).sum() / images),
        "calibration_error": error,
        "calibration": calibration,
    }


def reliability(
    confidence: np.ndarray, right: np.ndarray, weight: np.ndarray, bins: int = 10
) -> tuple[list[dict[str, float]], float]:
    """Bins of equal width, and the expected calibration error (Naeini et al., 2015): mean |confidence - share right|.

    confidence, right, weight: [N] each; the weights add up to 1.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    rows, error = [], 0.0
    for i in range(bins):
        inside = place == i
        total = float(weight[inside].sum())
        if total:
            said, was = (float((weight * x)[inside].sum() / total) for x in (confidence, right))
            rows.append({"from": i / bins, "probes": int(inside.sum()), "confidence": said, "right": was})
            error += total * abs(said - was)
    return rows, error


def fit_confidence(known: Probes, strangers: Probes) -> tuple[float, float]:
    """Slope and intercept that turn a probe's best score into the log odds that the name is right.

    Logistic regression (Platt, "Probabilistic Outputs for Support Vector Machines", 1999, with his smoothed targets),
    known people and strangers weighing the same: an answer before anything is known of who will stand at the camera.
    """
    x = np.concatenate([known.best, strangers.best]).astype(np.float64)
    right = np.concatenate([known.right, np.zeros(len(strangers), bool)])
    weight = np.concatenate([np.full(len(part), 0.5 / len(part)) for part in (known, strangers)])
    positive, negative = right.sum(), (~right).sum()
    target = np.where(right, (positive + 1) / (positive + 2), 1 / (negative + 2))
    design = np.stack([x, np.ones_like(x)], axis=1)
    beta = np.array([10.0, -10.0 * x.mean()])
    for _ in range(100):  # Newton's method; the small ridge keeps it finite where the two are told apart without fault
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        gradient = design.T @ (weight * (p - target)) + 1e-6 * beta
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        beta -= step * min(1.0, 5 / np.abs(step).max())
        if np.abs(step).max() < 1e-9:
            break
    return float(beta[0]), float(beta[1])
