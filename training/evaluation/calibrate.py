"""Fit the calibration of an embedding on comparisons of known people and of strangers with a gallery."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator, NamedTuple, Sequence

import numpy as np

from model.calibration import TAIL, Calibration, Tail

SIZES = (1, 3, 10, 30, 100, 300)  # people in the galleries on which the odds are fitted
DRAWS = 100  # people drawn for each of these sizes, in as many galleries as that makes
FMRS = TAIL * np.geomspace(1, 1e-4, 25)  # at which the tail is fitted
MIN_EXCEEDED = 10  # comparisons that must exceed a score for its FMR to count as measured
MIN_COMPARISONS = 1000  # for scale and shape of the tail. With fewer, the tail is moved only
SHAPES = np.linspace(-0.4, -0.02, 96)
LOWEST = 0.01  # share of known people's photos below `Calibration.lowest`


class Comparisons(NamedTuple):
    """Scores with the people of one gallery.

    known: float [K, people], photos of these people; labels: int [K], their columns; strangers: float [S, people];
    others_are_strangers: the photos of people who are left out of the gallery count as strangers' too.
    """

    known: np.ndarray
    labels: np.ndarray
    strangers: np.ndarray
    others_are_strangers: bool

    def genuine(self) -> np.ndarray:
        """Scores of known people's photos with themselves, [K]."""
        return self.known[np.arange(len(self.labels)), self.labels]

    def impostors(self) -> np.ndarray:
        """Scores of strangers with anybody, [N]."""
        if not self.others_are_strangers:
            return self.strangers.ravel()
        others = np.ones(self.known.shape, bool)
        others[np.arange(len(self.labels)), self.labels] = False
        return np.concatenate([self.strangers.ravel(), self.known[others]])

    def half(self, number: int) -> Comparisons:
        """Return half of the people and half of the strangers; photos of one stranger are beside each other.

        number: 0 or 1. A single person is in both halves.
        """
        people = self.known.shape[1]
        columns = np.arange(people) if people < 2 else np.arange(number, people, 2)
        rows = np.isin(self.labels, columns)
        middle = len(self.strangers) // 2
        strangers = self.strangers[:middle] if number else self.strangers[middle:]
        labels = np.searchsorted(columns, self.labels[rows])
        return Comparisons(self.known[rows][:, columns], labels, strangers[:, columns], self.others_are_strangers)

    def best(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Search a smaller gallery of some of the people.

        -> best score of each photo of them, whether it is right, and best score of each stranger.
        """
        inside = np.isin(self.labels, columns)
        known = self.known[inside][:, columns]
        strangers = self.strangers[:, columns].max(axis=1)
        if self.others_are_strangers and not inside.all():
            strangers = np.concatenate([strangers, self.known[~inside][:, columns].max(axis=1)])
        right = columns[known.argmax(axis=1)] == self.labels[inside]
        return known.max(axis=1), right, strangers


def calibrate(parts: Sequence[Comparisons], seed: int = 0) -> Calibration:
    """Fit tail and odds. parts: galleries of the same embedding, for example with different numbers of photos each.

    `lowest` is that of the first part. The fit assumes that half of all photos show somebody in the gallery.
    """
    tail = fit_tail(np.concatenate([part.impostors() for part in parts]))
    slope, intercept = _fit_odds(list(_samples(parts, np.random.RandomState(seed))))
    return Calibration(tail, slope, intercept, float(np.quantile(parts[0].genuine(), LOWEST)))


def fit_tail(impostors: np.ndarray, shape: float | None = None) -> Tail:
    """Fit a generalized Pareto distribution to the quantiles of strangers' scores, [N], by least squares.

    shape: None to fit it too. It needs many comparisons.
    """
    ranked = np.sort(impostors)[::-1]
    fmrs = FMRS[FMRS * len(ranked) >= MIN_EXCEEDED]
    scores = ranked[(fmrs * len(ranked)).astype(int)].astype(np.float64)
    best = (np.inf, 0.0, 1.0, 0.0)
    for tried in SHAPES if shape is None else [shape]:
        design = np.stack([np.ones_like(fmrs), ((fmrs / TAIL) ** -tried - 1) / tried], axis=1)
        (start, scale), *_ = np.linalg.lstsq(design, scores, rcond=None)
        error = float(((design @ [start, scale] - scores) ** 2).sum())
        best = min(best, (error, float(start), float(scale), float(tried)))
    return Tail(*best[1:], smallest_fmr=float(fmrs[-1]))


def shifted(like: Calibration, impostors: np.ndarray) -> Calibration:
    """Calibrate an embedding by strangers alone: where few photos of known people exist, or few strangers.

    A score gets the confidence of the score of `like` that strangers reach as often. impostors: float [N].
    """
    if len(impostors) >= MIN_COMPARISONS:
        tail = fit_tail(impostors, like.tail.shape)
    else:
        fmr = min(0.5, max(TAIL, MIN_EXCEEDED / len(impostors)))
        tail = replace(like.tail, start=like.tail.start + float(np.quantile(impostors, 1 - fmr)) - like.tail.score(fmr))
    ratio = like.tail.scale / tail.scale
    slope = like.slope * ratio
    intercept = like.intercept + like.slope * (like.tail.start - ratio * tail.start)
    return Calibration(tail, slope, intercept, tail.start + (like.lowest - like.tail.start) / ratio)


def _samples(parts: Sequence[Comparisons], random: np.random.RandomState) -> Iterator[tuple[np.ndarray, ...]]:
    """Search random smaller galleries. -> log of the size, best scores, whether each is right, and weights."""
    for part in parts:
        people = part.known.shape[1]
        sizes = [size for size in SIZES if size < people] + [people]
        for size in sizes:
            draws = max(1, DRAWS // size)
            for _ in range(draws):
                columns = np.sort(random.permutation(people)[:size])
                known, right, strangers = part.best(columns)
                if len(known) and len(strangers):
                    weights = [np.full(len(each), 0.5 / len(each) / draws) for each in (known, strangers)]
                    yield (
                        np.full(len(known) + len(strangers), np.log(size)),
                        np.concatenate([known, strangers]),
                        np.concatenate([right, np.zeros(len(strangers), bool)]),
                        np.concatenate(weights),
                    )


def _fit_odds(samples: Sequence[tuple[np.ndarray, ...]]) -> tuple[float, float]:
    """Fit slope and intercept of the log odds, which fall by the logarithm of the gallery's size.

    Logistic regression (Platt, "Probabilistic Outputs for Support Vector Machines", 1999) by Newton's method.
    """
    size, scores, right, weight = (np.concatenate(column) for column in zip(*samples))
    design = np.stack([np.ones_like(scores), scores], axis=1).astype(np.float64)
    weight = weight / weight.sum()
    beta = np.array([-6.0, 40.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ beta - size, -30, 30)))
        # The small ridge keeps the solution finite where all known people score higher than all strangers.
        gradient = design.T @ (weight * (p - right)) + 1e-6 * beta
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step * min(1.0, 5 / np.abs(step).max())
        if np.abs(step).max() < 1e-9:
            break
    return float(beta[1]), float(beta[0])
