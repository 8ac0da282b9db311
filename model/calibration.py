"""Conversion of cosines to scores and of scores to confidences, and the threshold for known people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


def confidence_of(scores: Any, slope: float, intercept: float) -> Any:
    """Convert a score or an array of scores to confidences in [0, 1]. slope, intercept: see `Calibration`."""
    return 1 / (1 + np.exp(-(slope * scores + intercept)))


@dataclass(frozen=True)
class ScoreNormalization:
    """Normalization of cosines to scores. A threshold is valid only for the normalization it was chosen with.

    cohort: number of highest-scoring people after the best one; probe_weight, entry_weight: weights of the mean cosine
    of the probe, and of the gallery entry, with its cohort.
    """

    cohort: int = 5
    probe_weight: float = 0.5
    entry_weight: float = 0.2


@dataclass(frozen=True)
class Calibration:
    """Calibration of one embedding on known people and strangers.

    slope, intercept: of the log odds over the score (Platt scaling); threshold: confidence in [0, 1] from which a face
    counts as known.
    """

    normalization: ScoreNormalization
    slope: float
    intercept: float
    threshold: float

    def confidence(self, scores: np.ndarray) -> np.ndarray:
        """Scores of any shape -> confidences in [0, 1], the same shape: each is the probability of a correct match."""
        return confidence_of(scores, self.slope, self.intercept)

    def score(self, confidence: float) -> float:
        """Convert a confidence in (0, 1) to a score: the inverse of `confidence`."""
        return (math.log(confidence / (1 - confidence)) - self.intercept) / self.slope
