"""Clusters of similar people, so that a search only looks at those near a probe: an inverted file (IVF).

Jégou et al., "Product Quantization for Nearest Neighbor Search", 2011, describe inverted files. The clusters are found
offline. People who are in none, because they came later, are always looked at.
"""

from __future__ import annotations

import numpy as np

from model.embedding import normalize

NOWHERE = -1  # cluster of people who are in none
PROBED_SHARE, PROBED_CLUSTERS = 0.08, 16  # of the clusters that a search looks at: this share, and at least so many


class Clusters:
    """The clusters of people, and their centroids.

    ids: int64 [people], ascending; numbers: int32 [people], the cluster of each; centroids: float32 [clusters, size].
    """

    def __init__(self, ids: np.ndarray, numbers: np.ndarray, centroids: np.ndarray, mobile: int) -> None:
        """mobile: how many numbers of an embedding, the last ones, are MobileFaceNet's."""
        self.ids, self.numbers, self.centroids = ids, numbers, centroids
        self._whole, self._mobile = normalize(centroids), normalize(centroids[:, -mobile:])

    def of(self, ids: np.ndarray) -> np.ndarray:
        """Return the cluster of each person, int32 [people]; NOWHERE for one who is in none. ids: int64."""
        if not len(self.ids):
            return np.full(len(ids), NOWHERE, np.int32)
        rows = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        found: np.ndarray = np.where(self.ids[rows] == ids, self.numbers[rows], NOWHERE)
        return found

    def near(self, probe: np.ndarray) -> np.ndarray:
        """Tell which clusters a search looks at, bool [clusters + 1]. The last one stands for NOWHERE: True.

        probe: float32 [1, size] or [1, mobile].
        """
        centroids = self._whole if probe.shape[1] == self._whole.shape[1] else self._mobile
        count = max(PROBED_CLUSTERS, round(PROBED_SHARE * len(centroids)))
        chosen = np.zeros(len(centroids) + 1, bool)
        chosen[-1] = True
        if count >= len(centroids):
            chosen[:] = True
        else:
            chosen[np.argpartition(-(centroids @ probe[0]), count)[:count]] = True
        return chosen
