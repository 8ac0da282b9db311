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

FPIR_LEVELS = (0.1, 0.01, 0.001)


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


def tpir_at_fpir(probes: Probes, fpir: float) -> float:
    """TPIR of the known probes with the threshold that is chosen on the strangers among the probes."""
    inside = probes.labels >= 0
    return tpir_at(probes[inside], threshold_at_fpir(probes[~inside], fpir))


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
