"""Calibration of scores for a gallery of any size: thresholds for a chosen FPIR, and confidences.

Both follow from comparisons of two faces. The false match rate (FMR) is the probability that a stranger's face reaches
a score with one person of a gallery. With n people a share 1 - (1 - FMR)^n of the strangers reaches it: the FPIR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# The shares of strangers, in percent, that a deployment or a request can choose to have identified as somebody (FPIR).
STRICTNESS = (0.1, 0.3, 1.0, 3.0)
DEFAULT_STRICTNESS = 1.0

TAIL = 0.03  # FMR at which the tail of the strangers' scores begins
# MobileFaceNet alone accepts a face where it would identify this share of the strangers that both networks may.
SURE = 0.05
# It rejects a face where it would still identify this multiple of those strangers.
HOPELESS = 3.0


@dataclass(frozen=True)
class Tail:
    """Tail of the scores of strangers' comparisons: a generalized Pareto distribution.

    start: score with an FMR of TAIL; scale; shape: below 0, the tail is bounded; smallest_fmr: the smallest one with
    enough comparisons to measure it, below which the tail is extrapolated. Pickands, "Statistical Inference Using
    Extreme Order Statistics", 1975.
    """

    start: float
    scale: float
    shape: float
    smallest_fmr: float

    def score(self, fmr: float) -> float:
        """Return the score that strangers reach with this FMR."""
        return self.start + self.scale * ((fmr / TAIL) ** -self.shape - 1) / self.shape


@dataclass(frozen=True)
class Calibration:
    """Calibration of one embedding on known people and strangers.

    tail: of the strangers' scores; slope, intercept: of the log odds over the score that two faces show one person, if
    half of the comparisons do (Platt scaling); lowest: score that 99 % of known people's photos exceed.
    """

    tail: Tail
    slope: float
    intercept: float
    lowest: float

    def threshold(self, people: int, strictness: float) -> float:
        """Return the score at which `strictness` percent of the strangers are identified as somebody.

        people: in the gallery.
        """
        return self.tail.score(fmr_of(strictness / 100, people))

    def confidence(self, scores: np.ndarray, people: int) -> np.ndarray:
        """Convert scores of best candidates to the probability that they are right, in [0, 1]. people: in the gallery.

        Half of the photos are assumed to show somebody in the gallery. With more people a stranger finds somebody more
        similar, so that the odds fall with their number.
        """
        return confidence_of(scores, self.slope, self.intercept - math.log(max(people, 1)))

    def extrapolated(self, people: int, strictness: float) -> bool:
        """Tell whether the threshold lies beyond the comparisons that it was measured with."""
        return fmr_of(strictness / 100, people) < self.tail.smallest_fmr

    def undecided(self, scores: np.ndarray, people: int, strictness: float) -> np.ndarray:
        """Select faces that need both networks, given MobileFaceNet's best score and its own calibration.

        scores: float [N] -> bool [N]. A face is decided where its score is so high that hardly a stranger reaches it,
        or lower than nearly every known person's and than the threshold of a much laxer promise.
        """
        reject = min(self.lowest, self.threshold(people, HOPELESS * strictness))
        return (scores >= reject) & (scores < self.threshold(people, SURE * strictness))


def fmr_of(fpir: float, people: int) -> float:
    """Return the FMR of a comparison with which `people` comparisons have this FPIR."""
    return -math.expm1(math.log1p(-fpir) / max(people, 1))


def confidence_of(scores: Any, slope: float, intercept: float) -> Any:
    """Convert a score or an array of scores to confidences in [0, 1]. slope, intercept: of the log odds."""
    return 1 / (1 + np.exp(-(slope * scores + intercept)))
