"""Search for the entries most similar to a probe: an exact scan over all of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from model.cohort import ENTRY_WEIGHT, PROBE_WEIGHT, ROWS, Cohort

LENGTH_EXPONENT = 0.7  # of a mean's length, by which the mean is divided. 1 would be the plain cosine


class Hits(NamedTuple):
    """The k best entries for each of N probes, best first. rows: int64 [N, k]; scores: float32 [N, k]."""

    rows: np.ndarray
    scores: np.ndarray


class FlatIndex:
    """Mean embeddings of a gallery's entries, float32 [entries, size], and the nearness of each to the
    cohort, float32 [entries].

    The score of a probe and an entry is their cosine, minus PROBE_WEIGHT times the probe's nearness to the cohort and
    ENTRY_WEIGHT times the entry's. The cosine is reduced where the mean is short: strangers reach higher cosines with a
    mean over several photos than with a single photo, and one threshold has to fit both.
    """

    def __init__(self, means: np.ndarray, cohort: Cohort, nearness: np.ndarray) -> None:
        lengths = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        self._entries, self._cohort = (means / lengths**LENGTH_EXPONENT).astype(np.float32, copy=False), cohort
        self._penalties = (ENTRY_WEIGHT * nearness).astype(np.float32)

    @property
    def vectors(self) -> np.ndarray:
        """Vectors whose inner products with those of `extended` are the scores, but for the probes' nearness.

        float32 [entries, size + 1].
        """
        return np.concatenate([self._entries, self._penalties[:, None]], axis=1)

    def search(self, probes: np.ndarray, k: int, exclude: np.ndarray | None = None) -> Hits:
        """Find the k best entries for each probe. Of equal scores the lower row comes first.

        probes: float32 [N, size] of length 1; k: at most the number of entries; exclude: int64 [N], for each probe a
        row that is found last, with the score -inf.
        """
        parts = [Hits(np.zeros((0, k), np.int64), np.zeros((0, k), np.float32))]
        for start in range(0, len(probes) if k else 0, ROWS):
            some = slice(start, start + ROWS)
            scores = self.scores(probes[some])
            if exclude is not None:
                scores[np.arange(len(scores)), exclude[some]] = -np.inf
            parts.append(best(scores, k))
        hits = Hits(*(np.concatenate(column) for column in zip(*parts)))
        return hits if k else Hits(*(column.reshape(len(probes), 0) for column in hits))

    def scores(self, probes: np.ndarray, nearness: np.ndarray | None = None) -> np.ndarray:
        """Score probes, float32 [N, size] of length 1, with all entries. -> float32 [N, entries].

        nearness: of the probes to the cohort, float32 [N], if it is known.
        """
        if nearness is None:
            nearness = self._cohort.nearness(probes)
        scores: np.ndarray = probes @ self._entries.T
        scores -= self._penalties
        scores -= PROBE_WEIGHT * nearness[:, None]
        return scores


def extended(probes: np.ndarray) -> np.ndarray:
    """Return vectors of probes, float32 [N, size] of length 1, to multiply with `FlatIndex.vectors`. [N, size + 1]."""
    return np.concatenate([probes, np.full((len(probes), 1), -1, np.float32)], axis=1).astype(np.float32, copy=False)


def best(scores: np.ndarray, k: int) -> Hits:
    """Select the k highest of each row, [N, entries]. Of equal scores the lower row comes first."""
    rows = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    lowest = np.take_along_axis(scores, rows, axis=1).min(axis=1, keepdims=True)
    for i in np.flatnonzero(np.count_nonzero(scores >= lowest, axis=1) > k):  # not all of the equal ones fit
        rows[i] = np.argsort(-scores[i], kind="stable")[:k]
    order = np.lexsort((rows, -np.take_along_axis(scores, rows, axis=1)))
    rows = np.take_along_axis(rows, order, axis=1)
    return Hits(rows, np.take_along_axis(scores, rows, axis=1))
