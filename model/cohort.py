"""A fixed cohort: embeddings of strangers, to which faces are compared before they are compared with each other.

A face that resembles many strangers resembles everybody a little more. Its cosines are therefore reduced by its mean
cosine with the strangers it resembles most: adaptive symmetric score normalization (Kenny, "Bayesian Speaker
Verification with Heavy-Tailed Priors", 2010; Cumani et al., "Comparison of Speaker Recognition Approaches for Real
Applications", 2011), without the division by the deviation. The cohort is part of the networks and not of a gallery, so
the score of two faces depends on nobody else.
"""

from __future__ import annotations

import numpy as np

from model.embedding import normalize

NEAREST = 10  # strangers: the mean of their cosines is the nearness
PROBE_WEIGHT, ENTRY_WEIGHT = 0.5, 0.3  # of the nearness of a probe, and of a gallery's entry, in the score
ROWS = 1024  # embeddings at a time, to limit the memory for cosines


class Cohort:
    """Embeddings of strangers, float32 [M, size] of length 1."""

    def __init__(self, embeddings: np.ndarray) -> None:
        self.embeddings = embeddings

    def part(self, numbers: slice) -> Cohort:
        """Return the cohort in a part of the embedding, scaled to length 1."""
        return Cohort(normalize(self.embeddings[:, numbers]))

    def nearness(self, embeddings: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
        """Mean cosine of each embedding with the NEAREST strangers, float32 [N]; 0 without a cohort.

        embeddings: float32 [N, size] of length 1; own: int [N], for each the row of a stranger to ignore, -1 for none.
        """
        if not len(self.embeddings):
            return np.zeros(len(embeddings), np.float32)
        nearest = min(NEAREST, len(self.embeddings))
        parts = [np.zeros(0, np.float32)]
        for start in range(0, len(embeddings), ROWS):
            cosines = embeddings[start : start + ROWS] @ self.embeddings.T
            if own is not None:
                rows = np.flatnonzero(own[start : start + ROWS] >= 0)
                cosines[rows, own[start : start + ROWS][rows]] = -1
            parts.append(np.partition(cosines, -nearest, axis=1)[:, -nearest:].mean(axis=1))
        return np.concatenate(parts)


NO_COHORT = Cohort(np.zeros((0, 0), np.float32))  # scores are cosines
