"""A gallery: people and their faces as an immutable snapshot that can be searched.

A person is matched by the mean of their faces' embeddings. model/index.py has the score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Mapping, NamedTuple, Sequence

import numpy as np

from model.cohort import Cohort
from model.embedding import MOBILE_WEIGHT, EmbeddingSpec, normalize
from model.index import FlatIndex


class Person(NamedTuple):
    """A person in a gallery.

    id: assigned once and never reused; external_id: of another system; user_id: UserId of a client of Rekognition.
    """

    id: int
    name: str
    external_id: str | None = None
    user_id: str | None = None


class EnrolledFace(NamedTuple):
    """One embedding of a person.

    id: UUID; person: the person's id; photos: digests of the photos whose embeddings it is the mean of; added: time or
    day, ISO 8601 in UTC; box: XYXY in pixels of the upright photo, confidence: of the detector in [0, 1], photo_size:
    width and height of the upright photo in pixels, all three None for the mean over several photos; external_id:
    ExternalImageId that a client of Rekognition gave the photo, if it is not that of the person; origin: of a face of a
    user, from whom it was taken: ID of a person, external ID of one who was indexed, None for a person of its own.
    """

    id: str
    person: int
    photos: tuple[str, ...]
    added: str
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None
    photo_size: tuple[int, int] | None = None
    external_id: str | None = None
    origin: int | str | None = None


@dataclass(frozen=True)
class Edit:
    """A change of a gallery: what is removed, and then what is added.

    removed_people: IDs; their faces are removed too. removed_faces: IDs. people: added, or in place of those with the
    same IDs. faces: added, with embeddings, float [faces, size]. next_id: IDs below it are not assigned any more.
    crops: of added faces, by their IDs, see model/stored_crop.py; they are stored and not part of a gallery.
    """

    people: tuple[Person, ...] = ()
    faces: tuple[EnrolledFace, ...] = ()
    embeddings: np.ndarray | None = None
    removed_people: frozenset[int] = frozenset()
    removed_faces: frozenset[str] = frozenset()
    next_id: int = 0
    crops: Mapping[str, bytes] = field(default_factory=dict)

    def removes(self, face: EnrolledFace) -> bool:
        """Tell whether a face is removed, by itself or with its person."""
        return face.id in self.removed_faces or face.person in self.removed_people

    def touched(self, before: Gallery) -> set[int]:
        """Return the IDs of the people whose faces change. before: the gallery that is changed."""
        removed = {face.person for face in before.faces if self.removes(face)}
        return removed | {face.person for face in self.faces}

    def gone(self, before: Gallery) -> set[str]:
        """Return the IDs of the faces that are removed and not added again. before: the gallery that is changed."""
        return {face.id for face in before.faces if self.removes(face)} - {face.id for face in self.faces}


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
        """Return the number of people who can be found: those with a face."""
        return int(np.count_nonzero(self._findable))

    @cached_property
    def by_id(self) -> dict[int, Person]:
        return {person.id: person for person in self.people}

    @cached_property
    def _rows(self) -> np.ndarray:
        """Row of each face's person, int64 [faces]."""
        return np.searchsorted(self.ids, np.array([face.person for face in self.faces], np.int64))

    @cached_property
    def _findable(self) -> np.ndarray:
        """True for people with a face, bool [people]."""
        return np.bincount(self._rows, minlength=len(self.ids)) > 0

    @cached_property
    def photos(self) -> frozenset[str]:
        """Digests of all photos."""
        return frozenset(digest for face in self.faces for digest in face.photos)

    @cached_property
    def face_rows(self) -> dict[str, int]:
        """Rows of the faces, by their IDs."""
        return {face.id: row for row, face in enumerate(self.faces)}

    def faces_of(self, person_id: int) -> tuple[EnrolledFace, ...]:
        """Return the faces of a person, in the order in which they were added."""
        row = int(np.searchsorted(self.ids, person_id))
        return tuple(self.faces[each] for each in np.flatnonzero(self._rows == row)) if person_id in self.by_id else ()

    @cached_property
    def face_counts(self) -> np.ndarray:
        """Number of faces of each person, int64 [people]."""
        return np.bincount(self._rows, minlength=len(self.ids))

    @cached_property
    def means(self) -> np.ndarray:
        """Mean embedding of each person over their photos, float32 [people, size], not normalized."""
        rows = self._rows
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

    # Built when they are first needed: MobileFaceNet's part alone decides most faces.
    @cached_property
    def _whole_index(self) -> FlatIndex:
        return self._built(0)

    @cached_property
    def _mobile_index(self) -> FlatIndex:
        return self._built(1)

    def _built(self, part: int) -> FlatIndex:
        """Build the index of a part, in the order of _parts. Nobody without a face is found."""
        cohort, means = self._parts[part]
        return FlatIndex(means, cohort, np.where(self._findable, self.nearness[:, part], np.inf))

    def prepare(self) -> None:
        """Build what the first search by MobileFaceNet's part would build."""
        _ = self._mobile_index

    def search(self, embeddings: np.ndarray, k: int, exclude: np.ndarray | None = None) -> Matches:
        """Find the k best people for each probe, or all people with a face if there are fewer.

        embeddings: float32 of length 1, [N, size], or [N, mobile] to search by MobileFaceNet's part alone; exclude:
        int64 [N], for each probe the id of a person to ignore, as if they were not in the gallery.
        """
        rows = None if exclude is None else np.searchsorted(self.ids, exclude)
        hits = self._index(embeddings).search(embeddings, min(k, len(self)), rows)
        return Matches(self.ids[hits.rows], hits.scores)

    def scores(self, embeddings: np.ndarray, nearness: np.ndarray | None = None) -> np.ndarray:
        """Score probes, see `search`, with all people. -> float32 [N, people].

        nearness: of the probes to the cohort, float32 [N], if it is known.
        """
        return self._index(embeddings).scores(embeddings, nearness)

    def _index(self, embeddings: np.ndarray) -> FlatIndex:
        return self._whole_index if embeddings.shape[1] == self.spec.size else self._mobile_index

    def add(self, person: Person, faces: Sequence[EnrolledFace], embeddings: np.ndarray) -> Gallery:
        """Add a person, or add faces to an existing person. `person` replaces a person with the same id.

        embeddings: float [faces, size].
        """
        return self.edited(Edit((person,), tuple(faces), embeddings))

    def remove(self, person_id: int) -> Gallery:
        """Remove a person with all their faces. The id is not reused."""
        return self.edited(Edit(removed_people=frozenset([person_id])))

    def edited(self, edit: Edit) -> Gallery:
        """Return the gallery after a change. Nearness is computed again only for people whose faces change."""
        people = {person.id: person for person in self.people if person.id not in edit.removed_people}
        people.update((person.id, person) for person in edit.people)
        kept = [row for row, face in enumerate(self.faces) if not edit.removes(face)]
        parts = [self.embeddings[kept] if len(kept) < len(self.faces) else self.embeddings]
        if edit.faces:
            parts.append(np.asarray(edit.embeddings, np.float32))
        changed = Gallery(
            self.spec,
            self.cohort,
            [people[key] for key in sorted(people)],
            [*(self.faces[row] for row in kept), *edit.faces],
            np.concatenate(parts),
            max([self.next_id, edit.next_id, *(person.id + 1 for person in edit.people)]),
        )
        changed.__dict__["nearness"] = changed._nearness_after(self, edit)
        return changed

    def _nearness_after(self, before: Gallery, edit: Edit) -> np.ndarray:
        touched = edit.touched(before)
        nearness = np.zeros((len(self.ids), 2), np.float32)
        same = [row for row, person in enumerate(self.people) if person.id in before.by_id and person.id not in touched]
        nearness[same] = before.nearness[np.searchsorted(before.ids, self.ids[same])]
        others = np.setdiff1d(np.arange(len(self.ids)), same)
        for column, (cohort, means) in enumerate(self._parts):
            nearness[others, column] = cohort.nearness(normalize(means[others]))
        return nearness
