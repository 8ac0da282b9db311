"""How good a model is, as numbers: closed set, open set, and what a cosine is worth as a confidence.

A probe is a photo to be named; the gallery is the mean embedding of each person's training photos. Everything starts
from a matrix of scores [probes, people], cosines or anything that rises with them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

FALSE_ACCEPT_RATES = (0.1, 0.01, 0.001)  # shares of strangers' photos taken for somebody
DEFAULT_RATE = 0.01


def gallery(embeddings: np.ndarray, labels: np.ndarray, people: int) -> np.ndarray:
    """Mean embedding a person, [people, 512], not normalised: its length says how alike the photos are."""
    sums = np.zeros((people, embeddings.shape[1]))
    np.add.at(sums, labels, embeddings)
    return (sums / np.maximum(np.bincount(labels, minlength=people), 1)[:, None]).astype(np.float32)


def cosines(embeddings: np.ndarray, means: np.ndarray) -> np.ndarray:
    """[N, 512] of length 1, [people, 512] -> [N, people]."""
    lengths = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    scores: np.ndarray = embeddings @ (means / lengths).T
    return scores


def top_k(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of probes whose person is among the k best."""
    own = scores[np.arange(len(labels)), labels]
    return float(((scores > own[:, None]).sum(axis=1) < k).mean())


def as_strangers(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Known probes as if their own person were not in the gallery: the stand-in where there are no strangers."""
    without = scores.copy()
    without[np.arange(len(labels)), labels] = -np.inf
    return without


def threshold_at(stranger_best: np.ndarray, rate: float) -> float:
    """The score from which at most that share of strangers is accepted. stranger_best: [strangers], best score each."""
    ranked = np.sort(stranger_best)[::-1]
    accepted = int(rate * len(ranked))
    above = ranked[accepted - 1] if accepted else ranked[0] + 2 * abs(ranked[0]) * 1e-3
    return float((above + ranked[accepted]) / 2)


def named_at(scores: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    """Share of known probes that are accepted and named rightly."""
    return float(((scores.max(axis=1) >= threshold) & (scores.argmax(axis=1) == labels)).mean())


def measure(scores: np.ndarray, labels: np.ndarray, strangers: np.ndarray) -> dict[str, Any]:
    """The figures of a report. scores: [probes, people]; strangers: the same for people outside the gallery."""
    found: dict[str, Any] = {"top1": top_k(scores, labels, 1), "top5": top_k(scores, labels, 5)}
    if len(strangers):
        best = strangers.max(axis=1)
        found["named_at_strangers_accepted"] = {
            str(rate): named_at(scores, labels, threshold_at(best, rate)) for rate in FALSE_ACCEPT_RATES
        }
    return found


def fit_confidence(scores: np.ndarray, labels: np.ndarray, strangers: np.ndarray) -> tuple[float, float]:
    """Slope and intercept that turn a probe's best cosine into the log odds that the name is right.

    Logistic regression (Platt, "Probabilistic Outputs for Support Vector Machines", 1999, with his smoothed targets),
    known people and strangers weighing the same: an answer before anything is known of who will stand at the camera.
    """
    x = np.concatenate([scores.max(axis=1), strangers.max(axis=1)]).astype(np.float64)
    right = np.concatenate([scores.argmax(axis=1) == labels, np.zeros(len(strangers), bool)])
    weight = np.concatenate([np.full(len(labels), 0.5 / len(labels)), np.full(len(strangers), 0.5 / len(strangers))])
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
