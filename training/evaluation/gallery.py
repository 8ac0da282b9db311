"""The gallery: one mean embedding for each person, and what it says of a face.

Embeddings come in batches and what is kept of a probe is a handful of numbers, so memory does not grow with photos
times people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Tuple

import numpy as np

from training.evaluation.metrics import Probes, evaluate_scores

ROWS = 1024  # people at a time

Batches = Iterable[Tuple[np.ndarray, np.ndarray]]  # labels int64 [n], embeddings float32 [n, 512] of length 1


@dataclass(frozen=True)
class Normalisation:
    """How cosines become scores; saved with each model, whose threshold holds for nothing else.

    cohort: people who score highest, less the one in question; probe, person: weights of what the probe, and of what
    the person, has in common with them.
    """

    cohort: int = 5
    probe: float = 0.5
    person: float = 0.2


class Gallery:
    """means: float32 [people, 512], not normalised: their length says how alike a person's photos are.

    hubness: float32 [people], mean cosine between a person and those of the cohort, who are most alike.
    """

    def __init__(
        self, means: np.ndarray, normalisation: Normalisation | None = None, hubness: np.ndarray | None = None
    ) -> None:
        """hubness: where it is known already; to find it takes people x people."""
        self.means = means
        self.normalisation = normalisation or Normalisation()
        self._units = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        self.hubness = _hubness(self._units, self.normalisation.cohort) if hubness is None else hubness

    @classmethod
    def of(cls, batches: Batches, people: int) -> Gallery:
        """The mean of each person's embeddings."""
        sums, counts = np.zeros((people, 0)), np.zeros(people, np.int64)
        for labels, embeddings in batches:
            if not sums.size:
                sums = np.zeros((people, embeddings.shape[1]))
            np.add.at(sums, labels, embeddings)
            counts += np.bincount(labels, minlength=people)
        return cls((sums / np.maximum(counts, 1)[:, None]).astype(np.float32))

    @classmethod
    def published(cls, script: Any) -> Gallery:
        """That of a model as it lies on disk."""
        normalisation = Normalisation(script.cohort, script.probe_weight, script.person_weight)
        return cls(script.means.numpy(), normalisation, script.hubness.numpy())

    def scores(self, embeddings: np.ndarray, without: np.ndarray | None = None) -> np.ndarray:
        """[N, 512] of length 1 -> [N, people]: the cosines, less a part of what they owe to looking like many.

        A face that resembles several people a little is more likely a stranger than one that resembles a single one as
        much, and a person who resembles others is more often mistaken for: symmetric normalisation with the gallery as
        its cohort (Kenny, "Bayesian Speaker Verification with Heavy-Tailed Priors", 2010; Auckenthaler et al., "Score
        Normalization for Text-Independent Speaker Verification Systems", 2000), less by means than by weights that were
        tried. `training.network.script` does the same when serving.
        without: [N], a person for each row to be taken out of the gallery.
        """
        found = embeddings @ self._units.T
        others = found.shape[1] - 1
        if without is not None:
            found[np.arange(len(found)), without] = -np.inf
            others -= 1
        cohort = min(self.normalisation.cohort, others)
        if cohort > 0:
            found -= self.normalisation.probe * _highest(found, cohort + 1)[:, :-1].mean(axis=1, keepdims=True)
        return found - self.normalisation.person * self.hubness

    def judge(self, batches: Batches, without_own: bool = False) -> Probes:
        """Name each probe by its scores.

        without_own: as if the probe's own person were not in the gallery, so that known people stand in for strangers.
        """
        parts = [Probes.none()]
        for labels, embeddings in batches:
            if without_own:
                parts.append(evaluate_scores(self.scores(embeddings, labels), np.full_like(labels, -1)))
            else:
                parts.append(evaluate_scores(self.scores(embeddings), labels))
        return Probes.joined(parts)


def _hubness(units: np.ndarray, cohort: int) -> np.ndarray:
    cohort = min(cohort, len(units) - 1)
    if cohort < 1:
        return np.zeros(len(units), np.float32)
    parts = []
    for start in range(0, len(units), ROWS):
        alike = units[start : start + ROWS] @ units.T
        alike[np.arange(len(alike)), start + np.arange(len(alike))] = -np.inf  # with oneself
        parts.append(_highest(alike, cohort).mean(axis=1))
    return np.concatenate(parts).astype(np.float32)


def _highest(rows: np.ndarray, count: int) -> np.ndarray:
    """[N, M] -> [N, count], ascending."""
    return np.sort(np.partition(rows, -count, axis=1)[:, -count:], axis=1)
