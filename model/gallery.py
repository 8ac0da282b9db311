"""A gallery: people and their faces as an immutable snapshot that can be searched.

A person is matched by the mean of their faces' embeddings. model/index.py has the score.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple, Sequence

import numpy as np

from model.cohort import Cohort
from model.embedding import MOBILE_WEIGHT, EmbeddingSpec, normalize
from model.index import FlatIndex


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
        cohort: Cohort,
        people: Sequence[Person],
        faces: Sequence[EnrolledFace],
        embeddings: np.ndarray,
        next_id: int | None = None,
        nearness: np.ndarray | None = None,
    ) -> None:
        """Take people in the order of their ids, and for each face an embedding of any length.

        cohort: in the same embedding; embeddings: float [faces, size]; next_id: of the next person, by default the
        highest id plus 1; nearness: float32 [people, 2], the value of `nearness` if it is known already.
        """
        self.spec = spec
        self.cohort = cohort
        self.people = tuple(people)
        self.faces = tuple(faces)
        self.embeddings = np.ascontiguousarray(embeddings, np.float32).reshape(len(self.faces), spec.size)
        self.next_id = max((person.id for person in self.people), default=-1) + 1 if next_id is None else next_id
        self.ids = np.array([person.id for person in self.people], np.int64)
        if nearness is not None:
            self.__dict__["nearness"] = np.asarray(nearness, np.float32)

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.ids)

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
        order = np.argsort(rows, kind="stable")
        found, starts = np.unique(rows[order], return_index=True)
        means = np.zeros((len(self.ids), self.spec.size), np.float32)
        if len(found):
            counts = np.add.reduceat(weights[order], starts)
            means[found] = np.add.reduceat((self.embeddings * weights[:, None])[order], starts) / counts[:, None]
        return means

    @cached_property
    def _parts(self) -> tuple[tuple[Cohort, np.ndarray], tuple[Cohort, np.ndarray]]:
        """Cohort and means by the whole embedding, and by MobileFaceNet's part of it.

        A face's part has the length sqrt(MOBILE_WEIGHT), and probes have the length 1.
        """
        mobile = slice(-self.spec.mobile, None)
        return (self.cohort, self.means), (self.cohort.part(mobile), self.means[:, mobile] / math.sqrt(MOBILE_WEIGHT))

    @cached_property
    def nearness(self) -> np.ndarray:
        """Nearness of each person to the cohort: by the whole embedding, and by MobileFaceNet's part of it.

        float32 [people, 2].
        """
        return np.stack([cohort.nearness(normalize(means)) for cohort, means in self._parts], axis=1)

    @cached_property
    def _indexes(self) -> list[FlatIndex]:
        return [FlatIndex(means, cohort, near) for (cohort, means), near in zip(self._parts, self.nearness.T)]

    def search(self, embeddings: np.ndarray, k: int, exclude: np.ndarray | None = None) -> Matches:
        """Find the k best people for each probe, or all people if there are fewer.

        embeddings: float32 of length 1, [N, size], or [N, mobile] to search by MobileFaceNet's part alone; exclude:
        int64 [N], for each probe the id of a person to ignore, as if they were not in the gallery.
        """
        rows = None if exclude is None else np.searchsorted(self.ids, exclude)
        hits = self._index(embeddings).search(embeddings, min(k, len(self.ids)), rows)
        return Matches(self.ids[hits.rows], hits.scores)

    def scores(self, embeddings: np.ndarray, nearness: np.ndarray | None = None) -> np.ndarray:
        """Score probes, see `search`, with all people. -> float32 [N, people].

        nearness: of the probes to the cohort, float32 [N], if it is known.
        """
        return self._index(embeddings).scores(embeddings, nearness)

    def _index(self, embeddings: np.ndarray) -> FlatIndex:
        whole, mobile = self._indexes
        return whole if embeddings.shape[1] == self.spec.size else mobile

    def add(self, person: Person, faces: Sequence[EnrolledFace], embeddings: np.ndarray) -> Gallery:
        """Add a person, or add faces to an existing person. `person` replaces a person with the same id.

        embeddings: float [faces, size].
        """
        others = [other for other in self.people if other.id != person.id]
        return Gallery(
            self.spec,
            self.cohort,
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
            self.cohort,
            [person for person in self.people if person.id != person_id],
            [self.faces[i] for i in kept],
            self.embeddings[kept],
            self.next_id,
        )
