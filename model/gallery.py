"""A gallery: people and their faces as an immutable snapshot that can be searched.

A person is matched by the mean of their faces' embeddings. The score of a probe and a person is their cosine, minus
weighted means of the probe's and of the person's highest cosines with other people: symmetric normalization with the
gallery as cohort (Kenny, "Bayesian Speaker Verification with Heavy-Tailed Priors", 2010; Auckenthaler et al., "Score
Normalization for Text-Independent Speaker Verification Systems", 2000). A face that resembles several people a little
is more likely a stranger than one that resembles a single person as much.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple, Sequence

import numpy as np

from model.calibration import ScoreNormalization
from model.embedding import EmbeddingSpec

ROWS = 1024  # probes or people at a time, to limit the memory for scores


class Person(NamedTuple):
    """A person in a gallery. id: assigned once and never reused."""

    id: int
    name: str
    external_id: str | None = None


class EnrolledFace(NamedTuple):
    """One embedding of a person.

    id: UUID; person: the person's id; photos: digests of the photos whose embeddings it is the mean of; added: time or
    day, ISO 8601 in UTC.
    """

    id: str
    person: int
    photos: tuple[str, ...]
    added: str


class Matches(NamedTuple):
    """The k best people for each of N probes, best first. ids: int64 [N, k]; scores: float32 [N, k]."""

    ids: np.ndarray
    scores: np.ndarray


class Gallery:
    """An immutable set of people and their faces. Changes return a new gallery."""

    def __init__(
        self,
        spec: EmbeddingSpec,
        normalization: ScoreNormalization,
        people: Sequence[Person],
        faces: Sequence[EnrolledFace],
        embeddings: np.ndarray,
        next_id: int | None = None,
        hubness: np.ndarray | None = None,
    ) -> None:
        """Take people in the order of their ids, and for each face an embedding of any length.

        embeddings: float [faces, size]; next_id: of the next person, by default the highest id plus 1; hubness: float32
        [people], the value of `hubness` if it is known already.
        """
        self.spec = spec
        self.normalization = normalization
        self.people = tuple(people)
        self.faces = tuple(faces)
        self.embeddings = np.ascontiguousarray(embeddings, np.float32).reshape(len(self.faces), spec.size)
        self.next_id = max((person.id for person in self.people), default=-1) + 1 if next_id is None else next_id
        self.ids = np.array([person.id for person in self.people], np.int64)
        if hubness is not None:
            self.__dict__["hubness"] = np.asarray(hubness, np.float32)

    @cached_property
    def by_id(self) -> dict[int, Person]:
        return {person.id: person for person in self.people}

    @cached_property
    def means(self) -> np.ndarray:
        """Mean embedding of each person over their photos, float32 [people, size], not normalized."""
        rows = np.searchsorted(self.ids, [face.person for face in self.faces])
        weights = np.array([max(1, len(face.photos)) for face in self.faces], np.float32)
        if len(rows) == len(self.ids) and (rows == np.arange(len(rows))).all():
            return self.embeddings  # one face each
        sums = np.zeros((len(self.ids), self.spec.size), np.float64)
        np.add.at(sums, rows, self.embeddings * weights[:, None])
        counts = np.bincount(rows, weights, minlength=len(self.ids))
        return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)

    @cached_property
    def _units(self) -> np.ndarray:
        """Means scaled to length 1."""
        return self.means / np.maximum(np.linalg.norm(self.means, axis=1, keepdims=True), 1e-12)

    @cached_property
    def hubness(self) -> np.ndarray:
        """Mean cosine of each person with their cohort, the people they resemble most, float32 [people]."""
        cohort = min(self.normalization.cohort, len(self.ids) - 1)
        if cohort < 1:
            return np.zeros(len(self.ids), np.float32)
        means = []
        for start in range(0, len(self.ids), ROWS):
            cosines = self._units[start : start + ROWS] @ self._units.T
            cosines[np.arange(len(cosines)), start + np.arange(len(cosines))] = -np.inf  # with themselves
            means.append(_highest(cosines, cohort).mean(axis=1))
        return np.concatenate(means).astype(np.float32)

    def search(self, embeddings: np.ndarray, k: int, exclude: np.ndarray | None = None) -> Matches:
        """Find the k best people for each probe, or all people if there are fewer.

        embeddings: float32 [N, size] of length 1; exclude: int64 [N], for each probe the id of a person to ignore, as
        if they were not in the gallery.
        """
        k = min(k, len(self.ids))
        parts = [
            self._search(embeddings[rows], k, None if exclude is None else exclude[rows])
            for rows in (slice(start, start + ROWS) for start in range(0, max(1, len(embeddings)), ROWS))
        ]
        return Matches(*(np.concatenate(column) for column in zip(*parts)))

    def _search(self, embeddings: np.ndarray, k: int, exclude: np.ndarray | None) -> Matches:
        if not k:
            return Matches(np.zeros((len(embeddings), 0), np.int64), np.zeros((len(embeddings), 0), np.float32))
        scores = self._scores(embeddings, exclude)
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        # Of equal scores the lower id comes first.
        order = np.lexsort((best, -np.take_along_axis(scores, best, axis=1)))
        best = np.take_along_axis(best, order, axis=1)
        return Matches(self.ids[best], np.take_along_axis(scores, best, axis=1))

    def _scores(self, embeddings: np.ndarray, exclude: np.ndarray | None) -> np.ndarray:
        """Score embeddings, float32 [N, size], against all people. -> float32 [N, people]."""
        scores = embeddings @ self._units.T
        others = scores.shape[1] - 1
        if exclude is not None:
            scores[np.arange(len(scores)), np.searchsorted(self.ids, exclude)] = -np.inf
            others -= 1
        cohort = min(self.normalization.cohort, others)
        if cohort > 0:
            runners_up = _highest(scores, cohort + 1)[:, :-1]
            scores -= self.normalization.probe_weight * runners_up.mean(axis=1, keepdims=True)
        return scores - self.normalization.entry_weight * self.hubness

    def add(self, person: Person, faces: Sequence[EnrolledFace], embeddings: np.ndarray) -> Gallery:
        """Add a person, or add faces to an existing person. `person` replaces a person with the same id.

        embeddings: float [faces, size].
        """
        others = [other for other in self.people if other.id != person.id]
        return Gallery(
            self.spec,
            self.normalization,
            sorted([*others, person], key=lambda each: each.id),
            [*self.faces, *faces],
            np.concatenate([self.embeddings, embeddings]),
            max(self.next_id, person.id + 1),
        )

    def remove(self, person_id: int) -> Gallery:
        """Remove a person with all their faces. The id is not reused."""
        kept = [i for i, face in enumerate(self.faces) if face.person != person_id]
        return Gallery(
            self.spec,
            self.normalization,
            [person for person in self.people if person.id != person_id],
            [self.faces[i] for i in kept],
            self.embeddings[kept],
            self.next_id,
        )


def _highest(rows: np.ndarray, count: int) -> np.ndarray:
    """Select the `count` highest values of each row, ascending. [N, M] -> [N, count]."""
    return np.sort(np.partition(rows, -count, axis=1)[:, -count:], axis=1)
